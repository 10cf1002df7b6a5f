//! Exports that end, and meshes that leave: no request is ever sent towards what is not there, and nothing is left behind.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::sim::{Sim, example};
use crate::decide::remove::DISTRUST_WAIT;
use crate::decide::{Decision, Mode, WITHDRAWAL_GRACE};
use crate::model::testing::Repo;

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const GCP: &str = "gcp-dev-mesh";
const EXPORT: &str = "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml";
const IMPORT: &str = "meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml";
const TRAFFIC: &str = "meshes/rosa-prod-mesh/traffic/details.yaml";
const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn settled() -> Sim {
    let mut sim = Sim::new(example());
    sim.settle();
    sim.sites.values_mut().for_each(|site| site.log.clear());
    sim
}

/// Goes on until `done`, and looks after every step that each route leads to something that is there.
fn watched(sim: &mut Sim, done: impl Fn(&Sim) -> bool) {
    let names: Vec<String> = sim.sites.keys().cloned().collect();
    for _ in 0..600 {
        for name in &names {
            sim.pass(name);
            assert_eq!(sim.unanswered(), [""; 0]);
            sim.operate();
            assert_eq!(sim.unanswered(), [""; 0]);
        }
        sim.now += SECOND;
        if done(sim) {
            return;
        }
    }
    panic!("not done: {:#?}", sim.sites.iter().map(|(name, site)| (name, &site.log)).collect::<Vec<_>>());
}

fn exists(sim: &Sim, mesh: &str, name: &str) -> bool {
    sim.sites[mesh].server.live().keys().any(|key| key.to_string() == name)
}

fn hold(decision: &Decision, subject: &str) -> String {
    let hold = decision.holds.iter().find(|hold| hold.subject.starts_with(subject));
    hold.unwrap_or_else(|| panic!("{subject} is not held: {:#?}", decision.holds)).reason.clone()
}

fn weights(sim: &Sim) -> Vec<(String, u64)> {
    let routes = sim.sites[ROSA].server.named("VirtualService/prod-bookinfo/details")["spec"]["http"][0]["route"].clone();
    let share = |route: &Value| (route["destination"]["host"].as_str().unwrap().to_owned(), route["weight"].as_u64().unwrap());
    routes.as_array().unwrap().iter().map(share).collect()
}

fn without_export(repo: Repo) -> Repo {
    repo.edit(EXPORT, "  exports:\n  - service: stg-bookinfo/details\n    as: prod-bookinfo/details-v2\n", "  exports: []\n")
}

#[test]
fn an_export_ends_when_no_route_leads_to_it_any_more() {
    let mut sim = settled();
    let start = sim.now;
    sim.commit(without_export);
    sim.pass(ARO);
    let set = &sim.sites[ARO].server.named("ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh")["spec"]["exportRules"];
    assert_eq!(set.as_array().unwrap().len(), 1, "rosa does not know yet");
    watched(&mut sim, |sim| !exists(sim, ARO, "ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh"));
    assert!(sim.now.duration_since(start) < WITHDRAWAL_GRACE, "rosa's word is enough");
    assert_eq!(weights(&sim).iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [75, 25]);
    let decision = sim.decide(ROSA);
    assert_eq!(
        hold(&decision, "VirtualService/prod-bookinfo/details 20 %"),
        "aro-stg-mesh does not export prod-bookinfo/details-v2 to rosa-prod-mesh (meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml)"
    );
}

#[test]
fn the_only_destination_is_replaced_without_a_gap() {
    let mut sim = settled();
    sim.commit(|repo| {
        let routes = "routes:\n  - {peer: aro-stg-mesh, service: prod-bookinfo/details-v2, weight: 100}\n";
        let text = String::from_utf8(repo.files[TRAFFIC].clone()).unwrap();
        let head = text.split("routes:").next().unwrap().to_owned();
        repo.with(&format!("//- {TRAFFIC}\n{head}{routes}"))
    });
    sim.settle();
    assert_eq!(weights(&sim).len(), 1);
    sim.commit(|repo| {
        let repo = repo.edit(
            EXPORT,
            "stg-bookinfo/details\n    as: prod-bookinfo/details-v2",
            "stg-bookinfo/details-next\n    as: prod-bookinfo/next",
        );
        repo.edit(IMPORT, "details-v2", "next").edit(TRAFFIC, "details-v2", "next")
    });
    watched(&mut sim, |sim| {
        let rules = &sim.sites[ARO].server.named("ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh")["spec"]["exportRules"];
        rules.as_array().unwrap().len() == 1 && rules[0]["nameSelector"]["alias"]["name"] == "next"
    });
    assert_eq!(weights(&sim), [("next.prod-bookinfo.svc.aro-stg-mesh-imports.local".to_owned(), 100)]);
    sim.settle();
    let rules = &sim.sites[ROSA].server.named("ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh")["spec"]["importRules"];
    assert_eq!(rules.as_array().unwrap().len(), 1, "{rules:#}");
}

