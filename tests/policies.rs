//! The policies of `policies/`: what each refuses and what it lets through, in our evaluator and, for those on Kubernetes objects, on a real
//! API server with the same files and the same objects.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use meshfed::model::ContentId;
use meshfed::object::Kind;
use meshfed::policy::{Cache, FUNCTIONS, Loaded, Operation, Policies, Subject, load};
use serde_json::{Value, json};

use crate::lab::cluster::Cluster;
use crate::lab::poll;
use crate::schemas::files;

/// A policy counts some seconds after it was made.
const POLICY_WITHIN: Duration = Duration::from_secs(60);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Texts by path, loaded.
fn loaded(texts: &BTreeMap<String, String>) -> Loaded {
    let entries = texts.keys().enumerate().map(|(i, path)| {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&(i as u64).to_be_bytes());
        (path.clone(), ContentId(id))
    });
    load(&entries.collect(), &[], &mut |path, _| Ok(texts[path].clone().into_bytes()), &mut Cache::default())
}

/// The library, file by file.
fn library() -> BTreeMap<String, String> {
    let policies = files(&root().join("policies")).into_iter().filter(|(path, _)| path.ends_with(".yaml"));
    policies.map(|(path, file)| (format!("policies/{path}"), fs::read_to_string(file).unwrap())).collect()
}

/// The example repository, with changes: path, from, to.
fn example(changes: &[(&str, &str, &str)]) -> BTreeMap<String, String> {
    let all = files(&root().join("repo-layout")).into_iter().filter(|(path, _)| path.ends_with(".yaml"));
    let mut texts: BTreeMap<String, String> = all.map(|(path, file)| (path, fs::read_to_string(file).unwrap())).collect();
    for (path, from, to) in changes {
        let text = texts.get_mut(*path).unwrap_or_else(|| panic!("no {path}"));
        assert!(text.contains(from), "{path} does not contain {from}");
        *text = text.replacen(from, to, 1);
    }
    texts
}

#[test]
fn the_library_is_valid_and_the_readme_lists_all_of_it() {
    let texts = library();
    let readme = fs::read_to_string(root().join("policies/README.md")).unwrap();
    for path in texts.keys() {
        let name = path.trim_start_matches("policies/");
        assert!(readme.contains(&format!("[{name}]({name})")), "policies/README.md does not list {name}");
    }
    for function in FUNCTIONS {
        assert!(readme.contains(&format!("`{function}`")), "policies/README.md does not list the function {function}");
    }
    let problems: Vec<String> = loaded(&texts).problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.iter().filter(|problem| problem.starts_with("policies/")).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(texts.len() >= 8);
}

