//! A peer's roots jump: somebody has its agent's key, or its cluster was lost and made anew. Until people have looked, nothing changes.

use super::sim::{Sim, ca, example};
use crate::decide::Decision;
use crate::derive::kinds;
use crate::facts::probe::{Answer, RETRY};
use crate::facts::published::FACTS_PATH;
use crate::facts::{Facts, published, roots};
use crate::model::testing::ca_roots;
use jiff::SignedDuration;

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const GCP: &str = "gcp-dev-mesh";
const HALF: &str = "meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml";

fn settled(policy: &str) -> Sim {
    let repo = example().edit("federation.yaml", "spec:\n", &format!("spec:\n  caPolicy: {policy}\n"));
    let mut sim = Sim::new(repo);
    sim.settle();
    assert_eq!(sim.problems, []);
    sim
}

/// Whoever has the key of a mesh's agent publishes other roots and another address.
fn publish(sim: &mut Sim, mesh: &str, bundle: &str) {
    let text = sim.sites[mesh].published[FACTS_PATH].clone();
    let (facts, _) = published::read(mesh, FACTS_PATH, &text, &sim.federation.allow_addresses, sim.now);
    let mut ingress = facts.ingress.clone();
    ingress.values_mut().for_each(|endpoint| endpoint.addresses = vec!["203.0.113.66".into()]);
    let facts = Facts { roots: roots::parse(bundle, sim.now).unwrap(), ingress, ..facts };
    sim.site(mesh).published.insert(FACTS_PATH.into(), published::write(mesh, &facts).unwrap());
}

/// What rosa has of a peer: roots and addresses.
fn trusted(sim: &Sim, peer: &str) -> (String, String) {
    let named = |kind: &str, name: &str| sim.sites[ROSA].server.named(&format!("{kind}/{ROSA}/{name}"));
    let map = named("ConfigMap", &kinds::roots_name(peer));
    let addresses = named("ServiceMeshPeer", peer)["spec"]["remote"]["addresses"].to_string();
    (map["data"]["root-cert.pem"].as_str().unwrap_or_default().to_owned(), addresses)
}

fn roots_map() -> String {
    format!("ConfigMap/{ROSA}/{}", kinds::roots_name(ARO))
}

/// Rosa's agent works for a while, alone.
fn rosa(sim: &mut Sim) {
    for _ in 0..10 {
        sim.pass(ROSA);
        sim.operate();
        sim.now += SignedDuration::from_secs(5);
    }
}

fn fingerprint(number: usize) -> String {
    roots::parse(&ca(number), "2026-01-01T00:00:00Z".parse().unwrap()).unwrap()[0].fingerprint.clone()
}

fn held(sim: &mut Sim) -> Vec<String> {
    let decision = sim.decide(ROSA);
    assert!(decision.leaves_cluster(), "nothing is to be done");
    decision.holds.into_iter().filter(|hold| hold.reason.contains("acceptRoots")).map(|hold| hold.reason).collect()
}

#[test]
fn t10_a_swapped_root_is_held_and_everything_else_goes_on() {
    let mut sim = settled("continuous");
    let before = trusted(&sim, ARO);
    publish(&mut sim, ARO, &ca(5));
    let overlapping = ca(6) + &trusted(&sim, GCP).0;
    publish(&mut sim, GCP, &overlapping);
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO), before, "roots and addresses stay");
    assert_eq!(trusted(&sim, GCP).0.matches("BEGIN").count(), 2, "an overlapping set is followed");
    let held = held(&mut sim);
    assert_eq!(held.len(), 2, "the ConfigMap and the ServiceMeshPeer: {held:?}");
    for word in ["RootJump", &fingerprint(5), HALF, "by another way", "in use stays"] {
        assert!(held[0].contains(word), "{word}: {}", held[0]);
    }
    // An old root that is published again is as strange as a new one (T10), and listed it is followed.
    let accept = format!("spec:\n  acceptRoots: [\"{}\"]\n", fingerprint(5));
    sim.commit(|repo| repo.edit(HALF, "spec:\n", &accept));
    assert_eq!(sim.problems, []);
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO).0, ca_normal(5));
    publish(&mut sim, ARO, &before.0);
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO).0, ca_normal(5), "the way back is a jump too");
}

fn ca_normal(number: usize) -> String {
    roots::bundle(&roots::parse(&ca(number), "2026-01-01T00:00:00Z".parse().unwrap()).unwrap())
}

