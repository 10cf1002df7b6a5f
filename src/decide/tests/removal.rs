//! Removal in stages, and what is given back instead.

use super::sim::{Sim, example};
use crate::decide::Decision;
use crate::decide::remove::DISTRUST_WAIT;
use crate::model::testing::Repo;
use jiff::SignedDuration;
use serde_json::{Value, json};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    for site in sim.sites.values_mut() {
        site.log.clear();
    }
    sim
}

/// Rosa sends nothing to aro any more.
fn without_aro(repo: Repo) -> Repo {
    let traffic = "meshes/rosa-prod-mesh/traffic/details.yaml";
    repo.edit(traffic, "weight: 60", "weight: 80").edit(
        traffic,
        "  - {peer: aro-stg-mesh, service: prod-bookinfo/details-v2, weight: 20}\n",
        "",
    )
}

fn in_order(log: &[String], expected: &[&str]) {
    let mut rest = log.iter();
    for what in expected {
        assert!(rest.any(|line| line == what), "not in order: {what}\n{log:#?}");
    }
}

/// Why an object of this kind waits.
fn held(decision: &Decision, kind: &str) -> String {
    let hold = decision.holds.iter().find(|hold| hold.key.is_some() && hold.subject.starts_with(kind));
    hold.unwrap_or_else(|| panic!("no {kind} is held: {:#?}", decision.holds)).reason.clone()
}

fn gateways(sim: &Sim, mesh: &str) -> Vec<String> {
    let control_plane = sim.sites[mesh].server.named(&format!("ServiceMeshControlPlane/{mesh}/{mesh}"));
    let side = |side| control_plane["spec"]["gateways"][side].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    side("additionalIngress").chain(side("additionalEgress")).collect()
}

#[test]
fn an_importer_that_leaves_takes_traffic_off_first_and_its_gateways_last() {
    let mut sim = settled();
    sim.commit(|repo| without_aro(repo).without("meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml"));
    sim.settle();
    in_order(
        &sim.sites[ROSA].log,
        &[
            "apply VirtualService/prod-bookinfo/details",
            "delete ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh",
            "delete ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh",
            "delete ConfigMap/rosa-prod-mesh/aro-stg-mesh-ca-root-cert",
        ],
    );
    assert_eq!(sim.sites[ROSA].log.last().unwrap(), "apply ServiceMeshControlPlane/rosa-prod-mesh/rosa-prod-mesh");
    assert_eq!(gateways(&sim, ROSA), ["gcp-dev-mesh-ingress", "gcp-dev-mesh-egress"]);
}

#[test]
fn gateways_of_a_leaving_peer_stay_until_it_is_gone() {
    let mut sim = settled();
    sim.commit(|repo| without_aro(repo).without("meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml"));
    while sim.sites[ROSA].server.live().keys().any(|key| key.to_string() == "ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh") {
        assert!(gateways(&sim, ROSA).contains(&"aro-stg-mesh-egress".to_owned()));
        sim.round();
    }
}

#[test]
fn an_exporter_that_leaves_waits_for_its_user_then_empties_its_exports_before_the_peer_goes() {
    let mut sim = settled();
    sim.commit(|repo| repo.without("meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml"));
    assert_eq!(
        held(&sim.pass(ARO), "ExportedServiceSet"),
        "prod-bookinfo/details-v2 stays exported: rosa-prod-mesh has not applied yet what withdraws it; it ends at 00:02:10 UTC at the latest"
    );
    while sim.status(ROSA).unwrap().main.applied != sim.commit {
        assert_eq!(sim.pass(ARO).apply.len(), 0);
        sim.pass(ROSA);
        sim.now += SignedDuration::from_secs(1);
    }
    assert_eq!(held(&sim.pass(ARO), "ExportedServiceSet"), "waits until the control plane has withdrawn 1 exported service");
    let before = sim.sites[ARO].server.writes();
    sim.pass(ARO);
    assert_eq!(sim.sites[ARO].server.writes(), before, "an emptied set is not sent again while it waits");
    sim.settle();
    in_order(
        &sim.sites[ARO].log,
        &[
            "apply ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh",
            "delete ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh",
            "apply ConfigMap/aro-stg-mesh/rosa-prod-mesh-ca-root-cert",
            "apply ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh",
            "delete ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh",
            "delete ConfigMap/aro-stg-mesh/rosa-prod-mesh-ca-root-cert",
            "apply ServiceMeshControlPlane/aro-stg-mesh/aro-stg-mesh",
        ],
    );
    assert_eq!(gateways(&sim, ARO), [""; 0]);
}

#[test]
fn a_peering_that_the_other_side_withdraws_is_taken_down_here_too_even_if_its_cluster_is_gone() {
    let mut sim = settled();
    sim.commit(|repo| repo.without("meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml"));
    // Aro's cluster does nothing any more, and rosa's control plane still shows the import.
    for _ in 0..6 {
        sim.pass(ROSA);
        sim.now += DISTRUST_WAIT;
    }
    in_order(
        &sim.sites[ROSA].log,
        &[
            "apply VirtualService/prod-bookinfo/details",
            "delete ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh",
            "delete ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh",
            "delete ConfigMap/rosa-prod-mesh/aro-stg-mesh-ca-root-cert",
        ],
    );
    assert!(gateways(&sim, ROSA).contains(&"aro-stg-mesh-ingress".to_owned()), "rosa still declares the peer");
    assert!(sim.decide(ROSA).leaves_cluster());
}

