//! What is served: introduction, floor, enforce and warn.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ssh_key::PrivateKey;

use super::super::testing::{Files, Store, files, key, public};
use super::super::{
    Digest, Gate, Id, Introduction, Marks, Passage, Publisher, Revoked, Rule, Verification, Verifier, public_key,
};

/// A line of commits by root, oldest first.
fn line(store: &mut Store, length: u32) -> Vec<Id> {
    let mut line: Vec<Id> = Vec::new();
    for number in 0..length {
        let parents: Vec<Id> = line.last().copied().into_iter().collect();
        line.push(commit(store, &parents, number, Some(&key(1))));
    }
    line
}

fn tree(number: u32) -> Files {
    let policy = "apiVersion: meshfed.dev/v1alpha1\nkind: TrustPolicy\nspec:\n  roles: {root: [root@example.com]}\n  rules:\n  - {paths: ['**'], allow: [root]}\n";
    let signers = format!("root@example.com namespaces=\"git\" {}\n", public(&key(1)));
    files(&[("trust/policy.yaml", policy), ("trust/allowed_signers", &signers), ("file", &number.to_string())])
}

fn commit(store: &mut Store, parents: &[Id], number: u32, signer: Option<&PrivateKey>) -> Id {
    store.commit(&tree(number), parents, "Change", signer)
}

fn introduction(store: &Store, anchor: Id) -> Introduction {
    Introduction { anchor, digest: Verifier::digest(store, anchor).unwrap() }
}

fn gate(store: &Store, anchor: Id) -> Gate {
    Gate::new(Verification::Enforce(introduction(store, anchor)))
}

fn marks(main: &[Id]) -> Marks {
    Marks { main: main.iter().copied().collect(), published: BTreeMap::new() }
}

fn told(passage: &Passage) -> (Option<Id>, Option<Rule>) {
    (passage.serve, passage.refusal.as_ref().map(|refusal| refusal.rule))
}

#[test]
fn nothing_is_served_without_the_right_introduction() {
    let mut store = Store::default();
    let line = line(&mut store, 2);
    assert_eq!(told(&gate(&store, line[0]).main(&store, line[1]).unwrap()), (Some(line[1]), None));
    let other: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let mut wrong = Gate::new(Verification::Enforce(Introduction { anchor: line[0], digest: other }));
    assert_eq!(told(&wrong.main(&store, line[1]).unwrap()), (None, Some(Rule::WrongDigest)));
    let elsewhere = Introduction { anchor: Id([7; 20]), ..introduction(&store, line[0]) };
    let mut lost = Gate::new(Verification::Enforce(elsewhere));
    assert_eq!(told(&lost.main(&store, line[1]).unwrap()), (None, Some(Rule::SourceForked)));
    assert_eq!(told(&Gate::default().main(&store, line[1]).unwrap()), (Some(line[1]), None), "off: nobody looks");
}

#[test]
fn the_newest_mark_counts_whatever_the_others_say() {
    let mut store = Store::default();
    let line = line(&mut store, 6);
    // Every order in which marks can be met: a set is sorted by ids, which say nothing about age.
    for newest in 1..5 {
        for older in 0..newest {
            let mut gate = gate(&store, line[0]);
            gate.remember(marks(&[line[older], line[newest]]));
            for (tip, expected) in [(newest - 1, Some(Rule::SourceRewound)), (newest, None), (newest + 1, None)] {
                let served = if expected.is_some() { newest } else { tip };
                assert_eq!(
                    told(&gate.main(&store, line[tip]).unwrap()),
                    (Some(line[served]), expected),
                    "{older} {newest} {tip}"
                );
            }
        }
    }
}

#[test]
fn a_floor_is_never_lowered_by_less_knowledge() {
    let mut store = Store::default();
    let line = line(&mut store, 4);
    let mut gate = gate(&store, line[0]);
    gate.remember(Marks::default());
    gate.main(&store, line[2]).unwrap();
    gate.remember(marks(&[line[0], line[1]]));
    assert_eq!(told(&gate.main(&store, line[1]).unwrap()), (Some(line[2]), Some(Rule::SourceRewound)));
    assert_eq!(told(&gate.main(&store, line[3]).unwrap()), (Some(line[3]), None), "and goes on when the host does");
}

