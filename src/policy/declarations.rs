//! Judging the documents of the repository.
//!
//! A document is judged as people wrote it, without defaults but with a `spec`, and with the mesh whose folder it lies in as
//! `metadata.namespace`; its Mesh is `namespaceObject`. A policy with `paramKind` Mesh is evaluated once for each Mesh that the reader sees: an agent sees its own
//! and its peers'.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::outline::Outline;
use super::read::{self, File};
use super::{Operation, Policies, Subject, Verdict, Violation};
use crate::model::documents::API_VERSION;
use crate::model::{Code, ContentId, Diagnostic, Federation, Place, Reader, Span, yaml};
use crate::object::Kind;

/// Judges documents, and remembers what it judged.
#[derive(Debug, Default)]
pub struct Judge {
    documents: BTreeMap<(String, ContentId), Arc<Document>>,
    /// What the policies have against each document.
    verdicts: BTreeMap<(String, ContentId), Vec<Diagnostic>>,
    policies: Arc<Policies>,
}

/// A document as people wrote it.
#[derive(Debug)]
struct Document {
    kind: Kind,
    /// Whose folder it lies in, if that is not itself.
    mesh: Option<String>,
    name: String,
    value: Value,
    outline: Outline,
}

impl Judge {
    /// Reads the policies among `entries`, and adds what is wrong with them and what they have against documents to `found`. Nobody knows
    /// what the policies among the paths in `refused` forbid.
    pub fn judge(
        &mut self,
        entries: &BTreeMap<String, ContentId>,
        refused: &BTreeSet<&str>,
        read: &mut Reader,
        federation: &Federation,
        found: &mut Vec<Diagnostic>,
    ) -> Arc<Policies> {
        let files: Vec<(&String, ContentId)> =
            entries.iter().filter(|(path, _)| Place::of(path) == Place::Policy).map(|(path, id)| (path, *id)).collect();
        let refused: Vec<&&str> = refused.iter().filter(|path| **path == "policies" || path.starts_with("policies/")).collect();
        if files.is_empty() && refused.is_empty() {
            *self = Self::default();
            return Arc::default();
        }
        let mut assembled = files.iter().map(|(path, id)| ((*path).clone(), policy_file(path, *id, read))).collect::<Vec<_>>();
        assembled.extend(refused.iter().map(|path| ((**path).to_owned(), File::refused())));
        self.read_documents(entries, read, federation, found);
        let meshes = self.documents.values().filter(|document| &*document.kind.kind == "Mesh");
        let meshes = meshes.map(|document| (document.name.clone(), document.value.clone())).collect();
        let policies = Arc::new(read::assemble(assembled, meshes, &files, found));
        if policies.digest != self.policies.digest {
            self.verdicts.clear();
        }
        self.policies = policies.clone();
        let mut verdicts = BTreeMap::new();
        for (key, document) in &self.documents {
            let known = self.verdicts.remove(key);
            verdicts.insert(key.clone(), known.unwrap_or_else(|| verdict(&key.0, document, &policies)));
        }
        found.extend(verdicts.values().flatten().cloned());
        self.verdicts = verdicts;
        policies
    }

    /// All declarations that can be read; what is wrong with the others is said where they are loaded.
    fn read_documents(
        &mut self,
        entries: &BTreeMap<String, ContentId>,
        read: &mut Reader,
        federation: &Federation,
        found: &mut Vec<Diagnostic>,
    ) {
        let mut known = std::mem::take(&mut self.documents);
        for (path, id) in entries.iter().filter(|(path, _)| !federation.unreadable.contains(*path)) {
            let Some(kind) = kind(&Place::of(path)) else { continue };
            let key = (path.clone(), *id);
            match known.remove(&key).or_else(|| document(path, kind, *id, read).map(Arc::new)) {
                Some(document) => {
                    self.documents.insert(key, document);
                }
                None => {
                    found.push(Diagnostic::error(path, Span::default(), Code::Policy, "this document cannot be judged", HELP));
                }
            }
        }
    }
}

