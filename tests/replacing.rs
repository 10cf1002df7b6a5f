//! Other names for the gateways of a peering: what the control plane sees, in which order, and that everything is back at the end.

use serde_json::Value;

use crate::lab::standin::Cloud;
use crate::stage::{Agent, Stage, eventually, example, example_under};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const HOST: &str = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";

fn federate(stage: &Stage) -> [Agent; 2] {
    let mut paths = vec!["federation.yaml".to_owned()];
    for (mesh, peer) in [(ROSA, ARO), (ARO, ROSA)] {
        paths.extend([format!("meshes/{mesh}/mesh.yaml"), format!("meshes/{mesh}/peers/{peer}.yaml")]);
        paths.extend(example_under(&format!("meshes/{mesh}/manifests")));
    }
    stage.commit_example("Two meshes", &paths.iter().map(String::as_str).collect::<Vec<_>>());
    let path = format!("meshes/{ROSA}/traffic/details.yaml");
    let traffic: String = example(&path).lines().filter(|line| !line.contains("gcp")).flat_map(|line| [line, "\n"]).collect();
    stage.git.commit("A split", &[(&path, Some(&traffic.replace("weight: 60", "weight: 80")))]);
    let agents = [stage.agent(ROSA), stage.agent(ARO)];
    works(stage);
    agents
}

/// Waits until rosa watches aro, has its service, and sends it its share.
fn works(stage: &Stage) {
    eventually("the split is in effect over a live import", || {
        let rosa = stage.site(ROSA);
        let text = |kind: &str, namespace: &str, name: &str| rosa.get(kind, namespace, name).unwrap_or_default().to_string();
        let connected = text("servicemeshpeer", ROSA, ARO).contains(r#""connected":true"#);
        let imported = text("importedserviceset", ROSA, ARO).contains(HOST);
        let split = text("virtualservice", "prod-bookinfo", "details").contains(HOST);
        if connected && imported && split { Ok(()) } else { Err(format!("{connected} {imported} {split}")) }
    });
}

/// Names other gateways of `mesh` for `peer`.
fn rename(stage: &Stage, mesh: &str, peer: &str, gateways: &str) {
    let path = format!("meshes/{mesh}/peers/{peer}.yaml");
    let text = example(&path).replace("spec:\n", &format!("spec:\n  gateways: {gateways}\n"));
    stage.git.commit(&format!("Other gateways of {mesh}"), &[(&path, Some(&text))]);
}

/// Writes of an agent since a mark, as `verb resource`.
fn writes(stage: &Stage, mesh: &str) -> Vec<String> {
    let requests = stage.site(mesh).cluster.requests_by("meshfed").into_iter();
    let writes = requests.filter(|request| request.writes() && request.name != "meshfed");
    writes.map(|request| format!("{} {}", request.verb, request.resource)).collect()
}

/// Finds each of these after the one before.
fn in_this_order(writes: &[String], order: &[&str]) {
    let mut rest = writes.iter();
    for what in order {
        assert!(rest.any(|write| write == what), "not in order: {what}\n{writes:#?}");
    }
}

fn wait_until_gone(stage: &Stage, mesh: &str, service: &str) {
    eventually(&format!("Service/{service} is gone"), || match stage.site(mesh).get("service", mesh, service) {
        None => Ok(()),
        Some(_) => Err(stage.git.show(&format!("published/{mesh}:status.yaml")).unwrap_or_default()),
    });
}

fn gateway(stage: &Stage, mesh: &str, peer: &str, side: &str) -> Value {
    stage.site(mesh).get("servicemeshpeer", mesh, peer).unwrap_or_default()["spec"]["gateways"][side]["name"].clone()
}

#[test]
fn gateways_are_replaced_in_stages_and_the_control_planes_never_hang() {
    let stage = Stage::start(&[(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)]);
    let agents = federate(&stage);
    let address = |mesh: &str, peer: &str| {
        let peer = stage.site(mesh).get("servicemeshpeer", mesh, peer).unwrap_or_default();
        peer["spec"]["remote"]["addresses"].clone()
    };

    let (mark, before) = (writes(&stage, ARO).len(), address(ROSA, ARO));
    rename(&stage, ARO, ROSA, "{ingress: front}");
    wait_until_gone(&stage, ARO, "rosa-prod-mesh-ingress");
    works(&stage);
    let seen = writes(&stage, ARO)[mark..].to_vec();
    let order = [
        "patch servicemeshcontrolplanes",
        "patch exportedservicesets", // emptied
        "delete exportedservicesets",
        "delete servicemeshpeers",
        "patch servicemeshpeers",
        "patch exportedservicesets",
        "patch servicemeshcontrolplanes",
    ];
    in_this_order(&seen, &order);
    assert!(!seen.iter().any(|write| write == "delete configmaps"), "{seen:#?}");
    assert_eq!(gateway(&stage, ARO, ROSA, "ingress"), "front");
    assert_ne!(address(ROSA, ARO), before);

    let (mark, before) = (writes(&stage, ROSA).len(), address(ARO, ROSA));
    rename(&stage, ROSA, ARO, "{ingress: door, egress: back}");
    wait_until_gone(&stage, ROSA, "aro-stg-mesh-ingress");
    wait_until_gone(&stage, ROSA, "aro-stg-mesh-egress");
    works(&stage);
    let order = [
        "patch servicemeshcontrolplanes",
        "patch virtualservices",
        "delete importedservicesets",
        "delete servicemeshpeers",
        "patch servicemeshpeers",
        "patch importedservicesets",
        "patch virtualservices",
    ];
    in_this_order(&writes(&stage, ROSA)[mark..], &order);
    assert_eq!((gateway(&stage, ROSA, ARO, "ingress"), gateway(&stage, ROSA, ARO, "egress")), ("door".into(), "back".into()));
    let id = stage.site(ARO).get("servicemeshpeer", ARO, ROSA).unwrap()["spec"]["security"]["clientID"].clone();
    assert_eq!(id, "rosa-prod-mesh.local/ns/rosa-prod-mesh/sa/back-service-account");
    assert_ne!(address(ARO, ROSA), before);
    for agent in &agents {
        assert!(!agent.process.log().contains("refused by"), "{}", agent.process.log_tail());
    }
}
