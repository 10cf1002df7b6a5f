//! The stage of the whole program: clusters with a stand-in for operator and cloud, a Git server, and agents as processes of the
//! real binary. Unlike the lab it knows meshfed: its arguments, its log, its example.
#![allow(dead_code, reason = "included by several crates, none of which uses all of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::lab::cluster::Cluster;
use crate::lab::git_server::GitServer;
use crate::lab::git_store::run;
use crate::lab::poll;
use crate::lab::process::{Process, Scratch};
use crate::lab::standin::net::Dns;
use crate::lab::standin::{Cloud, Options, Standin};

/// Far longer than anything takes; a machine that is busy with something else must not fail a test.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The meshes of the example with the cloud that each is in.
pub const EXAMPLE: [(&str, Cloud); 3] =
    [("rosa-prod-mesh", Cloud::Hostname), ("aro-stg-mesh", Cloud::Ip), ("gcp-dev-mesh", Cloud::Ip)];

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_meshfed")
}

/// The example repository in the project.
pub fn layout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("repo-layout")
}

/// A file of the example.
pub fn example(path: &str) -> String {
    std::fs::read_to_string(layout().join(path)).unwrap_or_else(|error| panic!("repo-layout/{path}: {error}"))
}

/// Everything is one team's.
const POLICY: &str = "apiVersion: meshfed.dev/v1alpha1
kind: TrustPolicy
spec:
  roles: {root: [platform@example.com]}
  rules:
  - {paths: ['**'], allow: [root]}
";

/// What the Federation says where a resync of the control plane takes a second instead of a minute.
const QUICK_GATING: &str = "  gating: {settle: 1s}\n";

