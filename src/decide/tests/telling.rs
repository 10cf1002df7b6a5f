//! What happens is told once.

use super::sim::{Sim, example};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";

#[test]
fn a_watch_that_ends_and_begins_is_one_event_each() {
    let mut sim = Sim::new(example());
    sim.settle();
    let start = sim.sites[ROSA].events.len();
    sim.round();
    assert_eq!(sim.sites[ROSA].events[start..], [""; 0], "a quiet pass tells nothing");
    sim.cut.insert((ROSA.to_owned(), ARO.to_owned()));
    sim.settle();
    sim.cut.clear();
    sim.settle();
    let told: Vec<&String> =
        sim.sites[ROSA].events[start..].iter().filter(|event| event.starts_with("ServiceMeshPeer")).collect();
    insta::assert_snapshot!(told.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n"), @r"
    ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh Disconnected: aro-stg-mesh answers 503 Service Unavailable
    ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh Connected: watches aro-stg-mesh
    ");
}

#[test]
fn an_agent_that_starts_again_tells_only_what_its_last_word_did_not() {
    let mut sim = Sim::new(example());
    sim.settle();
    let start = sim.sites[ROSA].events.len();
    sim.site(ROSA).memory.told = None;
    sim.round();
    assert_eq!(sim.sites[ROSA].events[start..], [""; 0]);
    sim.cut.insert((ROSA.to_owned(), ARO.to_owned()));
    sim.operate();
    sim.site(ROSA).memory.told = None;
    sim.pass(ROSA);
    assert!(sim.sites[ROSA].events[start..].iter().any(|event| event.contains("Disconnected")));
}
