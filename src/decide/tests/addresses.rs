//! Where peers are told to find a gateway, and how often they are told something else.

use super::sim::{Sim, example};
use crate::decide::addresses::{Settling, settle};
use crate::derive::kinds;
use crate::facts::published::FACTS_PATH;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// What a load balancer says, and for how many milliseconds.
type Answer = (&'static str, i64);

/// Plays answers (`-` is none) of a load balancer to a mesh that publishes what is settled after half a second without change; gives
/// all that was ever published.
fn play(published: &str, script: impl IntoIterator<Item = Answer>) -> Vec<String> {
    let step = SignedDuration::from_millis(100);
    let (mut now, mut memory): (Timestamp, Option<Settling>) = (start(), None);
    let mut said = vec![published.to_owned()];
    let (mut waiting, mut since) = (published.to_owned(), now);
    for (answer, millis) in script {
        let answer = if answer == "-" { vec![] } else { vec![answer.to_owned()] };
        for _ in 0..millis / 100 {
            let settled = settle(memory.as_ref(), &[said.last().unwrap().clone()], answer.clone(), now);
            memory = settled.memory;
            if waiting != settled.addresses[0] {
                waiting.clone_from(&settled.addresses[0]);
                since = now;
            }
            if waiting != *said.last().unwrap() && now.duration_since(since) >= crate::decide::SETTLE {
                said.push(waiting.clone());
            }
            now += step;
        }
    }
    said
}

#[test]
fn a_calm_load_balancer_is_believed_at_once_and_a_restless_one_slowly() {
    let cases: [(&str, Vec<Answer>, &[&str]); 7] = [
        ("it moves once", vec![("b", 1000)], &["a", "b"]),
        ("it moves three times", vec![("b", 1000), ("c", 1000), ("d", 1000)], &["a", "b", "c", "d"]),
        ("it is gone for a while", vec![("-", 5000), ("a", 5000)], &["a"]),
        ("it is gone again and again", [("-", 700), ("a", 700)].repeat(50), &["a"]),
        ("it is gone and comes back elsewhere", vec![("-", 5000), ("b", 1000)], &["a", "b"]),
        (
            "it alternates faster than it settles and ends elsewhere",
            [("b", 300), ("a", 300)].repeat(50).into_iter().chain([("b", 70_000)]).collect(),
            &["a", "b"],
        ),
        (
            "it alternates faster than it settles and ends where it was",
            [("b", 300), ("a", 300)].repeat(50).into_iter().chain([("a", 70_000)]).collect(),
            &["a"],
        ),
    ];
    for (what, script, expected) in cases {
        assert_eq!(play("a", script), expected, "{what}");
    }
}

#[test]
fn one_that_alternates_slowly_for_half_an_hour_makes_a_handful_of_commits() {
    for pause in [2000, 15_000, 40_000] {
        let said = play("a", [("b", pause), ("a", pause)].repeat(usize::try_from(1_800_000 / pause).unwrap()));
        assert!(said.len() <= 9, "{pause}: {said:?}");
    }
}

#[test]
fn one_that_never_stays_is_not_kept_at_an_address_that_it_has_not() {
    let said = play("old", [("b", 300), ("c", 300)].repeat(100));
    assert_eq!(said, ["old", "b"]);
}

#[test]
fn after_ten_quiet_minutes_it_is_believed_at_once_again() {
    let restless = [("b", 300), ("a", 300)].repeat(20).into_iter();
    let said = play("a", restless.chain([("a", 601_000), ("b", 600)]));
    assert_eq!(said, ["a", "b"]);
}

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim
}

fn answer(sim: &mut Sim, ingress: &Value) {
    let key = kinds::key(kinds::SERVICE, ROSA, "aro-stg-mesh-ingress");
    sim.site(ROSA).server.status(&key, json!({"loadBalancer": {"ingress": ingress}}));
}

fn published(sim: &mut Sim) -> Vec<String> {
    sim.settle();
    sim.decide(ROSA).status.ingress[ARO].clone()
}

#[test]
fn every_entry_is_published_as_the_cloud_gives_it() {
    for (entries, expected) in [
        (json!([{"ip": "20.0.0.2"}, {"ip": "20.0.0.1"}, {"ip": "20.0.0.2"}]), vec!["20.0.0.1", "20.0.0.2"]),
        (json!([{"hostname": "x.elb.example.com"}, {"ip": "20.0.0.1"}]), vec!["20.0.0.1", "x.elb.example.com"]),
        (json!([{"ip": "20.0.0.9", "hostname": "y.example.com"}]), vec!["20.0.0.9"]),
        (json!([{"ip": ""}, {"ip": "2001:db8::1"}, {"hostname": "not a name"}]), vec!["2001:db8::1"]),
    ] {
        let mut sim = settled();
        answer(&mut sim, &entries);
        assert_eq!(published(&mut sim), expected, "{entries}");
        let peer = sim.sites[ARO].server.named("ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh");
        assert_eq!(peer["spec"]["remote"]["addresses"], json!(expected));
    }
}

#[test]
fn declared_addresses_win_over_what_the_cluster_says_and_go_when_they_are_removed() {
    let mut sim = settled();
    let discovered = published(&mut sim);
    let before = sim.repo.clone();
    let ingress = "ingress: {addresses: [proxy.example.com, 192.0.2.7], discoveryPort: 443}\n  platform";
    sim.commit(|repo| repo.edit("meshes/rosa-prod-mesh/mesh.yaml", "platform", ingress));
    assert_eq!(published(&mut sim), ["192.0.2.7", "proxy.example.com"]);
    answer(&mut sim, &json!([{"ip": "20.9.9.9"}]));
    assert_eq!(published(&mut sim), ["192.0.2.7", "proxy.example.com"]);
    let peer = sim.sites[ARO].server.named("ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh");
    assert_eq!((&peer["spec"]["remote"]["discoveryPort"], &peer["spec"]["remote"]["servicePort"]), (&json!(443), &json!(15443)));
    sim.commit(|_| before);
    assert_ne!(discovered, ["20.9.9.9"]);
    assert_eq!(published(&mut sim), ["20.9.9.9"]);
}

#[test]
fn a_restless_load_balancer_holds_up_nothing_else_and_its_status_stays_still() {
    let mut sim = settled();
    let before = published(&mut sim);
    let (away, back) = (json!([{"ip": "20.9.9.9"}]), json!([{"ip": before[0]}]));
    let commits = |sim: &Sim| sim.sites[ROSA].messages.len();
    for i in 0..40 {
        answer(&mut sim, if i % 2 == 0 { &away } else { &back });
        sim.pass(ROSA);
        sim.now += SignedDuration::from_millis(400);
    }
    let restless = commits(&sim);
    let hold = sim.decide(ROSA).holds.into_iter().find(|hold| hold.subject.starts_with("Service/")).unwrap();
    assert_eq!(hold.reason, "changes its address back and forth; the one published last stays until it settles");
    for i in 0..40 {
        answer(&mut sim, if i % 2 == 0 { &away } else { &back });
        if i == 20 {
            sim.set_root(ROSA, &super::sim::ca(5));
        }
        sim.pass(ROSA);
        sim.now += SignedDuration::from_millis(400);
    }
    assert!(sim.sites[ROSA].published[FACTS_PATH].matches("BEGIN").count() == 2, "a new root goes out all the same");
    assert!(commits(&sim) <= restless + 2, "{:#?}", sim.sites[ROSA].messages);
    assert_eq!(sim.decide(ROSA).status.ingress[ARO], before);
}
