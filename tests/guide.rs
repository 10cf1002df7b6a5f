//! The guide leads to an agent that works: what `docs/install.md` shows is done, on a cluster and a Git server that it does not know, and the pods
//! that come of it run from the image.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::chart::same;
use crate::deploy::path;
use crate::docs::{Block, blocks};
use crate::image::container::{may_change_the_root, start_pod};
use crate::image::run;
use crate::lab::cluster::Cluster;
use crate::lab::git_server::GitServer;
use crate::lab::process::Process;
use crate::lab::servers;
use crate::newcomer::Newcomer;
use crate::stage::eventually;

const TOKEN: &str = "token-of-the-host";

/// Commands that need what a test does not have: a kubelet, a registry, a Git host that is called so, minutes.
const NOT_HERE: [&str; 9] = [
    "ssh-keyscan",
    "skopeo",
    "deploy/image/build",
    "kubectl -n meshfed rollout",
    "kubectl -n meshfed logs",
    "kubectl -n meshfed exec",
    "openssl",
    "git ",
    "helm",
];

/// The blocks of a page from one heading to the next of its rank.
fn section(page: &str, heading: &str) -> Vec<Block> {
    let text = fs::read_to_string(path(page)).unwrap();
    let start = text.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("{page} has no `{heading}`"));
    blocks(start.split("\n## ").next().unwrap())
}

/// Somebody who follows the guide.
struct Operator<'a> {
    home: &'a Path,
    cluster: &'a Cluster,
    /// What stands in the guide, and what it is here.
    here: Vec<(&'static str, String)>,
}

impl Operator<'_> {
    fn adapt(&self, text: &str) -> String {
        self.here.iter().fold(text.to_owned(), |text, (shown, here)| text.replace(shown, here))
    }

    /// Writes the files that a section shows, and runs its commands, in order.
    fn follow(&self, blocks: &[Block]) {
        for block in blocks {
            match block.language.as_str() {
                "yaml" => {
                    let file = block.text.lines().next().unwrap().strip_prefix("# ").expect("the name of the file");
                    fs::write(self.home.join(file), self.adapt(&block.text)).unwrap();
                }
                "sh" if block.text.contains("ssh-keyscan") => {} // the other way to open the repository
                _ => block
                    .text
                    .lines()
                    .filter(|line| !NOT_HERE.iter().any(|other| line.starts_with(other)))
                    .for_each(|line| self.run(line)),
            }
        }
    }

    fn run(&self, line: &str) {
        let line = self.adapt(line);
        let path = std::env::var_os("PATH").unwrap();
        let programs = [servers::binary("kubectl"), env!("CARGO_BIN_EXE_meshfed").into()];
        let folders = programs.iter().map(|program| program.parent().unwrap().to_owned());
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(self.home).env_clear().stdin(Stdio::null());
        shell.env("PATH", path).env("HOME", self.home).env("KUBECONFIG", self.cluster.kubeconfig());
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
    }
}

#[test]
fn what_the_guide_says_leads_to_an_agent_that_verifies_publishes_and_applies() {
    if !may_change_the_root() {
        return;
    }
    let cluster = Cluster::builder("guide").controllers().start();
    let newcomer = Newcomer::new();
    let home = newcomer.home.path();
    let git = GitServer::start(&cluster.scratch().join("git"));
    let (printed, _) = newcomer.follow_the_readme(&git);
    git.require_password("x-access-token", TOKEN);
    let introduction = printed.lines().find(|line| line.starts_with("--trust-anchor ")).unwrap();
    let [_, anchor, _, digest] = introduction.split(' ').collect::<Vec<_>>()[..] else { panic!("{introduction}") };
    run(Command::new("cp").arg("-r").arg(path("deploy")).arg(home));
    fs::write(home.join("token"), TOKEN).unwrap();

    let repository = git.url().replace("127.0.0.1", "git.example.com");
    let here = vec![
        ("https://git.example.com/platform/federation.git", repository),
        ("<anchor>", anchor.to_owned()),
        ("<digest>", digest.to_owned()),
        ("overlays/openshift #", "overlays/kubernetes #".to_owned()),
        ("platform: openshift", "platform: kubernetes".to_owned()),
    ];
    let operator = Operator { home, cluster: &cluster, here };
    for namespace in ["rosa-prod-mesh", "prod-bookinfo"] {
        operator.run(&format!("kubectl create namespace {namespace}"));
    }
    operator.follow(&section("docs/install.md", "The keys"));
    operator.follow(&section("docs/install.md", "The overlay"));
    operator.follow(&section("docs/install.md", "With Helm instead"));
    same(&home.join("deploy/rosa-prod-mesh"), &["--values", home.join("rosa-prod-mesh.yaml").to_str().unwrap()]);

    let replicas = cluster.kubectl(&["get", "deployment", "meshfed", "-n", "meshfed", "-o", "jsonpath={.spec.replicas}"]);
    let replicas: usize = String::from_utf8(replicas.stdout).unwrap().parse().unwrap();
    let hosts = "127.0.0.1 git.example.com\n";
    let pods: Vec<_> =
        (0..replicas).map(|number| start_pod(&cluster, cluster.scratch(), &format!("meshfed-{number}"), hosts)).collect();
    let said = || pods.iter().map(Process::log_tail).collect::<Vec<_>>().join("\n--\n");
    eventually("the agent verifies main and publishes", || {
        let status = git.show("published/rosa-prod-mesh:status.yaml").filter(|status| status.contains("verified: verified"));
        status.ok_or_else(said)
    });
    let plane = r#"{"apiVersion": "maistra.io/v2", "kind": "ServiceMeshControlPlane", "metadata": {"name": "rosa-prod-mesh", "namespace": "rosa-prod-mesh"}, "spec": {"version": "v2.5"}}"#;
    fs::write(home.join("plane.json"), plane).unwrap();
    operator.run("kubectl apply --server-side -f plane.json");
    eventually("the agent gives the control plane gateways for its peer", || {
        let output =
            cluster.kubectl(&["get", "smcp", "rosa-prod-mesh", "-n", "rosa-prod-mesh", "-o", "jsonpath={.spec.gateways}"]);
        let gateways = String::from_utf8_lossy(&output.stdout).into_owned();
        gateways.contains("aro-stg-mesh-ingress").then_some(()).ok_or_else(|| gateways + &said())
    });
    for pod in &pods {
        let log = pod.log();
        assert!(!log.to_lowercase().contains("forbidden"), "a role is missing: {log}");
    }
    drop(pods); // before their cluster
    for file in ["new.key", "new-key", "known_hosts", "old-ca.crt", "new-ca.crt", "secret"] {
        fs::write(home.join(file), file).unwrap();
    }
    for heading in ["The agent's signing key", "What opens the repository", "The webhook's secret"] {
        operator.follow(&section("docs/keys.md", heading));
    }
    let kept = |kind: &str, name: &str, key: &str| {
        let output = cluster.kubectl(&["get", kind, name, "-n", "meshfed", "-o", &format!("jsonpath={{.data.{key}}}")]);
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(kept("secret", "meshfed-signing-key", "signing-key"), "bmV3LmtleQ==", "new.key, in base64");
    assert_eq!(kept("secret", "meshfed-git", "ssh-privatekey"), "bmV3LWtleQ==", "new-key");
    assert_eq!(kept("configmap", "meshfed-git", r"ca\.crt"), "old-ca.crtnew-ca.crt");
    assert_eq!(kept("secret", "meshfed-webhook", "secret"), "c2VjcmV0");
    operator.follow(&section("docs/install.md", "Removing it"));
}
