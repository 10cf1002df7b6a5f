//! From nothing to a verified federation of two meshes, as the README shows it to a newcomer.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::deploy::{done, namespace, path};
use crate::federation::steps::{ARO, ROSA, imported};
use crate::golden::{fits, known};
use crate::lab::cluster::Cluster;
use crate::lab::git_store::GitStore;
use crate::lab::standin::Cloud;
use crate::stage::{Stage, binary, example, example_under};

/// Somebody with an empty home.
pub struct Newcomer {
    pub home: TempDir,
}

impl Newcomer {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// Runs what the README shows, with a repository of this server; what our commands said on standard output, and what on standard error.
    pub fn follow_the_readme(&self, server: &GitStore) -> (String, String) {
        let commands = commands();
        assert!(commands.len() + 2 <= 10, "two more start the agents");
        let (mut printed, mut said) = (String::new(), String::new());
        for (directory, command) in commands {
            let command = command.replace("https://git.example.com/platform/federation.git", &server.file_url());
            let (out, err) = self.fine(directory, &command);
            if command.starts_with("meshfed ") {
                printed += &out;
                said += &["$ ", &command, "\n", &err].concat();
            }
        }
        (printed, said)
    }

    fn run(&self, directory: &str, command: &str) -> Output {
        let folder = Path::new(binary()).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(folder).chain(std::env::split_paths(&path));
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.home.path().join(directory)).env_clear().stdin(Stdio::null());
        shell.env("PATH", std::env::join_paths(path).unwrap()).env("HOME", self.home.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
        }
        shell.output().unwrap()
    }

    /// Standard output and error of a command that ends with this code.
    #[track_caller]
    fn ends(&self, code: i32, directory: &str, command: &str) -> (String, String) {
        let output = self.run(directory, command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{command}: {out}{err}");
        (out, err)
    }

    #[track_caller]
    fn fine(&self, directory: &str, command: &str) -> (String, String) {
        self.ends(0, directory, command)
    }
}

/// The commands of the README in order, each with the folder in which it is run.
fn commands() -> Vec<(&'static str, String)> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let block =
        readme.split("## Start a federation").nth(1).unwrap().split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let mut directory = ".";
    let mut found = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("cd ") {
            Some(_) => directory = "federation",
            None => found.push((directory, line.to_owned())),
        }
    }
    found
}

#[test]
fn ten_commands_lead_from_nothing_to_a_verified_federation_of_two_meshes() {
    let newcomer = Newcomer::new();
    let server = GitStore::create(newcomer.home.path());
    let (printed, said) = newcomer.follow_the_readme(&server);
    let introduction = printed.lines().find(|line| line.starts_with("--trust-anchor ")).unwrap();
    assert_eq!(server.log("main").len(), 4);
    let [_, anchor, _, digest] = introduction.split(' ').collect::<Vec<_>>()[..] else { panic!("{introduction}") };
    newcomer.fine("federation", &format!("meshfed trust show --trust-anchor {anchor} --trust-digest {digest}"));
    newcomer.fine("federation", "meshfed check --range HEAD~3..HEAD");
    for (mesh, peer, kind) in
        [("rosa-prod-mesh", "aro-stg-mesh", "ImportedServiceSet"), ("aro-stg-mesh", "rosa-prod-mesh", "ExportedServiceSet")]
    {
        let (out, _) = newcomer.fine("federation", &format!("meshfed render --mesh {mesh} --assume-live"));
        assert!(out.contains(&format!("kind: {kind}")) && out.contains(&format!("  name: {peer}\n")), "{out}");
    }
    // How to start the agents is printed in full: only the kubeconfig is for people to add.
    let agent = said.lines().position(|line| line.contains("meshfed agent --mesh rosa-prod-mesh")).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[agent].contains("--repo \"$(git remote get-url origin)\" \\"), "{said}");
    assert!(lines[agent + 1].contains("--signing-key ../rosa.key \\"), "{said}");
    assert!(lines[agent + 2].contains("--verification enforce --trust-anchor "), "{said}");
    assert!(said.contains("next: git remote add origin URL, then git push origin main"), "{said}");
    let files =
        ["README.md", "federation.yaml", "meshes/aro-stg-mesh/mesh.yaml", "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml"];
    let file =
        |path: &&str| format!("# {path}\n{}", fs::read_to_string(newcomer.home.path().join("federation").join(path)).unwrap());
    let text = files.iter().map(file).collect::<Vec<_>>().concat();
    let key = text.lines().find_map(|line| line.split_once("ssh-ed25519 ")?.1.split(' ').next()).unwrap().to_owned();
    insta::assert_snapshot!(text.replace(&key, "KEY"));
    let server = server.file_url();
    insta::assert_snapshot!("what_each_command_says_to_a_newcomer", known(fits(&said.replace(&server, "URL"))));
}

