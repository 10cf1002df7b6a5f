//! Private keys and passwords are seen by nobody: canaries, and a search through everything that anybody can read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::lab::collector::Collector;
use crate::lab::free_port;
use crate::lab::git_store::{git, run};
use crate::lab::ssh_server::SshServer;
use crate::operators::get;
use crate::solo::Solo;
use crate::stage::{Agent, binary, eventually};

const PASSWORD: &str = "canary-Zq7-password";

/// Of the key with which the agent logs in over SSH.
const PASSPHRASE: &str = "canary-Zq7-passphrase";

/// With which the collector of traces lets the agent in.
const TOKEN: &str = "canary-Zq7-token";

/// Byte strings that must not be found anywhere, each in the forms in which it could slip out.
struct Canaries(Vec<Vec<u8>>);

impl Canaries {
    fn new(keys: &[&Path]) -> Self {
        let mut all = vec![
            PASSWORD.into(),
            PASSPHRASE.into(),
            TOKEN.into(),
            BASE64_STANDARD.encode(format!("agent:{PASSWORD}")).into_bytes(),
        ];
        for key in keys {
            let text = fs::read_to_string(key).unwrap();
            let body: Vec<&str> = text.lines().filter(|line| !line.starts_with('-')).collect();
            let raw = BASE64_STANDARD.decode(body.concat()).unwrap();
            // The last 64-byte field is the seed and the public key (PROTOCOL.key); the seed alone is secret.
            let at = raw.windows(4).rposition(|length| length == [0, 0, 0, 64]).unwrap() + 4;
            let seed = &raw[at..at + 32];
            let hex = seed.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            all.extend([seed.to_vec(), hex.into_bytes(), BASE64_STANDARD.encode(&seed[..30]).into_bytes()]);
            // Lines of the file from where the secret part begins; what is before is the public key.
            all.extend(body[2..4].iter().map(|line| line.as_bytes().to_vec()));
        }
        Self(all)
    }

    fn are_in(&self, text: &[u8]) -> bool {
        self.0.iter().any(|canary| text.windows(canary.len()).any(|window| window == canary))
    }

    #[track_caller]
    fn are_not_in(&self, place: &str, text: &[u8]) {
        assert!(!self.are_in(text), "a secret is in {place}: {}", String::from_utf8_lossy(text));
    }
}

/// Every object of a repository, as it is before compression.
fn objects(home: &Path, repository: &Path) -> Vec<u8> {
    let mut command = git(home);
    command.arg("-C").arg(repository).args(["cat-file", "--batch", "--batch-all-objects"]);
    let output = command.output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{}", repository.display());
    output.stdout
}

/// Files under a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The mesh's repository over SSH, with a key that has a passphrase.
struct Ssh {
    url: String,
    key: String,
    known_hosts: String,
    right: String,
    wrong: String,
    _server: SshServer,
}

impl Ssh {
    fn start(solo: &Solo) -> Self {
        let server = SshServer::start(&solo.scratch, &["ed25519"]);
        let write = |name: &str, text: &str| solo.scratch.write(name, text).display().to_string();
        Self {
            url: server.url_of(&solo.git),
            key: server.client_key("agent", "ed25519", PASSPHRASE).display().to_string(),
            known_hosts: write("known_hosts", &server.known_hosts(&["ed25519"])),
            right: write("right", &format!("{PASSPHRASE}\n")),
            wrong: write("wrong", &format!("{PASSPHRASE}-not")),
            _server: server,
        }
    }

    fn flags<'a>(&'a self, passphrase_file: &'a str) -> [&'a str; 6] {
        let Self { key, known_hosts, .. } = self;
        ["--ssh-key", key, "--ssh-known-hosts", known_hosts, "--ssh-key-passphrase-file", passphrase_file]
    }
}

/// What others see of an agent while it runs: its pages, its traces.
struct Watch<'a> {
    solo: &'a Solo,
    collector: Collector,
    port: u16,
}