#[test]
fn an_importer_that_is_silent_cannot_hold_an_export_for_ever() {
    let mut sim = settled();
    let start = sim.now;
    sim.commit(without_export);
    for _ in 0..4 {
        sim.pass(ARO);
        sim.operate();
        sim.now += SignedDuration::from_secs(29);
    }
    let name = "ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh";
    assert!(exists(&sim, ARO, name));
    let said = hold(&sim.decide(ARO), &format!("{name} prod-bookinfo/details-v2"));
    assert!(
        said.starts_with("stays exported: rosa-prod-mesh has not applied yet what withdraws it; it ends at 00:02:"),
        "{said}"
    );
    assert_eq!(sim.decide(ARO).wake_at, Some(start + WITHDRAWAL_GRACE));
    sim.now = start + WITHDRAWAL_GRACE;
    for _ in 0..2 {
        sim.pass(ARO);
        sim.operate();
    }
    assert!(!exists(&sim, ARO, name));
}

#[test]
fn an_importer_that_cannot_move_its_traffic_says_so() {
    let mut sim = settled();
    let spec = json!({"hosts": ["x"], "http": [{"route": [{"destination": {"host": "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local"}}]}]});
    let metadata = json!({"name": "by-hand", "namespace": "prod-bookinfo"});
    let document =
        json!({"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "metadata": metadata, "spec": spec});
    sim.site(ROSA).server.create(document, "kubectl");
    sim.commit(without_export);
    for _ in 0..20 {
        sim.round();
    }
    assert_eq!(sim.status(ROSA).unwrap().draining[ARO], ["prod-bookinfo/details-v2"]);
    let said = hold(&sim.decide(ARO), "ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh prod-bookinfo");
    assert!(said.starts_with("stays exported: rosa-prod-mesh still routes to it; it ends at"), "{said}");
    sim.site(ROSA).server.remove("VirtualService/prod-bookinfo/by-hand");
    watched(&mut sim, |sim| !exists(sim, ARO, "ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh"));
    assert!(sim.status(ROSA).unwrap().draining.is_empty());
}

#[test]
fn an_import_ends_when_no_route_leads_to_it_any_more() {
    let mut sim = settled();
    let more = "  - service: prod-bookinfo/other\n";
    sim.commit(|repo| {
        let repo =
            repo.edit(EXPORT, "details-v2\n", "details-v2\n  - service: stg-bookinfo/other\n    as: prod-bookinfo/other\n");
        repo.edit(IMPORT, "  - service: prod-bookinfo/details-v2\n", &format!("  - service: prod-bookinfo/details-v2\n{more}"))
    });
    sim.settle();
    sim.commit(|repo| {
        let route = "  - {peer: aro-stg-mesh, service: prod-bookinfo/details-v2, weight: 20}\n";
        let repo = repo.edit(TRAFFIC, route, "").edit(TRAFFIC, "weight: 60", "weight: 80");
        repo.edit(IMPORT, "  - service: prod-bookinfo/details-v2\n", "")
    });
    let set = |sim: &Sim| sim.sites[ROSA].server.named("ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh")["spec"].clone();
    let before = set(&sim);
    let decision = sim.pass(ROSA);
    assert_eq!(set(&sim)["importRules"].as_array().unwrap().len(), before["importRules"].as_array().unwrap().len());
    assert_eq!(
        hold(&decision, "ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh prod-bookinfo/details-v2"),
        "stays, because VirtualService/prod-bookinfo/details still routes to it"
    );
    watched(&mut sim, |sim| set(sim)["importRules"].as_array().unwrap().len() == 1);
}

#[test]
fn roots_are_forgotten_before_the_peer_goes() {
    let mut sim = settled();
    sim.commit(|repo| repo.without(EXPORT));
    let (peer, roots) = ("ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh", "ConfigMap/aro-stg-mesh/rosa-prod-mesh-ca-root-cert");
    let mut told = None;
    while exists(&sim, ARO, peer) {
        let server = &sim.sites[ARO].server;
        let touched = server.named(peer)["metadata"]["annotations"]["meshfed.dev/roots"] == "nobody";
        if touched && told.is_none() {
            assert_eq!(server.named(roots)["data"]["root-cert.pem"], "nobody's root");
            assert_eq!(server.named(peer)["spec"]["security"]["trustDomain"], "rosa-prod-mesh.local", "all else is as it was");
            told = Some(sim.now);
        }
        sim.round();
    }
    assert!(sim.now.duration_since(told.unwrap()) >= DISTRUST_WAIT);
    assert!(!exists(&sim, ARO, "ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh"));
}

/// A mesh is taken out of the repository with whatever names it.
fn without_mesh(repo: Repo, mesh: &str) -> Repo {
    let repo = repo.without(&format!("meshes/{mesh}/"));
    let route =
        format!("  - {{peer: {mesh}, service: prod-bookinfo/details-{}, weight: 20}}\n", if mesh == ARO { "v2" } else { "v3" });
    repo.without(&format!("meshes/{ROSA}/peers/{mesh}.yaml")).edit(TRAFFIC, &route, "").edit(TRAFFIC, "weight: 60", "weight: 80")
}

/// What is left of a mesh after it has left: what was there before it came.
fn nothing_of_ours(sim: &Sim, mesh: &str) {
    let site = &sim.sites[mesh];
    assert_eq!(site.server.ours(), [""; 0]);
    assert!(site.memory.inventory.is_empty());
    let control_plane = site.server.named(&format!("ServiceMeshControlPlane/{mesh}/{mesh}"));
    assert_eq!(control_plane["spec"], json!({"version": "v2.5"}), "given back as it was");
    assert!(exists(sim, mesh, "Namespace/stg-bookinfo") || mesh != ARO);
    assert_eq!(sim.status(mesh).unwrap().mode, Mode::Left);
}

#[test]
fn a_mesh_that_leaves_gives_back_what_it_found_and_comes_back_whole() {
    let mut sim = settled();
    let whole = sim.repo.clone();
    sim.commit(|repo| without_mesh(repo, ARO));
    sim.allow(ARO);
    sim.pass(ARO);
    let leaving = sim.decide(ARO);
    assert_eq!(leaving.status.mode, Mode::Leaving);
    assert!(leaving.status.peerings[ROSA].leaving, "{:#?}", leaving.status.peerings);
    watched(&mut sim, |sim| sim.sites[ARO].memory.inventory.is_empty());
    sim.settle();
    nothing_of_ours(&sim, ARO);
    let log = &sim.sites[ARO].log;
    let place = |line: &str| log.iter().position(|other| other == line).unwrap_or_else(|| panic!("no {line} in {log:#?}"));
    let order = [
        "apply ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh",
        "delete ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh",
        "apply ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh",
        "delete ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh",
        "delete ConfigMap/aro-stg-mesh/rosa-prod-mesh-ca-root-cert",
        "release ServiceMeshControlPlane/aro-stg-mesh/aro-stg-mesh",
    ];
    assert!(order.map(place).is_sorted(), "{log:#?}");
    assert!(place("delete Deployment/stg-bookinfo/details-v2") > place(order[4]), "workloads go after their users");

    let (messages, published) = (sim.sites[ARO].messages.clone(), sim.sites[ARO].published.clone());
    sim.commit(|repo| repo.edit(TRAFFIC, "weight: 80", "weight: 80 "));
    sim.now += SignedDuration::from_hours(50);
    sim.restart(ARO);
    sim.settle();
    assert_eq!((&sim.sites[ARO].messages, &sim.sites[ARO].published), (&messages, &published), "quiet");
    assert!(!published["published.yaml"].contains("addresses"), "{published:?}");

    sim.commit(|_| whole);
    sim.settle();
    assert!(sim.decide(ROSA).status.peerings[ARO].ready);
    assert_eq!(weights(&sim).len(), 3);
}

#[test]
fn a_mesh_that_leaves_without_a_word_to_its_peers_makes_no_gap_either() {
    for mesh in [ARO, GCP] {
        let mut sim = settled();
        sim.commit(|repo| repo.without(&format!("meshes/{mesh}/")));
        sim.allow(mesh);
        assert!(!sim.problems.is_empty(), "rosa's documents name a mesh that is not there");
        watched(&mut sim, |sim| sim.sites[mesh].memory.inventory.is_empty());
    }
}

#[test]
fn an_importer_leaves_as_a_whole() {
    let mut sim = settled();
    sim.commit(|repo| {
        let peers = [EXPORT, "meshes/gcp-dev-mesh/peers/rosa-prod-mesh.yaml"];
        peers.iter().fold(repo.without("meshes/rosa-prod-mesh/"), |repo, path| repo.without(path))
    });
    sim.allow(ROSA);
    watched(&mut sim, |sim| sim.sites[ROSA].memory.inventory.is_empty());
    sim.settle();
    nothing_of_ours(&sim, ROSA);
    for mesh in [ARO, GCP] {
        assert!(!exists(&sim, mesh, &format!("ServiceMeshPeer/{mesh}/rosa-prod-mesh")));
    }
}

#[test]
fn an_agent_that_is_killed_at_every_step_still_leaves_in_order() {
    let mut sim = settled();
    sim.commit(|repo| without_mesh(repo, ARO));
    sim.allow(ARO);
    let mut seen = BTreeSet::new();
    for _ in 0..600 {
        let decision = sim.decide(ARO);
        seen.extend(decision.holds.iter().map(|hold| hold.reason.clone()));
        // One thing is done, then it dies.
        let mut first = true;
        sim.perform(ARO, &decision, || std::mem::replace(&mut first, false));
        sim.restart(ARO);
        sim.pass(ROSA);
        sim.operate();
        assert_eq!(sim.unanswered(), [""; 0]);
        sim.now += SECOND;
        if sim.sites[ARO].memory.inventory.is_empty() {
            break;
        }
    }
    sim.settle();
    nothing_of_ours(&sim, ARO);
    let stages = [
        "prod-bookinfo/details-v2 stays exported: rosa-prod-mesh",
        "waits until the control plane has withdrawn 1 exported service",
        "waits until ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh is gone",
        "before it goes, its ConfigMap gets a root whose key nobody has",
        "before it goes, the control plane is told to read that root",
        "before it goes, the control plane has a few seconds to forget its roots",
        "waits until ServiceMeshPeer/aro-stg-mesh/rosa-prod-mesh is gone",
    ];
    for stage in stages {
        assert!(seen.iter().any(|reason| reason.starts_with(stage)), "no stage `{stage}` in {seen:#?}");
    }
}

#[test]
fn an_agent_whose_mesh_was_never_declared_does_nothing_and_says_so() {
    let mut sim = Sim::new(example());
    sim.commit(|repo| without_mesh(repo, ARO));
    for _ in 0..5 {
        let decision = sim.pass(ARO);
        assert!(decision.leaves_cluster() && decision.publish.is_none());
        assert_eq!(
            hold(&decision, ARO),
            "there is no meshes/aro-stg-mesh/ and never was, as far as published/aro-stg-mesh tells: is --mesh right?"
        );
        sim.now += SignedDuration::from_secs(30);
    }
}

#[test]
fn an_agent_in_another_cluster_does_not_take_the_mesh_down_there() {
    let mut sim = settled();
    for text in sim.site(ARO).published.values_mut() {
        *text = text.replace("uid-of-kube-system", "another");
    }
    sim.commit(|repo| without_mesh(repo, ARO));
    let decision = sim.pass(ARO);
    assert!(decision.leaves_cluster() && decision.publish.is_none());
    assert!(hold(&decision, ARO).contains("published/aro-stg-mesh names clusterUID another"), "{:#?}", decision.holds);
}
