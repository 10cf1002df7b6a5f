//! Deletions that a slip in the repository asks for (T12 of the threats): what would go stays, and what is added or changed goes on.

use super::sim::{Sim, example};
use crate::decide::{Applied, Comparisons, Decision, Deletions, Memory};
use crate::model::testing::Repo;

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";

fn settled(repo: Repo) -> Sim {
    let mut sim = Sim::new(repo);
    sim.settle();
    sim
}

fn config_map(name: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: prod-bookinfo}}\n")
}

fn manifest(repo: Repo, file: &str, documents: &str) -> Repo {
    repo.with(&format!("//- meshes/rosa-prod-mesh/manifests/{file}.yaml\n{documents}"))
}

/// Rosa has no peers any more.
fn alone(repo: Repo) -> Repo {
    repo.without("meshes/rosa-prod-mesh/peers").without("meshes/rosa-prod-mesh/traffic")
}

fn held(decision: &Decision) -> &str {
    decision.holds.iter().find(|hold| hold.subject == "deletions").map_or("", |hold| &hold.reason)
}

/// Everything that is live stays as it is, whatever is decided, but for one new object.
fn only_adds(sim: &mut Sim, name: &str) -> String {
    let before = sim.sites[ROSA].server.live();
    let first = sim.pass(ROSA);
    let sent: Vec<String> = first.apply.iter().map(|apply| apply.object.key.to_string()).collect();
    assert_eq!((sent, first.delete.len(), first.release.len()), (vec![format!("ConfigMap/prod-bookinfo/{name}")], 0, 0));
    for _ in 0..3 {
        sim.pass(ROSA);
        sim.operate();
    }
    let now = sim.sites[ROSA].server.live();
    for (key, live) in before {
        assert!(now.get(&key) == Some(&live), "{key}");
    }
    assert_eq!(sim.decide(ROSA).status.main.applied, "c1", "what is held is not applied");
    held(&sim.decide(ROSA)).to_owned()
}

/// The agent starts anew, in the same cluster.
fn restart(sim: &mut Sim) {
    let site = sim.site(ROSA);
    let Memory { inventory, deletions, .. } = std::mem::take(&mut site.memory);
    site.memory = Memory { inventory, deletions, ..Memory::default() };
    site.comparisons = Comparisons::default();
}

fn peerings(sim: &Sim) -> usize {
    sim.sites[ROSA].server.ours().iter().filter(|name| name.starts_with("ServiceMeshPeer/")).count()
}

#[test]
fn t12_all_peerings_at_once_stay_with_their_gateways_exports_and_routes_and_additions_go() {
    let mut sim = settled(example());
    sim.commit(|repo| manifest(alone(repo), "new", &config_map("new")));
    insta::assert_snapshot!(only_adds(&mut sim, "new"), @"held, because one change may delete at most 1 of 2 peerings (`spec.guards.peerings: 50%` in federation.yaml). This would delete 2 of 2 peerings (aro-stg-mesh, gcp-dev-mesh) and 2 of 7 objects (DestinationRule/prod-bookinfo/details, VirtualService/prod-bookinfo/details); all of it stays and works on, and the rest of main is applied. If that is meant, commit to main with the trailer `Meshfed-Allow-Delete: rosa-prod-mesh`; if not, bring the files back with `git revert`");
    let weights: Vec<u32> =
        sim.decide(ROSA).status.traffic.values().flat_map(|t| &t.routes).map(|route| route.effective).collect();
    assert_eq!(weights, [0; 0], "nothing is said of a Traffic that is gone");
}

#[test]
fn t12_what_the_same_change_adds_dilutes_no_deletion_also_not_later_or_after_a_restart() {
    let many = |name: &str| (0..12).map(|i| config_map(&format!("{name}-{i}"))).collect::<String>();
    let mut sim = settled(manifest(example(), "many", &many("old")));
    sim.commit(|repo| manifest(repo, "many", &many("new")));
    let first = held(&sim.pass(ROSA)).to_owned();
    assert!(first.contains("12 of "), "{first}");
    for _ in 0..3 {
        restart(&mut sim);
        let next = sim.pass(ROSA);
        assert_eq!((held(&next), next.delete.len()), (first.as_str(), 0), "said once, and held as long as it stands");
    }
    let maps = |sim: &Sim, name: &str| sim.sites[ROSA].server.ours().iter().filter(|key| key.contains(name)).count();
    assert_eq!((maps(&sim, "/old-"), maps(&sim, "/new-")), (12, 12));
    sim.commit(|repo| manifest(repo, "many", &(many("new") + &many("old"))));
    sim.settle();
    assert_eq!(sim.sites[ROSA].memory.deletions, Deletions::default());
}

