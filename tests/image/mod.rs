//! The image: made by its script, the same each time, and fit to run where a cluster would run it.
//!
//! What ships is built with the profile `release`; here it is `dev`, which takes a fraction of the time. Target, flags, libraries and all that is
//! put together around the binary are the same, and so is what can go wrong with a static binary: names, certificates, users, missing files.

pub mod container;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

use self::container::{Container, USER, may_change_the_root};
use crate::deploy::path;
use crate::lab::certs::Authority;
use crate::lab::cluster::Cluster;
use crate::lab::dns::Dns;
use crate::lab::process::Process;
use crate::lab::ssh_server::SshServer;
use crate::lab::tls;
use crate::solo::Solo;
use crate::stage::eventually;

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Makes the image into a folder beside the other things of the lab; gives the folder and the digest that was printed.
fn build(name: &str, umask: &str, zone: &str) -> (PathBuf, String) {
    let out = target().join("lab").join(name);
    let script = format!("umask {umask}; exec nice \"$0\" --profile dev --out \"$1\"");
    let output = Command::new("bash")
        .args(["-c", &script, &path("deploy/image/build")])
        .arg(&out)
        .env("CARGO_TARGET_DIR", target())
        .env("TZ", zone)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    (out, said.lines().last().unwrap().to_owned())
}

/// The image that all tests here share.
fn image() -> &'static (PathBuf, String) {
    static BUILT: OnceLock<(PathBuf, String)> = OnceLock::new();
    BUILT.get_or_init(|| build("image", "022", "UTC"))
}

