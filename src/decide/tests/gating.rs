//! Weight flows to what can answer, and moves no more often than it must.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::sim::{Sim, example};
use crate::decide::{Decision, Failure, Gap, Memory, Unseen};
use crate::derive::kinds;

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const GCP: &str = "gcp-dev-mesh";
const ROUTE: &str = "VirtualService/prod-bookinfo/details";

fn link(peer: &str) -> (String, String) {
    (ROSA.to_owned(), peer.to_owned())
}

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim
}

/// Time goes by, the control plane does its part, and rosa's agent passes.
fn after(sim: &mut Sim, seconds: i64) -> Decision {
    sim.now += SignedDuration::from_secs(seconds);
    sim.operate();
    sim.pass(ROSA)
}

fn effective(decision: &Decision) -> Vec<u32> {
    decision.status.traffic["details"].routes.iter().map(|route| route.effective).collect()
}

fn why(decision: &Decision, route: usize) -> &str {
    &decision.status.traffic["details"].routes[route].why
}

/// Weights of the live VirtualService.
fn live(sim: &Sim) -> Vec<u64> {
    let routes = sim.sites[ROSA].server.named(ROUTE)["spec"]["http"][0]["route"].as_array().unwrap();
    routes.iter().filter_map(|route| route["weight"].as_u64()).collect()
}

fn moves(sim: &Sim) -> usize {
    sim.sites[ROSA].log.iter().filter(|line| line.ends_with(ROUTE)).count()
}

fn restart(sim: &mut Sim) {
    let site = sim.site(ROSA);
    let mut memory = Memory { inventory: site.memory.inventory.clone(), ..Memory::default() };
    memory.health.lapses = site.memory.health.lapses.clone();
    site.memory = memory;
}

#[test]
fn a_peer_that_goes_away_loses_its_weight_at_once_and_gets_it_back_when_it_has_stayed() {
    let mut sim = settled();
    sim.cut.insert(link(ARO));
    let decision = after(&mut sim, 1);
    assert_eq!((effective(&decision), live(&sim)), (vec![75, 0, 25], vec![75, 25]));
    assert_eq!(why(&decision, 1), "aro-stg-mesh answers 503 Service Unavailable");
    sim.cut.clear();
    assert_eq!(effective(&after(&mut sim, 1)), [75, 0, 25]);
    let since = sim.now;
    after(&mut sim, 3); // it publishes
    let decision = after(&mut sim, 1);
    assert_eq!(decision.wake_at, Some(since + SignedDuration::from_secs(30)), "nothing else would wake it");
    insta::assert_snapshot!(why(&decision, 1), @"aro-stg-mesh is back since 2026-01-01T00:00:12Z, and gets its weight at 2026-01-01T00:00:42Z if it stays");
    assert_eq!(effective(&after(&mut sim, 25)), [75, 0, 25]);
    assert_eq!(effective(&after(&mut sim, 1)), [60, 20, 20]);
}