#[test]
fn t12_peerings_that_all_peers_withdraw_at_once_keep_their_weights() {
    let mut sim = settled(example());
    sim.commit(|repo| {
        let repo = repo.without("meshes/aro-stg-mesh/peers").without("meshes/gcp-dev-mesh/peers");
        manifest(repo, "new", &config_map("new"))
    });
    // Their own agents hold too: it is the only peering of each, but their exports are gone with it.
    let decision = sim.decide(ROSA);
    let weights: Vec<u32> = decision.status.traffic["details"].routes.iter().map(|route| route.effective).collect();
    assert_eq!((weights, held(&decision).contains("2 of 2 peerings")), (vec![60, 20, 20], true), "{:#?}", decision.holds);
    assert!(decision.delete.is_empty() && decision.apply.len() == 1, "{:#?}", decision.apply);
}

#[test]
fn one_peering_of_two_may_go() {
    let mut sim = settled(example());
    let traffic = "meshes/rosa-prod-mesh/traffic/details.yaml";
    sim.commit(|repo| {
        let repo = repo.without("meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml").edit(traffic, "weight: 60", "weight: 80");
        repo.edit(traffic, "  - {peer: aro-stg-mesh, service: prod-bookinfo/details-v2, weight: 20}\n", "")
    });
    sim.settle();
    assert_eq!((peerings(&sim), held(&sim.decide(ROSA))), (1, ""));
    assert!(sim.sites[ROSA].memory.deletions.admitted.is_empty(), "what is done is forgotten");
}

#[test]
fn t12_many_objects_do_not_hide_the_few_that_matter() {
    let many: String = (0..200).map(|i| config_map(&format!("many-{i}"))).collect();
    let mut sim = settled(manifest(example(), "many", &many));
    sim.commit(|repo| manifest(alone(repo), "new", &config_map("new")));
    let said = only_adds(&mut sim, "new");
    assert!(said.starts_with("held, because one change may delete at most 1 of 2 peerings"), "{said}");

    let account = config_map("account").replace("ConfigMap", "ServiceAccount");
    let accounts: Vec<String> = (0..12).map(|i| account.replace("account", &format!("a{i}"))).collect();
    let mut sim = settled(manifest(manifest(example(), "many", &many), "accounts", &accounts.concat()));
    sim.commit(|repo| repo.without("meshes/rosa-prod-mesh/manifests/accounts.yaml"));
    let said = sim.pass(ROSA);
    let words =
        "held, because one change may delete at most 10 of 13 ServiceAccounts (`spec.guards.objects: 50%` in federation.yaml)";
    assert!(held(&said).starts_with(words) && said.delete.is_empty(), "{}", held(&said));
}

#[test]
fn more_may_go_where_the_federation_says_so() {
    let spec = "metadata: {name: x}\nspec: {guards: {peerings: 100%, objects: 100%}}\n";
    let mut sim = settled(example().with(&format!("//- federation.yaml\nkind: Federation\n{spec}")));
    sim.commit(alone);
    sim.settle();
    assert_eq!((peerings(&sim), held(&sim.decide(ROSA))), (0, ""));
}

#[test]
fn a_commit_with_the_trailer_lets_them_go_and_a_restart_in_the_middle_goes_on() {
    let mut sim = settled(example());
    sim.commit(alone);
    sim.settle();
    assert_eq!(peerings(&sim), 2);
    sim.commit(|repo| repo);
    sim.allow(ARO);
    sim.settle();
    assert_eq!(peerings(&sim), 2, "it is for another mesh");
    sim.commit(|repo| repo);
    sim.allow(ROSA);
    sim.pass(ROSA);
    assert!(!sim.sites[ROSA].memory.deletions.admitted.is_empty());
    sim.commit(|repo| repo);
    for _ in 0..12 {
        restart(&mut sim);
        sim.round();
    }
    sim.settle();
    assert_eq!(peerings(&sim), 0, "{:#?}", sim.decide(ROSA).holds);
    assert!(sim.sites[ROSA].memory.deletions.admitted.is_empty());
}

#[test]
fn a_peering_that_has_begun_to_leave_goes_on_with_what_was_wanted_until_then() {
    let mut sim = settled(example());
    sim.commit(alone);
    sim.allow(ROSA);
    sim.pass(ROSA);
    restart(&mut sim);
    sim.commit(|repo| repo);
    let applied = sim.decide(ROSA).applied.map(|applied| Applied { commit: sim.commit.clone(), ..applied });
    let memory = &mut sim.site(ROSA).memory;
    memory.applied = applied;
    memory.deletions.admitted.retain(|key| *key.kind == *"ServiceMeshPeer");
    sim.settle();
    assert_eq!((peerings(&sim), held(&sim.decide(ROSA))), (0, ""));
}

