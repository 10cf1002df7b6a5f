//! A mesh's CA changes: planned and not, with peers that are quick, slow, silent or gone.

use super::sim::{Sim, ca, example};
use crate::decide::remove::DISTRUST_WAIT;
use crate::decide::{Phase, RotationStatus, STATUS_PATH};
use crate::facts::published::FACTS_PATH;
use crate::facts::{Root, roots};
use crate::model::defaults::CA_OVERLAP;
use crate::model::testing::ca_roots;
use jiff::{SignedDuration, Timestamp};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const GCP: &str = "gcp-dev-mesh";
/// Rosa shares peerings with both others.
const PEERS: [&str; 2] = [ARO, GCP];

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim
}

fn root(number: usize) -> Root {
    roots::parse(&ca(number), "2026-01-01T00:00:00Z".parse().unwrap()).unwrap().remove(0)
}

/// People declare these roots of rosa.
fn declare(sim: &mut Sim, numbers: &[usize]) {
    let roots = ca_roots(&numbers.iter().map(|number| ca(*number)).collect::<Vec<_>>());
    let text = if numbers.is_empty() { String::new() } else { format!("  ca:\n{roots}") };
    sim.commit(|repo| {
        let path = "meshes/rosa-prod-mesh/mesh.yaml";
        let old = String::from_utf8(repo.files[path].clone()).unwrap();
        let kept = old.split("  ca:\n").next().unwrap().to_owned();
        repo.with(&format!("//- {path}\n{kept}{text}"))
    });
    assert_eq!(sim.problems, []);
}

fn rotation(sim: &mut Sim) -> RotationStatus {
    sim.decide(ROSA).status.rotation
}

fn phase(sim: &mut Sim) -> Phase {
    rotation(sim).phase
}

/// How many roots of rosa a peer was given.
fn given(sim: &Sim, peer: &str) -> usize {
    let map = sim.sites[peer].server.named(&format!("ConfigMap/{peer}/rosa-prod-mesh-ca-root-cert"));
    map["data"]["root-cert.pem"].as_str().unwrap().matches("BEGIN").count()
}

/// Only these agents work, for a while.
fn only(sim: &mut Sim, meshes: &[&str]) {
    for _ in 0..30 {
        meshes.iter().for_each(|mesh| drop(sim.pass(mesh)));
        sim.operate();
        sim.now += SignedDuration::from_secs(1);
    }
}

/// Nothing that is in use is ever untrusted: certificates from each of these roots verify at every peer that trusts rosa.
fn verify(sim: &Sim, issuers: &[usize]) {
    for peer in PEERS {
        let map = sim.sites[peer].server.named(&format!("ConfigMap/{peer}/rosa-prod-mesh-ca-root-cert"));
        let bundle = map["data"]["root-cert.pem"].as_str().unwrap().to_owned();
        for issuer in issuers {
            assert!(bundle.contains(ca(*issuer).lines().nth(3).unwrap()), "{peer} does not trust {issuer}");
        }
    }
}