/// Path, from, to.
type Change = (&'static str, String, String);

/// What it is, what is changed in the example, and where which words are found.
type Declared = (&'static str, Vec<Change>, Option<(&'static str, &'static str)>);

#[test]
fn policies_on_declarations_refuse_what_they_should_at_the_place_that_is_to_blame() {
    let (rosa, aro, gcp) = ("meshes/rosa-prod-mesh/mesh.yaml", "meshes/aro-stg-mesh/mesh.yaml", "meshes/gcp-dev-mesh/mesh.yaml");
    let named = |mesh: &str, labels: &str| format!("  name: {mesh}\n  labels: {{{labels}}}\n");
    let label = |path: &'static str, mesh: &'static str, labels: &str| (path, format!("  name: {mesh}\n"), named(mesh, labels));
    let region = |region: &str| (rosa, "region: us-east-1".to_owned(), format!("region: {region}"));
    let production = || label(rosa, "rosa-prod-mesh", "environment: production");
    let in_europe = || label(aro, "aro-stg-mesh", "residency: eu");
    let cases: Vec<Declared> = vec![
        ("the example as it is", vec![], None),
        ("production and staging", vec![production(), label(aro, "aro-stg-mesh", "environment: staging")], None),
        (
            "production imports from development",
            vec![production(), label(gcp, "gcp-dev-mesh", "environment: development")],
            Some(("meshes/rosa-prod-mesh/peers/gcp-dev-mesh.yaml", "production takes nothing from development")),
        ),
        (
            "development imports from production",
            vec![
                label(rosa, "rosa-prod-mesh", "environment: development"),
                label(gcp, "gcp-dev-mesh", "environment: production"),
            ],
            None,
        ),
        (
            "data leaves its region",
            vec![in_europe(), region("us-east-1")],
            Some(("meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml", "data of aro-stg-mesh stays in eu")),
        ),
        ("data stays in its region", vec![in_europe(), region("eu-west-1")], None),
        (
            "a residency that the policy does not know",
            vec![label(aro, "aro-stg-mesh", "residency: mars"), region("eu-west-1")],
            Some(("meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml", "data of aro-stg-mesh stays in mars")),
        ),
        (
            "another trust domain",
            vec![(aro, "trustDomain: aro-stg-mesh.local".into(), "trustDomain: else.example".into())],
            Some((aro, "trust domain else.example is not approved")),
        ),
        (
            "a private address",
            vec![(aro, "\nspec:\n".into(), "\nspec:\n  ingress: {addresses: [172.20.1.1, 20.1.2.3]}\n".into())],
            Some((aro, "not reachable from elsewhere: 172.20.1.1")),
        ),
        (
            "a public address",
            vec![(aro, "\nspec:\n".into(), "\nspec:\n  ingress: {addresses: [gateway.example.com, 20.1.2.3]}\n".into())],
            None,
        ),
    ];
    for (what, changes, expected) in cases {
        let changes: Vec<(&str, &str, &str)> = changes.iter().map(|(path, from, to)| (*path, &**from, &**to)).collect();
        let mut texts = example(&changes);
        texts.extend(library());
        let found = loaded(&texts).problems;
        let found: Vec<String> =
            found.iter().filter(|finding| finding.code.number() == "MF020").map(ToString::to_string).collect();
        match expected {
            None => assert_eq!(found, Vec::<String>::new(), "{what}"),
            Some((path, words)) => {
                assert_eq!(found.len(), 1, "{what}: {found:?}");
                assert!(found[0].starts_with(&format!("{path}:")) && found[0].contains(words), "{what}: {}", found[0]);
            }
        }
    }
}

/// Objects for which the API server and we must say the same: what it is, before, after, and the policy that forbids it.
type Case = (&'static str, Option<Value>, Value, Option<&'static str>);

fn object(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "production"}, "spec": spec})
}

fn export(rules: &Value) -> Value {
    object("federation.maistra.io/v1", "ExportedServiceSet", "peer", &json!({"exportRules": rules}))
}

fn import(selector: &Value) -> Value {
    let rules = json!([{"type": "NameSelector", "nameSelector": selector}]);
    object("federation.maistra.io/v1", "ImportedServiceSet", "peer", &json!({"importRules": rules}))
}

fn peer(name: &str, domain: &str, addresses: &Value) -> Value {
    let spec = json!({"remote": {"addresses": addresses}, "gateways": {"ingress": {"name": "in"}, "egress": {"name": "out"}},
        "security": {"trustDomain": domain, "clientID": format!("{domain}/ns/a/sa/b")}});
    object("federation.maistra.io/v1", "ServiceMeshPeer", name, &spec)
}

/// A split between the Service here and the peer's.
fn split(name: &str, here: u32, there: u32) -> Value {
    let mut route = vec![json!({"destination": {"host": "details", "subset": "v1"}, "weight": here})];
    if there > 0 {
        route.push(json!({"destination": {"host": "details.shop.svc.peer-imports.local"}, "weight": there}));
    }
    let spec = json!({"hosts": ["details"], "http": [{"route": route}]});
    let mut value = object("networking.istio.io/v1beta1", "VirtualService", name, &spec);
    value["metadata"]["labels"] = json!({"applyset.kubernetes.io/part-of": "set"});
    value
}

