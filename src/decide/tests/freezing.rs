//! A branch that does not verify: what goes on, what is told, and what is remembered of what was verified.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::sim::{Sim, example};
use crate::decide::{Trust, marks};
use crate::model::public_key;
use crate::object::{MAIN_ANNOTATION, PUBLISHED_ANNOTATION};
use crate::trust::testing::{key, public};
use crate::trust::{Id, Introduction, Marks, Passage, Refusal, Rule, Verification};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const CONTROL_PLANE: &str = "ServiceMeshControlPlane/rosa-prod-mesh/rosa-prod-mesh";

fn id(number: u8) -> Id {
    Id([number; 20])
}

fn introduction() -> Introduction {
    Introduction { anchor: id(1), digest: format!("sha256:{}", "0".repeat(64)).parse().unwrap() }
}

fn verified(commit: Id) -> Passage {
    Passage { serve: Some(commit), verified: Some(commit), tip: Some(commit), refusal: None }
}

fn refused(at: Option<Id>, bad: Id, rule: Rule) -> Passage {
    let refusal = Refusal { rule, commit: bad, signer: None, path: None, detail: "it is bad".to_owned() };
    Passage { serve: at, verified: at, tip: Some(bad), refusal: Some(refusal) }
}

fn enforced(main: Passage) -> Trust {
    Trust { verification: Verification::Enforce(introduction()), main, ..Trust::default() }
}

/// A settled federation of which everything is verified.
fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.trust = enforced(verified(id(2)));
    sim.settle();
    sim
}

#[test]
fn a_frozen_main_is_told_once_and_everything_else_goes_on() {
    let mut sim = settled();
    let start = sim.sites[ROSA].events.len();
    sim.trust.main = refused(Some(id(2)), id(3), Rule::Unsigned);
    sim.settle();
    let decision = sim.decide(ROSA);
    assert!(decision.leaves_cluster() && decision.renew.is_empty() && decision.publish.is_none());
    let holds: Vec<String> = decision.holds.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(holds.join("\n"));
    assert!(sim.sites[ROSA].messages.last().unwrap().starts_with("rosa-prod-mesh: main is frozen: commit 0303"));
    let imports = "ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh";
    sim.site(ROSA).server.remove(imports);
    sim.settle();
    assert!(sim.sites[ROSA].server.ours().iter().any(|name| name == imports), "drift is repaired");
    sim.trust.main = verified(id(3));
    sim.settle();
    let told: Vec<&str> =
        sim.sites[ROSA].events[start..].iter().map(String::as_str).filter(|event| event.contains("main")).collect();
    assert_eq!(
        told,
        [
            format!("{CONTROL_PLANE} Frozen: main is frozen: commit {} Unsigned: it is bad", id(3)),
            format!("{CONTROL_PLANE} Thawed: main is verified again")
        ]
    );
    assert_eq!(sim.sites[ROSA].messages.last().unwrap(), "rosa-prod-mesh: main is verified again");
}

#[test]
fn an_agent_that_starts_while_main_is_frozen_tells_no_event_again() {
    let mut sim = settled();
    sim.trust.main = refused(Some(id(2)), id(3), Rule::Unsigned);
    sim.settle();
    let start = sim.sites[ROSA].events.len();
    sim.site(ROSA).memory.told = None;
    sim.settle();
    assert_eq!(sim.sites[ROSA].events[start..], [""; 0]);
}

#[test]
fn a_new_commit_marks_the_control_plane_and_rewrites_nothing_else() {
    let mut sim = settled();
    let all = sim.sites[ROSA].server.ours();
    assert!(
        all.iter()
            .all(|name| sim.sites[ROSA].server.named(name)["metadata"]["annotations"][MAIN_ANNOTATION] == id(2).to_string())
    );
    sim.trust.main = verified(id(3));
    let decision = sim.decide(ROSA);
    let renewed: Vec<String> = decision.renew.iter().map(|object| object.key.to_string()).collect();
    assert_eq!((renewed, decision.leaves_cluster()), (vec![CONTROL_PLANE.to_owned()], true));
    sim.settle();
    assert!(sim.decide(ROSA).renew.is_empty());
    let remembered = marks(&sim.sites[ROSA].server.live());
    assert_eq!(remembered.main, BTreeSet::from([id(2), id(3)]));
    // What somebody else writes there is no mark.
    let pointer = format!("/metadata/annotations/{}", MAIN_ANNOTATION.replace('/', "~1"));
    sim.site(ROSA).server.edit(CONTROL_PLANE, &pointer, json!(id(9).to_string()), "kubectl", "Update");
    assert_eq!(marks(&sim.sites[ROSA].server.live()).main, BTreeSet::from([id(2)]));
}

