//! A host that shows two histories, or an old one, is suspected; nobody is frozen by what an agent says.

use jiff::SignedDuration;

use super::sim::{Sim, example};
use crate::decide::{Condition, ConditionKind, Decision, FRESHNESS, Position, STATUS_PATH, patience};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const GCP: &str = "gcp-dev-mesh";

/// How long a peer may be ahead of us.
fn ahead_for() -> SignedDuration {
    patience(SignedDuration::from_secs(30))
}

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim
}

fn is_so(decision: &Decision, kind: ConditionKind, subject: &str) -> bool {
    let about = |condition: &&Condition| condition.kind == kind && condition.subject == subject;
    decision.conditions.iter().find(about).unwrap().status
}

/// The agent of aro says that it saw a commit that lies there for rosa.
fn sees(sim: &mut Sim, commit: &str, position: Position) {
    let seen = format!("seen: {}", sim.status(ARO).unwrap().main.seen);
    let file = sim.site(ARO).published.get_mut(STATUS_PATH).unwrap();
    *file = file.replace(&seen, &format!("seen: {commit}"));
    sim.positions.insert((ROSA.into(), ARO.into()), position);
}

/// A change of rosa's documents goes through.
fn goes_on(sim: &mut Sim) {
    let path = "meshes/rosa-prod-mesh/manifests/details.yaml";
    sim.commit(|repo| repo.edit(path, "replicas: 1", "replicas: 2"));
    let sent: Vec<String> = sim.pass(ROSA).apply.iter().map(|apply| apply.object.key.to_string()).collect();
    assert_eq!(sent, ["Deployment/prod-bookinfo/details-v1"]);
}

#[test]
fn the_status_names_the_commit_that_was_seen_and_makes_no_commit_for_it_alone() {
    let mut sim = settled();
    assert_eq!(sim.status(ROSA).unwrap().main.seen, "c1");
    sim.commit(|repo| repo.with("//- README.md\nhello"));
    sim.settle();
    let main = sim.status(ROSA).unwrap().main;
    assert_eq!((main.seen.as_str(), main.applied.as_str()), ("c1'", "c1'"));

    // What waits for a person is not applied; the next thing that is published names what was seen since.
    sim.commit(|repo| {
        repo.without("meshes/rosa-prod-mesh/manifests/details.yaml").without("meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml")
    });
    sim.settle();
    let (seen, messages) = (sim.status(ROSA).unwrap().main.seen, sim.sites[ROSA].messages.len());
    assert_eq!(seen, sim.commit);
    sim.settle();
    assert_eq!(sim.sites[ROSA].messages.len(), messages);
}

#[test]
fn t04_a_peer_that_saw_another_line_of_main_is_told_with_both_commits_and_nobody_is_frozen() {
    let mut sim = settled();
    assert!(is_so(&sim.decide(ROSA), ConditionKind::SameMain, ARO));
    sees(&mut sim, "e01b77d000000000000000000000000000000000", Position::Elsewhere);
    let since = sim.now;
    let decision = sim.pass(ROSA);
    assert!(!is_so(&decision, ConditionKind::SameMain, ARO) && is_so(&decision, ConditionKind::SameMain, GCP));
    let line = format!(
        "forked view suspected: aro-stg-mesh says that it saw e01b77d of main, which is not on the line of c1, ours, since {since}; \
         the host may show two histories"
    );
    assert_eq!(decision.status.views.lines(), [line]);
    assert_eq!(decision.events.iter().map(|event| (event.reason, event.warning)).collect::<Vec<_>>(), [("ForkedView", true)]);
    sim.settle();
    assert_eq!(sim.pass(ROSA).events, [], "told once");
    goes_on(&mut sim);

    sim.restart(ROSA);
    sim.settle();
    assert_eq!(
        sim.decide(ROSA).status.views.forked[ARO].since,
        since,
        "an agent that starts anew goes on from what was published"
    );
    sees(&mut sim, "c1", Position::Behind);
    let decision = sim.pass(ROSA);
    assert!(decision.status.views.is_plain() && is_so(&decision, ConditionKind::SameMain, ARO));
    assert_eq!(decision.events.iter().map(|event| event.reason).collect::<Vec<_>>(), ["SameView"]);
}

#[test]
fn t04_a_commit_that_we_do_not_have_yet_is_suspected_only_after_a_while() {
    for position in [Position::Unknown, Position::Ahead] {
        let mut sim = settled();
        sees(&mut sim, "e01b77d000000000000000000000000000000000", position);
        let decision = sim.pass(ROSA);
        assert!(decision.status.views.is_plain() && decision.wake_at <= Some(sim.now + ahead_for()));
        sim.now += ahead_for();
        assert!(sim.pass(ROSA).status.views.forked.contains_key(ARO), "{position:?}");
    }
    // One that comes in time is nothing.
    let mut sim = settled();
    sees(&mut sim, "e01b77d000000000000000000000000000000000", Position::Unknown);
    sim.pass(ROSA);
    sim.now += ahead_for() - SignedDuration::from_secs(1);
    sees(&mut sim, "c1", Position::Behind);
    sim.pass(ROSA);
    sim.now += ahead_for();
    assert!(sim.pass(ROSA).status.views.is_plain());
}