#[test]
fn what_was_judged_before_the_cluster_was_heard_counts_for_nothing() {
    let mut store = Store::default();
    let line = line(&mut store, 3);
    let fork = commit(&mut store, &[line[0]], 9, Some(&key(1)));
    let first = publish(&mut store, &[], 1, &key(2));
    let evil = publish(&mut store, &[first], 2, &key(2));
    let none = Revoked::default();
    let mut gate = gate(&store, line[0]);
    // A host shows a past in which a stolen key was good.
    gate.expect("aro", agent(&key(2)));
    assert_eq!(gate.main(&store, fork).unwrap().verified, Some(fork));
    assert_eq!(gate.published(&store, "aro", Some(&none), Some(evil)).unwrap().verified, Some(evil));
    gate.remember(Marks { published: BTreeMap::from([("aro".to_owned(), BTreeSet::from([first]))]), ..marks(&[line[1]]) });
    assert_eq!(told(&gate.main(&store, fork).unwrap()), (Some(line[1]), Some(Rule::SourceForked)));
    assert_eq!(told(&gate.main(&store, line[2]).unwrap()), (Some(line[2]), None));
    gate.expect("aro", agent(&key(3)));
    let passage = gate.published(&store, "aro", Some(&none), Some(evil)).unwrap();
    assert_eq!(told(&passage), (Some(first), Some(Rule::UnknownSigner)));
    // Nor is anything taken while nobody knows what is revoked.
    gate.expect("aro", agent(&key(2)));
    assert_eq!(told(&gate.published(&store, "aro", None, Some(evil)).unwrap()), (Some(first), None));
}

#[test]
fn marks_that_do_not_fit_freeze_and_apply_nothing() {
    let mut store = Store::default();
    let line = line(&mut store, 3);
    let fork = commit(&mut store, &[line[0]], 9, Some(&key(1)));
    let mut apart = gate(&store, line[0]);
    apart.remember(marks(&[line[1], fork]));
    assert_eq!(told(&apart.main(&store, line[2]).unwrap()), (None, Some(Rule::SourceForked)));
    let mut lost = gate(&store, line[0]);
    lost.remember(marks(&[Id([9; 20])]));
    let passage = lost.main(&store, line[2]).unwrap();
    assert_eq!((told(&passage), passage.verified), ((None, Some(Rule::SourceRewound)), None));
    let mut forked = gate(&store, line[0]);
    forked.remember(marks(&[line[1]]));
    assert_eq!(told(&forked.main(&store, fork).unwrap()), (Some(line[1]), Some(Rule::SourceForked)));
}

#[test]
fn a_warning_serves_the_tip_and_leaves_the_floor_where_it_is() {
    let mut store = Store::default();
    let line = line(&mut store, 2);
    let bad = commit(&mut store, &[line[1]], 9, None);
    let mut gate = Gate::new(Verification::Warn(introduction(&store, line[0])));
    let passage = gate.main(&store, bad).unwrap();
    assert_eq!((told(&passage), passage.verified), ((Some(bad), Some(Rule::Unsigned)), Some(line[1])));
    let wrong = Introduction { anchor: Id([7; 20]), ..introduction(&store, line[0]) };
    let passage = Gate::new(Verification::Warn(wrong)).main(&store, bad).unwrap();
    assert_eq!(told(&passage), (Some(bad), Some(Rule::SourceForked)));
}

#[test]
fn asking_again_reads_next_to_nothing() {
    let mut store = Store::default();
    let line = line(&mut store, 50);
    let mut gate = gate(&store, line[0]);
    gate.main(&store, line[49]).unwrap();
    store.reads.set(0);
    gate.main(&store, line[49]).unwrap();
    assert!(store.reads.get() <= 2, "{}", store.reads.get());
}

fn publish(store: &mut Store, parents: &[Id], number: u32, signer: &PrivateKey) -> Id {
    store.commit(&files(&[("published.yaml", &number.to_string())]), parents, "Publish", Some(signer))
}

fn agent(signer: &PrivateKey) -> Publisher {
    Publisher { keys: BTreeSet::from([public_key(&public(signer)).unwrap()]), ..Publisher::default() }
}

#[test]
fn a_published_branch_has_a_floor_of_its_own() {
    let mut store = Store::default();
    let main = line(&mut store, 1);
    let first = publish(&mut store, &[], 1, &key(2));
    let second = publish(&mut store, &[first], 2, &key(2));
    let bad = publish(&mut store, &[second], 3, &key(3));
    let none = Revoked::default();
    let mut gate = gate(&store, main[0]);
    let ask = |gate: &mut Gate, tip| told(&gate.published(&store, "aro", Some(&none), tip).unwrap());
    assert_eq!(ask(&mut gate, Some(first)), (None, Some(Rule::UnknownSigner)), "nobody may sign yet");
    gate.expect("aro", agent(&key(2)));
    assert_eq!(ask(&mut gate, None), (None, None), "there is no branch yet");
    assert_eq!(ask(&mut gate, Some(second)), (Some(second), None));
    assert_eq!(ask(&mut gate, Some(first)), (Some(second), Some(Rule::SourceRewound)));
    assert_eq!(ask(&mut gate, Some(bad)), (Some(second), Some(Rule::UnknownSigner)));
    assert_eq!(ask(&mut gate, None), (Some(second), Some(Rule::SourceRewound)), "what is gone was there");
    gate.expect("aro", agent(&key(3)));
    assert_eq!(ask(&mut gate, Some(bad)), (Some(bad), None), "a key that people change is asked from then on");
    gate.remember(Marks {
        main: BTreeSet::new(),
        published: BTreeMap::from([("aro".to_owned(), BTreeSet::from([Id([9; 20])]))]),
    });
    assert_eq!(ask(&mut gate, Some(bad)), (None, Some(Rule::SourceRewound)));
    gate.retain(|_| false);
    gate.expect("aro", agent(&key(2)));
    assert_eq!(ask(&mut gate, Some(first)), (Some(first), None), "who left and comes again begins anew");
}