/// A blob, which must be what its digest says.
fn blob(out: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let file = out.join("oci/blobs/sha256").join(digest);
    let bytes = fs::read(&file).unwrap();
    let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((hex.as_str(), descriptor["size"].as_u64()), (digest, Some(bytes.len() as u64)));
    file
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// What a command prints, which must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Manifest and configuration, as the index leads to them.
fn described(out: &Path) -> (Value, Value) {
    let manifest = json(&blob(out, &json(&out.join("oci/index.json"))["manifests"][0]));
    let config = json(&blob(out, &manifest["config"]));
    (manifest, config)
}

/// Its one layer.
fn layer(out: &Path) -> PathBuf {
    blob(out, &described(out).0["layers"][0])
}

#[test]
fn it_is_the_same_whoever_makes_it_wherever() {
    let (first, digest) = image();
    let (second, again) = build("image-again", "077", "Pacific/Auckland");
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(*digest, again);
    assert_eq!(fs::read(first.join("meshfed.tar")).unwrap(), fs::read(second.join("meshfed.tar")).unwrap());
}

#[test]
fn it_holds_a_program_certificates_and_what_they_are_made_of() {
    let (out, _) = image();
    let (manifest, config) = described(out);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(config["config"]["User"], "65532:65532", "a number, or the kubelet cannot tell that it is not root");
    let files = run(Command::new("tar").arg("-tzf").arg(layer(out)));
    let files: BTreeSet<_> = files.lines().filter(|file| !file.ends_with('/')).collect();
    let expected = [
        "./etc/nsswitch.conf",
        "./etc/ssl/certs/ca-certificates.crt",
        "./usr/bin/meshfed",
        "./usr/share/doc/meshfed/LICENSE",
        "./usr/share/doc/meshfed/sbom.cdx.json",
    ];
    assert_eq!(files, BTreeSet::from(expected));
}

#[test]
fn the_sbom_names_what_is_linked_in() {
    let sbom = json(&image().0.join("sbom.cdx.json"));
    assert_eq!((&sbom["bomFormat"], &sbom["metadata"]["component"]["name"]), (&"CycloneDX".into(), &"meshfed".into()));
    let components = sbom["components"].as_array().unwrap();
    let lock = fs::read_to_string(path("Cargo.lock")).unwrap();
    for component in components {
        let (name, version) = (component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
        if component["purl"].as_str().unwrap().starts_with("pkg:cargo/") {
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            let locked = lock.split("[[package]]\n").find(|part| part.starts_with(&entry)).unwrap_or_else(|| panic!("{component}"));
            let checksum = component["hashes"][0]["content"].as_str().unwrap();
            assert!(locked.contains(checksum), "{component}");
        }
    }
    let named = |name: &str| components.iter().any(|component| component["name"] == name);
    for name in ["git2", "libgit2-sys", "libssh2-sys", "kube", "openssl", "glibc"] {
        assert!(named(name), "{name} is missing");
    }
    for name in ["tempfile", "insta", "proptest"] {
        assert!(!named(name), "{name} is for tests only");
    }
}

/// Starts the agent of a mesh in a container, with the shared cluster.
fn agent(container: &Container, solo: &Solo, name: &str, repo: &str, settings: &[(&str, &str)]) -> Process {
    let kubeconfig = fs::read_to_string(Cluster::shared().kubeconfig_for(&solo.mesh, &["system:masters"])).unwrap();
    let kubeconfig = container.mount(&format!("/state/kubeconfig-{name}"), kubeconfig.as_bytes(), USER);
    let state = format!("/state/{name}");
    let arguments = ["agent", "--mesh", &solo.mesh, "--repo", repo, "--kubeconfig", &kubeconfig, "--verification", "off"];
    let mut command = container.command(USER, USER);
    command.args(arguments).args(["--interval", "1s", "--state-dir", &state]).envs(settings.iter().copied());
    Process::spawn(name, &command, &solo.scratch)
}

#[test]
fn it_finds_its_repository_by_name_over_https_and_ssh_as_any_user_without_writing_elsewhere() {
    if !may_change_the_root() {
        return;
    }
    let dns = Dns::start(&["git.lab.example"]).expect("root may listen on port 53");
    let solo = Solo::new("in-image");
    let container = Container::new(&solo.scratch, "root");
    container.mount("/etc/resolv.conf", dns.resolv_conf().as_bytes(), 0);
    container.mount("/etc/hosts", b"127.0.0.1 hosts.lab.example\n", 0);
    let before = container.outside_of_state();

    let authority = Authority::new("git-host");
    let port = tls::in_front(&authority, &solo.git.url(), None).port();
    let ca = container.mount("/state/ca.crt", authority.root().as_bytes(), USER);
    for host in ["git.lab.example", "hosts.lab.example"] {
        let before = solo.git.requests().len();
        let repo = format!("https://{host}:{port}/repo.git");
        let agent = agent(&container, &solo, &format!("https-{host}"), &repo, &[("MESHFED_HTTP_CA_FILE", &ca)]);
        eventually("the agent finds the repository by https and publishes", || {
            let published = solo.git.show(&format!("published/{}:status.yaml", solo.mesh));
            published.filter(|_| solo.git.requests().len() > before).ok_or_else(|| agent.log_tail())
        });
    }
    assert!(dns.asked().iter().any(|name| name == "git.lab.example"), "nobody asked for the name");

    let ssh = SshServer::start(&solo.scratch, &["ed25519"]);
    ssh.git(&["fetch", "--quiet", &solo.git.file_url(), "main:main"]);
    let key = fs::read(ssh.client_key("image", "ed25519", "")).unwrap();
    let key = container.mount("/state/ssh-privatekey", &key, USER);
    for host in ["git.lab.example", "hosts.lab.example"] {
        let known = ssh.known_hosts(&["ed25519"]).replace("127.0.0.1", host);
        let known = container.mount(&format!("/state/known_hosts-{host}"), known.as_bytes(), USER);
        let settings = [("MESHFED_SSH_KEY", key.as_str()), ("MESHFED_SSH_KNOWN_HOSTS", &known)];
        let before = ssh.logins();
        let agent = agent(&container, &solo, &format!("ssh-{host}"), &ssh.url().replace("127.0.0.1", host), &settings);
        eventually("the agent finds the repository by ssh and publishes", || {
            let published = ssh.show(&format!("published/{}:status.yaml", solo.mesh));
            published.filter(|_| ssh.logins() > before).ok_or_else(|| agent.log_tail())
        });
    }
    assert_eq!(container.outside_of_state(), before, "something was written outside of /state");
}
