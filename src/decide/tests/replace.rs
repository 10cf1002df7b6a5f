//! Another gateway for a peer: nothing is lost on the way, and an agent that dies anywhere goes on.

use super::sim::{Sim, example};
use crate::model::testing::Repo;
use crate::object::FIELD_MANAGER;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim.sites.values_mut().for_each(|site| site.log.clear());
    sim
}

/// Everything settles, and what came back has stayed long enough to be used again.
fn rest(sim: &mut Sim) {
    sim.settle();
    for _ in 0..200 {
        let shares = sim.decide(ROSA).status.traffic["details"].clone();
        if shares.routes.iter().all(|route| route.effective == route.declared) {
            return sim.settle();
        }
        sim.now += SignedDuration::from_secs(10);
        sim.round();
    }
    panic!("{:#?}", sim.decide(ROSA).holds);
}

/// Other gateways of `mesh` for `peer`.
fn gateways(repo: Repo, mesh: &str, peer: &str, names: &str) -> Repo {
    repo.edit(&format!("meshes/{mesh}/peers/{peer}.yaml"), "spec:\n", &format!("spec:\n  gateways: {names}\n"))
}

fn declared(sim: &Sim, mesh: &str, side: &str) -> Vec<String> {
    let control_plane = sim.sites[mesh].server.named(&format!("ServiceMeshControlPlane/{mesh}/{mesh}"));
    control_plane["spec"]["gateways"][side].as_object().unwrap().keys().cloned().collect()
}

fn peer<'a>(sim: &'a Sim, mesh: &str, peer: &str) -> Option<&'a Value> {
    let key = crate::derive::kinds::key(crate::derive::kinds::PEER, mesh, peer);
    sim.sites[mesh].server.get(&key)
}

fn in_order(log: &[String], expected: &[&str]) {
    let mut rest = log.iter();
    for what in expected {
        assert!(rest.any(|line| line == what), "not in order: {what}\n{log:#?}");
    }
}

fn address(sim: &Sim, mesh: &str, of: &str) -> Value {
    peer(sim, mesh, of).unwrap()["spec"]["remote"]["addresses"][0].clone()
}

