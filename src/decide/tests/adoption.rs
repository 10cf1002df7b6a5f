//! Taking over a mesh that was federated by hand, looking on without touching, and letting one peer be.

use serde_json::{Value, json};

use super::sim::{Sim, example};
use crate::decide::{Mode, Origin};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const PEER: &str = "ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh";

/// A federation in which rosa's objects were all made by hand, equal to what is declared, and its agent has never run.
fn by_hand() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    let objects = sim.sites[ROSA].server.live();
    let ours = sim.sites[ROSA].memory.inventory.clone();
    for (key, live) in objects.iter().filter(|(key, _)| ours.contains_key(*key)) {
        let mut value = live.value();
        let status = value.as_object_mut().unwrap().remove("status");
        value["metadata"] = json!({"name": key.name, "namespace": key.namespace});
        sim.site(ROSA).server.create(value, "kubectl");
        if let Some(status) = status {
            sim.site(ROSA).server.status(key, status);
        }
    }
    sim.site(ROSA).memory.inventory = std::sync::Arc::default();
    sim.site(ROSA).log.clear();
    sim.restart(ROSA);
    sim
}

/// What an object says, without the marks of who looks after it.
fn says(sim: &Sim) -> Vec<(String, Value, Value, Value)> {
    let objects = sim.sites[ROSA].server.live();
    let said = objects.values().map(|live| {
        let value = live.value();
        (live.key.to_string(), value["spec"].clone(), value["data"].clone(), value["metadata"]["uid"].clone())
    });
    said.collect()
}

#[test]
fn what_already_says_the_same_is_taken_over_without_a_change_of_what_it_says() {
    let mut sim = by_hand();
    let roots = "ConfigMap/rosa-prod-mesh/aro-stg-mesh-ca-root-cert";
    let text = sim.sites[ROSA].server.named(roots)["data"]["root-cert.pem"].as_str().unwrap().trim_end().to_owned();
    sim.site(ROSA).server.edit(roots, "/data/root-cert.pem", json!(text), "kubectl", "Update");
    let before = says(&sim);
    sim.settle();
    assert_eq!(says(&sim), before);
    let inventory = &sim.sites[ROSA].memory.inventory;
    assert!(inventory.len() > 10 && inventory.values().all(|origin| matches!(origin, Origin::Adopted(_))), "{inventory:#?}");
    assert!(sim.decide(ROSA).status.peerings[ARO].ready);

    // From now on the documents say what is right, also where somebody else once wrote the field.
    sim.commit(|repo| repo.edit("meshes/aro-stg-mesh/mesh.yaml", "platform", "ingress: {addresses: [20.9.9.9]}\n  platform"));
    sim.settle();
    assert_eq!(sim.sites[ROSA].server.named(PEER)["spec"]["remote"]["addresses"], json!(["20.9.9.9"]));
}

#[test]
fn what_says_something_else_is_reported_with_both_values_and_left_alone() {
    let mut sim = by_hand();
    sim.site(ROSA).server.edit(PEER, "/spec/security/trustDomain", json!("old.local"), "kubectl", "Update");
    let before = sim.sites[ROSA].server.named(PEER).clone();
    sim.settle();
    assert_eq!(sim.sites[ROSA].server.named(PEER)["spec"], before["spec"]);
    let holds = sim.decide(ROSA).holds;
    let hold = holds.iter().find(|hold| hold.subject == PEER).unwrap();
    insta::assert_snapshot!(hold.reason, @r#"`kubectl` owns spec.security.trustDomain and wants it otherwise ("old.local" instead of "aro-stg-mesh.local"); settle it there, or in meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml"#);
}

#[test]
fn a_lost_inventory_is_found_again_on_the_objects() {
    let mut sim = Sim::new(example());
    let metadata = json!({"name": "details", "namespace": "prod-bookinfo"});
    let spec = json!({"ports": [{"port": 9080, "name": "http"}], "selector": {"app": "details"}});
    sim.site(ROSA).server.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}), "kubectl");
    sim.settle();
    let before = sim.sites[ROSA].memory.inventory.clone();
    let adopted = |origin: &&Origin| matches!(origin, Origin::Adopted(_));
    assert_eq!(before.values().filter(adopted).count(), 2, "the Service and the control plane");
    sim.site(ROSA).memory.inventory = std::sync::Arc::default();
    sim.restart(ROSA);
    sim.settle();
    assert_eq!(sim.sites[ROSA].memory.inventory, before);
}

