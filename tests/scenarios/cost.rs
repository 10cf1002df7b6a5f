//! Cost: a mesh leaves and joins again, by commits alone. Nothing is sent where nobody answers, what was there before it stays, and an
//! agent that is killed at every stage gets to the same end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::federation::steps::{ARO, GCP, ROSA, imported, split, weights};
use crate::lab::audit::Request;
use crate::lab::standin::Cloud;
use crate::stage::{Agent, Site, Stage, eventually, example, example_under};

const HOST: &str = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";
const HALF: &str = "meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml";
const TRAFFIC: &str = "meshes/rosa-prod-mesh/traffic/details.yaml";

type Files = BTreeMap<String, String>;

fn kubectl(site: &Site, arguments: &[&str]) {
    let output = site.cluster.kubectl(arguments);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What somebody made in aro's cluster before anybody thought of a federation: namespaces, and a control plane with a gateway of its own.
fn by_hand(stage: &Stage) {
    let gateway = json!({"enabled": true, "service": {"ports": [{"port": 443, "name": "https"}]}});
    let control_plane = json!({
        "apiVersion": "maistra.io/v2", "kind": "ServiceMeshControlPlane", "metadata": {"name": ARO, "namespace": ARO},
        "spec": {"version": "v2.5", "security": {"trust": {"domain": "aro-stg-mesh.local"}},
            "gateways": {"additionalIngress": {"shop-ingress": gateway}}}});
    let site = stage.site(ARO);
    for namespace in [ARO, "stg-bookinfo"] {
        kubectl(site, &["create", "namespace", namespace]);
    }
    let file = stage.scratch.write("control-plane.json", &control_plane.to_string()).display().to_string();
    kubectl(site, &["create", "--field-manager=admin", "-f", &file]);
}

/// The files of aro, and what rosa says of it.
fn aro_files() -> (Files, String) {
    let mut files = Files::new();
    for path in example_under("meshes/aro-stg-mesh") {
        files.insert(path.clone(), example(&path));
    }
    let mesh = files.get_mut("meshes/aro-stg-mesh/mesh.yaml").unwrap();
    let own = mesh.find("  createNamespaces").unwrap()..mesh.find("  platform").unwrap();
    mesh.replace_range(own, "");
    files.insert(HALF.to_owned(), example(HALF));
    let traffic: String = example(TRAFFIC).lines().filter(|line| !line.contains(GCP)).flat_map(|line| [line, "\n"]).collect();
    (files, traffic.replace("weight: 60", "weight: 80"))
}

fn commit(stage: &Stage, message: &str, files: &Files, present: bool, traffic: &str) {
    let mut changes: Vec<(&str, Option<&str>)> =
        files.iter().map(|(path, text)| (path.as_str(), present.then_some(text.as_str()))).collect();
    changes.push((TRAFFIC, Some(traffic)));
    stage.git.commit(message, &changes);
}

/// How far aro's side of the peering is taken down; each stage is one of these.
fn stage_of(site: &Site) -> String {
    let exports = site.get("exportedserviceset", ARO, ROSA).map(|set| set["spec"]["exportRules"].as_array().map_or(0, Vec::len));
    let peer = site.get("servicemeshpeer", ARO, ROSA);
    let trusted = peer.map(|peer| peer["metadata"]["annotations"]["meshfed.dev/roots"].as_str().unwrap_or_default().to_owned());
    let roots = site.get("configmap", ARO, "rosa-prod-mesh-ca-root-cert").is_some();
    format!("{exports:?} {trusted:?} {roots}")
}

fn uid(site: &Site, kind: &str, namespace: &str, name: &str) -> Value {
    site.get(kind, namespace, name).unwrap_or_default()["metadata"]["uid"].clone()
}

#[test]
fn a_mesh_leaves_and_joins_again() {
    let stage = Stage::start(&[(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)]);
    by_hand(&stage);
    let (files, traffic) = aro_files();
    let mut rosa = vec!["federation.yaml".to_owned(), "meshes/rosa-prod-mesh/mesh.yaml".to_owned()];
    rosa.extend(example_under("meshes/rosa-prod-mesh/manifests"));
    stage.commit_example("rosa", &rosa.iter().map(String::as_str).collect::<Vec<_>>());
    commit(&stage, "aro joins", &files, true, &traffic);
    let rosa_agent = stage.agent(ROSA);
    let mut agent = stage.agent(ARO);
    imported(&stage, ROSA, ARO, HOST).unwrap();
    split(&stage, &[80, 20]).unwrap();
    let site = stage.site(ARO);
    let theirs = [("namespace", "", ARO), ("namespace", "", "stg-bookinfo"), ("servicemeshcontrolplane", ARO, ARO)];
    let uids = theirs.map(|(kind, namespace, name)| uid(site, kind, namespace, name));
    assert!(uids.iter().all(Value::is_string), "{uids:?}");

    let writes = || -> Vec<String> {
        let requests = site.cluster.requests_by("meshfed").into_iter().filter(Request::writes);
        requests
            .filter(|request| request.name != "meshfed")
            .map(|request| format!("{} {}", request.verb, request.resource))
            .collect()
    };
    let mark = writes().len();
    let route = "  - {peer: aro-stg-mesh, service: prod-bookinfo/details-v2, weight: 20}\n";
    commit(
        &stage,
        "aro leaves\n\nMeshfed-Allow-Delete: aro-stg-mesh",
        &files,
        false,
        &traffic.replace(route, "").replace("weight: 80", "weight: 100"),
    );
    let (mut last, mut kills) = (stage_of(site), 0);
    eventually("aro has left", || {
        let now = stage_of(site);
        if !now.starts_with("Some(1)") {
            let routed = weights(stage.site(ROSA));
            assert!(!routed.iter().any(|(host, _)| host == HOST), "exports are gone, and rosa still routes there: {routed:?}");
        }
        if now != last {
            agent.process.kill();
            agent = stage.agent(ARO);
            (last, kills) = (now, kills + 1);
        }
        let status = stage.git.show("published/aro-stg-mesh:status.yaml").unwrap_or_default();
        if status.contains("mode: left") { Ok(()) } else { Err(format!("{status}\n{}", agent.process.log_tail())) }
    });
    assert!(kills >= 2, "a root that nobody has the key of stays for seconds, so this stage and the end are seen: {kills}");

    let mut rest = writes()[mark..].to_vec().into_iter();
    for write in [
        "patch exportedservicesets", // emptied
        "delete exportedservicesets",
        "patch configmaps",       // a root that nobody has the key of
        "patch servicemeshpeers", // and the control plane told of it
        "delete servicemeshpeers",
        "delete configmaps",
        "patch servicemeshcontrolplanes",
    ] {
        assert!(rest.any(|other| other == write), "no `{write}` in its place: {:#?}", &writes()[mark..]);
    }
    let now = theirs.map(|(kind, namespace, name)| uid(site, kind, namespace, name));
    assert_eq!(now, uids, "what was there before is still there");
    let control_plane = site.get("servicemeshcontrolplane", ARO, ARO).unwrap();
    let gateways = control_plane["spec"]["gateways"].to_string();
    assert!(gateways.contains("shop-ingress") && !gateways.contains(ROSA), "{gateways}");
    assert!(!control_plane["metadata"].to_string().contains("meshfed"), "{control_plane}");
    for (kind, name) in [("deployment", "details-v2"), ("service", "details"), ("servicemeshmember", "default")] {
        assert!(site.get(kind, "stg-bookinfo", name).is_none(), "{kind}/{name} came with us and goes with us");
    }
    split(&stage, &[100]).unwrap();
    let facts = stage.git.show("published/aro-stg-mesh:published.yaml").unwrap();
    assert!(!facts.contains("addresses"), "{facts}");

    // Quiet until it joins again: a control plane whose peer went too early would answer nobody any more.
    let commits = stage.git.log("published/aro-stg-mesh").len();
    commit(&stage, "aro joins again", &files, true, &traffic);
    imported(&stage, ROSA, ARO, HOST).unwrap();
    split(&stage, &[80, 20]).unwrap();
    assert!(stage.git.log("published/aro-stg-mesh").len() > commits);
    for agent in [&agent, &rosa_agent] {
        nothing_was_refused(agent);
    }
}

fn nothing_was_refused(agent: &Agent) {
    let log = agent.process.log();
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("refused by") || line.contains("not permitted")).collect();
    assert!(refused.is_empty(), "{}: {refused:#?}", agent.mesh);
}
