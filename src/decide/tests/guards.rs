//! What stops a decision from doing harm.

use super::sim::{Sim, example};

const ROSA: &str = "rosa-prod-mesh";
const BROKEN: &str = "kind: [\n";

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim
}

/// Whatever happens, everything of rosa stays as it is.
fn stays(sim: &mut Sim) -> Vec<String> {
    let before = sim.sites[ROSA].server.live();
    for _ in 0..3 {
        let decision = sim.pass(ROSA);
        assert!(decision.leaves_cluster(), "{:#?} {:#?} {:#?}", decision.apply, decision.delete, decision.release);
    }
    assert_eq!(sim.sites[ROSA].server.live(), before);
    sim.decide(ROSA).holds.iter().map(|hold| format!("{}: {}", hold.subject, hold.reason)).collect()
}

#[test]
fn an_error_in_any_document_of_the_mesh_changes_nothing_live() {
    let paths: Vec<String> =
        example().files.into_keys().filter(|path| path.starts_with("meshes/rosa") || path == "federation.yaml").collect();
    assert_eq!(paths.len(), 6);
    for path in paths {
        let mut sim = settled();
        sim.commit(|repo| repo.with(&format!("//- {path}\n{BROKEN}")));
        let before = sim.sites[ROSA].server.live();
        let said = !stays(&mut sim).is_empty() || !sim.decide(ROSA).status.problems.is_empty();
        assert!(said, "{path}");
        assert_eq!(sim.sites[ROSA].server.live(), before, "{path}");
    }
}

#[test]
fn without_a_readable_mesh_nothing_is_claimed_of_its_peers() {
    let mut sim = settled();
    sim.commit(|repo| repo.with(&format!("//- meshes/rosa-prod-mesh/mesh.yaml\n{BROKEN}")));
    let decision = sim.decide(ROSA);
    assert_eq!(decision.conditions.iter().filter(|condition| condition.subject != ROSA).count(), 0);
    let why = &decision.status.peerings["aro-stg-mesh"].why;
    assert_eq!(why, "unknown, because meshes/rosa-prod-mesh/mesh.yaml is missing or has an error");
}

#[test]
fn an_error_in_a_peers_documents_changes_nothing_live() {
    for path in ["meshes/aro-stg-mesh/mesh.yaml", "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml"] {
        let mut sim = settled();
        sim.commit(|repo| repo.with(&format!("//- {path}\n{BROKEN}")));
        let holds = stays(&mut sim);
        assert!(holds[0].ends_with(&format!("{path} has an error; what is there stays")), "{holds:#?}");
    }
}

#[test]
fn what_is_missing_altogether_deletes_nothing() {
    for gone in ["federation.yaml", "meshes/rosa-prod-mesh/mesh.yaml", ""] {
        let mut sim = settled();
        sim.commit(|repo| repo.without(gone));
        let said = !stays(&mut sim).is_empty() || !sim.decide(ROSA).status.problems.is_empty();
        assert!(said, "{gone}");
    }
}

#[test]
fn without_federation_yaml_additions_still_go_and_deletions_wait() {
    let mut sim = settled();
    sim.commit(|repo| {
        let repo = repo.without("federation.yaml").without("meshes/rosa-prod-mesh/manifests");
        repo.with("//- meshes/rosa-prod-mesh/manifests/new.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: prod-bookinfo}\n")
    });
    let decision = sim.pass(ROSA);
    assert_eq!((decision.apply.len(), decision.delete.len()), (1, 0));
    let hold = decision.holds.iter().find(|hold| hold.subject == "deletions").unwrap();
    insta::assert_snapshot!(
        hold.reason,
        @"held, because federation.yaml is missing or has an error. This would delete 3 of 13 objects (Deployment/prod-bookinfo/details-v1, Service/prod-bookinfo/details, ServiceAccount/prod-bookinfo/bookinfo-details); all of it stays and works on, and the rest of main is applied. Mend it, or bring it back"
    );
}

#[test]
fn a_peer_file_with_an_error_keeps_its_objects_gateways_and_traffic() {
    let mut sim = settled();
    sim.commit(|repo| {
        let repo = repo.with(&format!("//- meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml\n{BROKEN}"));
        // Another change in the same commit is carried out.
        repo.edit("meshes/rosa-prod-mesh/manifests/details.yaml", "replicas: 1", "replicas: 2")
    });
    let decision = sim.pass(ROSA);
    let sent: Vec<String> = decision.apply.iter().map(|apply| apply.object.key.to_string()).collect();
    assert_eq!(sent, ["Deployment/prod-bookinfo/details-v1"]);
    let weights: Vec<u32> = decision.status.traffic["details"].routes.iter().map(|route| route.effective).collect();
    assert_eq!(weights, [60, 20, 20]);
    stays(&mut sim);
}

#[test]
fn suspend_stops_every_change() {
    let mut sim = settled();
    sim.commit(|repo| {
        let repo = repo.edit("meshes/rosa-prod-mesh/mesh.yaml", "platform", "suspend: true\n  platform");
        repo.without("meshes/rosa-prod-mesh/manifests")
    });
    insta::assert_snapshot!(stays(&mut sim).join("\n"), @"rosa-prod-mesh: meshes/rosa-prod-mesh/mesh.yaml says `suspend: true`; everything stays as it is");
    assert_eq!(sim.decide(ROSA).status.main.applied, "c1", "what came after is not applied");
}

#[test]
fn an_agent_in_the_wrong_cluster_neither_applies_nor_publishes() {
    let pinned = example().edit("meshes/rosa-prod-mesh/mesh.yaml", "platform", "clusterUID: another\n  platform");
    let mut sim = Sim::new(pinned);
    sim.settle();
    assert!(sim.sites[ROSA].published.is_empty() && sim.sites[ROSA].server.ours().is_empty());
    let holds = sim.decide(ROSA).holds;
    let hold = holds.iter().find(|hold| hold.stuck).unwrap();
    insta::assert_snapshot!(hold.reason, @"this cluster is uid-of-kube-system, but meshes/rosa-prod-mesh/mesh.yaml pins clusterUID another; nothing is applied or published");
    let own = example().edit("meshes/rosa-prod-mesh/mesh.yaml", "platform", "clusterUID: uid-of-kube-system\n  platform");
    let mut sim = Sim::new(own);
    sim.settle();
    assert!(!sim.sites[ROSA].published.is_empty());
}