#[test]
fn how_far_a_peers_branch_was_verified_when_its_keys_changed_outlives_the_agents_config_map() {
    let mut sim = settled();
    sim.trust.published.insert(ARO.to_owned(), verified(id(5)));
    sim.trust.published.insert(ROSA.to_owned(), verified(id(7)));
    sim.trust.main = verified(id(3)); // takes a key of the peer's away
    sim.settle();
    let known = || BTreeMap::from([(ARO.to_owned(), BTreeSet::from([id(5)]))]);
    assert_eq!(marks(&sim.sites[ROSA].server.live()).published, known(), "and nothing of its own branch");
    sim.trust.published.insert(ARO.to_owned(), verified(id(6)));
    assert!(sim.decide(ROSA).leaves_cluster(), "the peer's word alone is no reason to write");
    let pointer = format!("/metadata/annotations/{}", PUBLISHED_ANNOTATION.replace('/', "~1"));
    sim.site(ROSA).server.edit(CONTROL_PLANE, &pointer, json!(format!("{ARO}={}", id(9))), "kubectl", "Update");
    assert_eq!(marks(&sim.sites[ROSA].server.live()).published, BTreeMap::new(), "what somebody else writes there is no mark");
}

#[test]
fn an_observer_and_who_does_not_verify_mark_nothing() {
    let mut sim = Sim::new(example());
    sim.settle();
    assert_eq!(marks(&sim.sites[ROSA].server.live()), Marks::default());
    sim.trust = enforced(verified(id(2)));
    sim.observing = true;
    assert!(sim.decide(ROSA).renew.is_empty());
}

#[test]
fn what_is_about_a_peer_bears_how_far_its_branch_was_verified() {
    let mut sim = Sim::new(example());
    sim.trust = enforced(verified(id(2)));
    sim.trust.published.insert(ARO.to_owned(), verified(id(5)));
    sim.settle();
    let annotations = |name: &str| sim.sites[ROSA].server.named(name)["metadata"]["annotations"][PUBLISHED_ANNOTATION].clone();
    assert_eq!(annotations("ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh"), id(5).to_string());
    assert_eq!(annotations("ServiceMeshPeer/rosa-prod-mesh/gcp-dev-mesh"), json!(null));
    assert_eq!(marks(&sim.sites[ROSA].server.live()).published[ARO], BTreeSet::from([id(5)]));
}

#[test]
fn where_nothing_of_main_is_believed_nothing_changes_and_the_status_stays() {
    let mut sim = settled();
    let before = sim.decide(ROSA).status;
    let (federation, writes) = (std::mem::take(&mut sim.federation), sim.sites[ROSA].log.len());
    sim.trust.main = refused(None, id(3), Rule::SourceRewound);
    let decision = sim.decide(ROSA);
    assert!(decision.leaves_cluster());
    assert_eq!((&decision.status.peerings, &decision.status.traffic), (&before.peerings, &before.traffic));
    assert!(
        decision
            .status
            .holds
            .iter()
            .any(|hold| hold.starts_with("main: commit") && hold.contains("Nothing is applied or deleted"))
    );
    assert_eq!(decision.events.len(), 1, "{:?}", decision.events);
    sim.settle();
    assert_eq!(sim.sites[ROSA].log[writes..], [""; 0]);
    (sim.federation, sim.trust.main) = (federation, verified(id(3)));
    sim.settle();
    assert_eq!(sim.decide(ROSA).status.main.frozen, "");
}

