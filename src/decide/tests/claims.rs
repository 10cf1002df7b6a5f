//! Two clusters under one mesh's name (T23 of the threats), and one that is rebuilt.

use super::sim::{Sim, ca, example};
use crate::decide::{ConditionKind, Decision};
use crate::facts::published::FACTS_PATH;
use crate::model::testing::Repo;
use jiff::SignedDuration;

const ROSA: &str = "rosa-prod-mesh";
const FIRST: &str = "uid-of-kube-system";
const SECOND: &str = "second";

/// The mesh's cluster, and another one with an agent of the same name, whose control plane has another root.
fn two(repo: &Repo) -> [Sim; 2] {
    let mut first = Sim::new(repo.clone());
    first.settle();
    let mut second = Sim::new(repo.clone());
    second.now = first.now;
    second.site(ROSA).cluster_uid = Some(SECOND.to_owned());
    second.set_root(ROSA, &ca(6));
    [first, second]
}

/// Both pass in turns, on the same branch, for some seconds.
fn live(sims: &mut [Sim; 2], seconds: usize) -> [Decision; 2] {
    for _ in 0..seconds {
        for (one, other) in [(0, 1), (1, 0)] {
            sims[one].pass(ROSA);
            let published = sims[one].sites[ROSA].published.clone();
            sims[other].site(ROSA).published = published;
            sims[one].now += SignedDuration::from_secs(1);
        }
    }
    [sims[0].decide(ROSA), sims[1].decide(ROSA)]
}

fn facts(sim: &Sim) -> &str {
    &sim.sites[ROSA].published[FACTS_PATH]
}

/// Whether the mesh is unique, and if not, in whose words.
fn unique(decision: &Decision) -> (bool, &str) {
    let condition = decision.conditions.iter().find(|condition| condition.kind == ConditionKind::Unique).unwrap();
    (condition.status, &condition.message)
}

#[test]
fn t23_of_two_agents_of_one_mesh_neither_publishes_and_both_say_which_other_they_saw() {
    let mut sims = two(&example());
    let before = facts(&sims[0]).to_owned();
    let decisions = live(&mut sims, 5);
    assert!(sims[1].sites[ROSA].log.is_empty(), "the second one touches nothing: {:?}", sims[1].sites[ROSA].log);
    let claims = format!("  claims:\n  - {SECOND}\n  - {FIRST}\n");
    assert_eq!(facts(&sims[0]).replace(&claims, ""), before, "nothing but the claims is new");
    assert_ne!(facts(&sims[0]), before);
    insta::assert_snapshot!(unique(&decisions[0]).1, @"two clusters claim this mesh: this one, uid-of-kube-system, and second. This one goes on serving and keeps its objects right, but neither publishes any more, so that peers keep what they know; stop the agent that should not be there, and write the UID of the right cluster as `clusterUID` into meshes/rosa-prod-mesh/mesh.yaml");
    insta::assert_snapshot!(unique(&decisions[1]).1, @"two clusters claim this mesh: uid-of-kube-system, which has it, and this one, second. Here nothing is applied, and neither publishes any more; stop the agent that should not be there, and write the UID of the right cluster as `clusterUID` into meshes/rosa-prod-mesh/mesh.yaml");
    let published = sims[0].sites[ROSA].published.clone();
    assert!(published["status.yaml"].contains("two clusters claim this mesh"));
    sims[0].set_root(ROSA, &ca(7)); // news
    live(&mut sims, 20);
    assert_eq!(sims.each_ref().map(|sim| &sim.sites[ROSA].published), [&published, &published]);
    // The first one goes on serving.
    sims[0].site(ROSA).server.remove("Deployment/prod-bookinfo/details-v1");
    live(&mut sims, 1);
    sims[0].sites[ROSA].server.named("Deployment/prod-bookinfo/details-v1");
}

#[test]
fn t23_a_pinned_cluster_ends_the_dispute() {
    let mut sims = two(&example());
    live(&mut sims, 5);
    for sim in &mut sims {
        sim.commit(|repo| repo.edit("meshes/rosa-prod-mesh/mesh.yaml", "platform", "clusterUID: second\n  platform"));
    }
    let decisions = live(&mut sims, 20);
    assert!(facts(&sims[0]).contains("clusterUID: second") && !facts(&sims[0]).contains("claims"), "{}", facts(&sims[0]));
    assert_eq!((unique(&decisions[0]).0, unique(&decisions[1])), (false, (true, "")));
    assert!(!sims[1].sites[ROSA].log.is_empty());
    let holds = decisions[0].holds.iter().filter(|hold| hold.reason.contains("pins clusterUID second"));
    assert_eq!(holds.count(), 1, "{:#?}", decisions[0].holds);
}

#[test]
fn a_rebuilt_cluster_takes_over_once_its_predecessor_had_time_to_answer() {
    let [first, mut second] = two(&example());
    second.site(ROSA).published = first.sites[ROSA].published.clone();
    second.pass(ROSA);
    let decision = second.pass(ROSA);
    insta::assert_snapshot!(unique(&decision).1, @"cluster uid-of-kube-system has this mesh, and this is second. Nothing is applied or published here until 00:01:40 UTC; if that one has not answered by then, it counts as lost and this one takes over");
    let until = decision.wake_at.unwrap();
    second.now = until - SignedDuration::from_secs(1);
    assert!(second.pass(ROSA).leaves_cluster());
    second.now = until;
    assert!(!second.pass(ROSA).leaves_cluster());
    second.settle();
    assert!(facts(&second).contains("clusterUID: second") && !facts(&second).contains("claims"), "{}", facts(&second));
    assert_eq!(unique(&second.decide(ROSA)), (true, ""));
}
