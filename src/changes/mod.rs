//! What happened, in the terms of a federation: two states in, changes in words out.
//!
//! ```text
//! mod.rs         a change, and how two values are compared in words
//! settings.rs    federation.yaml and mesh.yaml
//! peering.rs     peers/*.yaml: peerings, exports, imports
//! traffic.rs     traffic/*.yaml: weights and what else a Traffic says
//! rest.rs        manifests, documents with an error, files that are no declarations
//! published.rs   what an agent wrote to its branch
//! ```
//!
//! The two federations need not be whole: a document that is in neither is not looked at. So a commit is told from the documents that it
//! changes alone.

mod peering;
mod published;
mod rest;
mod settings;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::BTreeSet;
use std::fmt::Display;

use serde::Serialize;

use crate::model::{Federation, MeshFolder};

pub use published::{Word, published};
pub use rest::files;

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What kind of thing.
    pub topic: Topic,
    /// Whose; null where it is the whole federation's.
    pub mesh: Option<String>,
    /// The other mesh of a peering.
    pub peer: Option<String>,
    /// The service as `namespace/name`, by the name that the mesh has for it.
    pub service: Option<String>,
    /// In words, one line.
    pub words: String,
}

/// What kind of thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// A setting of the federation.
    Federation,
    /// A mesh that joins or leaves, or a setting of one.
    Mesh,
    /// Whether and how two meshes are peers.
    Peering,
    /// What a peer may use.
    Export,
    /// What is taken from a peer.
    Import,
    /// Where requests go: weights and routes.
    Traffic,
    /// Kubernetes objects as they are.
    Manifest,
    /// A policy.
    Policy,
    /// Who may change what.
    Trust,
    /// An agent's public key.
    Key,
    /// CA roots.
    Ca,
    /// Where peers reach a mesh.
    Ingress,
    /// What an agent does, and what it says of its peerings.
    Agent,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Federation,
        Self::Mesh,
        Self::Peering,
        Self::Export,
        Self::Import,
        Self::Traffic,
        Self::Manifest,
        Self::Policy,
        Self::Trust,
        Self::Key,
        Self::Ca,
        Self::Ingress,
        Self::Agent,
    ];

    /// In one word, as people type it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Federation => "federation",
            Self::Mesh => "mesh",
            Self::Peering => "peering",
            Self::Export => "export",
            Self::Import => "import",
            Self::Traffic => "traffic",
            Self::Manifest => "manifest",
            Self::Policy => "policy",
            Self::Trust => "trust",
            Self::Key => "key",
            Self::Ca => "ca",
            Self::Ingress => "ingress",
            Self::Agent => "agent",
        }
    }
}

impl Change {
    fn new(topic: Topic, words: impl Into<String>) -> Self {
        Self { topic, mesh: None, peer: None, service: None, words: words.into() }
    }

    fn of(self, mesh: &str) -> Self {
        Self { mesh: Some(mesh.to_owned()), ..self }
    }

    fn with(self, peer: &str) -> Self {
        Self { peer: Some(peer.to_owned()), ..self }
    }

    fn about(self, service: impl Display) -> Self {
        Self { service: Some(service.to_string()), ..self }
    }
}

/// What people changed between two states of `main`, mesh by mesh.
pub fn declared(before: &Federation, after: &Federation) -> Vec<Change> {
    let mut changes = settings::federation(before, after);
    let names: BTreeSet<&String> = before.meshes.keys().chain(after.meshes.keys()).collect();
    let none = MeshFolder::default();
    for name in names {
        let [was, is] = [before, after].map(|federation| federation.meshes.get(name).unwrap_or(&none));
        // What a document with an error says is not known: only that it has one is told.
        let readable = |path: &str| !before.is_broken(path) && !after.is_broken(path);
        if readable(&format!("meshes/{name}/mesh.yaml")) {
            changes.extend(settings::mesh(name, was.mesh.as_ref(), is.mesh.as_ref()));
        }
        for (peer, was, is) in both(&was.peers, &is.peers) {
            if readable(&format!("meshes/{name}/peers/{peer}.yaml")) {
                changes.extend(peering::peer(name, peer, was, is));
            }
        }
        for (file, was, is) in both(&was.traffic, &is.traffic) {
            if readable(&format!("meshes/{name}/traffic/{file}.yaml")) {
                changes.extend(traffic::traffic(name, was, is));
            }
        }
        changes.extend(rest::manifests(name, [&was.manifests, &is.manifests], &readable));
    }
    changes.extend(rest::broken(before, after));
    changes
}

/// The entries of two maps by name.
fn both<'a, T>(
    before: &'a std::collections::BTreeMap<String, T>,
    after: &'a std::collections::BTreeMap<String, T>,
) -> impl Iterator<Item = (&'a String, Option<&'a T>, Option<&'a T>)> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().map(|name| (name, before.get(name), after.get(name)))
}

/// `trust domain: a.local → b.local`; nothing where both are the same. An empty text stands for nothing declared.
fn moved(label: &str, before: &str, after: &str) -> Option<String> {
    match (before, after) {
        _ if before == after => None,
        ("", _) => Some(format!("{label}: {after}")),
        (_, "") => Some(format!("{label}: no longer {before}")),
        _ => Some(format!("{label}: {before} → {after}")),
    }
}

/// What came and what went: `(new, gone)`.
fn differing<T: Ord + Clone>(before: impl IntoIterator<Item = T>, after: impl IntoIterator<Item = T>) -> (Vec<T>, Vec<T>) {
    let [before, after]: [BTreeSet<T>; 2] = [before.into_iter().collect(), after.into_iter().collect()];
    (after.difference(&before).cloned().collect(), before.difference(&after).cloned().collect())
}

/// The text of something that may be absent.
fn text(value: Option<impl Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
