//! What a policy forbids stays as it is, and nothing else waits for it.

use serde_json::json;

use super::sim::{Sim, example};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const EXPORTS: &str = "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml";
const SET: &str = "ExportedServiceSet/aro-stg-mesh/rosa-prod-mesh";
const SPLIT: &str = "VirtualService/prod-bookinfo/details";

/// A policy of the library, as a file of the repository.
fn library(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name);
    format!("//- policies/{name}\n{}", std::fs::read_to_string(path).unwrap())
}

fn holds(sim: &mut Sim, me: &str) -> Vec<String> {
    sim.decide(me).holds.iter().map(|hold| format!("{}: {}", hold.subject, hold.reason)).collect()
}

#[test]
fn a_forbidden_object_is_not_applied_and_the_rest_of_the_commit_is() {
    let mut sim = Sim::new(example().with(&library("exports-from-approved-namespaces.yaml")));
    sim.settle();
    assert_eq!(holds(&mut sim, ARO), Vec::<String>::new());
    let before = sim.sites[ARO].server.named(SET).clone();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}});
    sim.site(ARO).server.create(namespace, "kubectl");
    sim.commit(|repo| {
        repo.edit("meshes/aro-stg-mesh/mesh.yaml", "members: [stg-bookinfo]", "members: [stg-bookinfo, payments]")
            .edit(EXPORTS, "  exports:\n", "  exports:\n  - service: payments/cards\n")
            .edit("meshes/rosa-prod-mesh/traffic/details.yaml", "weight: 60", "weight: 61")
            .edit("meshes/rosa-prod-mesh/traffic/details.yaml", "weight: 20}", "weight: 19}")
            .edit("meshes/rosa-prod-mesh/traffic/details.yaml", "weight: 19}\n  - {peer: gcp", "weight: 20}\n  - {peer: gcp")
    });
    sim.settle();
    assert_eq!(sim.sites[ARO].server.named(SET), &before, "not applied, and not deleted");
    let found = holds(&mut sim, ARO);
    assert_eq!(found.len(), 1, "{found:?}");
    let reason = format!(
        "{SET}: policy meshfed-exports-from-approved-namespaces (policies/exports-from-approved-namespaces.yaml) forbids it: nothing may be \
         exported from payments (declared in {EXPORTS})"
    );
    assert_eq!(found[0], reason);
    assert!(
        sim.sites[ARO].server.named("ServiceMeshMember/payments/default")["spec"].is_object(),
        "the rest of the document's mesh"
    );
    sim.commit(|repo| repo.edit(EXPORTS, "payments/cards", "stg-bookinfo/ratings"));
    sim.settle();
    assert_eq!(holds(&mut sim, ARO), Vec::<String>::new());
    assert!(sim.sites[ARO].server.named(SET).to_string().contains("ratings"));
}

#[test]
fn a_policy_that_comes_later_touches_nothing_that_is_there() {
    let mut sim = Sim::new(example());
    sim.settle();
    let (set, count) = (sim.sites[ARO].server.named(SET).clone(), sim.sites[ARO].server.ours().len());
    let strict = library("exports-from-approved-namespaces.yaml").replace(", 'stg-bookinfo'", "");
    sim.commit(|repo| repo.with(&strict));
    sim.settle();
    assert_eq!(sim.sites[ARO].server.named(SET), &set);
    assert_eq!(sim.sites[ARO].server.ours().len(), count);
    assert!(holds(&mut sim, ARO)[0].contains("nothing may be exported from stg-bookinfo"));
    let decision = sim.decide(ARO);
    assert!(decision.leaves_cluster() && decision.publish.is_none() && decision.pending.is_none(), "and then it is quiet");
}

#[test]
fn steps_are_measured_from_what_is_live() {
    let mut sim = Sim::new(example().with(&library("small-weight-steps.yaml")));
    sim.settle();
    let weights = |sim: &Sim| {
        let routes = sim.sites[ROSA].server.named(SPLIT)["spec"]["http"][0]["route"].as_array().unwrap().clone();
        routes.iter().map(|route| route["weight"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let traffic = "meshes/rosa-prod-mesh/traffic/details.yaml";
    let before = weights(&sim);
    sim.commit(|repo| {
        repo.edit(traffic, "weight: 60", "weight: 14").edit(traffic, "weight: 20}\n  - {peer: gcp", "weight: 66}\n  - {peer: gcp")
    });
    sim.settle();
    assert_eq!(weights(&sim), before);
    assert!(holds(&mut sim, ROSA).iter().any(|hold| hold.contains("grows by at most 25 points")), "{:?}", holds(&mut sim, ROSA));
    sim.commit(|repo| repo.edit(traffic, "weight: 14", "weight: 35").edit(traffic, "weight: 66", "weight: 45"));
    sim.settle();
    assert_eq!(weights(&sim), [35, 45, 20]);
    assert_eq!(holds(&mut sim, ROSA), Vec::<String>::new());
}

#[test]
fn a_policy_that_cannot_be_read_stops_changes_and_nothing_else() {
    let mut sim = Sim::new(example());
    sim.settle();
    let count = sim.sites[ARO].server.ours().len();
    sim.commit(|repo| {
        repo.with("//- policies/broken.yaml\nspec: [\n").edit(EXPORTS, "stg-bookinfo/details", "stg-bookinfo/ratings")
    });
    sim.settle();
    let found = holds(&mut sim, ARO);
    assert!(found.len() == 1 && found[0].contains("policies/broken.yaml cannot be read (line "), "{found:?}");
    assert_eq!(sim.sites[ARO].server.ours().len(), count);
    assert!(!sim.sites[ARO].server.named(SET).to_string().contains("ratings"));
    assert!(sim.sites[ARO].published["published.yaml"].contains("BEGIN CERTIFICATE"), "it goes on publishing");
    sim.commit(|repo| repo.without("policies/broken.yaml"));
    sim.settle();
    assert!(sim.sites[ARO].server.named(SET).to_string().contains("ratings"));
}

#[test]
fn a_quiet_pass_judges_nothing_and_a_changed_object_is_judged_alone() {
    let mut sim = Sim::new(example().with(&library("no-wildcard-exports.yaml")).with(&library("small-weight-steps.yaml")));
    sim.settle();
    let judged = |sim: &Sim| sim.sites[ROSA].comparisons.judged();
    let before = judged(&sim);
    sim.decide(ROSA);
    assert_eq!(judged(&sim), before);
    let traffic = "meshes/rosa-prod-mesh/traffic/details.yaml";
    sim.commit(|repo| {
        repo.edit(traffic, "weight: 60", "weight: 50").edit(traffic, "weight: 20}\n  - {peer: gcp", "weight: 30}\n  - {peer: gcp")
    });
    sim.decide(ROSA);
    assert_eq!(judged(&sim), before + 1);
}
