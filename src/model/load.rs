//! Files in, federation and findings out. Loading never fails: a bad document is left out, and everything else is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::at::Span;
use super::code::Code;
use super::convert::{self, Findings};
use super::diagnostic::{Diagnostic, Severity};
use super::documents::{FederationDocument, MeshDocument, PeerDocument, TrafficDocument};
use super::federation::{Federation, Manifest, Mesh, MeshFolder, Peer, Settings};
use super::place::Place;
use super::traffic::Traffic;
use super::{placeholder, references, secrets, yaml};
use crate::object::{Object, set_id};

/// Most bytes of all documents together that one load takes, in the order of their paths, manifests last. Ten thousand documents of a
/// page each are half of it; all that is read is kept in memory, by agents that have 256 MiB.
pub const MAX_TOTAL_BYTES: usize = 64 << 20;

/// Identifies a file's content; a blob id where the file comes from Git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub [u8; 20]);

/// What was parsed before, so that only what changed is parsed again.
#[derive(Debug, Default)]
pub struct Cache {
    files: HashMap<(String, ContentId, String), Arc<File>>,
    parsed: u64,
}

impl Cache {
    /// How many files were parsed since the start.
    pub fn parsed(&self) -> u64 {
        self.parsed
    }
}

/// One file as parsed: what it holds, and what is wrong with it taken alone.
#[derive(Debug)]
struct File {
    content: Content,
    found: Vec<Diagnostic>,
    /// Size of the file.
    bytes: usize,
    /// Reading it failed for a reason outside of it: the next load tries again.
    again: bool,
}

impl File {
    fn new(content: Content, found: Vec<Diagnostic>) -> Self {
        Self { content, found, bytes: 0, again: false }
    }
}

#[derive(Debug)]
enum Content {
    Federation(Settings),
    Mesh(Box<Mesh>),
    Peer(Box<Peer>),
    Traffic(Box<Traffic>),
    Manifests(Vec<Arc<Manifest>>),
    Nothing,
}

/// Gives the bytes of a file by path and content; an error is words for people.
pub type Reader<'a> = dyn FnMut(&str, ContentId) -> Result<Vec<u8>, String> + 'a;

/// Loads the documents among `entries`. What the caller leaves out of `entries` does not exist for the result.
pub fn load(entries: &BTreeMap<String, ContentId>, read: &mut Reader, cache: &mut Cache) -> (Federation, Vec<Diagnostic>) {
    let (mut federation, mut found) = take_all(entries, read, cache);
    if !entries.contains_key("federation.yaml") {
        let help = "every federation has one: {apiVersion: meshfed.dev/v1alpha1, kind: Federation, metadata: {name: …}}";
        found.push(Diagnostic::error("federation.yaml", Span::default(), Code::NoFederation, "the file is missing", help));
    }
    federation
        .broken
        .extend(found.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.path.clone()));
    references::check(&federation, &mut found);
    // A warning about what another document says waits until that one is right.
    let wrong: BTreeSet<String> = found.iter().filter(|f| f.severity == Severity::Error).map(|f| f.path.clone()).collect();
    found.retain(|finding| finding.severity == Severity::Error || finding.also.iter().all(|other| !wrong.contains(&other.path)));
    withdraw(&mut federation, &found);
    found.sort();
    found.dedup();
    (federation, found)
}

/// Loads some documents of a federation, each judged by itself: what they say of others is not looked at, because those need not be here.
pub fn load_some(entries: &BTreeMap<String, ContentId>, read: &mut Reader, cache: &mut Cache) -> Federation {
    let (mut federation, found) = take_all(entries, read, cache);
    withdraw(&mut federation, &found);
    federation
}

