//! What a change of the repository would do, without any cluster.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::commands::example;
use crate::lab::cluster::Cluster;
use crate::lab::git_server::GitServer;
use crate::lab::git_store::GitStore;
use crate::solo::Solo;
use crate::stage::eventually;

/// The example on `main`, and a change of it on `feature/ratings`.
struct Repository {
    dir: TempDir,
    store: GitServer,
}

const TRAFFIC: &str = "meshes/rosa-prod-mesh/traffic/details.yaml";

impl Repository {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = GitServer::start(dir.path());
        let mut files = example();
        commit(&store, "main", &files);
        for (path, text) in &mut files {
            if path == TRAFFIC {
                *text = text.replace("weight: 60", "weight: 40").replace("v2, weight: 20", "v2, weight: 40");
            }
        }
        files.retain(|(path, _)| path != "meshes/aro-stg-mesh/manifests/details.yaml");
        commit(&store, "feature/ratings", &files);
        Self { dir, store }
    }

    fn run(&self, directory: &str, arguments: &[&str]) -> (String, String, Option<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshfed"));
        command.arg("plan").args(arguments).env_clear().env("HOME", self.dir.path()).current_dir(self.dir.path().join(directory));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code())
    }
}

fn commit(store: &GitStore, branch: &str, files: &[(String, String)]) {
    let changes: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    store.commit_on(branch, "the example", &changes);
}

#[test]
fn two_revisions_are_compared_without_a_cluster() {
    let repository = Repository::new();
    let url = repository.store.file_url();
    let plan = |format: &str| repository.run("", &["main..feature/ratings", "--repo", &url, "-o", format]);
    let (text, talk, code) = plan("text");
    assert_eq!((&*talk, code), ("", Some(1)));
    insta::assert_snapshot!(text);
    insta::assert_snapshot!(plan("md").0);
    let json: Value = serde_json::from_str(&plan("json").0).unwrap();
    let rosa = &json["meshes"][2];
    assert_eq!((&rosa["mesh"], &rosa["changes"][0]["fields"][0]["line"]), (&"rosa-prod-mesh".into(), &9.into()), "{json:#}");
    let (one, _, code) = repository.run("", &["main..feature/ratings", "--repo", &url, "--mesh", "gcp-dev-mesh"]);
    assert_eq!((one.lines().last(), code), (Some("0 to add, 0 to change, 0 to delete in 0 meshes; 0 waiting"), Some(0)));
    let (_, error, code) = repository.run("", &["main..nowhere", "--repo", &url]);
    assert!(code == Some(3) && error.contains("branch nowhere does not exist"), "{error}");
    let (_, error, code) = repository.run("", &["main..a..b", "--repo", &url]);
    assert!(code == Some(2) && error.contains("write two revisions as `main..feature`"), "{error}");
}

#[test]
fn what_no_object_shows_is_told_too() {
    let repository = Repository::new();
    let plan = |range: &str| repository.run("", &[range, "--repo", "repo.git"]);
    repository.store.commit("rules", &[("trust/policy.yaml", Some("kind: TrustPolicy\n"))]);
    let (text, _, code) = plan("main~1..main");
    assert!(code == Some(1) && text.contains("* trust/policy.yaml added\n"), "{text}");

    let gone: Vec<String> = example().into_iter().map(|(path, _)| path).filter(|path| path.contains("gcp-dev-mesh")).collect();
    let gone: Vec<(&str, Option<&str>)> = gone.iter().map(|path| (path.as_str(), None)).collect();
    repository.store.commit("retire", &gone);
    let (text, _, code) = plan("main~1..main");
    let held = "deletions: the mesh keeps what it has until a commit on main has the trailer `Meshfed-Allow-Delete:";
    let text = text.replace("\n    ", " ");
    assert!(code == Some(1) && text.contains(held), "{text}");
    assert!(text.contains("error[MF005]: `gcp-dev-mesh` is no peer of"), "{text}");

    repository.store.commit("slip", &[(TRAFFIC, Some("kind: Traffic\n"))]);
    let (text, _, code) = plan("main..main");
    assert!(code == Some(1) && text.contains("`apiVersion` is missing"), "an error is a finding: {text}");
}

#[test]
fn gateways_stay_while_deletions_are_held() {
    let repository = Repository::new();
    let leaves: Vec<String> = example().into_iter().map(|(path, _)| path).collect();
    let leaves = leaves.iter().filter(|path| path.starts_with("meshes/rosa-prod-mesh/peers/") || *path == TRAFFIC);
    let leaves: Vec<(&str, Option<&str>)> = leaves.map(|path| (path.as_str(), None)).collect();
    repository.store.commit("leave", &leaves);
    let plan =
        |format: &str| repository.run("", &["main~1..main", "--repo", "repo.git", "--mesh", "rosa-prod-mesh", "-o", format]).0;
    let text = plan("text");
    assert!(text.contains("! deletions: held until a commit on main has the trailer"), "{text}");
    assert!(!text.contains("gateway") && !text.contains("  ~ "), "{text}");
    assert!(text.lines().last().unwrap().starts_with("0 to add, 0 to change, 0 to delete in 0 meshes; "), "{text}");
    assert!(plan("md").contains("| held: nothing declares it any more |"));
}