/// Everything of the example under a path, file by file.
pub fn example_under(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![layout().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry of a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(layout()).expect("inside the layout").to_string_lossy().into_owned();
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// One cluster and what plays on it.
pub struct Site {
    pub cluster: Cluster,
    pub standin: Standin,
    /// The kubeconfig of the agent; by default it may do everything.
    pub account: OnceLock<PathBuf>,
}

impl Site {
    fn start(runtime: &Runtime, name: &str, options: Options) -> Self {
        let cluster = Cluster::builder(name).controllers().audit().start();
        let standin = runtime.block_on(async { Standin::start(cluster.client().await, options).await });
        Self { cluster, standin, account: OnceLock::new() }
    }

    /// A live object; `None` where it does not exist.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let output = self.cluster.kubectl(&["get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found"]);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Changes an object as a person would, with `kubectl patch`.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) {
        let output = self.cluster.kubectl(&["patch", kind, name, "-n", namespace, "--type=merge", "-p", &patch.to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The whole stage.
pub struct Stage {
    pub git: GitServer,
    pub sites: BTreeMap<String, Site>,
    pub scratch: Scratch,
    /// Commit and digest with which agents are introduced; without them nobody verifies anything.
    introduction: OnceLock<[String; 2]>,
    runtime: Runtime,
    dns: Dns,
}

impl Stage {
    /// Starts a cluster for each mesh, all at once.
    pub fn start(meshes: &[(&str, Cloud)]) -> Self {
        Self::start_with(meshes, |_| {})
    }

    /// Starts with changed options of the stand-ins.
    pub fn start_with(meshes: &[(&str, Cloud)], change: impl Fn(&mut Options) + Sync) -> Self {
        let scratch = Scratch::new("stage");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let dns = Dns::default();
        let site = |name: &str, cloud| {
            let mut options = Options::quick(name, cloud, &dns);
            change(&mut options);
            Site::start(&runtime, name, options)
        };
        let sites = std::thread::scope(|scope| {
            let starts: Vec<_> =
                meshes.iter().map(|(name, cloud)| ((*name).to_owned(), scope.spawn(|| site(name, *cloud)))).collect();
            starts.into_iter().map(|(name, start)| (name, start.join().expect("the cluster starts"))).collect()
        });
        let git = GitServer::start(&scratch.join("git"));
        Self { git, sites, scratch, introduction: OnceLock::new(), runtime, dns }
    }

    /// The cluster of a mesh is lost with all that was in it, and so is what its agent kept; there is an empty one now.
    pub fn rebuild(&mut self, mesh: &str, cloud: Cloud) {
        drop(self.sites.remove(mesh));
        let _ = std::fs::remove_dir_all(self.scratch.join(&format!("state-{mesh}"))); // it may never have run
        let site = Site::start(&self.runtime, mesh, Options::quick(mesh, cloud, &self.dns));
        self.sites.insert(mesh.to_owned(), site);
    }

    /// A cluster by its mesh.
    pub fn site(&self, mesh: &str) -> &Site {
        &self.sites[mesh]
    }

    /// The CA of a mesh is replaced by one with another key.
    pub fn replace_ca(&self, mesh: &str) {
        let _inside = self.runtime.enter();
        self.site(mesh).standin.replace_ca();
    }

    /// Runs something beside the test.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(future)
    }

    /// A line of the status that a mesh has published, by its key; the first one of that name.
    pub fn published_line(&self, mesh: &str, key: &str) -> Option<String> {
        let status = self.git.show(&format!("published/{mesh}:status.yaml"))?;
        let start = format!("{key}:");
        status.lines().find_map(|line| line.trim().strip_prefix(&start).map(|value| value.trim().to_owned()))
    }

    /// From now on everything is signed and verified: what people commit here by one of them, and what agents publish by keys that their
    /// `mesh.yaml` lists. The first commit of the repository.
    pub fn introduce(&self) {
        let person = self.key("person");
        self.git.sign_with(&person);
        let signers = format!("platform@example.com namespaces=\"git\" {}", public(&person));
        let commit = self
            .git
            .commit("Say who may sign", &[("trust/allowed_signers", Some(&signers)), ("trust/policy.yaml", Some(POLICY))]);
        let options = meshfed::repo::Options::new(self.git.file_url(), self.scratch.join("introduction"));
        let mut mirror = meshfed::repo::Mirror::open(&options).expect("a mirror");
        mirror.fetch().expect("the repository answers");
        let anchor = commit.parse().expect("a commit");
        let digest = meshfed::trust::Verifier::digest(&mirror, anchor).expect("it has trust/").to_string();
        self.introduction.set([commit, digest]).expect("it is introduced once");
    }

    /// Somebody's private key file, made when it is first asked for.
    fn key(&self, name: &str) -> PathBuf {
        let path = self.scratch.join(&format!("{name}.key"));
        if !path.exists() {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path));
        }
        path
    }

    /// What a file of the example says besides, on this stage.
    fn addition(&self, path: &str) -> String {
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["federation.yaml"] => QUICK_GATING.to_owned(),
            ["meshes", mesh, "mesh.yaml"] if self.introduction.get().is_some() => {
                format!("  agent:\n    keys: [{}]\n", public(&self.key(mesh)))
            }
            _ => String::new(),
        }
    }

    /// Commits files of the example as they are.
    pub fn commit_example(&self, message: &str, paths: &[&str]) -> String {
        let files: Vec<(&str, String)> = paths.iter().map(|path| (*path, example(path) + &self.addition(path))).collect();
        let changes: Vec<(&str, Option<&str>)> = files.iter().map(|(path, text)| (*path, Some(text.as_str()))).collect();
        self.git.commit(message, &changes)
    }

    /// Starts the agent of a mesh, with a state directory that it keeps over restarts.
    pub fn agent(&self, mesh: &str) -> Agent {
        self.agent_with(mesh, &self.git.file_url(), &[])
    }

    /// Starts it with another repository address and more arguments.
    pub fn agent_with(&self, mesh: &str, repo: &str, arguments: &[&str]) -> Agent {
        let site = self.site(mesh);
        let kubeconfig = site.account.get().map_or(site.cluster.kubeconfig(), PathBuf::as_path);
        if self.introduction.get().is_none() {
            return Agent::start(mesh, repo, kubeconfig, &self.scratch, arguments);
        }
        let key = self.key(mesh).display().to_string();
        let signs = ["--signing-key", &key];
        Agent::start(mesh, repo, kubeconfig, &self.scratch, &[&self.trust_flags()[..], &signs, arguments].concat())
    }

    /// What says from where on everything is verified; nothing where it is not.
    pub fn trust_flags(&self) -> Vec<&str> {
        let introduction = self.introduction.get();
        introduction.map(|[anchor, digest]| vec!["--trust-anchor", anchor, "--trust-digest", digest]).unwrap_or_default()
    }
}

/// The public half of a key file, `type base64`.
fn public(key: &Path) -> String {
    let text = std::fs::read_to_string(key.with_extension("key.pub")).expect("ssh-keygen makes both halves");
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// A running agent.
pub struct Agent {
    pub mesh: String,
    pub process: Process,
    read: Mutex<usize>,
}

impl Agent {
    /// Starts the real binary.
    pub fn start(mesh: &str, repo: &str, kubeconfig: &Path, scratch: &Scratch, arguments: &[&str]) -> Self {
        Self::start_in(&[], mesh, repo, kubeconfig, scratch, arguments)
    }

    /// Starts it with variables in its environment, which is empty otherwise.
    pub fn start_in(
        environment: &[(&str, &str)],
        mesh: &str,
        repo: &str,
        kubeconfig: &Path,
        scratch: &Scratch,
        arguments: &[&str],
    ) -> Self {
        let mut command = Command::new(binary());
        command
            .env_clear()
            .envs(environment.iter().copied())
            .env("HOME", scratch.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(["agent", "--mesh", mesh, "--repo", repo]);
        if !arguments.contains(&"--trust-anchor") {
            command.args(["--verification", "off"]);
        }
        if !arguments.contains(&"--interval") {
            command.args(["--interval", "1s"]);
        }
        command.arg("--kubeconfig").arg(kubeconfig).arg("--state-dir").arg(scratch.join(&format!("state-{mesh}")));
        command.args(arguments);
        let process = Process::spawn(&format!("agent-{mesh}"), &command, scratch);
        Self { mesh: mesh.to_owned(), process, read: Mutex::new(0) }
    }

    /// Every event that it has logged.
    pub fn events(&self) -> Vec<Value> {
        self.process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Events since the last call.
    pub fn new_events(&self) -> Vec<Value> {
        let mut read = self.read.lock().expect("no panic while reading");
        let log = self.process.log();
        let complete = log.rfind('\n').map_or(0, |end| end + 1);
        let start = (*read).min(complete);
        *read = complete;
        log[start..complete].lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for an event whose message contains the text.
    pub fn wait_for(&self, text: &str) -> Value {
        let found = poll(DEADLINE, || {
            self.events().into_iter().find(|event| event["message"].as_str().is_some_and(|message| message.contains(text)))
        });
        found.unwrap_or_else(|| panic!("the agent of {} never says `{text}`:\n{}", self.mesh, self.process.log_tail()))
    }
}

/// Waits until something holds; fails with what was seen last.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    let found = poll(DEADLINE, || match ask() {
        Ok(value) => Some(value),
        Err(seen) => {
            last = seen;
            None
        }
    });
    found.unwrap_or_else(|| panic!("never: {what}\nlast seen: {last}"))
}
