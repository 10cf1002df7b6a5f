//! What a mesh tells its peers, and when.

use super::sim::{Sim, ca, example};
use crate::decide::{Publication, SETTLE, STATUS_PATH};
use crate::derive::kinds;
use crate::facts::published::FACTS_PATH;
use crate::model::defaults::CA_OVERLAP;
use jiff::SignedDuration;
use serde_json::json;

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim
}

#[test]
fn content_is_published_once_it_has_stayed_the_same_for_a_moment() {
    let mut sim = Sim::new(example());
    let first = sim.pass(ROSA);
    assert_eq!(first.publish, None);
    assert_eq!(first.wake_at, Some(sim.now + SETTLE));
    for _ in 0..5 {
        assert_eq!(sim.pass(ROSA).publish, None, "it still changes");
    }
    sim.now += SETTLE;
    let Publication { files, message } = sim.pass(ROSA).publish.unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), [FACTS_PATH, STATUS_PATH]);
    assert!(message.starts_with("rosa-prod-mesh: CA root "), "{message}");
    assert!(sim.pass(ROSA).publish.is_none());
}

#[test]
fn content_that_never_stays_the_same_is_published_all_the_same() {
    let mut sim = settled();
    let before = sim.sites[ROSA].messages.len();
    for i in 0..30 {
        sim.commit.push('x');
        sim.now += SignedDuration::from_millis(700);
        sim.pass(ROSA);
        if sim.sites[ROSA].messages.len() > before {
            assert!(i > 10, "it waits for a while");
            return;
        }
    }
    panic!("starved");
}

#[test]
fn an_address_is_never_replaced_by_nothing() {
    let mut sim = settled();
    let key = kinds::key(kinds::SERVICE, ROSA, "aro-stg-mesh-ingress");
    let before = sim.sites[ROSA].published[FACTS_PATH].clone();
    sim.site(ROSA).server.status(&key, json!({"loadBalancer": {}}));
    sim.settle();
    assert_eq!(sim.sites[ROSA].published[FACTS_PATH], before);
    let hold = sim.decide(ROSA).holds.into_iter().find(|hold| hold.subject.starts_with("Service/")).unwrap();
    assert_eq!(hold.reason, "has lost its address; the one published last stays");
    let entries = json!([{"hostname": "B.elb.example.com"}, {"ip": "20.9.9.9", "hostname": "x"}]);
    sim.site(ROSA).server.status(&key, json!({"loadBalancer": {"ingress": entries}}));
    sim.settle();
    let last = sim.sites[ROSA].messages.iter().rfind(|message| message.contains("ingress")).unwrap();
    assert_eq!(last, "rosa-prod-mesh: ingress for aro-stg-mesh is now 20.9.9.9, b.elb.example.com");
    let peer = sim.sites[ARO].server.named("ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh");
    assert_eq!(peer["spec"]["remote"]["addresses"], json!(["20.9.9.9", "b.elb.example.com"]));
}

#[test]
fn a_replaced_root_stays_beside_the_new_one_until_its_certificates_are_gone() {
    let mut sim = settled();
    let bundle = |sim: &Sim| {
        let map = sim.sites[ROSA].server.named("ConfigMap/rosa-prod-mesh/aro-stg-mesh-ca-root-cert");
        map["data"]["root-cert.pem"].as_str().unwrap().matches("BEGIN").count()
    };
    assert_eq!(bundle(&sim), 1);
    sim.set_root(ARO, &ca(5));
    let facts = |sim: &mut Sim| sim.pass(ARO).pending.unwrap().files[FACTS_PATH].clone();
    let first = facts(&mut sim);
    sim.now += SignedDuration::from_millis(300);
    assert_eq!(facts(&mut sim), first, "what waits must not change with time, or it waits for ever");
    sim.settle();
    assert_eq!(bundle(&sim), 2);
    assert_eq!(sim.decide(ARO).status.ca_roots.iter().filter(|root| root.retiring).count(), 1);
    sim.now += CA_OVERLAP - SignedDuration::from_mins(5);
    sim.settle();
    assert_eq!(bundle(&sim), 2);
    sim.now += SignedDuration::from_mins(6);
    sim.settle();
    assert_eq!(bundle(&sim), 1);
    assert!(sim.sites[ARO].messages.iter().any(|message| message.ends_with("has left")));
}

#[test]
fn a_root_that_is_none_replaces_nothing() {
    let mut sim = settled();
    let before = sim.sites[ARO].published[FACTS_PATH].clone();
    for bad in ["{{ROOT}}", "", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        sim.set_root(ARO, bad);
        sim.settle();
        assert_eq!(sim.sites[ARO].published[FACTS_PATH], before, "{bad}");
        assert!(sim.decide(ARO).holds.iter().any(|hold| hold.reason.ends_with("what was published stays")));
    }
}

#[test]
fn between_two_signs_of_life_status_and_holds_do_not_change_with_time() {
    let mut sim = settled();
    sim.site(ROSA).server.remove("ServiceMeshControlPlane/rosa-prod-mesh/rosa-prod-mesh");
    sim.settle();
    let before = sim.decide(ROSA);
    let sign = before.wake_at.unwrap();
    sim.now = sign - SignedDuration::from_secs(1);
    let after = sim.decide(ROSA);
    assert_eq!((before.status, before.holds), (after.status, after.holds));
    assert_eq!(after.pending, None);
    sim.now = sign;
    assert!(sim.decide(ROSA).pending.is_some(), "one a day");
}