/// What only the lab needs: addresses of loopback, a quick control plane, and workloads.
fn fit_the_lab(newcomer: &Newcomer) {
    let clone = newcomer.home.path().join("federation");
    let append = |path: &str, text: &str| {
        let before = fs::read_to_string(clone.join(path)).unwrap();
        fs::write(clone.join(path), before + text).unwrap();
    };
    append("federation.yaml", "spec: {allowAddresses: [127.0.0.0/8], gating: {settle: 1s}}\n");
    for mesh in [ROSA, ARO] {
        let base = "  createNamespaces: true\n  controlPlane: {base: {spec: {version: v2.5}}}\n";
        append(&format!("meshes/{mesh}/mesh.yaml"), base);
        for path in example_under(&format!("meshes/{mesh}/manifests")) {
            fs::create_dir_all(clone.join(&path).parent().unwrap()).unwrap();
            fs::write(clone.join(&path), example(&path)).unwrap();
        }
    }
    newcomer.fine("federation", "git add --all");
    newcomer.fine("federation", "git -c gpg.format=ssh -c user.signingkey=../ada.key commit --quiet -S -m 'Fit the lab'");
    newcomer.fine("federation", "git push --quiet origin main");
}

#[test]
fn the_agents_that_join_says_how_to_start_verify_all_and_connect() {
    let stage = Stage::start(&[(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)]);
    let newcomer = Newcomer::new();
    let (_, said) = newcomer.follow_the_readme(&stage.git);
    fit_the_lab(&newcomer);
    let agents = [ROSA, ARO].map(|mesh| {
        let start = said.split(&format!("meshfed agent --mesh {mesh} ")).nth(1).expect(&said);
        let words: Vec<&str> = start.lines().take(4).flat_map(str::split_whitespace).filter(|word| *word != "\\").collect();
        let flags = &words[words.iter().position(|word| *word == "--signing-key").unwrap()..];
        let key = newcomer.home.path().join("federation").join(flags[1]).display().to_string();
        let flags: Vec<&str> = ["--signing-key", &key].into_iter().chain(flags[2..].iter().copied()).collect();
        assert!(flags.contains(&"enforce") && flags.contains(&"--trust-digest"), "{flags:?}");
        stage.agent_with(mesh, &stage.git.file_url(), &flags)
    });
    imported(&stage, ROSA, ARO, "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local").unwrap();
    for mesh in [ROSA, ARO] {
        let status = stage.git.show(&format!("published/{mesh}:status.yaml")).unwrap();
        assert!(status.contains("verified: verified") && !status.contains("frozen"), "{status}");
    }
    drop(agents); // before their clusters
}