#[test]
fn t10_what_the_peers_people_declare_on_main_is_believed() {
    let mut sim = settled("continuous");
    publish(&mut sim, ARO, &ca(5));
    rosa(&mut sim);
    assert_ne!(trusted(&sim, ARO).0, ca_normal(5));
    let path = "meshes/aro-stg-mesh/mesh.yaml";
    let declared = format!("spec:\n  ca:\n{}", ca_roots(&[ca(5)]));
    sim.commit(|repo| repo.edit(path, "spec:\n", &declared));
    assert_eq!(sim.problems, []);
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO).0, ca_normal(5), "one commit of those whose cluster was lost");
}

#[test]
fn t10_pinned_roots_are_all_listed_by_us() {
    let mut sim = settled("pinned");
    assert!(!sim.sites[ROSA].server.ours().contains(&roots_map()));
    let number = sim.sites.keys().position(|mesh| mesh == ARO).unwrap();
    sim.commit(|repo| repo.edit(HALF, "spec:\n", &format!("spec:\n  acceptRoots: [\"{}\"]\n", fingerprint(number))));
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO).0, ca_normal(number));
    publish(&mut sim, ARO, &(ca(number) + &ca(5)));
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO).0, ca_normal(number), "overlapping is not enough");
}

#[test]
fn t10_a_lost_config_map_comes_back_but_lets_nobody_in() {
    for evil in [false, true] {
        let mut sim = settled("continuous");
        let before = trusted(&sim, ARO).0;
        sim.site(ROSA).server.remove(&roots_map());
        if evil {
            publish(&mut sim, ARO, &ca(5));
        }
        rosa(&mut sim);
        let there = sim.sites[ROSA].server.ours().contains(&roots_map());
        assert_eq!(there, !evil);
        if there {
            assert_eq!(trusted(&sim, ARO).0, before);
        } else {
            assert!(held(&mut sim)[0].contains("there is none in use"));
        }
    }
}

#[test]
fn t10_where_the_host_is_believed_every_set_is_followed() {
    let mut sim = settled("follow");
    publish(&mut sim, ARO, &ca(5));
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO).0, ca_normal(5));
}

#[test]
fn t10_where_people_ask_for_it_the_ingress_has_to_show_a_certificate_from_other_roots_first() {
    let mut sim = settled("follow");
    sim.commit(|repo| repo.edit(HALF, "spec:\n", "spec:\n  probe: true\n"));
    assert_eq!(sim.problems, []);
    rosa(&mut sim);
    let decision = sim.decide(ROSA);
    assert!(decision.probes.is_empty() && decision.holds.is_empty(), "what is in use is not asked about");

    let before = trusted(&sim, ARO);
    publish(&mut sim, ARO, &ca(5));
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO), before);
    let held = |decision: &Decision| decision.holds.iter().find(|hold| hold.subject == roots_map()).unwrap().reason.clone();
    let decision = sim.decide(ROSA);
    assert!(held(&decision).ends_with("its ingress is being asked. What is in use stays"), "{}", held(&decision));
    let question = decision.probes[ARO].clone();
    assert_eq!((&*question.addresses[0], question.port), ("203.0.113.66", 8188));
    assert_eq!(question.server_name, "discovery.rosa-prod-mesh.svc.aro-stg-mesh.local");
    assert_eq!(question.identity, "spiffe://aro-stg-mesh.local/ns/aro-stg-mesh/sa/rosa-prod-mesh-ingress-service-account");

    let answer = |sim: &mut Sim, outcome| {
        let answer = Answer { question: question.clone(), outcome, at: sim.now };
        sim.probes.insert(ARO.to_owned(), answer);
        sim.decide(ROSA)
    };
    let decision =
        answer(&mut sim, Err("203.0.113.66 port 8188: its certificates end in none of the published roots".to_owned()));
    assert!(held(&decision).contains("none of the published roots. What is in use stays"), "{}", held(&decision));
    assert!(decision.probes.is_empty() && decision.wake_at <= Some(sim.now + RETRY), "not at once again");
    sim.now += RETRY;
    assert!(sim.decide(ROSA).probes.contains_key(ARO));

    // Another set asks anew: an answer is for what it was given to.
    publish(&mut sim, ARO, &ca(6));
    answer(&mut sim, Ok(()));
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO), before);
    publish(&mut sim, ARO, &ca(5));
    rosa(&mut sim);
    assert_eq!(trusted(&sim, ARO).0, ca_normal(5));
    assert!(sim.decide(ROSA).probes.is_empty());
}

#[test]
fn two_meshes_that_ask_each_other_begin() {
    let halves = [HALF, "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml"];
    let mut sim = Sim::new(halves.iter().fold(example(), |repo, half| repo.edit(half, "spec:\n", "spec:\n  probe: true\n")));
    sim.settle();
    assert!(sim.decide(ROSA).status.peerings[ARO].ready);
}
