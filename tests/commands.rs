//! The commands as people run them: the real binary, with no environment but a home of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::git_store::GitStore;

/// What a command printed, and how it ended.
#[must_use]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// A scratch directory: home and working directory of each command.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshfed"));
        command.args(arguments).env_clear().env("HOME", self.path()).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// The example federation, with some files changed.
    pub fn example(&self, changes: &[(&str, &str, &str)]) -> PathBuf {
        let root = self.path().join("repo");
        for (path, text) in example() {
            let file = root.join(&path);
            let mut text = text;
            for (_, from, to) in changes.iter().filter(|(changed, _, _)| *changed == path) {
                assert!(text.contains(from), "{path} has no `{from}`");
                text = text.replacen(from, to, 1);
            }
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }
}

/// Paths and contents of the example.
pub fn example() -> Vec<(String, String)> {
    fn walk(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{path}/"), files);
            } else {
                files.push((path, fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("repo-layout"), "", &mut files);
    files
}

pub fn mk_root() -> String {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2090, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn facts(mesh: &str, peer: &str, address: &str) -> String {
    let pem: String = mk_root().lines().flat_map(|line| ["      ", line, "\n"]).map(str::to_owned).collect();
    format!(
        "apiVersion: meshfed.dev/v1alpha1\nkind: Published\nmetadata: {{name: {mesh}}}\nspec:\n  caRoots:\n  - |\n{pem}  ingress:\n    \
         {peer}: {{addresses: [{address}], discoveryPort: 8188, servicePort: 15443}}\n"
    )
}

fn status(mesh: &str, applied: &str, rest: &str) -> String {
    format!(
        "apiVersion: meshfed.dev/v1alpha1\nkind: Status\nmetadata: {{name: {mesh}}}\nfromTheFuture: 1\nstatus:\n  \
         agent: {{version: 0.1.0, mood: good}}\n  main: {{applied: {applied}}}\n{rest}"
    )
}

#[test]
fn the_example_has_no_findings() {
    let place = Place::new();
    let root = place.example(&[]);
    let ran = place.run(&["check", root.to_str().unwrap()]);
    assert_eq!((ran.code, &*ran.out), (Some(0), ""), "{}", ran.err);
    assert!(ran.err.contains("no findings in "), "{}", ran.err);
    let inside = place.command(&["check", "-o", "json"]).current_dir(root.join("meshes/rosa-prod-mesh")).output().unwrap();
    assert_eq!((inside.status.code(), &*inside.stdout), (Some(0), b"[]\n".as_slice()), "found from a folder inside");
}

#[test]
fn check_points_at_each_mistake() {
    let mesh = "meshes/gcp-dev-mesh/mesh.yaml";
    let importer = "meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml";
    let exporter = "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml";
    let twice = "  exports:\n  - service: stg-bookinfo/ratings\n    as: prod-bookinfo/details-v2\n";
    // File, text and what replaces it; then the text at whose last word the finding points, and its code.
    let cases = [
        (mesh, "spec:", "spec: [", "spec: [", "MF001"),
        (mesh, "platform: gcp", "platfrom: gcp", "platfrom", "MF001"),
        (importer, "name: aro-stg-mesh", "name: nobody", "nobody", "MF004"),
        (exporter, "  exports:\n", twice, "prod-bookinfo/details-v2", "MF006"),
    ];
    for (path, from, to, pointed, code) in cases {
        let place = Place::new();
        let root = place.example(&[(path, from, to)]);
        let text = fs::read_to_string(root.join(path)).unwrap();
        // The later of two twins is the one too many.
        let (line, content) = text.lines().enumerate().filter(|(_, line)| line.contains(pointed)).last().unwrap();
        let at =
            format!("{path}:{}:{}", line + 1, content.find(pointed).unwrap() + pointed.rfind(' ').map_or(1, |blank| blank + 2));
        let ran = place.run(&["check", "repo"]);
        assert_eq!(ran.code, Some(1), "{}", ran.out);
        assert!(
            ran.out.contains(&format!("error[{code}]")) && ran.out.contains(&format!("--> repo/{at}\n")),
            "{at}: {}",
            ran.out
        );
        let json = place.run(&["check", "repo", "-o", "json"]);
        assert_eq!(json.code, Some(1));
        let found = json.json();
        let place_of = |found: &Value| format!("{}:{}:{}", found["path"].as_str().unwrap(), found["line"], found["column"]);
        assert!(found.as_array().unwrap().iter().any(|found| found["code"] == code && place_of(found) == at), "{found:#}");
    }
}

#[test]
fn a_peer_that_is_no_mesh_is_found() {
    let place = Place::new();
    let root = place.example(&[]);
    let text = "apiVersion: meshfed.dev/v1alpha1\nkind: Peer\nmetadata: {name: nobody}\nspec: {}\n";
    fs::write(root.join("meshes/rosa-prod-mesh/peers/nobody.yaml"), text).unwrap();
    let ran = place.run(&["check", "repo"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("error[MF005]") && ran.out.contains("peers/nobody.yaml:3:18"), "{}", ran.out);
}

#[test]
fn a_folder_without_a_federation_is_a_finding_and_no_folder_is_no_answer() {
    let place = Place::new();
    let ran = place.run(&["check"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("MF013"), "{}", ran.out);
    let ran = place.run(&["check", "not-there"]);
    assert_eq!((ran.code, &*ran.out), (Some(3), ""));
    assert!(ran.err.starts_with("error: not-there cannot be read"), "{}", ran.err);
}

#[test]
fn render_gives_the_same_objects_each_time_and_says_what_waits() {
    let place = Place::new();
    place.example(&[]);
    let bare = place.run(&["render", "--mesh", "rosa-prod-mesh", "repo"]);
    assert_eq!(bare.code, Some(0), "{}", bare.err);
    assert!(bare.err.contains("# waits: ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh"), "{}", bare.err);
    assert!(!bare.out.contains("kind: ServiceMeshPeer"));
    fs::create_dir_all(place.path().join("facts/gcp-dev-mesh")).unwrap();
    fs::write(place.path().join("facts/aro-stg-mesh.yaml"), facts("aro-stg-mesh", "rosa-prod-mesh", "20.71.4.9")).unwrap();
    let file = place.path().join("facts/gcp-dev-mesh/published.yaml");
    fs::write(&file, facts("gcp-dev-mesh", "rosa-prod-mesh", "34.91.0.7")).unwrap();
    let render = ["render", "--mesh", "rosa-prod-mesh", "repo", "--facts", "facts", "--assume-live"];
    let ran = place.run(&render);
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    assert_eq!(ran.out.matches("kind: ServiceMeshPeer\n").count(), 2);
    for part in ["20.71.4.9", "34.91.0.7", "weight: 60", "details-v3.prod-bookinfo.svc.gcp-dev-mesh-imports.local"] {
        assert!(ran.out.contains(part), "{part}");
    }
    assert_eq!(place.run(&render).out, ran.out);
    let list = place.run(&[&render[..], &["-o", "json"]].concat()).json();
    let kinds: Vec<&str> = list["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "Namespace");
    let place_of = |kind| kinds.iter().position(|other| *other == kind).unwrap();
    assert!(place_of("ServiceMeshPeer") < place_of("ImportedServiceSet"), "{kinds:?}");
    fs::write(&file, "spec: {}\n").unwrap();
    let broken = place.run(&render);
    assert_eq!(broken.code, Some(1), "{}", broken.err);
    let unknown = place.run(&["render", "--mesh", "nobody", "repo"]);
    assert_eq!((unknown.code, &*unknown.out), (Some(3), ""));
    assert!(unknown.err.contains("aro-stg-mesh, gcp-dev-mesh, rosa-prod-mesh"), "{}", unknown.err);
}

#[test]
fn policies_are_listed_with_what_they_judged_and_denied() {
    let place = Place::new();
    let importer = "meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml";
    let root = place.example(&[(importer, "service: prod-bookinfo/details-v2", "service: '*'")]);
    let none = place.run(&["policies", "repo"]);
    assert!(none.code == Some(0) && none.out.starts_with("there are no policies"), "{}", none.out);
    fs::create_dir_all(root.join("policies")).unwrap();
    for name in ["no-wildcard-exports.yaml", "no-wildcard-imports.yaml", "small-weight-steps.yaml"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name), root.join("policies").join(name)).unwrap();
    }
    let file = root.join("policies/no-wildcard-imports.yaml");
    let everywhere = fs::read_to_string(&file).unwrap().split("---").next().unwrap().to_owned();
    fs::write(&file, everywhere).unwrap();
    let all = place.run(&["policies", "repo"]);
    assert_eq!(all.code, Some(1), "{}{}", all.out, all.err);
    insta::assert_snapshot!(all.out);
    let one = place.run(&["policies", "repo", "--policy", "meshfed-no-wildcard-exports"]);
    assert_eq!(one.code, Some(0), "{}", one.out);
    insta::assert_snapshot!(one.out);
    let json = place.run(&["policies", "repo", "-o", "json"]).json();
    assert_eq!(json["policies"][0]["judged"][0]["verdict"], "passed", "{json:#}");
    let unknown = place.run(&["policies", "repo", "--policy", "meshfed-no-wildcard-export"]);
    assert!(unknown.code == Some(3) && unknown.err.contains("did you mean `meshfed-no-wildcard-exports`?"), "{}", unknown.err);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let place = Place::new();
    fs::write(place.path().join("config.yaml"), "mesh: a\nrepo: r\ninterval: 1ms\n").unwrap();
    let cases: [&[&str]; 7] = [
        &[],
        &["chek"],
        &["check", "--output", "xml"],
        &["render"],
        &["agent"],
        &["agent", "--mesh", "Not A Mesh", "--repo", "r"],
        &["agent", "--config", "config.yaml"],
    ];
    for arguments in cases {
        let ran = place.run(arguments);
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{arguments:?}: {}", ran.err);
    }
    assert_eq!(place.run(&["--help"]).code, Some(0));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    place.example(&[]);
    let mut child = place.command(&["render", "--mesh", "rosa-prod-mesh", "repo"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("error"));

    let mut child = place.command(&["schema", "out"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "what is said on the side is nobody's error either");
}

#[test]
fn schemas_are_written() {
    let place = Place::new();
    assert_eq!(place.run(&["schema", "out"]).code, Some(0));
    let text = fs::read_to_string(place.path().join("out/peer.json")).unwrap();
    assert!(serde_json::from_str::<Value>(&text).is_ok());
    assert_eq!(place.run(&["schema", "out"]).err, "", "what is right is not written again");
}

#[test]
fn a_repository_that_gives_no_answer_is_one_clear_line() {
    let place = Place::new();
    let store = GitStore::create(place.path());
    let path = store.path().to_str().unwrap();
    for (repo, words) in [
        ("/not/there", "there is no repository at /not/there"),
        ("http://127.0.0.1:1/x.git", "cannot be reached"),
        (path, "is empty: commit federation.yaml to main first"),
    ] {
        for command in [&["status"][..], &["plan"]] {
            let ran = place.run(&[command, &["--repo", repo]].concat());
            assert_eq!((ran.code, &*ran.out), (Some(3), ""), "{}", ran.err);
            assert!(ran.err.starts_with("error: ") && ran.err.contains(words), "{}", ran.err);
            assert!(ran.err.lines().count() <= 2 && !ran.err.contains("try again;"), "{}", ran.err);
        }
    }
    assert_eq!(place.run(&["status", "--repo", ""]).code, Some(2));
}

#[test]
fn a_plan_for_a_cluster_needs_one() {
    let place = Place::new();
    place.example(&[]);
    let ran = place.run(&["plan", "--live", "--mesh", "rosa-prod-mesh", "--repo", "repo", "--kubeconfig", "none"]);
    assert_eq!((ran.code, &*ran.out), (Some(3), ""), "{}", ran.err);
    assert!(ran.err.contains("cannot configure the client"), "{}", ran.err);
}

/// The example in a repository, published by its agents as if everything worked.
pub fn mk_federation(store: &GitStore) -> String {
    let files = example();
    let changes: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    let tip = store.commit("the example", &changes);
    let peerings = "  peerings:\n    aro-stg-mesh: {ready: true, imports: [{service: prod-bookinfo/details-v2, live: true}]}\n    \
                    gcp-dev-mesh: {ready: true, imports: [{service: prod-bookinfo/details-v3, live: true}]}\n  traffic:\n    details:\n      \
                    routes:\n      - {to: aro-stg-mesh, service: prod-bookinfo/details-v2, declared: 20, effective: 20}\n      \
                    - {to: gcp-dev-mesh, service: prod-bookinfo/details-v3, declared: 20, effective: 20}\n";
    publish(store, "rosa-prod-mesh", &tip, "aro-stg-mesh", peerings);
    for mesh in ["aro-stg-mesh", "gcp-dev-mesh"] {
        publish(store, mesh, &tip, "rosa-prod-mesh", "  peerings:\n    rosa-prod-mesh: {ready: true}\n");
    }
    tip
}

#[test]
fn a_clone_tells_what_its_origin_had_published() {
    let place = Place::new();
    let store = GitStore::create(place.path());
    mk_federation(&store);
    let cloned =
        std::process::Command::new("git").args(["clone", "--quiet", "repo.git", "clone"]).current_dir(place.path()).status();
    assert!(cloned.expect("git can be run").success());
    let ran = place.run(&["status", "--repo", "clone"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

fn publish(store: &GitStore, mesh: &str, applied: &str, peer: &str, rest: &str) {
    let (facts, status) = (facts(mesh, peer, "127.0.2.1"), status(mesh, applied, rest));
    let files = [("published.yaml", Some(facts.as_str())), ("status.yaml", Some(status.as_str()))];
    store.commit_on(&format!("published/{mesh}"), "facts", &files);
}

#[test]
fn status_shows_the_federation_from_git_alone() {
    let place = Place::new();
    let store = GitStore::create(place.path());
    let tip = mk_federation(&store);
    let ran = place.run(&["status", "--repo", "repo.git"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    for part in ["FEDERATION bookinfo", "! not verified by any agent", "details → details-v2", "20 → 20", "2 of 2 peerings ready"]
    {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(ran.out.contains(&format!("main@{}", &tip[..7])), "{}", ran.out);
    let json = place.run(&["status", "--repo", &store.file_url(), "-o", "json"]).json();
    assert_eq!((&json["degraded"], &json["meshes"][0]["behind"]), (&false.into(), &0.into()), "{json:#}");
    assert_eq!(json["peerings"][1]["services"][0]["effectiveWeight"], 20);
    assert!(place.run(&["status", "--repo", "repo.git", "-o", "yaml"]).out.contains("federation: bookinfo"));
    assert!(place.run(&["status", "--repo", "repo.git", "-o", "wide"]).out.contains("stg-bookinfo/details → "));
}

#[test]
fn status_shows_the_weights_of_matches_beside_the_others() {
    let place = Place::new();
    let store = GitStore::create(place.path());
    let path = "meshes/rosa-prod-mesh/traffic/details.yaml";
    mk_federation(&store);
    let matches = "  matches:\n  - headers: {end-user: {exact: jason}}\n    routes: [{peer: aro-stg-mesh, service: prod-bookinfo/details-v2}]\n  routes:";
    let tip = store.commit("first one user", &[(path, Some(&crate::stage::example(path).replace("  routes:", matches)))]);
    let traffic = "  traffic:\n    details:\n      matches:\n      - when: end-user = jason\n        routes:\n        - {to: aro-stg-mesh, \
                   service: prod-bookinfo/details-v2, declared: 100, effective: 0, why: not imported yet}\n      routes:\n      \
                   - {to: aro-stg-mesh, service: prod-bookinfo/details-v2, declared: 20, effective: 20}\n";
    publish(&store, "rosa-prod-mesh", &tip, "aro-stg-mesh", traffic);
    let ran = place.run(&["status", "--repo", "repo.git"]);
    for part in [
        "details → details-v2 (not live)  100 → 0 where end-user = jason",
        "details → details-v2 (not live)  20 → 20",
        "! rosa-prod-mesh: prod-bookinfo/details-v2 gets less than declared where end-user = jason: not\n  imported yet",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
}

#[test]
fn status_is_degraded_by_what_is_behind_broken_or_absent() {
    let place = Place::new();
    let store = GitStore::create(place.path());
    let tip = mk_federation(&store);
    store.commit("a later one", &[("README.md", Some("x"))]);
    publish(&store, "gcp-dev-mesh", &tip, "rosa-prod-mesh", "  peerings:\n    rosa-prod-mesh: {why: answers 503}\n");
    store.commit_on("published/aro-stg-mesh", "bad", &[("published.yaml", Some("metadata: ["))]);
    store.commit_on("published/stranger", "who", &[("status.yaml", Some("status: {}\n"))]);
    let ran = place.run(&["status", "--repo", "repo.git"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    for part in [
        &*format!("{} ▲1", &tip[..7]),
        "rosa-prod-mesh <-> gcp-dev-mesh  no",
        "gcp-dev-mesh: answers 503",
        "! aro-stg-mesh: published/aro-stg-mesh:published.yaml:1:",
        "! published/stranger is there, but main has no folder meshes/stranger",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    store.git(&["update-ref", "-d", "refs/heads/published/rosa-prod-mesh"]);
    let ran = place.run(&["status", "--repo", "repo.git"]);
    assert!(ran.out.contains("never seen !") && ran.out.contains("the agent of rosa-prod-mesh never published"), "{}", ran.out);
}

#[test]
fn status_tells_what_makes_the_host_suspect() {
    let place = Place::new();
    let store = GitStore::create(place.path());
    let tip = mk_federation(&store);
    let views = format!(
        "  views:\n    staleSince: 2026-01-01T00:00:00Z\n    forked:\n      gcp-dev-mesh: {{theirs: {}, ours: {tip}, since: 2026-01-02T00:00:00Z}}\n",
        "e01b77d".repeat(5)
    );
    publish(&store, "rosa-prod-mesh", &tip, "aro-stg-mesh", &views);
    let ran = place.run(&["status", "--repo", "repo.git", "-o", "wide"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    let forked = format!(
        "! rosa-prod-mesh: forked view suspected: gcp-dev-mesh says that it saw e01b77d of main, which is not on the line of {}",
        &tip[..7]
    );
    for part in [&*forked, "! rosa-prod-mesh: stale: the host may have stopped serving news"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let json = place.run(&["status", "--repo", "repo.git", "-o", "json"]).json();
    let rosa = json["meshes"].as_array().unwrap().iter().find(|mesh| mesh["name"] == "rosa-prod-mesh").unwrap();
    assert_eq!((rosa["suspicions"].as_array().unwrap().len(), &json["degraded"]), (2, &true.into()), "{json:#}");
}