#[test]
fn t04_a_lying_agent_freezes_nobody() {
    for lie in ["e01b77d000000000000000000000000000000000", "HEAD~1", "\"\\e[31mred\"", "\"-\\n-\""] {
        let mut sim = settled();
        sees(&mut sim, lie, Position::Unknown);
        // It also claims to live in another year.
        let day = format!("heartbeat: {}", sim.status(ARO).unwrap().main.heartbeat);
        let file = sim.site(ARO).published.get_mut(STATUS_PATH).unwrap();
        *file = file.replace(&day, "heartbeat: 2999-01-01");
        sim.pass(ROSA);
        sim.now += ahead_for();
        let decision = sim.pass(ROSA);
        assert!(decision.status.views.lines().iter().all(|line| !line.contains(char::is_control)));
        assert!(decision.leaves_cluster() && decision.holds.is_empty(), "{lie}");
        goes_on(&mut sim);
    }
}

#[test]
fn t05_when_no_heartbeat_is_fresh_the_host_is_suspected_and_everything_goes_on() {
    let mut sim = settled();
    let decision = sim.pass(ROSA);
    assert!(is_so(&decision, ConditionKind::Fresh, ROSA) && decision.wake_at.unwrap() <= sim.now + FRESHNESS);
    // The other agents may be well: what they publish is not shown.
    sim.now += FRESHNESS + SignedDuration::from_hours(24);
    let decision = sim.pass(ROSA);
    assert!(!is_so(&decision, ConditionKind::Fresh, ROSA));
    let [line] = decision.status.views.lines().try_into().unwrap();
    assert!(line.starts_with("stale: the host may have stopped serving news: the newest sign of life"), "{line}");
    assert_eq!(decision.events.iter().map(|event| (event.reason, event.warning)).collect::<Vec<_>>(), [("Stale", true)]);
    sim.site(ROSA).server.remove("ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh");
    assert!(!sim.pass(ROSA).leaves_cluster(), "drift is corrected");
    goes_on(&mut sim);
    sim.pass(GCP); // its heartbeat of today; those of the others stay away
    sim.now += SignedDuration::from_secs(3);
    sim.pass(GCP);
    let decision = sim.pass(ROSA);
    assert!(is_so(&decision, ConditionKind::Fresh, ROSA), "one suffices: {:#?}", decision.status.views);
    assert_eq!(decision.events.iter().map(|event| event.reason).collect::<Vec<_>>(), ["Fresh"]);
}

#[test]
fn t05_a_new_commit_is_a_sign_of_life_and_a_clock_that_goes_back_is_none_of_death() {
    let mut sim = settled();
    sim.now += FRESHNESS * 3;
    sim.committed_at = Some(sim.now - FRESHNESS);
    assert!(sim.decide(ROSA).status.views.is_plain());
    sim.committed_at = Some(sim.now + FRESHNESS);
    assert!(!sim.decide(ROSA).status.views.is_plain(), "what is dated ahead says nothing of now");
    sim.now -= FRESHNESS * 6;
    assert!(sim.decide(ROSA).status.views.is_plain());
}

/// An old history: rosa's application was not there yet.
fn old(sim: &mut Sim) {
    sim.commit(|repo| repo.without("meshes/rosa-prod-mesh/manifests/details.yaml"));
}

#[test]
fn t06_an_agent_that_starts_with_an_old_history_deletes_nothing_until_it_sees_something_fresh() {
    let mut sim = settled();
    sim.restart(ROSA);
    old(&mut sim);
    sim.allow(ROSA); // a trailer of then says nothing about now
    sim.now += FRESHNESS * 2;
    let decision = sim.pass(ROSA);
    assert!(decision.leaves_cluster(), "{:#?}", decision.delete);
    let hold = decision.holds.iter().find(|hold| hold.subject == "deletions").unwrap();
    assert!(
        hold.reason.starts_with("held, because this agent has just started, and the host may have stopped"),
        "{}",
        hold.reason
    );
    assert!(hold.reason.ends_with("A heartbeat of any peer, or any new commit to main, ends this"), "{}", hold.reason);

    sim.committed_at = Some(sim.now);
    sim.pass(ROSA);
    assert!(sim.sites[ROSA].log.iter().any(|line| line == "delete Deployment/prod-bookinfo/details-v1"), "fresh at last");
}

#[test]
fn t06_what_was_fresh_once_deletes_also_while_nobody_is_heard() {
    let mut sim = settled();
    sim.now += FRESHNESS * 2;
    assert!(!sim.pass(ROSA).status.views.is_plain());
    old(&mut sim);
    assert!(!sim.pass(ROSA).leaves_cluster(), "what it is shown follows what it knows");

    let mut alone = Sim::new(crate::model::testing::example());
    alone.sites.retain(|mesh, _| mesh == ROSA);
    for _ in 0..40 {
        alone.round();
    }
    alone.restart(ROSA);
    alone.now += FRESHNESS * 2;
    old(&mut alone);
    assert!(!alone.pass(ROSA).leaves_cluster(), "where no peer ever published, nothing can be told");
}