#[test]
fn every_move_is_told_with_its_cause() {
    let mut sim = settled();
    let (events, messages) = (sim.sites[ROSA].events.len(), sim.sites[ROSA].messages.len());
    sim.cut.insert(link(ARO));
    let decision = after(&mut sim, 1);
    let condition = decision.conditions.iter().find(|condition| condition.subject == "details").unwrap();
    assert_eq!((condition.kind.name(), condition.status), ("AsDeclared", false));
    insta::assert_snapshot!(condition.message, @"aro-stg-mesh 20 → 0 % (aro-stg-mesh answers 503 Service Unavailable)");
    after(&mut sim, 5);
    sim.cut.clear();
    after(&mut sim, 5);
    after(&mut sim, 5);
    after(&mut sim, 30);
    after(&mut sim, 5);
    sim.commit(|repo| {
        let file = "meshes/rosa-prod-mesh/traffic/details.yaml";
        repo.edit(file, "v1}, weight: 60", "v1}, weight: 40").edit(file, "v2, weight: 20", "v2, weight: 40")
    });
    after(&mut sim, 5);
    after(&mut sim, 5);
    let site = &sim.sites[ROSA];
    let moved: Vec<&str> = site.events[events..].iter().filter_map(|event| event.strip_prefix(ROUTE)).collect();
    insta::assert_snapshot!(moved.join("\n"), @r"
     WeightsChanged: aro-stg-mesh 20 → 0 % (aro-stg-mesh answers 503 Service Unavailable)
     WeightsChanged: aro-stg-mesh 0 → 20 % (as declared)
     WeightsChanged: local v1 60 → 40 % (declared), aro-stg-mesh 20 → 40 % (declared)
    ");
    insta::assert_snapshot!(site.messages[messages..].join("\n"), @r"
    rosa-prod-mesh: details: aro-stg-mesh 20 → 0 % (aro-stg-mesh answers 503 Service Unavailable)
    rosa-prod-mesh: nothing is applied yet; ready: aro-stg-mesh, gcp-dev-mesh
    rosa-prod-mesh: details: aro-stg-mesh 0 → 20 % (as declared)
    rosa-prod-mesh: details: local v1 60 → 40 % (declared), aro-stg-mesh 20 → 40 % (declared)
    rosa-prod-mesh: nothing is applied yet; ready: aro-stg-mesh, gcp-dev-mesh
    ");
}

#[test]
fn each_lapse_doubles_the_time_and_a_long_time_without_one_forgets_them() {
    let mut sim = settled();
    for expected in [30, 60, 120, 240, 480, 960, 960] {
        sim.cut.insert(link(ARO));
        assert_eq!(effective(&after(&mut sim, 1)), [75, 0, 25]);
        sim.cut.clear();
        after(&mut sim, 1);
        assert_eq!(effective(&after(&mut sim, expected - 1)), [75, 0, 25], "{expected}");
        assert_eq!(effective(&after(&mut sim, 1)), [60, 20, 20], "{expected}");
    }
    let decision = after(&mut sim, 1);
    assert!(decision.wake_at.is_some_and(|at| at > sim.now));
    assert_eq!(sim.sites[ROSA].memory.health.lapses.len(), 1);
    after(&mut sim, 2 * 960);
    assert!(sim.sites[ROSA].memory.health.lapses.is_empty());
}

#[test]
fn a_lapse_while_it_settles_begins_the_time_anew() {
    let mut sim = settled();
    sim.cut.insert(link(ARO));
    after(&mut sim, 1);
    sim.cut.clear();
    after(&mut sim, 1);
    sim.cut.insert(link(ARO));
    after(&mut sim, 20);
    sim.cut.clear();
    let decision = after(&mut sim, 1);
    assert!(why(&decision, 1).contains("having gone away 2 times"), "{}", why(&decision, 1));
    assert_eq!(effective(&after(&mut sim, 59)), [75, 0, 25]);
    assert_eq!(effective(&after(&mut sim, 1)), [60, 20, 20]);
}

#[test]
fn a_watch_that_says_connected_and_hears_nothing_loses_its_weight() {
    let mut sim = settled();
    sim.frozen.insert(link(ARO), sim.now);
    let decision = after(&mut sim, 1);
    let stale_at = decision.wake_at.unwrap();
    assert_eq!(stale_at.to_string(), "2026-01-01T00:03:00Z");
    after(&mut sim, 120);
    sim.now = stale_at - SignedDuration::from_secs(1);
    assert_eq!(effective(&sim.pass(ROSA)), [60, 20, 20]);
    sim.now = stale_at;
    sim.operate();
    let decision = sim.pass(ROSA);
    assert_eq!(effective(&decision), [75, 0, 25]);
    insta::assert_snapshot!(why(&decision, 1), @"the last full synchronisation with aro-stg-mesh was at 2026-01-01T00:00:00Z, though its watch says that it is connected");
    assert!(decision.status.peerings[ARO].connected, "as the control plane says");
}

#[test]
fn what_a_watch_cannot_show_stays_as_it_was() {
    for of in [kinds::PEER, kinds::IMPORTED] {
        let mut sim = settled();
        let gap = Gap { namespace: Some(ROSA.into()), ..Gap::kind(kinds::kind(of), "cannot watch it: grant it") };
        sim.site(ROSA).unseen = [gap].into_iter().collect();
        // Blind, and so everything seems to be gone.
        sim.cut.extend([link(ARO), link(GCP)]);
        let decision = after(&mut sim, 600);
        assert_eq!(effective(&decision), [60, 20, 20]);
        let hold = decision.holds.iter().find(|hold| hold.subject == "weight of aro-stg-mesh").unwrap();
        assert_eq!((&*hold.reason, hold.stuck), ("stays as it is: cannot watch it: grant it", true));
        // Back, and fresh: nothing ever moved.
        sim.cut.clear();
        sim.site(ROSA).unseen = Unseen::default();
        assert_eq!(effective(&after(&mut sim, 1)), [60, 20, 20]);
        assert!(sim.sites[ROSA].memory.health.lapses.is_empty());
    }
}

#[test]
fn after_a_gap_only_silence_that_was_listened_to_counts() {
    let mut sim = settled();
    let gap = Gap { blind: false, stuck: false, ..Gap::kind(kinds::kind(kinds::PEER), "interrupted") };
    // The API server is away, for the control plane as for us.
    sim.site(ROSA).unseen = [gap].into_iter().collect();
    sim.frozen.extend([(link(ARO), sim.now), (link(GCP), sim.now)]);
    assert!(after(&mut sim, 10).holds.is_empty(), "a moment is not worth a word");
    assert_eq!(effective(&after(&mut sim, 600)), [60, 20, 20]);
    sim.site(ROSA).unseen = Unseen::default();
    assert_eq!(effective(&after(&mut sim, 1)), [60, 20, 20], "its next word is on the way");
    sim.frozen.remove(&link(GCP));
    assert_eq!(effective(&after(&mut sim, 178)), [60, 20, 20]);
    assert_eq!(effective(&after(&mut sim, 2)), [75, 0, 25]);
}

#[test]
fn nothing_is_gained_while_nobody_sees() {
    let mut sim = settled();
    sim.cut.insert(link(ARO));
    after(&mut sim, 1);
    sim.cut.clear();
    after(&mut sim, 1);
    sim.site(ROSA).unseen = [Gap::kind(kinds::kind(kinds::PEER), "denied")].into_iter().collect();
    assert_eq!(effective(&after(&mut sim, 100)), [75, 0, 25]);
}

#[test]
fn a_restart_gives_no_weight_early_and_takes_none() {
    let mut sim = settled();
    restart(&mut sim);
    assert!(sim.decide(ROSA).leaves_cluster());
    sim.cut.insert(link(ARO));
    // It died before it saw that, and looks at a live route to a peer that is gone.
    restart(&mut sim);
    assert_eq!(effective(&after(&mut sim, 1)), [75, 0, 25]);
    sim.cut.clear();
    after(&mut sim, 1);
    restart(&mut sim);
    assert_eq!(effective(&after(&mut sim, 29)), [75, 0, 25]);
    restart(&mut sim);
    assert_eq!(effective(&after(&mut sim, 1)), [60, 20, 20]);
}

#[test]
fn without_any_destination_the_last_split_stays_and_says_so() {
    let mut sim =
        Sim::new(example().edit("meshes/rosa-prod-mesh/traffic/details.yaml", "v1}, weight: 60", "v1}, weight: 0").edit(
            "meshes/rosa-prod-mesh/traffic/details.yaml",
            "v2, weight: 20",
            "v2, weight: 80",
        ));
    sim.settle();
    assert_eq!(live(&sim), [80, 20]);
    sim.cut.insert(link(GCP));
    assert_eq!(effective(&after(&mut sim, 1)), [0, 100, 0]);
    sim.cut.insert(link(ARO));
    let decision = after(&mut sim, 1);
    assert_eq!((effective(&decision), live(&sim)), (vec![0, 100, 0], vec![100]), "what is in effect is what is live");
    assert!(decision.holds.iter().any(|hold| hold.subject == ROUTE && hold.reason.contains("the last split stays")));
}

#[test]
fn what_the_api_server_does_not_take_is_not_in_effect() {
    let mut sim = settled();
    sim.cut.insert(link(ARO));
    sim.operate();
    let decision = sim.decide(ROSA);
    sim.perform(ROSA, &decision, || false);
    let apply = decision.apply.iter().find(|apply| apply.object.key.to_string() == ROUTE).unwrap();
    let (key, digest) = (apply.object.key.clone(), apply.object.digest.clone());
    let failure = Failure { digest, message: "a webhook is away".into(), stuck: false, retry_at: sim.now, attempts: 1 };
    sim.site(ROSA).memory.failures.insert(key, failure);
    let again = sim.decide(ROSA);
    assert_eq!((again.apply.len(), effective(&again)), (1, vec![60, 20, 20]), "it is tried again");
}

#[test]
fn weight_can_be_kept_and_is_said_to_be() {
    let keep = "  whenUnavailable: keep\n  routes:";
    let mut sim = Sim::new(example().edit("meshes/rosa-prod-mesh/traffic/details.yaml", "  routes:", keep));
    sim.settle();
    sim.cut.insert(link(ARO));
    let decision = after(&mut sim, 1);
    assert_eq!((effective(&decision), live(&sim)), (vec![60, 20, 20], vec![60, 20, 20]));
    assert_eq!(why(&decision, 1), "aro-stg-mesh answers 503 Service Unavailable");
}

#[test]
fn an_unreadable_federation_document_makes_no_peer_stale() {
    let mut sim = settled();
    sim.commit(|repo| repo.with("//- federation.yaml\nkind: [\n"));
    sim.frozen.insert(link(ARO), sim.now);
    assert_eq!(effective(&after(&mut sim, 1000)), [60, 20, 20]);
}

/// What can happen to rosa's view of a peer.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Cut,
    Heal,
    Freeze,
    Restart,
}

fn turns(length: usize, longest: i64) -> impl Strategy<Value = Vec<(bool, Turn, i64)>> {
    let turn = prop_oneof![4 => Just(Turn::Cut), 6 => Just(Turn::Heal), 1 => Just(Turn::Freeze), 1 => Just(Turn::Restart)];
    prop::collection::vec((any::<bool>(), turn, 1..longest), length)
}

fn take(sim: &mut Sim, aro: bool, turn: Turn) {
    let link = link(if aro { ARO } else { GCP });
    match turn {
        Turn::Cut => drop(sim.cut.insert(link)),
        Turn::Heal => {
            sim.cut.remove(&link);
            sim.frozen.remove(&link);
        }
        Turn::Freeze => drop(sim.frozen.entry(link).or_insert(sim.now)),
        Turn::Restart => restart(sim),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn weight_never_points_where_nothing_answers(turns in turns(40, 200)) {
        let mut sim = settled();
        let mut heard = sim.now;
        for (aro, turn, seconds) in turns {
            take(&mut sim, aro, turn);
            if matches!(turn, Turn::Restart) {
                heard = sim.now + SignedDuration::from_secs(seconds);
            }
            let weights = effective(&after(&mut sim, seconds));
            prop_assert_eq!(weights.iter().sum::<u32>(), 100);
            for (peer, weight) in [(ARO, weights[1]), (GCP, weights[2])] {
                let frozen = sim.frozen.get(&link(peer)).is_some_and(|since| {
                    // Whole minutes, as the stand-in synchronises; a new agent listens for a while first.
                    sim.now.duration_since(*since).as_secs() >= 240 && sim.now.duration_since(heard).as_secs() >= 180
                });
                prop_assert!(weight == 0 || !(frozen || sim.cut.contains(&link(peer))), "{} has {}", peer, weight);
            }
            let again = sim.decide(ROSA);
            prop_assert!(again.leaves_cluster() && again.health.lapses == sim.sites[ROSA].memory.health.lapses);
            prop_assert_eq!(again.events, vec![]);
        }
    }

    #[test]
    fn however_peers_flap_weights_move_seldom(turns in turns(200, 20)) {
        let mut sim = settled();
        let (start, before) = (sim.now, moves(&sim));
        for (aro, turn, seconds) in turns {
            take(&mut sim, aro, if matches!(turn, Turn::Freeze) { Turn::Cut } else { turn });
            after(&mut sim, seconds);
        }
        // Each peer goes and comes at most once for each settling time: 30 s, 60 s … 960 s, 960 s …
        let elapsed = sim.now.duration_since(start).as_secs();
        let times = 1 + (0..100).scan(0, |sum, i: u32| { *sum += 30 << i.min(5); Some(*sum) }).take_while(|sum| *sum <= elapsed).count();
        let bound = 2 * 2 * times;
        prop_assert!(moves(&sim) - before <= bound, "{} moves in {} s", moves(&sim) - before, elapsed);
    }
}
