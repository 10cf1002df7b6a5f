//! Who owns a field: drift is ours to repair, what others own is theirs.

use super::sim::{Sim, example};
use crate::decide::Failure;
use crate::decide::{Gap, Unseen};
use crate::model::testing::Repo;
use crate::object::{Kind, PART_OF_LABEL};
use jiff::SignedDuration;
use serde_json::json;

const ROSA: &str = "rosa-prod-mesh";
const DEPLOYMENT: &str = "Deployment/prod-bookinfo/details-v1";
const CONTROL_PLANE: &str = "ServiceMeshControlPlane/rosa-prod-mesh/rosa-prod-mesh";

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim
}

fn reason(sim: &mut Sim, subject: &str) -> String {
    let decision = sim.decide(ROSA);
    assert!(decision.leaves_cluster(), "{:#?}", decision.apply);
    let hold = decision.holds.iter().find(|hold| hold.subject == subject).unwrap();
    assert!(hold.stuck);
    hold.reason.clone()
}

#[test]
fn an_edit_of_what_we_made_is_taken_back() {
    let mut sim = settled();
    sim.site(ROSA).server.edit(DEPLOYMENT, "/spec/replicas", json!(9), "kubectl-edit", "Update");
    let decision = sim.pass(ROSA);
    assert_eq!(decision.apply.len(), 1);
    assert!(decision.apply[0].force);
    assert_eq!(sim.sites[ROSA].server.named(DEPLOYMENT)["spec"]["replicas"], 1);
    assert!(sim.decide(ROSA).leaves_cluster());
}

#[test]
fn what_others_add_stays() {
    let mut sim = settled();
    sim.site(ROSA).server.edit(DEPLOYMENT, "/spec/paused", json!(true), "kubectl-edit", "Update");
    sim.site(ROSA).server.edit(CONTROL_PLANE, "/spec/gateways/additionalIngress/theirs", json!({}), "argo", "Apply");
    assert!(sim.decide(ROSA).leaves_cluster());
}