#[test]
fn a_planned_rotation_goes_through_its_phases_and_every_certificate_in_use_is_trusted() {
    let mut sim = settled();
    assert_eq!(rotation(&mut sim), RotationStatus::default());
    declare(&mut sim, &[5]);
    only(&mut sim, &[ROSA, ARO]);
    let announced = rotation(&mut sim);
    let [old, new] = [2, 5].map(|number| root(number).fingerprint); // meshes are numbered by name
    assert_eq!((announced.phase, &announced.from, &announced.to), (Phase::Announced, &old, &new));
    assert_eq!((announced.reported, announced.missing), (vec![ARO.to_owned()], vec![GCP.to_owned()]));
    let hold = sim.decide(ROSA).holds.into_iter().find(|hold| hold.subject.starts_with("CA root")).unwrap();
    assert_eq!(hold.reason, "is announced; not yet trusted by gcp-dev-mesh: do not switch to it");
    sim.settle();
    assert_eq!(phase(&mut sim), Phase::Ready);
    assert_eq!(sim.decide(ROSA).holds, []);
    verify(&sim, &[2, 5]);

    sim.set_root(ROSA, &ca(5)); // people switch
    for _ in 0..6 {
        sim.round();
        verify(&sim, &[2, 5]);
    }
    sim.settle();
    let overlap = rotation(&mut sim);
    assert_eq!((overlap.phase, overlap.missing.len(), overlap.exposed.len()), (Phase::Overlap, 0, 0));
    let until = overlap.until.unwrap();
    assert_eq!(until, overlap.since.unwrap() + CA_OVERLAP);
    let hold = sim.decide(ROSA).holds.remove(0);
    assert_eq!(
        hold.reason,
        "is what the control plane uses now; it can be removed from `ca.roots` in meshes/rosa-prod-mesh/mesh.yaml"
    );
    let before = sim.sites[ROSA].published[FACTS_PATH].clone();
    declare(&mut sim, &[]);
    sim.settle();
    assert_eq!(sim.sites[ROSA].published[FACTS_PATH], before, "removing what is in use changes nothing");

    assert!(sim.decide(ROSA).wake_at.is_some_and(|at| at <= until));
    sim.now = until - SignedDuration::from_secs(1);
    sim.pass(ROSA);
    assert_eq!(phase(&mut sim), Phase::Overlap);
    sim.now = until;
    sim.settle();
    assert_eq!(rotation(&mut sim), RotationStatus::default());
    assert_eq!(PEERS.map(|peer| given(&sim, peer)), [1, 1]);
    verify(&sim, &[5]);
    let said: Vec<&str> = sim.sites[ROSA].messages.iter().filter(|m| m.contains("CA root")).map(|m| &m[16..]).collect();
    let (old, new) = (root(2), root(5));
    let (old, new) = (old.short(), new.short());
    assert_eq!(
        said[1..],
        [
            format!("CA root {new} announced"),
            format!("every peer trusts CA root {new}"),
            if roots_sorted(5, 2) {
                format!("CA root {new} in use; CA root {old} retires")
            } else {
                format!("CA root {old} retires; CA root {new} in use")
            },
            format!("CA root {old} has left"),
        ]
    );
}

/// Whether the first stands before the second in a bundle.
fn roots_sorted(first: usize, second: usize) -> bool {
    root(first).fingerprint < root(second).fingerprint // they live equally long
}

#[test]
fn a_switch_without_notice_publishes_both_at_once_and_says_who_is_exposed() {
    let mut sim = settled();
    sim.set_root(ROSA, &ca(5));
    only(&mut sim, &[ROSA, ARO]);
    let exposed = rotation(&mut sim);
    assert_eq!(
        (exposed.phase, &exposed.exposed[..], &exposed.missing[..]),
        (Phase::Exposed, &[GCP.to_owned()][..], &[GCP.to_owned()][..])
    );
    let condition = sim.decide(ROSA).conditions.into_iter().find(|condition| condition.kind.name() == "RootsTrusted").unwrap();
    assert_eq!(condition.message, format!("gcp-dev-mesh do not trust CA root {} yet", root(5).short()));
    let before = sim.sites[ROSA].published[STATUS_PATH].clone();
    only(&mut sim, &[ROSA]);
    assert_eq!(sim.sites[ROSA].published[STATUS_PATH], before, "no time in it moves");

    // Long after the overlap: the peer that is silent keeps the old root published.
    sim.now = exposed.until.unwrap() + SignedDuration::from_hours(100);
    only(&mut sim, &[ROSA, ARO]);
    assert_eq!((phase(&mut sim), given(&sim, ARO)), (Phase::Exposed, 2));
    sim.settle();
    assert_eq!((phase(&mut sim), given(&sim, ARO)), (Phase::Steady, 1));
}

#[test]
fn a_peer_that_has_said_nothing_holds_the_old_root_but_does_not_count_as_exposed() {
    let mut sim = settled();
    sim.site(GCP).published.clear();
    sim.set_root(ROSA, &ca(5));
    only(&mut sim, &[ROSA, ARO]);
    sim.now += CA_OVERLAP;
    only(&mut sim, &[ROSA, ARO]);
    let status = rotation(&mut sim);
    assert_eq!((status.phase, &status.missing[..]), (Phase::Overlap, &[GCP.to_owned()][..]));
    let hold = sim.decide(ROSA).holds.into_iter().find(|hold| hold.subject.starts_with("CA root")).unwrap();
    assert!(hold.reason.contains("it stays until gcp-dev-mesh trust"), "{}", hold.reason);
    assert_eq!(given(&sim, ARO), 2);
}