#[test]
fn a_branch_goes_on_after_a_commit_that_its_people_disown() {
    let mut store = Store::default();
    let main = line(&mut store, 1);
    let first = publish(&mut store, &[], 1, &key(2));
    let odd = files(&[("published.yaml", "evil"), ("odd", "")]);
    let bad = store.commit(&odd, &[first], "Junk", None);
    let kept = store.commit(&odd, &[bad], "What the junk brought stays", Some(&key(2)));
    let after = publish(&mut store, &[bad], 2, &key(2));
    let none = Revoked::default();
    let mut gate = gate(&store, main[0]);
    let ask = |gate: &mut Gate, tip| told(&gate.published(&store, "aro", Some(&none), Some(tip)).unwrap());
    gate.expect("aro", agent(&key(2)));
    assert_eq!(ask(&mut gate, first), (Some(first), None));
    assert_eq!(ask(&mut gate, after), (Some(first), Some(Rule::Unsigned)), "a good tip mends nothing");
    gate.expect("aro", Publisher { disowned: BTreeSet::from([bad]), ..agent(&key(2)) });
    assert_eq!(ask(&mut gate, bad), (Some(first), None), "it is not believed");
    assert_eq!(ask(&mut gate, kept), (Some(first), Some(Rule::PathDenied)));
    assert_eq!(ask(&mut gate, after), (Some(after), None));
}

#[test]
fn a_branch_whose_last_commits_are_lost_goes_on_when_its_people_say_so() {
    let mut store = Store::default();
    let main = line(&mut store, 1);
    let first = publish(&mut store, &[], 1, &key(2));
    let [lost, restored, stranger] =
        [(2, 2), (3, 2), (4, 3)].map(|(number, signer)| publish(&mut store, &[first], number, &key(signer)));
    let (gone, older) = (Id([9; 20]), first);
    let none = Revoked::default();
    let mut other_agent = gate(&store, main[0]);
    let ask = |gate: &mut Gate, tip| gate.published(&store, "aro", Some(&none), Some(tip)).unwrap();
    // One agent still has the commit in its mirror, another one only remembers its name.
    for (known, mark) in [(Some(lost), lost), (None, gone)] {
        let mut gate = gate(&store, main[0]);
        gate.expect("aro", agent(&key(2)));
        gate.remember(Marks {
            main: BTreeSet::new(),
            published: BTreeMap::from([("aro".to_owned(), BTreeSet::from([mark, older]))]),
        });
        let refused = ask(&mut gate, restored);
        assert_eq!(
            (refused.verified, refused.refusal.unwrap().commit),
            (known, mark),
            "by a name that stays when the agent goes on"
        );
        gate.expect("aro", Publisher { disowned: BTreeSet::from([mark]), ..agent(&key(2)) });
        assert_eq!(told(&ask(&mut gate, stranger)), (None, Some(Rule::UnknownSigner)), "that lets nobody else in");
        assert_eq!(told(&ask(&mut gate, restored)), (Some(restored), None));
        gate.expect("aro", agent(&key(2)));
        assert_eq!(
            told(&ask(&mut gate, first)),
            (Some(restored), Some(Rule::SourceRewound)),
            "and from there on it is held again"
        );
    }
    other_agent.expect("aro", Publisher { disowned: BTreeSet::from([lost]), ..agent(&key(2)) });
    assert_eq!(told(&ask(&mut other_agent, restored)), (Some(restored), None), "who knew nothing of it is not concerned");
}

