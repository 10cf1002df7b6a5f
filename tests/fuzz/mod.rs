//! Parsers of what others write, given bytes that nobody would write. Each target runs for a bounded time from inputs that are kept in
//! `corpus/<target>/`; what makes one panic is written there, so that it is tried first from then on, and its path is said.
//!
//! `MESHFED_FUZZ_SECONDS=600 cargo test --test system fuzz` looks longer. There is no coverage guidance: that needs a nightly compiler.

mod mutate;
mod trust;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use meshfed::decide::read_status;
use meshfed::facts::{address, published, roots};
use meshfed::model::{Cache, ContentId, load, yaml};

use mutate::Mutator;

/// How long each target runs where nobody says otherwise: some thousands of inputs.
const SECONDS: u64 = 2;

/// Largest input: what is wrong with a parser shows in small ones.
const MAX_INPUT: usize = 16 << 10;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// Runs a target on its corpus, then on what comes of it. The target must not panic, and says itself what else must hold.
fn fuzz(target: &str, test: impl Fn(&[u8])) {
    let folder = corpus(target);
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).expect("the target has a corpus").map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let input = fs::read(&path).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| test(&input))).is_ok(), "{target} fails on {}", path.display());
        inputs.push(input);
    }
    assert!(!inputs.is_empty(), "{} holds nothing", folder.display());
    let seconds = std::env::var("MESHFED_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_secs() | 1);
    let mut mutator = Mutator::new(seed);
    let (started, mut tried) = (Instant::now(), 0u64);
    while started.elapsed() < Duration::from_secs(seconds) {
        let input = mutator.next(&inputs, MAX_INPUT);
        if catch_unwind(AssertUnwindSafe(|| test(&input))).is_err() {
            let path = folder.join(format!("found-{seed}-{tried}"));
            fs::write(&path, &input).unwrap();
            panic!("{target} fails on an input that is now kept as {}", path.display());
        }
        tried += 1;
    }
    println!("{target}: {tried} inputs from seed {seed}");
}

/// A moment at which the certificates of the corpus are valid.
fn now() -> jiff::Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// One file of a repository that is otherwise right.
fn load_with(path: &str, bytes: &[u8]) {
    let files = [
        ("federation.yaml", "apiVersion: meshfed.dev/v1alpha1\nkind: Federation\nmetadata: {name: f}\n"),
        ("meshes/a/mesh.yaml", "apiVersion: meshfed.dev/v1alpha1\nkind: Mesh\nmetadata: {name: a}\nspec: {trustDomain: a.x}\n"),
        ("meshes/b/mesh.yaml", "apiVersion: meshfed.dev/v1alpha1\nkind: Mesh\nmetadata: {name: b}\nspec: {trustDomain: b.x}\n"),
        ("meshes/b/peers/a.yaml", "apiVersion: meshfed.dev/v1alpha1\nkind: Peer\nmetadata: {name: a}\n"),
    ];
    let mut entries: std::collections::BTreeMap<_, _> =
        files.iter().map(|(path, _)| ((*path).to_owned(), ContentId([0; 20]))).collect();
    entries.insert(path.to_owned(), ContentId([1; 20]));
    let mut read = |wanted: &str, _: ContentId| {
        let text = files.iter().find(|(path, _)| *path == wanted).map(|(_, text)| text.as_bytes());
        Ok(if wanted == path { bytes } else { text.unwrap_or_default() }.to_vec())
    };
    let (federation, found) = load(&entries, &mut read, &mut Cache::default());
    for finding in &found {
        let said = finding.to_string();
        assert!(!said.contains('\n') && !said.contains('\u{1b}'), "a finding is one printable line: {said:?}");
    }
    assert!(path == "meshes/b/mesh.yaml" || federation.mesh("b").is_some(), "what is right stays");
}

#[test]
fn fuzz_document() {
    fuzz("document", |input| {
        for path in ["federation.yaml", "meshes/a/mesh.yaml", "meshes/a/peers/b.yaml", "meshes/a/traffic/t.yaml"] {
            load_with(path, input);
        }
    });
}

#[test]
fn fuzz_manifests() {
    fuzz("manifests", |input| load_with("meshes/a/manifests/x.yaml", input));
}

#[test]
fn fuzz_roots() {
    fuzz("roots", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(parsed) = roots::parse(text, now()) {
            assert!((1..=roots::MAX_ROOTS).contains(&parsed.len()));
            let again = roots::parse(&roots::bundle(&parsed), now());
            assert_eq!(again, Ok(parsed), "what was written is read");
        }
    });
}

#[test]
fn fuzz_published() {
    fuzz("published", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let (facts, found) = published::read("b", "published.yaml", text, &[], now());
        assert_eq!(facts.broken, !found.is_empty());
        for text in facts.ingress.values().flat_map(|endpoint| &endpoint.addresses) {
            assert_eq!(address::parse(text).as_ref(), Ok(text), "only addresses in their usual spelling");
            assert_eq!(address::allowed(text, &[]), Ok(()));
        }
    });
}

#[test]
fn fuzz_address() {
    fuzz("address", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(parsed) = address::parse(text) {
            assert_eq!(address::parse(&parsed).as_ref(), Ok(&parsed), "{text:?}");
            assert!(parsed.bytes().all(|byte| byte.is_ascii_graphic()), "{parsed:?}");
            let _ = address::allowed(&parsed, &[]);
        }
    });
}

#[test]
fn fuzz_status() {
    fuzz("status", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Err(finding) = read_status("status.yaml", text) {
            assert!(!finding.to_string().contains('\n'));
        }
    });
}

#[test]
fn fuzz_yaml() {
    fuzz("manifests", |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        if let Ok(documents) = yaml::documents("x.yaml", text) {
            assert!(documents.len() <= yaml::MAX_DOCUMENTS);
            assert!(documents.iter().all(|document| document.span.offset as usize <= text.len()));
        }
    });
}