#[test]
fn each_step_says_what_is_missing_or_there_already() {
    let newcomer = Newcomer::new();
    let (_, err) = newcomer.ends(2, ".", "meshfed init federation --name ada@example.com");
    assert!(err.contains("nobody knows which key signs") && err.contains("meshfed trust keygen FILE makes one"), "{err}");
    assert!(!newcomer.home.path().join("federation").exists(), "a step that failed leaves nothing");
    newcomer.fine(".", "git init --quiet federation");
    let (_, err) = newcomer.ends(2, "federation", "meshfed join rosa");
    assert!(err.contains("there is no federation.yaml on this branch"), "{err}");
    newcomer.ends(2, ".", "meshfed init federation --name ada@example.com");
    assert!(newcomer.home.path().join("federation/.git").exists(), "what was there before stays");
    for (directory, command) in &commands()[..2] {
        newcomer.fine(directory, command);
    }
    let cases = [
        ("meshfed init --name ada@example.com --key ../ada.key", "there is a federation.yaml already"),
        ("meshfed peer a b --key ../ada.key", "there is no meshes/a/mesh.yaml on this branch"),
        ("meshfed join Rosa --key ../ada.key", "Rosa"),
        (
            "meshfed join rosa --trust-domain cluster.local --agent-key ../rosa.key --key ../ada.key",
            "`cluster.local` is every mesh's default",
        ),
        (
            "meshfed join rosa --agent-key rosa.key --key ../ada.key",
            "rosa.key lies in the clone, from where it would be committed",
        ),
        ("meshfed join rosa --member rosa --agent-key ../rosa.key --key ../ada.key", "`rosa` holds the control plane"),
    ];
    for (command, words) in cases {
        let (_, err) = newcomer.ends(2, "federation", command);
        assert!(err.contains(words), "{command}: {err}");
    }
    for mesh in ["rosa", "aro"] {
        newcomer
            .fine("federation", &format!("meshfed join {mesh} --member {mesh}-apps --agent-key ../{mesh}.key --key ../ada.key"));
    }
    let (_, err) = newcomer.ends(2, "federation", "meshfed join rosa --agent-key ../rosa.key --key ../ada.key");
    assert!(err.contains("meshes/rosa/mesh.yaml is there already"), "{err}");

    let (_, err) = newcomer.ends(2, "federation", "meshfed peer rosa arro --key ../ada.key");
    assert!(err.contains("did you mean `aro`?"), "{err}");
    let (out, _) = newcomer.ends(1, "federation/meshes/rosa", "meshfed status --branch master");
    assert!(out.contains("2 meshes"), "from any folder of the clone: {out}");

    // A team makes its own half, and not the other's.
    newcomer.fine("federation", "meshfed trust keygen ../rob.key");
    newcomer.fine("federation", "meshfed trust add rob@example.com ../rob.key.pub --role rosa --key ../ada.key");
    let (_, err) = newcomer.ends(3, "federation", "meshfed peer rosa aro --key ../rob.key");
    assert!(err.contains("PathDenied: meshes/aro/peers/rosa.yaml: rob@example.com may not change it"), "{err}");
    let share = "--share rosa:rosa-apps/details";
    let (_, err) = newcomer.fine("federation", &format!("meshfed peer rosa aro --one-side {share} --key ../rob.key"));
    assert!(err.contains("meshfed peer aro rosa --one-side"), "{err}");
    let (_, err) = newcomer.ends(2, "federation", &format!("meshfed peer rosa aro {share} --key ../ada.key"));
    assert!(err.contains("meshes/rosa/peers/aro.yaml is there already"), "{err}");
    newcomer.fine("federation", &format!("meshfed peer aro rosa --one-side {share} --key ../ada.key"));
    newcomer.fine("federation", "meshfed check");
    let (_, err) = newcomer.ends(2, "federation", "meshfed peer aro rosa --share x:a/b --key ../ada.key");
    assert!(err.contains("x is neither aro nor rosa"), "{err}");
}

#[test]
fn whoever_git_does_not_know_commits_under_the_name_that_signs() {
    let newcomer = Newcomer::new();
    newcomer.fine(".", "meshfed trust keygen ada.key");
    let nobody = "env -u GIT_AUTHOR_NAME -u GIT_AUTHOR_EMAIL -u GIT_COMMITTER_NAME -u GIT_COMMITTER_EMAIL";
    newcomer.fine(".", &format!("{nobody} meshfed init federation --name ada@example.com --key ada.key"));
    newcomer.fine("federation", &format!("{nobody} meshfed join rosa --key ../ada.key"));
    assert!(newcomer.home.path().join("rosa.key").is_file(), "beside the clone, not in it");
    let (authors, _) = newcomer.fine("federation", "git log --format=%an,%ce");
    assert_eq!(authors, "ada@example.com,ada@example.com\n".repeat(2));
}

#[test]
fn without_trust_and_key_a_commit_is_made_all_the_same() {
    let newcomer = Newcomer::new();
    newcomer.fine(".", "git init --quiet federation");
    newcomer.fine(
        "federation",
        "printf 'apiVersion: meshfed.dev/v1alpha1\\nkind: Federation\\nmetadata: {name: f}\\n' > federation.yaml",
    );
    newcomer.fine("federation", "git add --all && git commit --quiet -m Begin");
    let (_, err) = newcomer.fine("federation", "meshfed join rosa");
    assert!(err.contains("not signed, as no key is given") && err.contains("--verification off"), "{err}");
    assert!(err.contains(" --branch master "), "there is no main that an agent could read: {err}");
    assert!(err.contains("next: git remote add origin URL, then git push origin "), "{err}");
}

