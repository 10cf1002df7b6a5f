//! Declarations and facts in, objects out. No clock, no I/O: the same inputs give the same bytes.
//!
//! | step | object | file |
//! |---|---|---|
//! | 1 | Namespaces, OLM Subscriptions | [`namespaces`], [`operators`] |
//! | 2 | gateways and trust domain of the ServiceMeshControlPlane | [`control_plane`] |
//! | 3 | ServiceMeshMember in each member namespace | [`members`] |
//! | 4 | ConfigMap with the peer's CA roots | [`peer_roots`] |
//! | 5 | ServiceMeshPeer | [`peer`] |
//! | 6 | ExportedServiceSet, ImportedServiceSet | [`exported_services`], [`imported_services`] |
//! | 7 | DestinationRule, VirtualService | [`destination_rule`], [`virtual_service`] |
//! | 8 | `manifests/**` as they are | here |
//!
//! [`origin`] says what each part of an object follows from.

mod control_plane;
mod destination_rule;
mod exported_services;
pub mod fields;
mod imported_services;
pub mod kinds;
mod members;
mod namespaces;
mod observed;
mod operators;
mod origin;
mod peer;
mod peer_roots;
mod peering;
mod probe;
mod root_jump;
mod virtual_service;
mod withdrawn;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::facts::Facts;
use crate::model::{Federation, Mesh, MeshFolder};
use crate::object::{Key, Object, set_id};

pub use observed::{Health, ImportState, KeptExport, Observed, PeerState, Replacement, RootsInUse};
pub use origin::{Origin, Part, Source, derived, origin};
pub use peer_roots::{ROOTS_ANNOTATION, digest as roots_digest};
pub use probe::{ingress_question, question};
pub use virtual_service::{Share, imported_host, live_weight, not_imported, shares};
pub use withdrawn::{is_by_hand, live_imports, service, why_not_given, withdrawn_exports, withdrawn_imports};

/// Everything that objects are derived from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// Declarations.
    pub federation: &'a Federation,
    /// The mesh to derive for.
    pub me: &'a str,
    /// Facts of its peers.
    pub facts: &'a BTreeMap<String, Facts>,
    /// What its cluster says.
    pub observed: &'a Observed,
}

/// An object to apply, and what must be there first.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The object.
    pub object: Arc<Object>,
    /// What it waits for.
    pub needs: Vec<Need>,
}

/// A condition on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// The object exists, whoever made it.
    Exists(Key),
    /// We applied the object and the cluster agrees with it.
    Applied(Key),
}

/// A thing that is wanted but not yet safe or possible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// The object; where it exists already it stays as it is. `None` for a mere part of one, or a thing that has no object.
    pub key: Option<Key>,
    /// What it is about, for people: `Kind/name` or a path.
    pub subject: String,
    /// What it waits for.
    pub reason: String,
    /// Whether only people can end it: an error in a document, a foreign owner.
    pub stuck: bool,
    /// Whether people asked for it: nothing is wrong.
    pub asked: bool,
}

impl Hold {
    /// An object waits.
    pub fn waiting(key: &Key, reason: impl Into<String>) -> Self {
        Self { key: Some(key.clone()), subject: key.to_string(), reason: reason.into(), stuck: false, asked: false }
    }

    /// The same, because people asked for it.
    #[must_use]
    pub fn asked(self) -> Self {
        Self { asked: true, ..self }
    }

    /// An object waits for people.
    pub fn stuck(key: &Key, reason: impl Into<String>) -> Self {
        Self { stuck: true, ..Self::waiting(key, reason) }
    }

    /// A part of an object, or of a declaration, waits.
    pub fn part(subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: None, subject: subject.into(), reason: reason.into(), stuck: false, asked: false }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.reason)
    }
}

/// What follows from the declarations.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    /// Objects, by identity.
    pub wanted: BTreeMap<Key, Wanted>,
    /// What waits.
    pub holds: Vec<Hold>,
}

/// What every file here works with: the mesh, and where results go.
struct Context<'a> {
    inputs: Inputs<'a>,
    mesh: &'a Mesh,
    folder: &'a MeshFolder,
    set: String,
    out: Derived,
}

impl Context<'_> {
    /// Wants an object that our own code built.
    fn want(&mut self, document: Value, source: &str, needs: Vec<Need>) -> Key {
        match Object::new(document, &self.set, source) {
            Ok(object) => {
                let key = object.key.clone();
                self.out.wanted.insert(key.clone(), Wanted { object: Arc::new(object), needs });
                key
            }
            // Every builder sets apiVersion, kind and name; its snapshot test proves it.
            Err(error) => unreachable!("derived from {source}: {error}"),
        }
    }

    fn hold(&mut self, hold: Hold) {
        self.out.holds.push(hold);
    }
}

/// Derives all objects of one mesh. Nothing where its `mesh.yaml` is missing or broken.
pub fn derive(inputs: Inputs) -> Derived {
    let Some(folder) = inputs.federation.meshes.get(inputs.me) else { return Derived::default() };
    let Some(mesh) = &folder.mesh else { return Derived::default() };
    let mut context = Context { inputs, mesh, folder, set: set_id(&mesh.namespace), out: Derived::default() };
    namespaces::derive(&mut context);
    operators::derive(&mut context);
    control_plane::derive(&mut context);
    members::derive(&mut context);
    for ours in folder.peers.values() {
        peering::derive(&mut context, ours);
    }
    for traffic in folder.traffic.values() {
        destination_rule::derive(&mut context, traffic);
        virtual_service::derive(&mut context, traffic);
    }
    manifests(&mut context);
    context.out
}

fn manifests(context: &mut Context) {
    let namespaces: BTreeMap<&str, Key> = context.mesh.namespaces().map(|name| (name, kinds::namespace(name))).collect();
    for manifest in &context.folder.manifests {
        let key = &manifest.object.key;
        match context.out.wanted.entry(key.clone()) {
            Entry::Occupied(derived) => {
                let reason = format!("{} declares it too; remove one of them", derived.get().object.source);
                let path = format!("{}:{}", manifest.object.source, manifest.span.line);
                context.hold(Hold { stuck: true, ..Hold::part(path, reason) });
            }
            Entry::Vacant(place) => {
                let namespace = key.namespace.as_deref().and_then(|name| namespaces.get(name));
                let needs = namespace.map(|namespace| Need::Exists(namespace.clone())).into_iter().collect();
                place.insert(Wanted { object: manifest.object.clone(), needs });
            }
        }
    }
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
