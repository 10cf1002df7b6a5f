//! Histories of `published/<mesh>`.

use std::collections::BTreeSet;

use meshfed::trust::{Id, Publisher, Refusal, Revoked, Rule, Verdict, public_key, published};

use super::repository::Work;

/// Starts the branch of a mesh, whose agent's key is called `agent-<mesh>`.
fn begin(work: &Work, mesh: &str) -> Id {
    work.git(&["checkout", "--quiet", "--orphan", &format!("published/{mesh}")]);
    work.git(&["rm", "--quiet", "-rf", "."]);
    work.write("status.yaml", "applied: []\n");
    work.change(Some(&format!("agent-{mesh}")), "published.yaml", "fact: 1\n")
}

fn publish(work: &Work, signer: &str, fact: u32) -> Id {
    work.change(Some(signer), "published.yaml", &format!("fact: {fact}\n"))
}

fn verdict(work: &Work, mesh: &str, verified: Option<Id>) -> Verdict {
    let mirror = work.mirror();
    let tip = mirror.refs().published[mesh].into();
    let keys = BTreeSet::from([public_key(&work.public(&format!("agent-{mesh}"))).unwrap()]);
    published(&mirror, &Publisher { keys, ..Publisher::default() }, &Revoked::default(), verified, tip).unwrap()
}

fn refused(work: &Work, mesh: &str, verified: Id) -> Refusal {
    let verdict = verdict(work, mesh, Some(verified));
    assert_eq!(verdict.verified, Some(verified), "what was verified is still served");
    verdict.refusal.unwrap()
}

#[test]
fn t01_a_stolen_key_is_worth_nothing_on_another_meshs_branch() {
    let work = Work::new();
    let first = begin(&work, "rosa");
    let tip = publish(&work, "agent-rosa", 2);
    assert_eq!(verdict(&work, "rosa", None), Verdict { verified: Some(tip), refusal: None });
    assert_eq!(verdict(&work, "rosa", Some(first)), Verdict { verified: Some(tip), refusal: None });
    publish(&work, "agent-aro", 3);
    assert_eq!(refused(&work, "rosa", tip).rule, Rule::UnknownSigner);
    // It does not get better under a good tip.
    publish(&work, "agent-rosa", 4);
    assert_eq!(refused(&work, "rosa", tip).rule, Rule::UnknownSigner);
}

#[test]
fn t10_a_published_branch_goes_forward_only() {
    let work = Work::new();
    let first = begin(&work, "rosa");
    let verified = publish(&work, "agent-rosa", 2);
    assert_eq!(verdict(&work, "rosa", Some(first)).refusal, None);
    work.reset(first);
    assert_eq!(refused(&work, "rosa", verified).rule, Rule::SourceRewound);
    publish(&work, "agent-rosa", 3);
    assert_eq!(refused(&work, "rosa", verified).rule, Rule::SourceForked);
    // A merge does not join what was verified to a fork.
    let merge = ["merge", "--quiet", "-s", "ours", "--no-edit", &verified.to_string()];
    work.signed(Some("agent-rosa"), &merge, &[]);
    assert_eq!(refused(&work, "rosa", verified).rule, Rule::SourceForked);
}

#[test]
fn t01_an_agent_publishes_its_two_files_and_nothing_else() {
    let work = Work::new();
    let verified = begin(&work, "rosa");
    work.change(Some("agent-rosa"), "meshes/aro/mesh.yaml", "a: evil\n");
    let refusal = refused(&work, "rosa", verified);
    assert_eq!((refusal.rule, refusal.path.as_deref()), (Rule::PathDenied, Some("meshes/aro/mesh.yaml")));
    assert_eq!(verdict(&work, "rosa", None).refusal.unwrap().rule, Rule::PathDenied);
}