#[test]
fn a_branch_that_goes_on_after_a_loss_does_not_go_back_behind_that() {
    let mut store = Store::default();
    let main = line(&mut store, 1);
    let first = publish(&mut store, &[], 1, &key(2));
    let lost = publish(&mut store, &[first], 2, &key(2));
    let none = Revoked::default();
    // Whichever of the two comes first in order.
    let mut restored: Vec<Id> = (3..20).map(|number| publish(&mut store, &[first], number, &key(2))).collect();
    restored.sort_by_key(|id| *id > lost);
    assert!(restored[0] < lost && restored[16] > lost);
    for (mark, restored) in [(lost, restored[0]), (lost, restored[16]), (Id([9; 20]), restored[0])] {
        let after = publish(&mut store, &[restored], 30, &key(2));
        let mut gate = gate(&store, main[0]);
        gate.remember(Marks {
            main: BTreeSet::new(),
            published: BTreeMap::from([("aro".to_owned(), BTreeSet::from([mark, restored]))]),
        });
        let ask = |gate: &mut Gate, tip| gate.published(&store, "aro", Some(&none), Some(tip)).unwrap();
        gate.expect("aro", agent(&key(2)));
        assert_eq!(ask(&mut gate, after).refusal.unwrap().commit, mark, "the one that is lost is named");
        gate.expect("aro", Publisher { disowned: BTreeSet::from([mark]), ..agent(&key(2)) });
        assert_eq!(told(&ask(&mut gate, first)), (Some(restored), Some(Rule::SourceRewound)));
        assert_eq!(told(&ask(&mut gate, after)), (Some(after), None));
    }
}

/// What a cluster remembers, each part of which may be lost.
#[derive(Clone, Debug, Default)]
struct Cluster {
    applied: Option<usize>,
    config_map: Option<usize>,
    annotation: Option<usize>,
}

/// What happens next to an agent and its surroundings.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The host shows the commit of this number, unsigned junk on top of it, or a fork beside it.
    Host(usize, Shown),
    /// The agent reads and applies; it may die after any of the steps.
    Pass {
        dies_after: usize,
    },
    Restart,
    LoseConfigMap,
    LoseAnnotation,
}

#[derive(Clone, Copy, Debug)]
enum Shown {
    Commit,
    Junk,
    Fork,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let shown = prop_oneof![3 => Just(Shown::Commit), 1 => Just(Shown::Junk), 1 => Just(Shown::Fork)];
    let event = prop_oneof![
        3 => (0_usize..LENGTH, shown).prop_map(|(number, shown)| Event::Host(number, shown)),
        5 => (0_usize..5).prop_map(|dies_after| Event::Pass { dies_after }),
        1 => Just(Event::Restart),
        1 => Just(Event::LoseConfigMap),
        1 => Just(Event::LoseAnnotation),
    ];
    prop::collection::vec(event, 1..40)
}

const LENGTH: usize = 8;

proptest! {
    /// Whatever a host shows and wherever an agent dies: what is applied never goes back, as long as one of the two that remember it is left,
    /// and nothing is ever applied that is not on the verified line.
    #[test]
    fn what_is_applied_never_goes_back(events in events()) {
        let mut store = Store::default();
        let line = line(&mut store, u32::try_from(LENGTH).unwrap());
        let number = |id: Id| line.iter().position(|other| *other == id);
        let junk: Vec<Id> = (0..LENGTH).map(|at| commit(&mut store, &[line[at]], 90, None)).collect();
        let fork: Vec<Id> = (0..LENGTH).map(|at| commit(&mut store, &line[at..=at], 91, Some(&key(3)))).collect();
        let (mut host, mut cluster, mut agent) = (line[0], Cluster::default(), None::<Gate>);
        for event in events {
            match event {
                Event::Host(at, Shown::Commit) => host = line[at],
                Event::Host(at, Shown::Junk) => host = junk[at],
                Event::Host(at, Shown::Fork) => host = fork[at],
                Event::Restart => agent = None,
                // The other one is left: an agent that runs writes both again.
                Event::LoseConfigMap if cluster.annotation == cluster.applied => cluster.config_map = None,
                Event::LoseAnnotation if cluster.config_map >= cluster.applied => cluster.annotation = None,
                Event::LoseConfigMap | Event::LoseAnnotation => {}
                Event::Pass { dies_after } => {
                    let gate = agent.get_or_insert_with(|| {
                        let mut gate = gate(&store, line[0]);
                        let known: Vec<Id> = [cluster.config_map, cluster.annotation].iter().flatten().map(|at| line[*at]).collect();
                        gate.remember(marks(&known));
                        gate
                    });
                    let serve = gate.main(&store, host).unwrap().serve.and_then(number);
                    prop_assert!(serve.is_some(), "all of the line is in the store");
                    prop_assert!(serve >= cluster.applied, "{serve:?} after {:?}", cluster.applied);
                    if dies_after > 1 {
                        cluster.config_map = serve;
                    }
                    if dies_after > 2 {
                        (cluster.applied, cluster.annotation) = (serve, serve); // in one write
                    }
                    if dies_after < 4 {
                        agent = None;
                    }
                }
            }
        }
    }
}
