use std::sync::Arc;

use super::{Cache, Loaded, Policies, load};
use crate::model::testing::{Repo, pair, show};

/// A policy on one resource, with the rest of its `spec`.
fn policy(group: &str, resource: &str, rest: &str) -> String {
    format!(
        "//- policies/test.yaml\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: test}}\n\
         spec:\n  matchConstraints:\n    resourceRules:\n    - apiGroups: [{group}]\n      apiVersions: ['*']\n      \
         operations: [CREATE, UPDATE]\n      resources: [{resource}]\n{rest}"
    )
}

fn loaded(repo: &Repo) -> Loaded {
    loaded_with(repo, &mut Cache::default())
}

fn loaded_with(repo: &Repo, cache: &mut Cache) -> Loaded {
    load(&repo.entries(), &[], &mut |path, _| Ok(repo.files[path].clone()), cache)
}

fn exporting() -> Repo {
    pair().with(
        "//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  exports:\n  - service: apps/one\n  - service: apps/secret\n  \
         imports:\n  - service: shop/x\n",
    )
}

const NO_SECRETS: &str = "  validations:
  - expression: \"!has(object.spec.exports) || object.spec.exports.all(e, !has(e.service) || !e.service.endsWith('/secret'))\"
    message: secrets stay here
";

#[test]
fn a_violation_is_an_error_at_the_entry_to_blame_and_the_document_is_left_out() {
    let Loaded { federation, problems, .. } = loaded(&exporting().with(&policy("meshfed.dev", "peers", NO_SECRETS)));
    let shown = show(&problems);
    let expected = "meshes/a/peers/b.yaml:7:5: error[MF020]: policy test (policies/test.yaml) forbids it: secrets stay here";
    assert!(shown.contains(expected), "{shown}");
    assert!(federation.peer("a", "b").is_none() && federation.is_broken("meshes/a/peers/b.yaml"));
    assert!(federation.peer("b", "a").is_some() && federation.mesh("a").is_some(), "nothing else is touched");
    assert_eq!(problems.iter().filter(|problem| problem.code == crate::model::Code::Policy).count(), 1);
}