fn policy_file(path: &str, id: ContentId, read: &mut Reader) -> File {
    let text = read(path, id).and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned()));
    match text {
        Ok(text) => read::file(path, &text),
        Err(message) => File::unreadable(Diagnostic::error(path, Span::default(), Code::Syntax, message, "")),
    }
}

/// The kind of the declaration at a place; `None` where none belongs.
fn kind(place: &Place) -> Option<&'static str> {
    match place {
        Place::Federation => Some("Federation"),
        Place::Mesh(_) => Some("Mesh"),
        Place::Peer { .. } => Some("Peer"),
        Place::Traffic { .. } => Some("Traffic"),
        _ => None,
    }
}

fn document(path: &str, kind: &str, id: ContentId, read: &mut Reader) -> Option<Document> {
    let text = String::from_utf8(read(path, id).ok()?).ok()?;
    let outline: Outline = yaml::document(path, &text).ok()?;
    let mut value: Value = yaml::document(path, &text).ok()?;
    let mesh = Place::of(path).mesh().filter(|_| kind != "Mesh").map(str::to_owned);
    if let Some(mesh) = &mesh {
        value.get_mut("metadata")?.as_object_mut()?.insert("namespace".to_owned(), json!(mesh));
    }
    value.as_object_mut()?.entry("spec").or_insert_with(|| json!({})); // so that policies need not ask for it
    let name = outline.name().value.clone();
    Some(Document { kind: Kind::new(API_VERSION, kind), mesh, name, value, outline })
}

/// What the policies have against a document, each at the entry that is to blame, if it is one.
fn verdict(path: &str, document: &Document, policies: &Policies) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for violation in violations(document, &document.value, policies) {
        let blamed = blamed(document, &violation, policies);
        let places = if blamed.is_empty() { vec![(document.outline.name().span, violation)] } else { blamed };
        for (span, violation) in places {
            let message = violation.to_string();
            found.push(if violation.warning {
                Diagnostic::warning(path, span, Code::Policy, message, "")
            } else {
                Diagnostic::error(path, span, Code::Policy, message, HELP)
            });
        }
    }
    found
}

const HELP: &str = "what this document declared before stays until it is changed";

/// What each policy says of each declaration that can be read.
pub fn survey(
    entries: &BTreeMap<String, ContentId>,
    read: &mut Reader,
    federation: &Federation,
    policies: &Policies,
) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (path, id) in entries.iter().filter(|(path, _)| !federation.unreadable.contains(*path)) {
        let document = kind(&Place::of(path)).and_then(|kind| document(path, kind, *id, read));
        verdicts
            .extend(document.iter().flat_map(|document| policies.verdicts(path, &subject(document, &document.value, policies))));
    }
    verdicts
}

fn violations(document: &Document, value: &Value, policies: &Policies) -> Vec<Violation> {
    policies.violations(&subject(document, value, policies))
}

fn subject<'a>(document: &'a Document, value: &'a Value, policies: &'a Policies) -> Subject<'a> {
    let mesh = document.mesh.as_ref().and_then(|name| policies.meshes.iter().find(|(other, _)| other == name));
    Subject {
        kind: &document.kind,
        namespace: document.mesh.as_deref(),
        name: &document.name,
        operation: Operation::Create,
        object: value,
        old: None,
        namespace_object: mesh.map(|(_, value)| value),
    }
}

/// The entries of one list that are forbidden also when each of them is alone, where the list without any is not.
fn blamed(document: &Document, violation: &Violation, policies: &Policies) -> Vec<(Span, Violation)> {
    let with = |list: &str, entries: Vec<Value>| {
        let mut value = document.value.clone();
        value["spec"][list] = Value::Array(entries);
        let same = |other: &Violation| other.policy == violation.policy && other.path == violation.path;
        violations(document, &value, policies).into_iter().find(same)
    };
    for (list, entries) in document.outline.lists() {
        if entries.is_empty() || with(list, Vec::new()).is_some() {
            continue;
        }
        let alone = |entry: &crate::model::At<Value>| Some((entry.span, with(list, vec![entry.value.clone()])?));
        return entries.iter().filter_map(alone).collect();
    }
    Vec::new()
}