#[test]
fn another_applier_is_reported_and_not_overwritten() {
    let mut sim = settled();
    sim.site(ROSA).server.edit(DEPLOYMENT, "/spec/replicas", json!(9), "argo", "Apply");
    insta::assert_snapshot!(reason(&mut sim, DEPLOYMENT), @r#"`argo` owns spec.replicas and wants it otherwise (9 instead of 1); settle it there, or let meshfed win with the annotation meshfed.dev/force: "true""#);
}

#[test]
fn a_document_may_say_that_we_win() {
    let force = |repo: Repo| {
        let path = "meshes/rosa-prod-mesh/manifests/details.yaml";
        repo.edit(path, "  name: details-v1\n", "  name: details-v1\n  annotations: {meshfed.dev/force: \"true\"}\n")
    };
    let mut sim = Sim::new(force(example()));
    sim.settle();
    sim.site(ROSA).server.edit(DEPLOYMENT, "/spec/replicas", json!(9), "argo", "Apply");
    let decision = sim.pass(ROSA);
    assert!(decision.apply[0].force);
    assert_eq!(sim.sites[ROSA].server.named(DEPLOYMENT)["spec"]["replicas"], 1);
}

#[test]
fn a_field_of_an_adopted_object_that_was_never_ours_is_its_owners() {
    let mut sim = Sim::new(example());
    sim.site(ROSA).server.edit(
        CONTROL_PLANE,
        "/spec/security",
        json!({"trust": {"domain": "cluster.local"}}),
        "kubectl",
        "Update",
    );
    sim.settle();
    insta::assert_snapshot!(reason(&mut sim, CONTROL_PLANE), @r#"`kubectl` owns spec.security.trust.domain and wants it otherwise ("cluster.local" instead of "rosa-prod-mesh.local"); settle it there, or in meshes/rosa-prod-mesh/mesh.yaml"#);
}

#[test]
fn an_edit_of_an_adopted_object_that_had_been_in_sync_is_drift() {
    let mut sim = settled();
    sim.site(ROSA).server.edit(CONTROL_PLANE, "/spec/security/trust/domain", json!("x"), "kubectl-edit", "Update");
    let decision = sim.pass(ROSA);
    assert!(decision.apply.len() == 1 && decision.apply[0].force);
}

#[test]
fn one_object_that_is_refused_stops_no_other_and_waits_for_its_time() {
    let mut sim = Sim::new(example());
    let decision = sim.decide(ROSA);
    let refused = decision.apply.iter().find(|apply| apply.object.key.to_string() == DEPLOYMENT).unwrap().object.clone();
    let retry_at = sim.now.checked_add(SignedDuration::from_secs(120)).unwrap();
    let failure =
        Failure { digest: refused.digest.clone(), message: "spec.replicas: Invalid".into(), stuck: true, retry_at, attempts: 1 };
    sim.site(ROSA).memory.failures.insert(refused.key.clone(), failure);
    sim.settle();
    let decision = sim.decide(ROSA);
    assert!(decision.status.peerings.values().all(|peering| peering.ready));
    assert_eq!(decision.wake_at, Some(retry_at));
    assert_eq!(reason(&mut sim, DEPLOYMENT), "spec.replicas: Invalid");
    sim.now = retry_at;
    assert_eq!(sim.decide(ROSA).apply.len(), 1, "its time has come");
    sim.now = retry_at.checked_sub(SignedDuration::from_secs(60)).unwrap();
    sim.commit(|repo| repo.edit("meshes/rosa-prod-mesh/manifests/details.yaml", "replicas: 1", "replicas: 3"));
    assert_eq!(sim.decide(ROSA).apply.len(), 1, "a changed document is tried at once");
}

#[test]
fn a_deletion_that_was_refused_waits_for_its_time() {
    let mut sim = settled();
    sim.commit(|repo| repo.without("meshes/rosa-prod-mesh/manifests"));
    let retry_at = sim.now.checked_add(SignedDuration::from_secs(120)).unwrap();
    let key = sim.decide(ROSA).delete.iter().find(|live| live.key.to_string() == DEPLOYMENT).unwrap().key.clone();
    let failure =
        Failure { digest: crate::decide::REMOVAL.into(), message: "forbidden".into(), stuck: false, retry_at, attempts: 1 };
    sim.site(ROSA).memory.failures.insert(key, failure);
    let decision = sim.decide(ROSA);
    assert_eq!(decision.delete.len(), 2, "the others go");
    assert!(decision.holds.iter().any(|hold| hold.subject == DEPLOYMENT && hold.reason == "forbidden"));
    assert!(decision.wake_at.is_some_and(|at| at <= retry_at));
}

#[test]
fn a_kind_that_the_cluster_does_not_serve_holds_only_its_objects() {
    let mut sim = Sim::new(example());
    let kind = Kind::new("apps/v1", "Deployment");
    sim.site(ROSA).unseen.extend([Gap::kind(kind.clone(), "install the CRD")]);
    sim.settle();
    assert_eq!(reason(&mut sim, DEPLOYMENT), "install the CRD");
    assert!(sim.decide(ROSA).status.peerings.values().all(|peering| peering.ready));
    sim.site(ROSA).unseen = Unseen::default();
    sim.settle();
    sim.site(ROSA).unseen.extend([Gap::kind(kind, "not served")]);
    sim.site(ROSA).server.remove(DEPLOYMENT);
    sim.commit(|repo| repo.without("meshes/rosa-prod-mesh/manifests"));
    sim.settle();
    assert!(sim.sites[ROSA].memory.inventory.keys().any(|key| key.to_string() == DEPLOYMENT), "it is not forgotten");
}

#[test]
fn everything_that_is_ours_says_so() {
    let sim = settled();
    for name in sim.sites[ROSA].server.ours() {
        let value = sim.sites[ROSA].server.named(&name);
        assert_eq!(value["metadata"]["labels"][PART_OF_LABEL], crate::object::set_id(ROSA), "{name}");
    }
}

#[test]
fn what_somebody_undoes_again_and_again_rests_alone_and_is_right_in_the_end() {
    let mut sim = settled();
    let undo = |sim: &mut Sim| sim.site(ROSA).server.edit(DEPLOYMENT, "/spec/replicas", json!(7), "autoscaler", "Update");
    let mut writes = 0;
    for second in 0..120 {
        undo(&mut sim);
        if second == 60 {
            sim.site(ROSA).server.remove("Service/prod-bookinfo/details");
        }
        let decision = sim.pass(ROSA);
        let sent = decision.apply.iter().map(|apply| apply.object.key.to_string());
        writes += sent.filter(|name| name == DEPLOYMENT).count();
        sim.now += SignedDuration::from_secs(1);
    }
    assert_eq!(writes, 6, "five with the one that made it, and one after each rest");
    sim.sites[ROSA].server.named("Service/prod-bookinfo/details");
    undo(&mut sim);
    let said = reason(&mut sim, DEPLOYMENT);
    assert!(said.starts_with("`autoscaler` sets spec.replicas back each time that it is applied. "), "{said}");
    let events = sim.sites[ROSA].events.iter().filter(|event| event.starts_with(&format!("{DEPLOYMENT} Fighting: ")));
    assert_eq!(events.count(), 3, "one for each rest");
    sim.now += SignedDuration::from_mins(5); // the longest rest
    sim.settle();
    assert_eq!(sim.sites[ROSA].server.named(DEPLOYMENT)["spec"]["replicas"], 1);
    assert!(!sim.decide(ROSA).holds.iter().any(|hold| hold.subject == DEPLOYMENT));
}