#[test]
fn an_exporters_ingress_is_replaced_in_stages_and_its_peer_follows() {
    let mut sim = settled();
    let before = address(&sim, ROSA, ARO);
    sim.commit(|repo| gateways(repo, ARO, ROSA, "{ingress: front}"));
    sim.pass(ARO);
    assert_eq!(declared(&sim, ARO, "additionalIngress"), ["front", "rosa-prod-mesh-ingress"], "beside the old one");
    let decision = sim.pass(ARO);
    assert!(decision.leaves_cluster(), "without an address nothing else changes: {:?}", decision.apply);
    let holds: Vec<String> = decision.holds.iter().map(|hold| format!("{}: {}", hold.subject, hold.reason)).collect();
    insta::assert_snapshot!(holds.join("\n"), @r"
    ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh spec.gateways: rosa-prod-mesh-ingress stays until Service/front has an address
    gateway rosa-prod-mesh-ingress: stays, because ServiceMeshPeer/rosa-prod-mesh uses it
    ");
    rest(&mut sim);
    in_order(
        &sim.sites[ARO].log,
        &[
            "apply ServiceMeshControlPlane/aro-stg-mesh/aro-stg-mesh",
            "apply ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh", // emptied
            "delete ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh",
            "delete ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh",
            "apply ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh",
            "apply ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh",
            "apply ServiceMeshControlPlane/aro-stg-mesh/aro-stg-mesh",
        ],
    );
    assert!(!sim.sites[ARO].log.iter().any(|line| line.contains("ConfigMap")), "its roots stay");
    assert_eq!(declared(&sim, ARO, "additionalIngress"), ["front"]);
    assert_eq!(peer(&sim, ARO, ROSA).unwrap()["spec"]["gateways"]["ingress"]["name"], "front");
    assert_ne!(address(&sim, ROSA, ARO), before);
    for mesh in [ROSA, ARO] {
        let decision = sim.decide(mesh);
        assert!(decision.leaves_cluster() && decision.holds.is_empty(), "{:?}", decision.holds);
        assert!(decision.status.peerings.values().all(|peering| peering.ready));
    }
}

#[test]
fn an_importers_traffic_is_elsewhere_while_its_ingress_is_replaced() {
    let mut sim = settled();
    sim.commit(|repo| gateways(repo, ROSA, ARO, "{ingress: front}"));
    let mut seen = Vec::new();
    for _ in 0..30 {
        sim.round();
        let routes = sim.sites[ROSA].server.named("VirtualService/prod-bookinfo/details")["spec"]["http"][0]["route"].clone();
        let to_aro = routes.as_array().unwrap().iter().any(|route| route["destination"]["host"].as_str().unwrap().contains(ARO));
        assert!(!to_aro || peer(&sim, ROSA, ARO).is_some(), "traffic to a peer that is gone");
        seen.push(to_aro);
    }
    seen.dedup();
    assert_eq!(seen, [true, false, true]);
    assert_eq!(peer(&sim, ROSA, ARO).unwrap()["spec"]["gateways"]["ingress"]["name"], "front");
    assert_eq!(declared(&sim, ROSA, "additionalIngress"), ["front", "gcp-dev-mesh-ingress"]);
}

#[test]
fn the_published_address_is_that_of_the_gateway_in_use() {
    let mut sim = settled();
    sim.commit(|repo| gateways(repo, ARO, ROSA, "{ingress: front}"));
    for _ in 0..40 {
        let used = peer(&sim, ARO, ROSA).map_or("front".into(), |peer| peer["spec"]["gateways"]["ingress"]["name"].clone());
        let service = format!("Service/aro-stg-mesh/{}", used.as_str().unwrap());
        let live = sim.sites[ARO].server.live();
        if let Some(service) = live.iter().find(|(key, _)| key.to_string() == service).map(|(_, live)| live.value()) {
            let address = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().unwrap().to_owned();
            assert_eq!(sim.decide(ARO).status.ingress[ROSA], [address]);
        }
        sim.round();
    }
}

#[test]
fn a_name_that_is_taken_back_on_the_way_leaves_everything_as_it_was() {
    for rounds in 1..8 {
        let mut sim = settled();
        let before = sim.repo.clone();
        sim.commit(|repo| gateways(repo, ARO, ROSA, "{ingress: front}"));
        (0..rounds).for_each(|_| sim.round());
        sim.commit(|_| before);
        sim.settle();
        assert_eq!(declared(&sim, ARO, "additionalIngress"), ["rosa-prod-mesh-ingress"], "after {rounds}");
        assert!(sim.decide(ROSA).status.peerings[ARO].ready);
    }
}

#[test]
fn another_egress_is_taken_over_in_place_and_the_peer_admits_it() {
    let mut sim = settled();
    sim.commit(|repo| gateways(repo, ROSA, ARO, "{egress: back}"));
    sim.pass(ROSA);
    assert_eq!(declared(&sim, ROSA, "additionalEgress"), ["aro-stg-mesh-egress", "back", "gcp-dev-mesh-egress"]);
    assert_eq!(peer(&sim, ROSA, ARO).unwrap()["spec"]["gateways"]["egress"]["name"], "aro-stg-mesh-egress");
    sim.settle();
    assert!(!sim.sites[ROSA].log.iter().any(|line| line.starts_with("delete")), "{:#?}", sim.sites[ROSA].log);
    assert_eq!(peer(&sim, ROSA, ARO).unwrap()["spec"]["gateways"]["egress"]["name"], "back");
    assert_eq!(declared(&sim, ROSA, "additionalEgress"), ["back", "gcp-dev-mesh-egress"]);
    let id = peer(&sim, ARO, ROSA).unwrap()["spec"]["security"]["clientID"].clone();
    assert_eq!(id, "rosa-prod-mesh.local/ns/rosa-prod-mesh/sa/back-service-account");
}

#[test]
fn a_peer_that_somebody_else_made_is_not_deleted_for_its_gateway() {
    let mut sim = settled();
    let name = "ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh";
    let mut made = sim.sites[ARO].server.named(name).clone();
    sim.site(ARO).server.remove(name);
    made["spec"]["gateways"]["ingress"]["name"] = json!("by-hand");
    sim.site(ARO).server.create(made, "kubectl");
    sim.settle();
    assert!(!sim.sites[ARO].log.iter().any(|line| line.starts_with("delete")), "{:#?}", sim.sites[ARO].log);
    let hold = sim.decide(ARO).holds.into_iter().find(|hold| hold.stuck).unwrap();
    assert!(hold.reason.contains("was not made by meshfed; delete it"), "{}", hold.reason);
    assert_eq!(FIELD_MANAGER, "meshfed");
}

#[test]
fn nothing_is_taken_down_that_could_not_be_made_anew() {
    let mut sim = settled();
    sim.commit(|repo| {
        let repo = repo.with("//- meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml\nkind: [\n");
        gateways(repo, ROSA, ARO, "{ingress: front}")
    });
    sim.settle();
    assert!(!sim.sites[ROSA].log.iter().any(|line| line.starts_with("delete")), "{:#?}", sim.sites[ROSA].log);
    let weights: Vec<u32> = sim.decide(ROSA).status.traffic["details"].routes.iter().map(|route| route.effective).collect();
    assert_eq!(weights, [60, 20, 20]);
}

#[test]
fn on_node_ports_the_new_gateway_comes_when_the_old_one_goes() {
    let ports = "platform: azure\n  ingress: {type: NodePort, addresses: [192.0.2.7], discoveryPort: 30188, servicePort: 30443}";
    let mut sim = Sim::new(example().edit("meshes/aro-stg-mesh/mesh.yaml", "platform: azure", ports));
    sim.settle();
    sim.commit(|repo| gateways(repo, ARO, ROSA, "{ingress: front}"));
    for _ in 0..30 {
        sim.round();
        assert_eq!(declared(&sim, ARO, "additionalIngress").len(), 1, "two cannot have the same ports");
    }
    assert_eq!(declared(&sim, ARO, "additionalIngress"), ["front"]);
    assert!(sim.decide(ROSA).status.peerings[ARO].ready);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_agent_that_dies_at_any_stage_gets_there_all_the_same(
        both in any::<bool>(),
        kept in prop::collection::vec(any::<bool>(), 64),
        turns in prop::collection::vec(0usize..3, 24),
    ) {
        let mut sim = settled();
        sim.commit(|repo| gateways(repo, ARO, ROSA, "{ingress: front, egress: back}"));
        if both {
            sim.commit(|repo| gateways(repo, ROSA, ARO, "{ingress: door}"));
        }
        let mut kept = kept.into_iter().cycle();
        for turn in turns {
            let me = [ROSA, ARO, "gcp-dev-mesh"][turn];
            let decision = sim.decide(me);
            sim.perform(me, &decision, || kept.next().unwrap());
            let inventory = sim.sites[me].memory.inventory.clone();
            sim.site(me).memory = crate::decide::Memory { inventory, ..Default::default() };
            sim.site(me).comparisons = crate::decide::Comparisons::default();
            sim.operate();
        }
        rest(&mut sim);
        prop_assert_eq!(declared(&sim, ARO, "additionalIngress"), ["front"]);
        prop_assert_eq!(declared(&sim, ARO, "additionalEgress"), ["back"]);
        prop_assert!(sim.decide(ROSA).status.peerings[ARO].ready);
        let weights: Vec<u32> = sim.decide(ROSA).status.traffic["details"].routes.iter().map(|route| route.effective).collect();
        prop_assert_eq!(weights, [60, 20, 20]);
    }
}
