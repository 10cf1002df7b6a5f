//! The image: made by its script, the same each time, and fit to run where a cluster would run it.
//!
//! What ships is built with the profile `release`; here it is `dev`, linked from what is compiled already, which takes a fraction of the time. Libraries
//! and all that is put together around the binary are the same, and so is what can go wrong with a static binary: names, certificates, users, missing files.

pub mod container;
mod reaching;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::deploy::path;

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Makes the image into a folder beside the other things of the lab; gives the folder and the digest that was printed.
fn build(name: &str, umask: &str, zone: &str) -> (PathBuf, String) {
    let out = target().join("lab").join(name);
    // Those that the tests are built with: nothing is compiled twice.
    let features = if cfg!(feature = "otel") { "otel" } else { "" };
    let script = format!("umask {umask}; exec nice \"$0\" --profile dev --features '{features}' --out \"$1\"");
    let mut command = Command::new("bash");
    // What Cargo tells a test of its package is a reason for build scripts (ring's) to run again, and for all that needs them to be compiled anew.
    let is_told =
        |name: &OsString| ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|start| name.to_string_lossy().starts_with(start));
    env::vars_os().map(|(name, _)| name).filter(is_told).for_each(|name| _ = command.env_remove(name));
    let output = command
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
    let hex = HEXLOWER.encode(&Sha256::digest(&bytes));
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
            let locked =
                lock.split("[[package]]\n").find(|part| part.starts_with(&entry)).unwrap_or_else(|| panic!("{component}"));
            let checksum = component["hashes"][0]["content"].as_str().unwrap();
            assert!(locked.contains(checksum), "{component}");
        }
    }
    let named = |name: &str| components.iter().any(|component| component["name"] == name);
    for name in ["git2", "libgit2-sys", "libssh2-sys", "kube", "openssl", "glibc"] {
        assert!(named(name), "{name} is missing");
    }
    for name in ["insta", "proptest", "rexpect"] {
        assert!(!named(name), "{name} is for tests only");
    }
}