impl<'a> Watch<'a> {
    fn start(solo: &'a Solo) -> Self {
        Self { solo, collector: Collector::start(&solo.scratch), port: free_port() }
    }

    /// Starts it, and has it say as much as it can.
    fn agent(&self, repo: &str, arguments: &[&str]) -> Agent {
        let (endpoint, headers) = (self.collector.endpoint(), format!("authorization=Bearer {TOKEN}"));
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("MESHFED_TRACES", "all"),
            ("MESHFED_LOG", "debug"),
        ];
        let listen = format!("127.0.0.1:{}", self.port);
        self.solo.agent_in(&environment, repo, &[arguments, &["--listen", &listen]].concat())
    }

    fn shows_none_of(&self, canaries: &Canaries) {
        for path in ["/status", "/metrics"] {
            let good = |(line, _): &(String, String)| line.ends_with("200 OK");
            let (_, page) = eventually(path, || get(self.port, path).filter(good).ok_or_else(|| "nothing".into()));
            assert!(page.contains("meshfed") || page.contains("canary"), "{path}: {page}");
            canaries.are_not_in(path, page.as_bytes());
        }
        for step in ["fetch", "perform", "publish"].iter().filter(|_| cfg!(feature = "otel")) {
            let found = || self.collector.spans().into_iter().find(|span| span.name == *step);
            eventually(step, || found().ok_or_else(|| "no such span".into()));
        }
        canaries.are_not_in("traces", self.collector.written().as_bytes());
    }
}

