//! From nothing to a verified federation of two meshes, as the README shows it to a newcomer.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::lab::git_store::GitStore;
use crate::stage::binary;

/// A home with a server's empty repository beside it.
struct Newcomer {
    home: TempDir,
    server: GitStore,
}

impl Newcomer {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let server = GitStore::create(home.path());
        Self { home, server }
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
            None => found.push((directory, line.replace("https://git.example.com/platform/federation.git", "../repo.git"))),
        }
    }
    found
}

#[test]
fn ten_commands_lead_from_nothing_to_a_verified_federation_of_two_meshes() {
    let newcomer = Newcomer::new();
    let mut said = String::new();
    let mut anchors = Vec::new();
    let commands = commands();
    assert!(commands.len() + 2 <= 10, "two more start the agents");
    for (directory, command) in commands {
        let (out, err) = newcomer.fine(directory, &command);
        anchors.extend(out.lines().filter(|line| line.starts_with("--trust-anchor ")).map(str::to_owned));
        said += &err;
    }
    assert_eq!(newcomer.server.log("main").len(), 4);
    let anchor = anchors[0].split(' ').nth(1).unwrap();
    let digest = anchors[0].split(' ').nth(3).unwrap();
    newcomer.fine("federation", &format!("meshfed trust show --anchor {anchor} --digest {digest}"));
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
    assert!(lines[agent].contains("--repo \"$(git remote get-url origin)\" --signing-key ../rosa.key"), "{said}");
    assert!(lines[agent + 1].contains("--verification enforce --trust-anchor "), "{said}");
    assert!(said.contains("next: git push origin main"), "{said}");
    let files =
        ["README.md", "federation.yaml", "meshes/aro-stg-mesh/mesh.yaml", "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml"];
    let file =
        |path: &&str| format!("# {path}\n{}", fs::read_to_string(newcomer.home.path().join("federation").join(path)).unwrap());
    let text = files.iter().map(file).collect::<Vec<_>>().concat();
    let key = text.lines().find_map(|line| line.split_once("ssh-ed25519 ")?.1.split(' ').next()).unwrap().to_owned();
    insta::assert_snapshot!(text.replace(&key, "KEY"));
}

#[test]
fn each_step_says_what_is_missing_or_there_already() {
    let newcomer = Newcomer::new();
    let (_, err) = newcomer.ends(2, ".", "meshfed init federation --name ada@example.com");
    assert!(err.contains("nobody knows which key signs") && err.contains("meshfed trust keygen FILE makes one"), "{err}");
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