fn cases() -> Vec<Case> {
    let by_name =
        |namespace: &str, name: &str| json!([{"type": "NameSelector", "nameSelector": {"namespace": namespace, "name": name}}]);
    let by_label = json!([{"type": "LabelSelector", "labelSelector": {"namespace": "prod-bookinfo", "selector": {"matchLabels": {"a": "b"}}}}]);
    let public = json!(["20.71.4.9", "gateway.example.com", "2600:1f00::1"]);
    let good = "aro-stg-mesh.local";
    let (wildcards, namespaces) = (Some("meshfed-no-wildcard-exports"), Some("meshfed-exports-from-approved-namespaces"));
    let (domains, private) = (Some("meshfed-approved-trust-domains"), Some("meshfed-no-private-addresses"));
    let (imports, steps) = (Some("meshfed-no-wildcard-imports"), Some("meshfed-small-weight-steps"));
    let mut by_hand = split("by-hand", 10, 90);
    by_hand["metadata"]["labels"] = json!({"team": "shop"});
    let tcp = object("networking.istio.io/v1beta1", "VirtualService", "tcp", &json!({"hosts": ["details"], "tcp": []}));
    let mut third = split("third", 20, 20);
    let route = json!({"destination": {"host": "details.shop.svc.third-imports.local"}, "weight": 60});
    third["spec"]["http"][0]["route"].as_array_mut().unwrap().push(route);
    let mut alone = split("alone", 100, 0);
    alone["spec"]["http"][0]["route"] = json!([{"destination": {"host": "details.shop.svc.peer-imports.local"}}]);
    vec![
        ("a named export", None, export(&by_name("prod-bookinfo", "details")), None),
        ("no exports", None, export(&json!([])), None),
        ("everything", None, export(&by_name("*", "*")), wildcards),
        ("all of a namespace", None, export(&by_name("prod-bookinfo", "*")), wildcards),
        (
            "a rule without a name",
            None,
            export(&json!([{"type": "NameSelector", "nameSelector": {"namespace": "prod-bookinfo"}}])),
            wildcards,
        ),
        ("a rule without a selector", None, export(&json!([{"type": "NameSelector"}])), wildcards),
        ("by label", None, export(&by_label), wildcards),
        ("from elsewhere", None, export(&by_name("payments", "cards")), namespaces),
        ("a named import", None, import(&json!({"namespace": "prod-bookinfo", "name": "details-v2"})), None),
        ("all imports", None, import(&json!({"namespace": "*", "name": "*"})), imports),
        ("imports without a name", None, import(&json!({"namespace": "prod-bookinfo"})), imports),
        ("a good peer", None, peer("aro", good, &public), None),
        ("a peer without addresses", None, peer("aro", good, &json!([])), None),
        ("another domain", None, peer("aro", "else.example", &public), domains),
        ("a private address", None, peer("aro", good, &json!(["20.71.4.9", "10.0.0.7"])), private),
        ("a unique local address", None, peer("aro", good, &json!(["fd00::7"])), private),
        ("loopback", None, peer("aro", good, &json!(["127.0.0.2"])), private),
        ("private on purpose", None, peer("on-premises-mesh", good, &json!(["10.0.0.7"])), None),
        ("a new split", None, split("new", 40, 60), None),
        ("a small step", Some(split("small", 90, 10)), split("small", 65, 35), None),
        ("a large step", Some(split("large", 90, 10)), split("large", 64, 36), steps),
        ("a first small step", Some(split("first", 100, 0)), split("first", 75, 25), None),
        ("a first large step", Some(split("one", 100, 0)), split("one", 74, 26), steps),
        ("all at once away", Some(split("away", 10, 90)), split("away", 100, 0), None),
        ("a destination goes", Some(third), split("third", 40, 60), None),
        ("a route without a weight", Some(split("alone", 90, 10)), alone, steps),
        ("somebody else's", Some(by_hand.clone()), by_hand, None),
        ("no http", Some(tcp.clone()), tcp, None),
    ]
}

/// What our policies say.
fn ours(policies: &Policies, old: Option<&Value>, object: &Value, namespace: &Value) -> Option<String> {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    policies.forbids(&Subject {
        kind: &Kind::new(text("/apiVersion"), text("/kind")),
        namespace: Some(text("/metadata/namespace")),
        name: text("/metadata/name"),
        operation: if old.is_some() { Operation::Update } else { Operation::Create },
        object,
        old,
        namespace_object: Some(namespace),
    })
}

struct Server(Cluster);