#[test]
fn an_agent_that_observes_writes_nothing_and_tells_what_it_would_do() {
    let mut sim = by_hand();
    sim.observing = true;
    sim.site(ROSA).server.edit(PEER, "/spec/remote/discoveryPort", json!(1), "meshfed", "Apply");
    sim.site(ROSA).server.remove("ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh");
    let before = sim.sites[ROSA].server.live();
    for _ in 0..10 {
        let decision = sim.pass(ROSA);
        assert!(decision.leaves_cluster() && decision.events.is_empty());
        sim.now += jiff::SignedDuration::from_secs(1);
    }
    assert_eq!(sim.sites[ROSA].server.live(), before);
    assert!(sim.sites[ROSA].memory.inventory.is_empty());
    let status = sim.status(ROSA).unwrap();
    assert_eq!((status.mode, status.main.applied.as_str()), (Mode::Observing, "c1"), "what its predecessor had applied");
    for line in [
        "adopt DestinationRule/prod-bookinfo/details",
        "change ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh spec.remote.discoveryPort",
        "create ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh",
    ] {
        assert!(status.would_do.iter().any(|would| would == line), "{line}: {:#?}", status.would_do);
    }
    sim.observing = false;
    sim.settle();
    assert!(sim.status(ROSA).unwrap().would_do.is_empty());
}

#[test]
fn nothing_of_a_suspended_peer_changes_but_its_weight() {
    let mut sim = Sim::new(example());
    sim.settle();
    let of_aro = |sim: &Sim| {
        let objects = sim.sites[ROSA].server.live();
        let mut specs: Vec<(String, Value)> = objects
            .values()
            .filter(|live| live.key.name.starts_with(ARO))
            .map(|live| (live.key.to_string(), live.value()["spec"].clone()))
            .collect();
        specs.push((
            "gateways".into(),
            sim.sites[ROSA].server.named("ServiceMeshControlPlane/rosa-prod-mesh/rosa-prod-mesh")["spec"]["gateways"].clone(),
        ));
        specs
    };
    let before = of_aro(&sim);
    sim.commit(|repo| {
        let path = "meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml";
        let other = "suspend: true\n  gateways: {ingress: another}\n  imports:\n  - service: prod-bookinfo/another\n";
        let repo = repo.edit(path, "imports:\n", other);
        repo.edit("meshes/rosa-prod-mesh/manifests/details.yaml", "replicas: 1", "replicas: 2")
    });
    sim.settle();
    assert_eq!(of_aro(&sim), before);
    assert_eq!(sim.sites[ROSA].server.named("Deployment/prod-bookinfo/details-v1")["spec"]["replicas"], 2, "the rest goes on");
    let status = sim.status(ROSA).unwrap();
    assert!(status.peerings[ARO].suspended && !status.holds.iter().any(|hold| hold.contains("suspend")), "{status:#?}");
    assert!(sim.decide(ROSA).holds.iter().any(|hold| hold.reason.contains("says `suspend: true`; what is there stays")));

    sim.commit(|repo| repo.without("meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml"));
    sim.settle();
    assert_eq!(of_aro(&sim), before);
    let routes = &sim.sites[ROSA].server.named("VirtualService/prod-bookinfo/details")["spec"]["http"][0]["route"];
    assert_eq!(routes.as_array().unwrap().len(), 2, "no request goes where nobody answers");

    sim.commit(|repo| repo.edit("meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml", "suspend: true", "suspend: false"));
    sim.settle();
    assert!(!sim.sites[ROSA].server.ours().contains(&PEER.to_owned()));
}