#[test]
fn a_cluster_takes_the_overlay_that_join_writes() {
    let newcomer = Newcomer::new();
    let server = GitStore::create(newcomer.home.path());
    newcomer.follow_the_readme(&server);
    newcomer.fine(".", &format!("cp -r {} deploy", path("deploy")));
    let roll = "apiVersion: maistra.io/v1\\nkind: ServiceMeshMemberRoll\\nmetadata: {name: default, namespace: rosa-prod-mesh}\\n\
                spec: {members: [prod-bookinfo]}\\n";
    let manifests = "meshes/rosa-prod-mesh/manifests";
    newcomer
        .fine("federation", &format!("mkdir -p {manifests} && printf '{roll}' > {manifests}/roll.yaml && git add {manifests}"));
    newcomer.fine("federation", "git commit --quiet -m 'Keep the roll'");
    let (_, said) = newcomer.fine("federation", "meshfed join rosa-prod-mesh --overlay ../deploy");
    assert!(said.contains("wrote ../deploy/rosa-prod-mesh"), "{said}");
    let (_, again) = newcomer.ends(2, "federation", "meshfed join rosa-prod-mesh --overlay ../deploy");
    assert!(again.contains("../deploy/rosa-prod-mesh is there already"), "{again}");
    let join = "meshfed join gcp-dev-mesh --member dev-bookinfo --control-plane v2.5 --agent-key ../gcp.key --key ../ada.key --overlay ../deploy --image registry.example.com/meshfed:9";
    newcomer.fine("federation", "git remote set-url origin ssh://git@git.example.com/federation.git");
    newcomer.fine("federation", join);
    let lab = Cluster::shared();
    for name in ["meshfed", "rosa-prod-mesh", "prod-bookinfo", "gcp-dev-mesh", "dev-bookinfo"] {
        namespace(lab, name);
    }
    for (mesh, member) in [("rosa-prod-mesh", "prod-bookinfo"), ("gcp-dev-mesh", "dev-bookinfo")] {
        let folder = newcomer.home.path().join("deploy").join(mesh).display().to_string();
        // Other tests apply the example for real.
        done(lab, &format!("apply --server-side --force-conflicts --dry-run=server --validate=strict -k {folder}"));
        let built = String::from_utf8(lab.kubectl(&["kustomize", &folder]).stdout).unwrap();
        let anchor = server_tip(&newcomer, mesh);
        for part in [
            format!("MESHFED_MESH: {mesh}"),
            format!("MESHFED_TRUST_ANCHOR: {anchor}"),
            format!("name: meshfed-member\n  namespace: {member}\n"),
            format!("name: meshfed-control-plane\n  namespace: {mesh}\n"),
        ] {
            assert!(built.contains(&part), "{part}: {built}");
        }
        let second = mesh == "gcp-dev-mesh";
        assert_eq!(built.contains("- servicemeshmemberrolls\n"), !second, "no other role lets the agent keep the roll: {built}");
        let repository = if second { "ssh://git@git.example.com/federation.git".to_owned() } else { server.file_url() };
        assert!(built.contains(&format!("MESHFED_REPO: {repository}\n")), "{built}");
        for part in [
            "name: meshfed-own-control-plane",
            "MESHFED_SSH_KEY: /git/ssh-privatekey\n  MESHFED_SSH_KNOWN_HOSTS: /git/known_hosts\n",
            "image: registry.example.com/meshfed:9\n",
        ] {
            assert_eq!(built.contains(part), second, "{part}: {built}");
        }
    }
}

/// The commit in which a mesh got its overlay.
fn server_tip(newcomer: &Newcomer, mesh: &str) -> String {
    let revision = if mesh == "gcp-dev-mesh" { "HEAD" } else { "HEAD~1" };
    newcomer.fine("federation", &format!("git rev-parse {revision}")).0.trim().to_owned()
}