#[test]
fn a_branch_is_compared_with_where_it_began() {
    let repository = Repository::new();
    let git = |arguments: &[&str]| {
        let done = Command::new("git").args(arguments).current_dir(repository.dir.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["--git-dir", "repo.git", "branch", "topic", "main"]);
    let slower = example().into_iter().find(|(path, _)| path == TRAFFIC).unwrap().1.replace("weight: 60", "weight: 59");
    let slower = slower.replace("v2, weight: 20", "v2, weight: 21");
    repository.store.commit("main goes on", &[(TRAFFIC, Some(&slower))]);
    for repo in ["repo.git", &repository.store.url()] {
        let plan = |range: &str| repository.run("", &[range, "--repo", repo]);
        let (text, said, code) = plan("main..topic");
        assert!(code == Some(1) && text.contains("59 → 60"), "{text}");
        assert!(
            said.contains("main has commits that topic lacks") && said.contains("meshfed plan main...topic"),
            "{repo}: {said}"
        );
        let (text, said, code) = plan("main...topic");
        assert_eq!((code, &*said), (Some(0), ""), "{repo}: {text}");
    }
}

#[test]
fn the_files_as_they_are_are_compared_with_a_revision() {
    let repository = Repository::new();
    let git = |directory: &Path, arguments: &[&str]| {
        let done = Command::new("git").args(arguments).current_dir(directory).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(repository.dir.path(), &["clone", "--quiet", "repo.git", "clone"]);
    let (text, talk, code) = repository.run("clone", &[]);
    assert_eq!(code, Some(0), "{text}{talk}");
    let file = repository.dir.path().join("clone").join(TRAFFIC);
    let changed =
        fs::read_to_string(&file).unwrap().replace("weight: 60", "weight: 59").replace("v2, weight: 20", "v2, weight: 21");
    fs::write(&file, changed).unwrap();
    let (text, _, code) = repository.run("clone/meshes", &["HEAD", "--repo", "../"]);
    assert!(code == Some(1) && text.contains("moves 1 point of traffic to details-v2"), "{text}");
    let (text, _, code) = repository.run("clone", &["main..origin/feature/ratings"]);
    assert!(code == Some(1) && text.contains("moves 20 points"), "{text}");
}

#[test]
fn what_policies_forbid_of_a_change_waits() {
    let repository = Repository::new();
    let policy = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/small-weight-steps.yaml")).unwrap();
    let traffic = |weights: [u32; 2]| {
        let text = example().into_iter().find(|(path, _)| path == TRAFFIC).unwrap().1;
        text.replace("weight: 60", &format!("weight: {}", weights[0]))
            .replace("v2, weight: 20", &format!("v2, weight: {}", weights[1]))
    };
    repository.store.commit("policies", &[("policies/steps.yaml", Some(&policy))]);
    repository.store.commit("a large step", &[(TRAFFIC, Some(&traffic([20, 60])))]);
    let (text, _, code) = repository.run("", &["main~1..main", "--repo", "repo.git"]);
    assert!(
        code == Some(0) && text.contains("! VirtualService/prod-bookinfo/details: policy meshfed-small-weight-steps"),
        "{text}"
    );
    repository.store.commit("a small step", &[(TRAFFIC, Some(&traffic([50, 30])))]);
    let (text, _, code) = repository.run("", &["main~2..main", "--repo", "repo.git"]);
    assert!(code == Some(1) && text.contains("moves 10 points"), "{text}");
}

#[test]
fn a_cluster_is_compared_field_by_field() {
    let solo = Solo::new("plan-live");
    let dir = TempDir::new().unwrap();
    let kubeconfig = Cluster::shared().kubeconfig_for("plan-live-reader", &["system:masters"]);
    let plan = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshfed"));
        command.args(["plan", "--live", "--mesh", "plan-live", "--repo", &solo.git.file_url(), "--kubeconfig"]).arg(&kubeconfig);
        let output = command.args(arguments).env_clear().env("HOME", dir.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code())
    };
    solo.commit("manifests/all.yaml", Some(&format!("{}{}", solo.config_map("a", "one"), solo.config_map("b", "one"))));
    let agent = solo.agent();
    eventually("nothing is left to do", || match plan(&[]) {
        (text, _, Some(0)) => Ok(text),
        (text, said, code) => Err(format!("{code:?} {text}{said}\n{}", agent.process.log_tail())),
    });
    drop(agent);
    let changed = format!("{}{}", solo.config_map("a", "two"), solo.config_map("c", "one"));
    solo.commit("manifests/all.yaml", Some(&changed));
    let (text, said, code) = plan(&[]);
    assert_eq!((code, &*said), (Some(1), ""), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("the cluster → ")).collect();
    insta::assert_snapshot!(lines.join("\n"));
    let json: Value = serde_json::from_str(&plan(&["-o", "json"]).0).unwrap();
    let field = &json["meshes"][0]["changes"][0]["fields"][0];
    assert_eq!((&field["path"], &field["from"], &field["to"]), (&"data.key".into(), &"one".into(), &"two".into()), "{json:#}");
}
