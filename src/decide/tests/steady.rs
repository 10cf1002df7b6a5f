//! From nothing to connected, in order, and then silence.

use super::sim::{Sim, example};
use jiff::SignedDuration;
use serde_json::json;

const ROSA: &str = "rosa-prod-mesh";

fn first(log: &[String], what: &str) -> usize {
    log.iter().position(|line| line == what).unwrap_or_else(|| panic!("never: {what}\n{log:#?}"))
}

#[test]
fn the_example_connects_and_splits_and_then_nothing_is_left_to_do() {
    let mut sim = Sim::new(example());
    sim.settle();
    let routes = &sim.sites[ROSA].server.named("VirtualService/prod-bookinfo/details")["spec"]["http"][0]["route"];
    let weights: Vec<u64> = routes.as_array().unwrap().iter().filter_map(|route| route["weight"].as_u64()).collect();
    assert_eq!(weights, [60, 20, 20]);
    for me in [ROSA, "aro-stg-mesh", "gcp-dev-mesh"] {
        let decision = sim.decide(me);
        assert!(decision.leaves_cluster() && decision.publish.is_none() && decision.pending.is_none());
        assert_eq!(decision.holds, [], "{me}");
        assert!(decision.status.peerings.values().all(|peering| peering.ready), "{:#?}", decision.status);
        assert!(decision.wake_at.is_none_or(|at| at > sim.now + SignedDuration::from_mins(1)), "only when nothing is heard");
    }
    assert_eq!(sim.decide(ROSA).status.main.applied, "c1");
}

#[test]
fn the_example_as_it_is_shipped_starts_from_empty_clusters() {
    let mut sim = Sim::new(crate::model::testing::example());
    sim.settle();
    let log = &sim.sites[ROSA].log;
    assert!(
        first(log, "apply Namespace/rosa-prod-mesh") < first(log, "apply ServiceMeshControlPlane/rosa-prod-mesh/rosa-prod-mesh")
    );
    let decision = sim.decide(ROSA);
    assert!(decision.leaves_cluster() && decision.status.peerings.values().all(|peering| peering.ready));
}

#[test]
fn roots_come_before_peers_and_peers_before_service_sets_and_subsets_before_routes() {
    let mut sim = Sim::new(example());
    sim.settle();
    let log = &sim.sites[ROSA].log;
    let order = [
        "apply ServiceMeshControlPlane/rosa-prod-mesh/rosa-prod-mesh",
        "apply ConfigMap/rosa-prod-mesh/aro-stg-mesh-ca-root-cert",
        "apply ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh",
        "apply ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh",
    ];
    assert!(order.map(|what| first(log, what)).is_sorted(), "{log:#?}");
    let (rule, route) = ("apply DestinationRule/prod-bookinfo/details", "apply VirtualService/prod-bookinfo/details");
    assert!(first(log, rule) < first(log, route));
}

#[test]
fn weight_flows_only_to_imports_that_are_there() {
    let mut sim = Sim::new(example());
    let mut seen = Vec::new();
    for _ in 0..20 {
        sim.round();
        let traffic = &sim.decide(ROSA).status.traffic["details"];
        let weights: Vec<u32> = traffic.routes.iter().map(|route| route.effective).collect();
        assert_eq!(weights.iter().sum::<u32>(), 100);
        seen.push(weights);
    }
    seen.dedup();
    assert_eq!(seen.first().unwrap(), &[100, 0, 0]);
    assert_eq!(seen.last().unwrap(), &[60, 20, 20]);
}

#[test]
fn nothing_is_applied_to_a_control_plane_that_does_not_exist() {
    let mut sim = Sim::new(example());
    sim.site(ROSA).server.remove("ServiceMeshControlPlane/rosa-prod-mesh/rosa-prod-mesh");
    sim.settle();
    let decision = sim.decide(ROSA);
    let hold = decision.holds.iter().find(|hold| hold.subject.starts_with("ServiceMeshControlPlane")).unwrap();
    assert_eq!(hold.reason, "does not exist yet; without `controlPlane.base` somebody else makes it");
    assert!(!sim.sites[ROSA].log.iter().any(|line| line.contains("ServiceMeshControlPlane")));
}

#[test]
fn a_changed_weight_sends_one_object() {
    let mut sim = Sim::new(example());
    sim.settle();
    sim.commit(|repo| {
        repo.edit("meshes/rosa-prod-mesh/traffic/details.yaml", "v1}, weight: 60", "v1}, weight: 50").edit(
            "meshes/rosa-prod-mesh/traffic/details.yaml",
            "v2, weight: 20",
            "v2, weight: 30",
        )
    });
    let decision = sim.pass(ROSA);
    let sent: Vec<String> = decision.apply.iter().map(|apply| apply.object.key.to_string()).collect();
    assert_eq!(sent, ["VirtualService/prod-bookinfo/details"]);
    assert!(sim.decide(ROSA).leaves_cluster());
}

#[test]
fn what_somebody_deletes_comes_back() {
    let mut sim = Sim::new(example());
    sim.settle();
    sim.site(ROSA).server.remove("ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh");
    let decision = sim.pass(ROSA);
    let sent: Vec<String> = decision.apply.iter().map(|apply| apply.object.key.to_string()).collect();
    let route = "VirtualService/prod-bookinfo/details"; // nothing answers at a peer that has to be connected anew
    assert_eq!(sent, ["ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh", route]);
}

#[test]
fn what_the_server_writes_in_its_own_way_is_not_sent_again() {
    let mut sim = Sim::new(example());
    sim.settle();
    let name = "Deployment/prod-bookinfo/details-v1";
    sim.commit(|repo| repo.edit("meshes/rosa-prod-mesh/manifests/details.yaml", "replicas: 1", "replicas: 2"));
    let decision = sim.decide(ROSA);
    let object = decision.apply[0].object.clone();
    sim.perform(ROSA, &decision, || true);
    sim.site(ROSA).server.edit(name, "/spec/replicas", json!("2"), "meshfed", "Apply");
    let live = crate::object::Live::new(sim.sites[ROSA].server.named(name)).unwrap();
    sim.site(ROSA).comparisons.accept(&object, &live);
    assert!(sim.decide(ROSA).leaves_cluster());
    sim.site(ROSA).server.edit(name, "/spec/replicas", json!(7), "kubectl-edit", "Update");
    assert_eq!(sim.decide(ROSA).apply.len(), 1, "another value is drift all the same");
}