/// Every document as it stands there, and what is wrong with it taken alone.
fn take_all(entries: &BTreeMap<String, ContentId>, read: &mut Reader, cache: &mut Cache) -> (Federation, Vec<Diagnostic>) {
    let mut federation = Federation::default();
    let mut found = Vec::new();
    let mut used = HashMap::new();
    let mut total = 0;
    let mut places: Vec<(&String, ContentId, Place)> = entries
        .iter()
        .map(|(path, id)| (path, *id, Place::of(path)))
        .filter(|(_, _, place)| !matches!(place, Place::Policy | Place::Definition | Place::Waiting))
        .collect();
    // Meshes first: the set that objects belong to is named after the control plane's namespace. Manifests last: however many there are,
    // they must not crowd out a peering.
    places.sort_by_key(|(_, _, place)| match place {
        Place::Mesh(_) => 0,
        Place::Manifests { .. } => 2,
        _ => 1,
    });
    for (path, id, place) in places {
        let set = match &place {
            Place::Manifests { mesh } => federation.mesh(mesh).map(|mesh| set_id(&mesh.namespace)),
            _ => None, // nothing else carries it
        };
        let set = set.unwrap_or_default();
        let key = (path.clone(), id, set);
        let file = match cache.files.remove(&key).or_else(|| used.get(&key).cloned()) {
            Some(file) => file,
            None if total > MAX_TOTAL_BYTES => Arc::new(too_much(path)),
            None => {
                cache.parsed += 1;
                Arc::new(match read(path, id) {
                    Ok(bytes) => parse(path, &place, &key.2, bytes),
                    Err(message) => unreadable(path, message),
                })
            }
        };
        total += file.bytes;
        let file = if total > MAX_TOTAL_BYTES { Arc::new(too_much(path)) } else { file };
        if matches!(file.content, Content::Nothing) && !file.found.is_empty() {
            federation.unreadable.insert(path.clone());
        }
        take(&mut federation, &place, &file);
        found.extend(file.found.iter().cloned());
        if !file.again {
            used.insert(key, file);
        }
    }
    cache.files = used;
    (federation, found)
}

fn unreadable(path: &str, message: String) -> File {
    let found = vec![Diagnostic::error(path, Span::default(), Code::Syntax, message, "")];
    File { again: true, ..File::new(Content::Nothing, found) }
}

fn too_much(path: &str) -> File {
    let message = format!("this and what follows is not read: all documents together have more than {MAX_TOTAL_BYTES} bytes");
    let help = "keep applications in a repository of their own";
    let found = vec![Diagnostic::error(path, Span::default(), Code::Syntax, message, help)];
    File { again: true, ..File::new(Content::Nothing, found) }
}

fn parse(path: &str, place: &Place, set: &str, bytes: Vec<u8>) -> File {
    let size = bytes.len();
    File { bytes: size, ..content(path, place, set, bytes) }
}

fn content(path: &str, place: &Place, set: &str, bytes: Vec<u8>) -> File {
    let Ok(text) = String::from_utf8(bytes) else {
        let found = Diagnostic::error(path, Span::default(), Code::Syntax, "not UTF-8 text", "save it as UTF-8");
        return File::new(Content::Nothing, vec![found]);
    };
    let mut file = match place {
        Place::Federation => one(path, &text, |document: FederationDocument, findings| {
            Some(Content::Federation(convert::federation(document, findings)))
        }),
        Place::Mesh(mesh) => one(path, &text, |document: MeshDocument, findings| {
            Some(Content::Mesh(Box::new(convert::mesh(document, mesh, findings))))
        }),
        Place::Peer { mesh, file } => one(path, &text, |document: PeerDocument, findings| {
            Some(Content::Peer(Box::new(convert::peer(document, mesh, file, findings))))
        }),
        Place::Traffic { file, .. } => one(path, &text, |document: TrafficDocument, findings| {
            convert::traffic(document, file, findings).map(|traffic| Content::Traffic(Box::new(traffic)))
        }),
        Place::Manifests { .. } => manifests(path, &text, set),
        Place::Unknown { help } => {
            let found = Diagnostic::warning(path, Span::default(), Code::Misplaced, "this file is not read", *help);
            File::new(Content::Nothing, vec![found])
        }
        Place::Policy | Place::Definition | Place::Waiting | Place::Foreign => File::new(Content::Nothing, Vec::new()),
    };
    placeholder::name_them(&text, &mut file.found);
    file
}