impl Server {
    fn start() -> Self {
        let server = Self(Cluster::start("policies"));
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "production", "labels": {"environment": "production"}}});
        server.apply(&namespace, false).unwrap();
        server
    }

    /// Applies, or asks what would happen; the refusal if there is one.
    fn apply(&self, object: &Value, dry: bool) -> Result<(), String> {
        let file = self.0.scratch().join("object.json");
        fs::write(&file, object.to_string()).unwrap();
        let file = file.display().to_string();
        let mut arguments = vec!["apply", "--server-side", "--validate=strict", "-f", &file];
        if dry {
            arguments.push("--dry-run=server");
        }
        let output = self.0.kubectl(&arguments);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

#[test]
fn the_api_server_and_we_judge_alike() {
    let server = Server::start();
    let policies = loaded(&library()).policies;
    let namespace = json!({"metadata": {"name": "production", "labels": {"environment": "production"}}});
    let cases = cases();
    for old in cases.iter().filter_map(|(_, old, ..)| old.as_ref()) {
        server.apply(old, false).unwrap();
    }
    for path in library().keys() {
        let output =
            server.0.kubectl(&["apply", "--server-side", "--validate=strict", "-f", &root().join(path).display().to_string()]);
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (what, old, object, forbidden) in &cases {
        let ours = ours(&policies, old.as_ref(), object, &namespace);
        assert_eq!(ours.is_some(), forbidden.is_some(), "{what}: {ours:?}");
        let Some(policy) = forbidden else { continue };
        assert!(ours.as_ref().unwrap().contains(policy), "{what}: {ours:?}");
        // A policy is in force some seconds after it was made; those that let through are asked when all are.
        let denial = poll(POLICY_WITHIN, || server.apply(object, true).err().filter(|denial| denial.contains(policy)));
        assert!(
            denial.is_some(),
            "the API server lets {what} through, or names another policy: {:?}",
            server.apply(object, true)
        );
    }
    for (what, _, object, _) in cases.iter().filter(|(.., forbidden)| forbidden.is_none()) {
        assert_eq!(server.apply(object, true), Ok(()), "{what}");
    }
    the_subset_means_the_same(&server);
}

/// Expressions that are all true, with every function of the subset; one object decides for all of them.
const TRUE: [&str; 25] = [
    "size(object.data) == 3 && object.data.text.size() == 6",
    "object.data.text.startsWith('a') && object.data.text.endsWith('f') && object.data.text.contains('cd')",
    "object.data.text.matches('^[a-f]+$') && !object.data.text.matches('^x')",
    "string(5) == '5' && int('5') == 5",
    "'AbC'.lowerAscii() == 'abc' && 'AbC'.upperAscii() == 'ABC' && ' a '.trim() == 'a'",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && ['a', 'b'].join('-') == 'a-b' && 'aa'.replace('a', 'b') == 'bb'",
    "'abcdef'.substring(2) == 'cdef' && 'abcdef'.substring(2, 4) == 'cd'",
    "'abca'.indexOf('a') == 0 && 'abca'.lastIndexOf('a') == 3 && 'abc'.indexOf('x') == -1",
    "'%s has %d'.format(['a', 5]) == 'a has 5'",
    "isIP('10.0.0.1') && !isIP('gateway.example.com') && ip('::1').family() == 6 && ip('127.0.0.1').isLoopback()",
    "ip('0.0.0.0').isUnspecified() && ip('169.254.1.1').isLinkLocalUnicast() && !ip('10.0.0.1').isLoopback()",
    "isCIDR('10.0.0.0/8') && cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
    "[1, 2, 3].all(x, x > 0) && [1, 2, 3].exists(x, x == 2) && [1, 2, 3].exists_one(x, x == 2)",
    "[1, 2, 3].filter(x, x > 1) == [2, 3] && [1, 2].map(x, x + 1) == [2, 3] && [1, 2].map(x, x > 1, x - 1) == [1]",
    "2 in [1, 2] && 'a' in {'a': 1} && !('b' in {'a': 1}) && {'a': [1]}['a'][0] == 1",
    "[[1, 2], [3]].all(x, x.all(y, [1, 2, 3].exists(z, z == y)))",
    "has(object.metadata.name) && !has(object.metadata.generateName) && !has(object.spec) && !has(object.data.text.field)",
    "'meshfed.dev/mesh' in object.metadata.annotations && object.metadata.annotations['meshfed.dev/mesh'] == 'a'",
    "object.metadata.namespace == 'production' && request.namespace == 'production' && request.name == 'judged'",
    "request.operation == 'CREATE' && oldObject == null && request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps'",
    "namespaceObject.metadata.labels['environment'] == 'production'",
    "1 < 2 && 2 <= 2 && 3 > 2 && 2 >= 2 && 1 != 2 && 'a' != 'b' && -1 < 0 && 3 - 1 == 2 && 'a' + 'b' == 'ab'",
    "true || object.spec.absent == 1",
    "object.data.as == 'y' && object.data['as'] == 'y' && has(object.data.as)",
    "(false ? object.spec.absent : 'x') == 'x' && [1] + [2] == [1, 2]",
];

/// Expressions that fail on both sides, also when they are negated: what is not there is never true.
const FAILING: [&str; 5] = [
    "object.spec.absent == 1",
    "object.data.text.field == 'a'",
    "!object.data.text.field",
    "!has(object.spec.absent)",
    "object.metadata.labels['none'] == 'a'",
];

fn policy(name: &str, validations: &[&str]) -> String {
    let mut text = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: {name}}}\nspec:\n  matchConstraints:\n    \
         resourceRules:\n    - {{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}}\n  matchConditions:\n  \
         - {{name: here, expression: \"(has(object.metadata.labels) ? object.metadata.labels['judge'] : '') == '{name}'\"}}\n  validations:\n"
    );
    for expression in validations {
        writeln!(text, "  - {{expression: {}}}", json!(expression)).unwrap();
    }
    write!(
        text,
        "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: {name}}}\n\
         spec: {{policyName: {name}, validationActions: [Deny]}}\n"
    )
    .unwrap();
    text
}

fn the_subset_means_the_same(server: &Server) {
    let unused: Vec<_> =
        FUNCTIONS.iter().filter(|name| !TRUE.iter().any(|source| source.contains(&format!("{name}(")))).collect();
    assert!(unused.is_empty(), "not compared with the API server: {unused:?}");
    let namespace = json!({"metadata": {"name": "production", "labels": {"environment": "production"}}});
    let object = |judge: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": "abcdef", "number": "5", "as": "y"}, "metadata": {
            "name": "judged", "namespace": "production", "labels": {"judge": judge}, "annotations": {"meshfed.dev/mesh": "a"}}})
    };
    let wrong = |source: &&&str| {
        let texts = BTreeMap::from([("policies/test.yaml".to_owned(), policy("all-true", &[**source]))]);
        ours(&loaded(&texts).policies, None, &object("all-true"), &namespace).is_some()
    };
    assert_eq!(TRUE.iter().filter(wrong).collect::<Vec<_>>(), Vec::<&&str>::new());
    let mut all = vec![("all-true".to_owned(), policy("all-true", &TRUE), true)];
    all.push(("not-true".to_owned(), policy("not-true", &[&format!("!({})", TRUE[0])]), false));
    for (i, failing) in FAILING.iter().enumerate() {
        all.push((format!("failing-{i}"), policy(&format!("failing-{i}"), &[failing]), false));
    }
    for (name, text, _) in &all {
        let file = server.0.scratch().join(&format!("{name}.yaml"));
        fs::write(&file, text).unwrap();
        let output = server.0.kubectl(&["apply", "--server-side", "-f", &file.display().to_string()]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (name, text, allowed) in all.iter().rev() {
        let texts = BTreeMap::from([("policies/test.yaml".to_owned(), text.clone())]);
        let Loaded { policies, problems, .. } = loaded(&texts);
        assert!(problems.iter().all(|problem| !problem.path.starts_with("policies/")), "{name}: {problems:?}");
        let ours = ours(&policies, None, &object(name), &namespace);
        assert_eq!(ours.is_none(), *allowed, "{name}: {ours:?}");
        let theirs = || server.apply(&object(name), true);
        if *allowed {
            assert_eq!(theirs(), Ok(()), "{name}"); // the last one, when the others are known to be in force
        } else {
            assert!(poll(POLICY_WITHIN, || theirs().err()).is_some(), "the API server lets {name} through");
        }
    }
}