#[test]
fn no_log_error_page_status_trace_event_published_file_or_commit_shows_a_private_key_or_a_password() {
    let solo = Solo::new("canary");
    let home = solo.scratch.path().to_owned();
    let (ada, agent_key) = (home.join("ada"), home.join("agent-key"));
    let clone = home.join("clone");
    let mut said = Vec::new();
    let mut meshfed = |directory: &Path, arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(directory).env_clear().env("HOME", &home).env("MESHFED_LOG", "debug");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
        }
        let output = command.output().unwrap();
        said.push((format!("{arguments:?}").into_bytes(), [output.stdout, output.stderr].concat()));
        output.status.code()
    };
    assert_eq!(meshfed(&home, &["trust", "keygen", "ada"]), Some(0));
    assert_eq!(meshfed(&home, &["trust", "keygen", "agent-key"]), Some(0));
    let canaries = Canaries::new(&[&ada, &agent_key]);
    assert!(
        canaries.are_in(&fs::read(&ada).unwrap()) && canaries.are_in(&fs::read(&agent_key).unwrap()),
        "the search finds them"
    );

    run(git(&home).args(["clone", "--quiet"]).arg(solo.git.path()).arg(&clone));
    let key = ada.to_str().unwrap();
    assert_eq!(meshfed(&clone, &["trust", "introduce", "--name", "ada@example.com", "--key", key]), Some(0));
    assert_eq!(
        meshfed(&clone, &["trust", "add", "bob@example.com", key, "--key", key]),
        Some(2),
        "a private key is no public one"
    );
    assert_eq!(meshfed(&clone, &["trust", "revoke", key, "--key", key]), Some(2));
    assert_eq!(meshfed(&clone, &["trust", "show", "-o", "json"]), Some(0));
    run(git(&home).arg("-C").arg(&clone).args(["push", "--quiet", "origin", "main"]));
    let leaked = clone.join(solo.path("manifests/key.yaml"));
    fs::create_dir_all(leaked.parent().unwrap()).unwrap();
    fs::copy(&ada, &leaked).unwrap();
    assert_eq!(meshfed(&clone, &["check"]), Some(1), "it is found, and not shown");
    fs::remove_file(&leaked).unwrap();
    let damaged =
        solo.scratch.write("damaged", &fs::read_to_string(&ada).unwrap().replacen("b3BlbnNzaC1rZXkt", "b3BlbnNzaC1rZXku", 1));
    fs::set_permissions(&damaged, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(meshfed(&clone, &["trust", "revoke", "ada@example.com", "--key", damaged.to_str().unwrap()]), Some(3));

    // An agent over HTTP, let in and not; its push refused and not.
    solo.git.require_password("agent", PASSWORD);
    let password = solo.scratch.write("password", &format!("{PASSWORD}\n"));
    let wrong = solo.git.url_with("agent", &format!("{PASSWORD}-not"));
    assert_eq!(meshfed(&home, &["status", "--repo", &wrong]), Some(3));
    let right = solo.git.url_with("agent", PASSWORD);
    assert!(meshfed(&home, &["status", "--repo", &right]).is_some());
    let (key, password) = (agent_key.display().to_string(), password.display().to_string());
    let same = [
        "agent",
        "--mesh",
        "canary",
        "--repo",
        &solo.git.url(),
        "--http-user",
        "agent",
        "--http-password-file",
        &key,
        "--signing-key",
        &key,
    ];
    assert_eq!(meshfed(&home, &same), Some(2), "the key is no password");
    solo.git.hook("pre-receive", "cat >/dev/null; echo no >&2; exit 1");
    let credentials = ["--http-user", "agent", "--http-password-file", &password, "--signing-key", &key];
    let watch = Watch::start(&solo);
    let agent = watch.agent(&solo.git.url(), &credentials);
    agent.wait_for("does not accept a push");
    solo.git.hook("pre-receive", "exit 0");
    drop(agent);
    let agent = watch.agent(&solo.git.url(), &credentials);
    eventually("it publishes", || solo.git.head("published/canary").ok_or_else(|| agent.process.log_tail()));
    solo.git.commit("Make it do something", &[(&solo.path("manifests/m.yaml"), Some(&solo.config_map("m", "one")))]);
    eventually("the agent applies it", || match solo.value("m").as_deref() {
        Some("one") => Ok(()),
        _ => Err(agent.process.log_tail()),
    });

    // And over SSH, with a key that has a passphrase: the wrong one, and the right one.
    drop(agent);
    let ssh = Ssh::start(&solo);
    assert_eq!(meshfed(&home, &[&["status", "--repo", &ssh.url][..], &ssh.flags(&ssh.wrong)].concat()), Some(3));
    let agent = watch.agent(&ssh.url, &[&ssh.flags(&ssh.right)[..], &["--signing-key", &key]].concat());
    solo.git.commit("And once more", &[(&solo.path("manifests/m.yaml"), Some(&solo.config_map("m", "two")))]);
    solo.wait_for_value("m", Some("two"));

    watch.shows_none_of(&canaries);
    for (arguments, text) in &said {
        canaries.are_not_in(&String::from_utf8_lossy(arguments), text);
    }
    canaries.are_not_in("the agent's log", agent.process.log().as_bytes());
    kept_and_published(&solo, &clone, &canaries);
}

/// Repositories, the agent's own files, and the cluster hold none of them.
fn kept_and_published(solo: &Solo, clone: &Path, canaries: &Canaries) {
    let home = solo.scratch.path();
    for repository in [solo.git.path().to_owned(), clone.to_owned(), home.join("state-canary/mirror.git")] {
        canaries.are_not_in("a repository", &objects(home, &repository));
    }
    let mut state = Vec::new();
    files(&home.join("state-canary"), &mut state);
    assert!(!state.is_empty());
    for file in state {
        canaries.are_not_in(&file.display().to_string(), &fs::read(&file).unwrap());
    }
    for namespace in [&solo.mesh, &solo.apps] {
        let kinds = "configmaps,secrets,events,events.events.k8s.io,servicemeshcontrolplanes";
        let text = solo.kubectl(&["get", kinds, "-n", namespace, "-o", "yaml", "--show-managed-fields"]);
        canaries.are_not_in("the cluster", text.as_bytes());
    }
}
