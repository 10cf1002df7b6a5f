//! The example, mesh by mesh.

use std::collections::BTreeMap;

use super::*;
use crate::model::testing::example;

const V2: &str = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";
const V3: &str = "details-v3.prod-bookinfo.svc.gcp-dev-mesh-imports.local";

fn live(hosts: &[(&str, &str)]) -> Observed {
    let mut observed = Observed::default();
    for (peer, host) in hosts {
        observed.peers.extend(mk_live(peer, &[host]).peers);
    }
    observed
}

#[test]
fn every_object_of_the_example() {
    let federation = loaded(&example());
    let all = live(&[("aro-stg-mesh", V2), ("gcp-dev-mesh", V3)]);
    for me in ["rosa-prod-mesh", "aro-stg-mesh", "gcp-dev-mesh"] {
        let derived = derive_for(&federation, me, &all);
        let applications = ["ServiceAccount", "Service", "Deployment"];
        let text = show_only(&derived, |key| !applications.contains(&&*key.kind));
        insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(me, text);
        });
    }
}

#[test]
fn what_waits_while_nobody_has_published_anything() {
    let federation = loaded(&example());
    let facts = BTreeMap::new();
    let derived = derive(Inputs { federation: &federation, me: "rosa-prod-mesh", facts: &facts, observed: &Observed::default() });
    let kinds: Vec<&str> = derived.wanted.keys().map(|key| &*key.kind).collect();
    assert!(!kinds.contains(&"ServiceMeshPeer") && kinds.contains(&"ServiceMeshControlPlane"), "{kinds:?}");
    let holds: Vec<String> = derived.holds.iter().map(|hold| format!("{}: {}", hold.subject, hold.reason)).collect();
    insta::assert_snapshot!(holds.join("\n"), @r"
    ConfigMap/rosa-prod-mesh/aro-stg-mesh-ca-root-cert: waits for the CA root of aro-stg-mesh on published/aro-stg-mesh
    ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh: waits for the CA root of aro-stg-mesh on published/aro-stg-mesh
    ConfigMap/rosa-prod-mesh/gcp-dev-mesh-ca-root-cert: waits for the CA root of gcp-dev-mesh on published/gcp-dev-mesh
    ServiceMeshPeer/rosa-prod-mesh/gcp-dev-mesh: waits for the CA root of gcp-dev-mesh on published/gcp-dev-mesh
    VirtualService/prod-bookinfo/details 20 %: waits for details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local: not imported from aro-stg-mesh yet
    VirtualService/prod-bookinfo/details 20 %: waits for details-v3.prod-bookinfo.svc.gcp-dev-mesh-imports.local: not imported from gcp-dev-mesh yet
    ");
}

#[test]
fn weights_go_to_what_is_there_and_sum_to_a_hundred() {
    let federation = loaded(&example());
    let weights = |hosts: &[(&str, &str)]| {
        let derived = derive_for(&federation, "rosa-prod-mesh", &live(hosts));
        let key = kinds::key(kinds::VIRTUAL_SERVICE, "prod-bookinfo", "details");
        let value = derived.wanted[&key].object.value();
        let route = |route: &Value| format!("{} {}", route["weight"], route["destination"]["host"].as_str().unwrap());
        value["spec"]["http"][0]["route"].as_array().unwrap().iter().map(route).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(weights(&[]), @"100 details.prod-bookinfo.svc.cluster.local");
    insta::assert_snapshot!(weights(&[("aro-stg-mesh", V2)]), @r"
    75 details.prod-bookinfo.svc.cluster.local
    25 details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local
    ");
    insta::assert_snapshot!(weights(&[("gcp-dev-mesh", V3)]), @r"
    75 details.prod-bookinfo.svc.cluster.local
    25 details-v3.prod-bookinfo.svc.gcp-dev-mesh-imports.local
    ");
    insta::assert_snapshot!(weights(&[("aro-stg-mesh", V2), ("gcp-dev-mesh", V3)]), @r"
    60 details.prod-bookinfo.svc.cluster.local
    20 details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local
    20 details-v3.prod-bookinfo.svc.gcp-dev-mesh-imports.local
    ");
}
