//! Migration: a service moves from one mesh to another, a commit a step: first the requests of one user, then a hundredth of all, a
//! tenth, half, all of them; then the old side goes.

use serde_json::{Value, json};

use crate::federation::steps::{ARO, ROSA, imported};
use crate::lab::audit::Request;
use crate::lab::standin::Cloud;
use crate::stage::{Agent, EXAMPLE, Stage, eventually, example, example_under};

const NEW: &str = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";
const OLD: &str = "details.prod-bookinfo.svc.cluster.local v1";
const MANIFESTS: &str = "meshes/rosa-prod-mesh/manifests/details.yaml";
const TRAFFIC: &str = "meshes/rosa-prod-mesh/traffic/details.yaml";

/// Requests, and where they go.
type Rule = (Value, Vec<(String, u64)>);

fn to(shares: &[(&str, u64)]) -> Vec<(String, u64)> {
    shares.iter().map(|(to, weight)| ((*to).to_owned(), *weight)).collect()
}

/// `spec.http` of the live VirtualService, the first match first.
fn rules(stage: &Stage) -> Vec<Rule> {
    let service = stage.site(ROSA).get("virtualservice", "prod-bookinfo", "details").unwrap_or_default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let share = |route: Value| {
        let part = |name: &str| route["destination"][name].as_str().unwrap_or_default().to_owned();
        (format!("{} {}", part("host"), part("subset")).trim_end().to_owned(), route["weight"].as_u64().unwrap_or_default())
    };
    let rule = |rule: &Value| (rule["match"].clone(), list(&rule["route"]).into_iter().map(share).collect());
    list(&service["spec"]["http"]).iter().map(rule).collect()
}

/// Commits where requests go, and waits until exactly that is live. Whatever is live in between sends all requests somewhere.
fn step(stage: &Stage, message: &str, fields: &str, others: &[(&str, Option<&str>)], expected: &[Rule]) {
    let traffic = format!(
        "apiVersion: meshfed.dev/v1alpha1\nkind: Traffic\nmetadata: {{name: details}}\nspec:\n  service: prod-bookinfo/details\n{fields}"
    );
    stage.git.commit(message, &[&[(TRAFFIC, Some(traffic.as_str()))], others].concat());
    eventually(message, || {
        let rules = rules(stage);
        for (when, shares) in &rules {
            assert_eq!(shares.iter().map(|(_, weight)| weight).sum::<u64>(), 100, "{message}: {when}: {shares:?}");
        }
        if rules == expected { Ok(()) } else { Err(format!("{rules:?}")) }
    });
}

#[test]
fn a_service_moves_to_another_mesh_commit_by_commit() {
    let meshes = [(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)];
    assert!(meshes.iter().all(|mesh| EXAMPLE.contains(mesh)));
    let stage = Stage::start(&meshes);
    let mut files = vec!["federation.yaml".to_owned()];
    for (mesh, peer) in [(ROSA, ARO), (ARO, ROSA)] {
        files.extend([format!("meshes/{mesh}/mesh.yaml"), format!("meshes/{mesh}/peers/{peer}.yaml")]);
        files.extend(example_under(&format!("meshes/{mesh}/manifests")));
    }
    stage.commit_example("Two meshes", &files.iter().map(String::as_str).collect::<Vec<_>>());
    let _agents: Vec<Agent> = meshes.iter().map(|(mesh, _)| stage.agent(mesh)).collect();
    imported(&stage, ROSA, ARO, NEW).unwrap();

    let all = |shares: &[(&str, u64)]| (Value::Null, to(shares));
    let tester = "  matches:\n  - headers: {end-user: {exact: tester}}\n    routes: [{peer: aro-stg-mesh, service: prod-bookinfo/details-v2}]\n";
    let first = || (json!([{"headers": {"end-user": {"exact": "tester"}}}]), to(&[(NEW, 100)]));
    let split = |here: u64, there: u64| {
        format!(
            "{tester}  routes:\n  - {{local: {{subset: v1}}, weight: {here}}}\n  - {{peer: aro-stg-mesh, service: prod-bookinfo/details-v2, weight: {there}}}\n"
        )
    };
    step(&stage, "everything is served here", "  routes: [{local: {subset: v1}}]\n", &[], &[all(&[(OLD, 100)])]);
    let commits = || meshes.map(|(mesh, _)| stage.git.log(&format!("published/{mesh}")).len());
    let before = commits();

    let fields = format!("{tester}  routes: [{{local: {{subset: v1}}}}]\n");
    step(&stage, "one user goes there", &fields, &[], &[first(), all(&[(OLD, 100)])]);
    for there in [1, 10, 50] {
        let expected = [first(), all(&[(OLD, 100 - there), (NEW, there)])];
        step(&stage, &format!("{there} % go there"), &split(100 - there, there), &[], &expected);
    }
    step(&stage, "all go there", &split(0, 100), &[], &[first(), all(&[(NEW, 100)])]);

    let site = stage.site(ROSA);
    assert!(
        site.get("deployment", "prod-bookinfo", "details-v1").is_some()
            && site.get("destinationrule", "prod-bookinfo", "details").is_some()
    );
    let writes = || {
        let requests = site.cluster.requests_by("meshfed").into_iter().filter(Request::writes);
        requests.map(|request| format!("{} {}", request.verb, request.resource)).collect::<Vec<_>>()
    };
    let mark = writes().len();
    let manifests = example(MANIFESTS);
    let service_only: Vec<&str> = manifests.split("---\n").filter(|document| !document.contains("kind: Deployment")).collect();
    let fields = "  routes: [{peer: aro-stg-mesh, service: prod-bookinfo/details-v2}]\n";
    step(&stage, "the old side goes", fields, &[(MANIFESTS, Some(&service_only.join("---\n")))], &[all(&[(NEW, 100)])]);
    for (kind, name) in [("deployment", "details-v1"), ("destinationrule", "details")] {
        eventually(&format!("{kind}/{name} is gone"), || match site.get(kind, "prod-bookinfo", name) {
            None => Ok(()),
            Some(object) => Err(object.to_string()),
        });
    }
    let writes = &writes()[mark..];
    let place =
        |write: &str| writes.iter().position(|other| other == write).unwrap_or_else(|| panic!("no `{write}`: {writes:#?}"));
    let moved = place("patch virtualservices");
    assert!(moved < place("delete deployments") && moved < place("delete destinationrules"), "{writes:#?}");
    assert!(site.get("service", "prod-bookinfo", "details").is_some(), "clients call it as before");

    let head = stage.git.head("main").expect("there are commits");
    for (mesh, _) in meshes {
        eventually(&format!("{mesh} says that it has applied the last commit"), || {
            let status = stage.git.show(&format!("published/{mesh}:status.yaml")).unwrap_or_default();
            if status.contains(&format!("applied: {head}")) { Ok(()) } else { Err(status) }
        });
    }
    let made: Vec<usize> = commits().iter().zip(before).map(|(now, before)| now - before).collect();
    println!("commits on the published branches in six steps: {made:?}");
    assert!(made.iter().all(|made| *made <= 2 * 6), "{made:?}");
}