#[test]
fn both_sides_can_leave_at_once() {
    let mut sim = settled();
    sim.commit(|repo| {
        let repo = repo.without("meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml");
        without_aro(repo).without("meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml")
    });
    sim.settle();
    for me in [ROSA, ARO] {
        let left: Vec<String> = sim.sites[me].memory.inventory.keys().map(ToString::to_string).collect();
        let other = if me == ROSA { ARO } else { ROSA };
        assert!(!left.iter().any(|key| key.contains(&format!("/{other}"))), "{left:#?}");
    }
}

#[test]
fn a_peer_that_comes_back_while_it_leaves_is_whole_again() {
    let mut sim = settled();
    let whole = sim.repo.clone();
    sim.commit(|repo| without_aro(repo).without("meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml"));
    sim.round();
    sim.commit(|_| whole);
    sim.settle();
    assert!(sim.decide(ROSA).status.peerings[ARO].ready);
}

#[test]
fn routes_that_people_keep_in_another_domain_hold_the_import() {
    let mut sim = settled();
    sim.commit(|repo| without_aro(repo).without("meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml"));
    let host = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";
    let spec = json!({"hosts": ["x"], "http": [{"route": [{"destination": {"host": host}}]}]});
    let metadata = json!({"name": "by-hand", "namespace": "prod-bookinfo"});
    let api_version = "networking.istio.io/v1beta1";
    sim.site(ROSA)
        .server
        .create(json!({"apiVersion": api_version, "kind": "VirtualService", "metadata": metadata, "spec": spec}), "kubectl");
    sim.settle();
    let hold = sim.decide(ROSA).holds.into_iter().find(|hold| hold.subject.starts_with("ImportedServiceSet")).unwrap();
    assert_eq!(hold.reason, "VirtualService/prod-bookinfo/by-hand still routes to aro-stg-mesh");
}

#[test]
fn what_was_there_before_us_is_given_back_and_what_we_made_is_deleted() {
    let mut sim = Sim::new(example());
    let metadata = json!({"name": "details", "namespace": "prod-bookinfo", "annotations": {"theirs": "1"}});
    let spec = json!({"ports": [{"port": 9080, "name": "http"}], "selector": {"app": "details"}, "type": "NodePort"});
    sim.site(ROSA).server.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}), "kubectl");
    sim.settle();
    sim.commit(|repo| repo.without("meshes/rosa-prod-mesh/manifests"));
    sim.settle();
    let site = &sim.sites[ROSA];
    let service = site.server.named("Service/prod-bookinfo/details");
    assert_eq!(service["spec"], spec, "as it was");
    assert_eq!(service["metadata"]["annotations"], json!({"theirs": "1"}));
    let names: Vec<String> = site.server.live().keys().map(ToString::to_string).collect();
    assert!(!names.contains(&"Deployment/prod-bookinfo/details-v1".to_owned()));
    assert!(!site.server.ours().contains(&"Service/prod-bookinfo/details".to_owned()));
    assert!(!site.memory.inventory.keys().any(|key| *key.name == *"details" && *key.kind == *"Service"));
}

#[test]
fn what_somebody_made_anew_under_the_same_name_is_not_touched() {
    let mut sim = settled();
    let name = "Deployment/prod-bookinfo/details-v1";
    sim.site(ROSA).server.remove(name);
    let metadata = json!({"name": "details-v1", "namespace": "prod-bookinfo"});
    let document = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 9}});
    sim.site(ROSA).server.create(document.clone(), "kubectl");
    let still_declared = sim.decide(ROSA);
    assert_eq!(still_declared.apply.len(), 0, "its maker owns what we want otherwise");
    sim.commit(|repo| repo.without("meshes/rosa-prod-mesh/manifests"));
    sim.settle();
    assert_eq!(sim.sites[ROSA].server.named(name)["spec"], document["spec"]);
}

#[test]
fn an_object_that_is_being_deleted_is_waited_for() {
    let mut sim = settled();
    let name = "Deployment/prod-bookinfo/details-v1";
    sim.site(ROSA).server.edit(name, "/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"), "kubectl", "Update");
    for declared in [true, false] {
        if !declared {
            sim.commit(|repo| repo.without("meshes/rosa-prod-mesh/manifests"));
        }
        let decision = sim.decide(ROSA);
        let hold = decision.holds.iter().find(|hold| hold.subject == name).unwrap();
        assert_eq!(hold.reason, "is being deleted");
        assert!(!decision.delete.iter().any(|live| live.key.to_string() == name));
    }
}

#[test]
fn a_namespace_is_never_deleted_because_others_live_in_it() {
    let yes = |repo: Repo| repo.edit("meshes/rosa-prod-mesh/mesh.yaml", "platform", "createNamespaces: true\n  platform");
    let mut sim = Sim::new(yes(example()));
    sim.settle();
    assert!(sim.sites[ROSA].log.contains(&"apply Namespace/prod-bookinfo".to_owned()));
    sim.commit(|repo| repo.edit("meshes/rosa-prod-mesh/mesh.yaml", "createNamespaces: true\n  platform", "platform"));
    sim.settle();
    assert!(sim.sites[ROSA].log.contains(&"release Namespace/prod-bookinfo".to_owned()));
    assert_eq!(sim.sites[ROSA].server.named("Namespace/prod-bookinfo")["metadata"]["labels"], Value::Null);
}

#[test]
fn subsets_go_when_no_route_names_them_any_more() {
    let mut sim = settled();
    sim.commit(|repo| repo.edit("meshes/rosa-prod-mesh/traffic/details.yaml", "{subset: v1}", "{}"));
    sim.settle();
    in_order(
        &sim.sites[ROSA].log,
        &["apply VirtualService/prod-bookinfo/details", "delete DestinationRule/prod-bookinfo/details"],
    );
}