#[test]
fn a_document_knows_its_mesh_and_a_policy_the_others() {
    let rest = "  paramKind: {apiVersion: meshfed.dev/v1alpha1, kind: Mesh}
  matchConditions:
  - {name: production, expression: \"object.metadata.namespace == 'a' && has(namespaceObject.metadata.labels)\"}
  variables:
  - {name: peer, expression: params.metadata.name == object.metadata.name}
  validations:
  - expression: \"!variables.peer || params.spec.trustDomain != 'b.example'\"
    messageExpression: \"namespaceObject.metadata.labels.environment + ' takes nothing from ' + params.metadata.name\"
";
    let repo = pair().with(&policy("meshfed.dev", "peers", rest));
    assert_eq!(show(&loaded(&repo).problems), "");
    let repo = repo.edit("meshes/a/mesh.yaml", "{name: a}", "{name: a, labels: {environment: production}}");
    let shown = show(&loaded(&repo).problems);
    assert!(shown.contains("meshes/a/peers/b.yaml:3:18: error[MF020]"), "{shown}");
    assert!(shown.contains("production takes nothing from b"), "{shown}");
}

#[test]
fn what_cannot_be_evaluated_forbids_what_it_matches() {
    for rest in [
        "  validations:\n  - expression: object.spec.absent == 1\n",
        "  validations:\n  - expression: type(object) == int\n",
        "  validations:\n  - expression: 'true'\n  auditAnnotations: []\n",
        "  validations:\n  - expression: 'true'\n  failurePolicy: Ignore\n",
        "  validations:\n  - expression: 'true'\n  matchConditons: []\n",
        "  validations: []\n",
        "  validations:\n  - expression: 'true'\n  paramKind: {apiVersion: v1, kind: ConfigMap}\n",
        "  matchConditions: [{name: x, expression: object.absent}]\n  validations:\n  - expression: 'true'\n",
        "  variables: [{name: x, expression: object.absent}]\n  validations:\n  - expression: variables.x\n",
    ] {
        let Loaded { federation, policies, problems } = loaded(&exporting().with(&policy("meshfed.dev", "peers", rest)));
        assert!(federation.peer("a", "b").is_none(), "{rest}: {}", show(&problems));
        assert!(federation.mesh("a").is_some(), "{rest}: what it does not match goes on");
        assert_eq!(policies.unreadable(), None, "{rest}");
    }
}

#[test]
fn a_variable_that_fails_matters_only_where_it_is_used() {
    let rest = "  variables: [{name: x, expression: object.absent}]\n  validations:\n  - expression: true || variables.x == 1\n";
    assert_eq!(show(&loaded(&pair().with(&policy("meshfed.dev", "peers", rest))).problems), "");
}

#[test]
fn a_file_that_cannot_be_read_stops_everything_and_says_so() {
    for text in ["a: [", "kind: ConfigMap\n", "kind: ValidatingAdmissionPolicy\nmetadata: {name: x}\nspec: {}\n"] {
        let repo = exporting().with("//- policies/test.yaml\n");
        let repo = Repo { files: repo.files.into_iter().chain([("policies/test.yaml".into(), text.into())]).collect() };
        let Loaded { policies, problems, .. } = loaded(&repo);
        let reason = policies.unreadable().unwrap_or_else(|| panic!("{text}"));
        assert!(reason.starts_with("policies/test.yaml cannot be read"), "{reason}");
        assert!(
            problems.iter().any(|problem| problem.path == "policies/test.yaml" && problem.span.line > 0),
            "{}",
            show(&problems)
        );
    }
}

#[test]
fn bindings_say_where_a_policy_is_in_force() {
    let rest = |actions: &str, labels: &str| {
        format!(
            "{NO_SECRETS}---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: test}}\n\
             spec:\n  policyName: test\n  validationActions: [{actions}]\n  matchResources:\n    namespaceSelector:\n      matchLabels: {labels}\n"
        )
    };
    let problems = |repo: &Repo| {
        show(&loaded(repo).problems.into_iter().filter(|p| p.code == crate::model::Code::Policy).collect::<Vec<_>>())
    };
    let repo = exporting().with(&policy("meshfed.dev", "peers", &rest("Deny", "{environment: production}")));
    assert_eq!(problems(&repo), "");
    let production = |repo: Repo| repo.edit("meshes/a/mesh.yaml", "{name: a}", "{name: a, labels: {environment: production}}");
    assert!(problems(&production(repo)).contains("error[MF020]: policy test"));
    let warned = production(exporting().with(&policy("meshfed.dev", "peers", &rest("Warn", "{environment: production}"))));
    assert!(problems(&warned).contains("warning[MF020]: policy test (policies/test.yaml) warns"), "{}", problems(&warned));
    let named =
        exporting().with(&policy("meshfed.dev", "peers", &rest("Deny", "{}")).replace("policyName: test", "policyName: tset"));
    assert!(show(&loaded(&named).problems).contains("there is no policy `tset`"));
}

#[test]
fn places_in_a_file_of_several_documents_are_right() {
    let first = policy("meshfed.dev", "peers", NO_SECRETS);
    let second = "---\n# é\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: x}\n\
                  spec: {policyName: test, validationActions: [Deni]}\n";
    let shown = show(&loaded(&pair().with(&format!("{first}{second}"))).problems);
    let line = first.lines().count() - 1 + 6;
    assert!(shown.contains(&format!("policies/test.yaml:{line}:46: error[MF001]")), "{shown}");
}

#[test]
fn only_what_changed_is_judged_again() {
    let mut cache = Cache::default();
    let repo = exporting().with(&policy("meshfed.dev", "peers", NO_SECRETS));
    let policies: Vec<Arc<Policies>> = (0..2).map(|_| loaded_with(&repo, &mut cache).policies).collect();
    assert_eq!(policies[0].digest(), policies[1].digest());
    let mended = repo.clone().edit("meshes/a/peers/b.yaml", "apps/secret", "apps/open");
    assert!(!show(&loaded_with(&mended, &mut cache).problems).contains("MF020"));
    assert!(show(&loaded_with(&repo, &mut cache).problems).contains("MF020"));
    let without = repo.without("policies/");
    assert!(loaded_with(&without, &mut cache).federation.peer("a", "b").is_some());
}

#[test]
fn what_is_too_large_to_be_judged_is_forbidden() {
    let many = (0..1001).fold(String::new(), |text, i| text + &format!("  - service: apps/s{i}\n"));
    let repo = pair().with(&format!("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {{name: b}}\nspec:\n  exports:\n{many}"));
    let shown = show(&loaded(&repo.clone().with(&policy("meshfed.dev", "peers", NO_SECRETS))).problems);
    assert!(shown.contains("a list of 1001; what has more than 1000 entries is not judged"), "{shown}");
    assert_eq!(show(&loaded(&repo.with(&policy("meshfed.dev", "meshes", NO_SECRETS))).problems), "");
    let long = "a: b\n---\n".repeat(101);
    let repo = pair().with(&format!("//- policies/test.yaml\n{long}"));
    assert!(loaded(&repo).policies.unreadable().unwrap().contains("101 documents"));
}

#[test]
fn a_policy_that_finds_no_mesh_to_ask_forbids() {
    let rest = |action: &str| {
        format!(
            "  paramKind: {{apiVersion: meshfed.dev/v1alpha1, kind: Mesh}}\n  validations:\n  - expression: 'true'\n---\n\
             apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: test}}\nspec:\n  \
             policyName: test\n  validationActions: [Deny]\n  \
             paramRef: {{selector: {{matchLabels: {{a: b}}}}, parameterNotFoundAction: {action}}}\n"
        )
    };
    let shown = |action| show(&loaded(&pair().with(&policy("meshfed.dev", "peers", &rest(action)))).problems);
    assert!(shown("Deny").contains("there is no Mesh for it to ask"));
    assert_eq!(shown("Allow"), "");
}