#[test]
fn a_peer_that_is_not_believed_says_what_to_do() {
    let mut sim = settled();
    let published = [
        (ARO, refused(Some(id(5)), id(6), Rule::UnknownSigner)),
        ("gcp-dev-mesh", refused(None, id(7), Rule::UnknownSigner)),
        (ROSA, refused(Some(id(8)), id(9), Rule::SourceForked)),
    ];
    sim.trust.published = published.map(|(mesh, passage)| (mesh.to_owned(), passage)).into();
    sim.trust.own_key = format!("{} rosa-prod-mesh", public(&key(1)));
    let aro = sim.federation.meshes.get_mut(ARO).unwrap().mesh.as_mut().unwrap();
    aro.keys = vec![public_key(&public(&key(2))).unwrap()];
    let decision = sim.decide(ROSA);
    let holds: Vec<String> = decision.holds.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(holds.join("\n"));
    assert!(decision.leaves_cluster());
    assert!(decision.status.peerings[ARO].frozen.contains("UnknownSigner"));
    let rosa = sim.federation.meshes.get_mut(ROSA).unwrap().mesh.as_mut().unwrap();
    rosa.keys = vec![public_key(&format!("{} some other comment", public(&key(1)))).unwrap()];
    assert!(!sim.decide(ROSA).holds.iter().any(|hold| hold.reason.contains("the key that this agent signs with")));
}

#[test]
fn agents_that_refuse_each_others_branches_come_to_an_end() {
    let mut sim = settled();
    let mut told = [3, 4].map(|tip| {
        let (forked, lost) = (refused(Some(id(5)), id(5), Rule::SourceForked), refused(None, id(6), Rule::SourceRewound));
        let never = refused(None, id(tip), Rule::UnknownSigner);
        let branches = [(ARO, forked), (ROSA, lost), ("gcp-dev-mesh", never)];
        sim.trust.published = branches.map(|(mesh, passage)| (mesh.to_owned(), Passage { tip: Some(id(tip)), ..passage })).into();
        sim.decide(ROSA).status
    });
    told.iter_mut().for_each(|status| status.main.seen.clear());
    assert_eq!(told[0], told[1], "the tip moves with each word of its agent, also with what that says about us");
    insta::assert_snapshot!(told[0].holds.join("\n"));
}

#[test]
fn nothing_is_published_under_a_key_that_people_have_not_listed_beside_others() {
    let mut sim = settled();
    let list = |sim: &mut Sim, keys: &[u8]| {
        let mesh = sim.federation.meshes.get_mut(ROSA).unwrap().mesh.as_mut().unwrap();
        mesh.keys = keys.iter().map(|number| public_key(&public(&key(*number))).unwrap()).collect();
    };
    sim.trust.own_key = public(&key(1));
    let warns = Verification::Warn(introduction());
    for (listed, verification, publishes) in
        [(&[2][..], sim.trust.verification, false), (&[], sim.trust.verification, true), (&[2], warns, true)]
    {
        list(&mut sim, listed);
        sim.trust.verification = verification;
        let before = sim.sites[ROSA].messages.len();
        sim.settle();
        assert_eq!(sim.sites[ROSA].messages.len() > before, publishes, "{listed:?} {verification:?}");
        list(&mut sim, &[1, 2]);
        sim.settle();
    }
}

#[test]
fn what_is_not_known_now_stays_remembered() {
    let before = Marks { main: BTreeSet::from([id(2)]), published: [(ARO.to_owned(), BTreeSet::from([id(5)]))].into() };
    let after = enforced(verified(id(3))).marks(&before);
    assert_eq!(after, Marks { main: BTreeSet::from([id(3)]), ..Marks::default() }, "who is no peer any more is forgotten");
    assert_eq!(enforced(refused(None, id(3), Rule::SourceRewound)).marks(&before), before);
    let mut lost = enforced(verified(id(2)));
    lost.published.insert(ARO.to_owned(), refused(None, id(6), Rule::SourceRewound));
    assert_eq!(lost.marks(&before), before);
    assert_eq!(Trust::default().marks(&before), before, "who does not look lowers nothing");
}