fn one<T: DeserializeOwned>(path: &str, text: &str, convert: impl FnOnce(T, &mut Findings) -> Option<Content>) -> File {
    let mut found = Vec::new();
    let content = match yaml::document(path, text) {
        Ok(document) => convert(document, &mut Findings::new(path, &mut found)).unwrap_or(Content::Nothing),
        Err(diagnostic) => {
            found.push(*diagnostic);
            Content::Nothing
        }
    };
    found.extend(secrets::in_text(path, text));
    File::new(content, found)
}

fn manifests(path: &str, text: &str, set: &str) -> File {
    let documents = match yaml::documents(path, text) {
        Ok(documents) => documents,
        Err(diagnostic) => {
            let leaks = secrets::in_text(path, text);
            return File::new(Content::Nothing, std::iter::once(*diagnostic).chain(leaks).collect());
        }
    };
    let leaks = secrets::in_documents(path, text, &documents);
    let withheld: BTreeSet<usize> = leaks.iter().filter_map(|(document, _)| *document).collect();
    let mut found: Vec<Diagnostic> = leaks.into_iter().map(|(_, finding)| finding).collect();
    let mut objects = Vec::new();
    for (_, document) in documents.into_iter().enumerate().filter(|(number, _)| !withheld.contains(number)) {
        let span = document.span;
        let kind = document.value.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        match Object::new(document.value, set, path) {
            Ok(object) => objects.push(Arc::new(Manifest { object: Arc::new(object), span })),
            Err(error) => {
                let message = format!("not a Kubernetes object: {error}");
                found.push(Diagnostic::error(path, span, Code::BadValue, message, no_object(path, &kind)));
            }
        }
    }
    File::new(Content::Manifests(objects), found)
}

/// What to do about something in `manifests/` that is no object.
fn no_object(path: &str, kind: &str) -> &'static str {
    match path.rsplit('/').next() {
        Some("kustomization.yaml" | "kustomization.yml") => "nobody runs Kustomize here: commit what it makes",
        _ if kind.ends_with("List") => "write its items as documents of their own, with `---` between them",
        _ => "every object has apiVersion, kind, metadata.name",
    }
}

fn take(federation: &mut Federation, place: &Place, file: &File) {
    if let Content::Federation(Settings { name, allow_addresses, ca_policy, gating, guards }) = &file.content {
        federation.name = Some(name.clone());
        federation.allow_addresses.clone_from(allow_addresses);
        federation.ca_policy = *ca_policy;
        federation.gating = Some(*gating);
        federation.guards = *guards;
    }
    let Some(mesh) = place.mesh() else { return };
    let folder: &mut MeshFolder = federation.meshes.entry(mesh.to_owned()).or_default();
    match (&file.content, place) {
        (Content::Mesh(mesh), _) => folder.mesh = Some((**mesh).clone()),
        (Content::Peer(peer), Place::Peer { file, .. }) => {
            folder.peers.insert(file.clone(), (**peer).clone());
        }
        (Content::Traffic(traffic), Place::Traffic { file, .. }) => {
            folder.traffic.insert(file.clone(), (**traffic).clone());
        }
        (Content::Manifests(objects), _) => folder.manifests.extend(objects.iter().cloned()),
        _ => {}
    }
}

/// Takes out every document that has an error, and remembers its path. Of a file of manifests only the bad objects go.
pub fn withdraw(federation: &mut Federation, found: &[Diagnostic]) {
    let errors: Vec<&Diagnostic> = found.iter().filter(|d| d.severity == Severity::Error).collect();
    federation.broken.extend(errors.iter().map(|d| d.path.clone()));
    let broken = &federation.broken;
    if broken.contains("federation.yaml") {
        federation.name = None;
        federation.ca_policy = None;
        federation.gating = None;
    }
    for folder in federation.meshes.values_mut() {
        folder.mesh.take_if(|mesh| broken.contains(&mesh.path));
        folder.peers.retain(|_, peer| !broken.contains(&peer.path));
        folder.traffic.retain(|_, traffic| !broken.contains(&traffic.path));
        if !errors.is_empty() {
            folder.manifests.retain(|m| !errors.iter().any(|d| *d.path == *m.object.source && d.span.line == m.span.line));
        }
    }
}