#[test]
fn a_trailer_counts_once() {
    let many: String = (0..30).map(|i| config_map(&format!("many-{i}"))).collect();
    let mut sim = settled(manifest(example(), "many", &many));
    sim.commit(alone);
    sim.allow(ROSA);
    sim.settle();
    assert_eq!(peerings(&sim), 0);
    sim.commit(|repo| repo.without("meshes/rosa-prod-mesh/manifests/many.yaml"));
    for _ in 0..3 {
        restart(&mut sim);
        assert!(sim.decide(ROSA).delete.is_empty(), "what it allowed was done before");
        sim.round();
    }
    insta::assert_snapshot!(held(&sim.decide(ROSA)), @"held, because one change may delete at most 17 of 35 objects (`spec.guards.objects: 50%` in federation.yaml). This would delete 30 of 35 objects (ConfigMap/prod-bookinfo/many-0, ConfigMap/prod-bookinfo/many-1, ConfigMap/prod-bookinfo/many-10 and 27 more); all of it stays and works on, and the rest of main is applied. If that is meant, commit to main with the trailer `Meshfed-Allow-Delete: rosa-prod-mesh`; if not, bring the files back with `git revert`");
}

#[test]
fn t12_where_main_was_reset_nothing_is_deleted_until_a_new_commit_says_so() {
    let mut sim = settled(example());
    let old = sim.repo.clone();
    sim.commit(|repo| repo);
    sim.allow(ROSA); // long ago, and for something else
    sim.commit(|repo| manifest(repo, "new", &config_map("new")));
    sim.settle();
    assert_eq!(sim.decide(ROSA).status.main.applied, "c1''");
    let tip = sim.history.reset(2);
    sim.commit = tip;
    (sim.repo, (sim.federation, sim.problems)) = (old.clone(), old.load());
    for _ in 0..3 {
        restart(&mut sim);
        let decision = sim.pass(ROSA);
        assert!(decision.leaves_cluster(), "{:#?}", decision.delete);
        sim.round();
    }
    insta::assert_snapshot!(held(&sim.decide(ROSA)), @"held, because main is at c1', which does not follow c1'', the commit that was applied last: it was reset or replaced. This would delete 1 of 14 objects (ConfigMap/prod-bookinfo/new); all of it stays and works on, and the rest of main is applied. If main is right as it is, commit to main with the trailer `Meshfed-Allow-Delete: rosa-prod-mesh`; if not, put it back");
    sim.commit(|repo| manifest(repo, "other", &config_map("other")));
    sim.settle();
    let names = |sim: &Sim| {
        sim.sites[ROSA].server.ours().into_iter().filter(|name| name.starts_with("ConfigMap/prod-")).collect::<Vec<_>>()
    };
    assert_eq!(names(&sim), ["ConfigMap/prod-bookinfo/new", "ConfigMap/prod-bookinfo/other"]);
    sim.commit(|repo| repo);
    sim.allow(ROSA);
    sim.settle();
    assert_eq!(names(&sim), ["ConfigMap/prod-bookinfo/other"]);
    assert_eq!(held(&sim.decide(ROSA)), "");
}

#[test]
fn t12_the_repository_of_another_federation_deletes_nothing() {
    let mut sim = settled(example());
    sim.commit(|repo| {
        let repo = repo.edit("federation.yaml", "name: bookinfo", "name: library").without("meshes/rosa-prod-mesh/manifests");
        manifest(repo, "new", &config_map("new"))
    });
    insta::assert_snapshot!(only_adds(&mut sim, "new"), @"held, because federation.yaml is that of `library`, and what was applied last is of `bookinfo`. This would delete 3 of 13 objects (Deployment/prod-bookinfo/details-v1, Service/prod-bookinfo/details, ServiceAccount/prod-bookinfo/bookinfo-details); all of it stays and works on, and the rest of main is applied. If the federation was renamed, commit to main with the trailer `Meshfed-Allow-Delete: rosa-prod-mesh`; if not, put the right repository back");
    sim.commit(|repo| repo);
    sim.allow(ROSA);
    sim.settle();
    assert_eq!(held(&sim.decide(ROSA)), "");
    assert_eq!(sim.decide(ROSA).status.main.federation, "library");
}

#[test]
fn t12_a_renamed_folder_deletes_nothing() {
    let mut sim = settled(example());
    let before: Vec<_> = [ROSA, ARO].map(|me| sim.sites[me].server.live()).into();
    sim.commit(|mut repo| {
        let renamed =
            repo.files.iter().map(|(path, text)| (path.replace("meshes/rosa-prod-mesh/", "meshes/rosa/"), text.clone()));
        repo.files = renamed.collect();
        repo
    });
    for _ in 0..3 {
        sim.pass(ROSA);
        sim.pass(ARO);
    }
    let after: Vec<_> = [ROSA, ARO].map(|me| sim.sites[me].server.live()).into();
    assert_eq!(before, after);
}
