//! Disaster recovery: a mesh's cluster is lost with everything in it and on its agent's disk. An empty cluster with an agent of the same name
//! becomes that mesh again from Git alone, and its peers find it.

use serde_json::Value;

use crate::federation::steps::{ARO, ROSA};
use crate::lab::standin::Cloud;
use crate::stage::{EXAMPLE, Stage, eventually, example_under};

/// Where `mesh` looks for its peer, and whether its watch of the peer is connected.
fn peer(stage: &Stage, mesh: &str, peer: &str) -> (Value, bool) {
    let object = stage.site(mesh).get("servicemeshpeer", mesh, peer).unwrap_or_default();
    let active = object.pointer("/status/discoveryStatus/active").and_then(Value::as_array).cloned().unwrap_or_default();
    (object["spec"]["remote"]["addresses"].clone(), active.iter().any(|pod| pod["watch"]["connected"] == true))
}

/// Whether the peer's control plane watches that of `mesh`.
fn watched(stage: &Stage, mesh: &str, peer: &str) -> bool {
    let object = stage.site(mesh).get("servicemeshpeer", mesh, peer).unwrap_or_default();
    let active = object.pointer("/status/discoveryStatus/active").and_then(Value::as_array).cloned().unwrap_or_default();
    active.iter().filter_map(|pod| pod["remotes"].as_array()).flatten().any(|remote| remote["connected"] == true)
}

fn root(stage: &Stage, mesh: &str, name: &str) -> String {
    let map = stage.site(mesh).get("configmap", mesh, name).unwrap_or_default();
    map.pointer("/data/root-cert.pem").and_then(Value::as_str).unwrap_or_default().trim().to_owned()
}

fn ready(stage: &Stage, mesh: &str) -> Result<(), String> {
    let status = stage.git.show(&format!("published/{mesh}:status.yaml")).unwrap_or_default();
    if status.contains("ready: true") && !status.contains("ready: false") { Ok(()) } else { Err(status) }
}

#[test]
fn a_lost_cluster_is_rebuilt_empty_from_git_and_its_peers_find_it_without_a_commit() {
    let meshes = [(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)];
    assert!(meshes.iter().all(|mesh| EXAMPLE.contains(mesh)));
    let mut stage = Stage::start(&meshes);
    let mut files = vec!["federation.yaml".to_owned()];
    for (mesh, peer) in [(ROSA, ARO), (ARO, ROSA)] {
        files.extend([format!("meshes/{mesh}/mesh.yaml"), format!("meshes/{mesh}/peers/{peer}.yaml")]);
        files.extend(example_under(&format!("meshes/{mesh}/manifests")));
    }
    stage.commit_example("Two meshes", &files.iter().map(String::as_str).collect::<Vec<_>>());
    let _rosa = stage.agent(ROSA);
    let mut aro = stage.agent(ARO);
    for mesh in [ROSA, ARO] {
        eventually(&format!("{mesh} is ready"), || ready(&stage, mesh));
    }
    let main = stage.git.log("main");
    let (old_address, _) = peer(&stage, ROSA, ARO);
    let old_root = root(&stage, ARO, "istio-ca-root-cert");

    aro.process.kill();
    stage.rebuild(ARO, Cloud::Ip);
    eventually("rosa hears nothing of it any more", || match peer(&stage, ROSA, ARO) {
        (_, false) => Ok(()),
        seen => Err(format!("{seen:?}")),
    });
    let aro = stage.agent(ARO);
    aro.wait_for("counts as lost and this one takes over");
    let new_root = eventually("the new control plane has a root", || match root(&stage, ARO, "istio-ca-root-cert") {
        root if root.is_empty() => Err(aro.process.log_tail()),
        root => Ok(root),
    });
    assert_ne!(new_root, old_root);
    eventually("rosa trusts the new root and watches the new address", || {
        let (address, connected) = peer(&stage, ROSA, ARO);
        let trusts = root(&stage, ROSA, "aro-stg-mesh-ca-root-cert").contains(&new_root);
        if address != old_address && trusts && connected { Ok(()) } else { Err(format!("{address} {trusts} {connected}")) }
    });
    eventually(
        "the new control plane is watched",
        || {
            if watched(&stage, ARO, ROSA) { Ok(()) } else { Err(aro.process.log_tail()) }
        },
    );
    for mesh in [ROSA, ARO] {
        eventually(&format!("{mesh} is ready again"), || ready(&stage, mesh));
    }
    let facts = stage.git.show("published/aro-stg-mesh:published.yaml").unwrap_or_default();
    assert!(!facts.contains("claims"), "{facts}");
    assert_eq!(stage.git.log("main"), main, "nobody had to commit anything");
}