#[test]
fn an_agent_that_starts_in_the_middle_goes_on_where_the_last_one_was() {
    let mut sim = settled();
    sim.set_root(ROSA, &ca(5));
    sim.settle();
    let before = rotation(&mut sim);
    sim.now += SignedDuration::from_hours(3);
    sim.site(ROSA).memory = crate::decide::Memory { inventory: sim.sites[ROSA].memory.inventory.clone(), ..Default::default() };
    assert_eq!(rotation(&mut sim), before);
    // The ConfigMap cannot be read for a while: nothing of it is forgotten.
    sim.set_root(ROSA, "{{ROOT}}");
    sim.settle();
    assert_eq!(rotation(&mut sim), before);
}

#[test]
fn a_root_that_is_announced_and_never_used_leaves_at_once() {
    let mut sim = settled();
    declare(&mut sim, &[5]);
    sim.settle();
    assert_eq!(given(&sim, ARO), 2);
    declare(&mut sim, &[]);
    sim.settle();
    assert_eq!((given(&sim, ARO), phase(&mut sim)), (1, Phase::Steady));
}

#[test]
fn a_root_that_the_control_plane_itself_shows_beside_the_old_one_is_announced() {
    let mut sim = settled();
    sim.set_root(ROSA, &(ca(2) + &ca(5)));
    only(&mut sim, &[ROSA]);
    let status = rotation(&mut sim);
    assert_eq!((status.phase, status.to, status.missing.len()), (Phase::Announced, root(5).fingerprint, 2));
    sim.settle();
    assert_eq!(phase(&mut sim), Phase::Steady);
    sim.set_root(ROSA, &ca(5));
    sim.settle();
    assert_eq!(phase(&mut sim), Phase::Overlap);
}

#[test]
fn a_rotation_that_goes_back_ends_where_it_began() {
    let mut sim = settled();
    declare(&mut sim, &[5]);
    sim.settle();
    sim.set_root(ROSA, &ca(5));
    sim.settle();
    sim.set_root(ROSA, &ca(2));
    sim.settle();
    let status = rotation(&mut sim);
    assert_eq!((status.phase, status.from), (Phase::Overlap, root(5).fingerprint));
    verify(&sim, &[2, 5]);
}

#[test]
fn a_mesh_that_leaves_its_peering_is_not_waited_for() {
    let mut sim = settled();
    sim.set_root(ROSA, &ca(5));
    only(&mut sim, &[ROSA, ARO]);
    assert_eq!(rotation(&mut sim).missing, [GCP]);
    sim.commit(|repo| repo.without("meshes/gcp-dev-mesh/peers/rosa-prod-mesh.yaml"));
    assert_eq!(rotation(&mut sim).missing, [""; 0]);
    sim.commit(|repo| repo.with("//- meshes/gcp-dev-mesh/peers/rosa-prod-mesh.yaml\nkind: [\n"));
    assert_eq!(rotation(&mut sim).missing, [GCP], "a document with an error is no leave");
}

#[test]
fn what_a_peer_reports_is_what_its_control_plane_was_given() {
    let mut sim = settled();
    let reported = |sim: &mut Sim| sim.decide(ARO).status.peerings[ROSA].trusted_roots.clone();
    assert_eq!(reported(&mut sim), [root(2).fingerprint]);
    // The ConfigMap is there, but the peer has not been told to read it again.
    sim.set_root(ROSA, &ca(5));
    only(&mut sim, &[ROSA]);
    let decision = sim.decide(ARO);
    let map = decision.apply.iter().position(|apply| *apply.object.key.kind == *"ConfigMap").unwrap();
    let mut turn = 0..decision.apply.len();
    sim.perform(ARO, &decision, || turn.next() == Some(map));
    assert_eq!(given(&sim, ARO), 2);
    assert_eq!(reported(&mut sim), [root(2).fingerprint], "what was trusted before is");
    sim.pass(ARO);
    assert_eq!(reported(&mut sim), [root(2).fingerprint], "its proxies do not know yet");
    sim.now += DISTRUST_WAIT - SignedDuration::from_secs(1);
    assert_eq!(reported(&mut sim).len(), 1);
    sim.now += SignedDuration::from_secs(1);
    assert_eq!(reported(&mut sim).len(), 2);
}

#[test]
fn a_declared_root_that_cannot_be_used_is_held_and_the_mesh_goes_on() {
    let mut sim = settled();
    declare(&mut sim, &[5]);
    sim.now = Timestamp::from_second(2_240_000_000).unwrap(); // 2040-12
    let decision = sim.decide(ROSA);
    let hold = decision.holds.iter().find(|hold| hold.subject.starts_with("CA root")).unwrap();
    assert!(hold.stuck && hold.reason.starts_with("expired at 2040-01-01"), "{}", hold.reason);
}
