//! What policies say of an object before it is applied, asked with what the API server would see.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::World;
use super::admitted::admitted;
use crate::derive::{Derived, Hold, Wanted, kinds};
use crate::model::Mesh;
use crate::object::{Key, Live, Object};
use crate::policy::{Operation, Policies, Subject, Verdict};

/// Verdicts made before. An object is judged anew only when it, what is live of it, or the policies have changed.
#[derive(Debug, Default)]
pub struct Verdicts {
    policies: [u8; 32],
    /// How many objects were judged since the start.
    pub(super) judged: u64,
    seen: HashMap<Key, Seen>,
}

#[derive(Debug)]
struct Seen {
    digest: Arc<str>,
    live: Option<Arc<str>>,
    /// Version of its Namespace and digest of what is wanted of that, where a policy looks at Namespaces.
    namespace: Version,
    forbidden: Option<Arc<str>>,
}

type Version = (Option<Arc<str>>, Option<Arc<str>>);

/// Namespaces of the mesh as policies see them: as they are live, with the labels that are wanted of them.
#[derive(Default)]
pub(super) struct Namespaces(BTreeMap<String, (Version, Value)>);

impl Namespaces {
    /// None where no policy looks at them.
    pub fn new(world: &World, derived: &Derived) -> Self {
        let mesh = world.federation.mesh(world.me).filter(|_| world.policies.look_at_namespaces());
        let names = mesh.into_iter().flat_map(Mesh::namespaces);
        Self(names.map(|name| (name.to_owned(), namespace(name, world.live.get(&kinds::namespace(name)), derived))).collect())
    }
}

/// A Namespace, live or not.
fn namespace(name: &str, live: Option<&Arc<Live>>, derived: &Derived) -> (Version, Value) {
    let wanted = derived.wanted.get(&kinds::namespace(name)).map(|wanted| &wanted.object);
    let version = (live.map(|live| live.resource_version.clone()), wanted.map(|wanted| wanted.digest.clone()));
    let mut value = match (wanted, live) {
        (Some(wanted), Some(live)) => admitted(wanted, live),
        (Some(wanted), None) => wanted.value(),
        (None, Some(live)) => live.value(),
        (None, None) => json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
    };
    value["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name); // the API server adds it to every one
    (version, value)
}

impl Verdicts {
    /// Why a policy holds the object; `None` where it may be applied.
    pub(super) fn hold(&mut self, world: &World, object: &Object, namespaces: &Namespaces) -> Option<Hold> {
        if world.policies.is_empty() {
            return None;
        }
        if self.policies != *world.policies.digest() {
            self.seen.clear();
            self.policies = *world.policies.digest();
        }
        let live = world.live.get(&object.key);
        let namespace = object.key.namespace.as_deref().and_then(|name| namespaces.0.get(name));
        let version = live.map(|live| live.resource_version.clone());
        let namespace_version = namespace.map(|(version, _)| version.clone()).unwrap_or_default();
        let same = |seen: &&Seen| seen.digest == object.digest && seen.live == version && seen.namespace == namespace_version;
        let forbidden = match self.seen.get(&object.key).filter(same) {
            Some(seen) => seen.forbidden.clone(),
            None => {
                self.judged += 1;
                let forbidden: Option<Arc<str>> =
                    forbids(world.policies, object, live.map(|live| &**live), namespace.map(|(_, value)| value)).map(Into::into);
                let seen = Seen {
                    digest: object.digest.clone(),
                    live: version,
                    namespace: namespace_version,
                    forbidden: forbidden.clone(),
                };
                self.seen.insert(object.key.clone(), seen);
                forbidden
            }
        };
        forbidden.map(|why| Hold::stuck(&object.key, format!("{why} (declared in {})", object.source)))
    }

    /// Forgets objects that nobody wants any more.
    pub(super) fn retain<T>(&mut self, wanted: &BTreeMap<Key, T>) {
        if self.seen.len() > wanted.len() {
            self.seen.retain(|key, _| wanted.contains_key(key));
        }
    }
}

fn forbids(policies: &Policies, object: &Object, live: Option<&Live>, namespace: Option<&Value>) -> Option<String> {
    let old = live.map(Live::value);
    let value = live.map_or_else(|| object.value(), |live| admitted(object, live));
    policies.forbids(&subject(object, &value, old.as_ref(), namespace))
}

fn subject<'a>(object: &'a Object, value: &'a Value, old: Option<&'a Value>, namespace: Option<&'a Value>) -> Subject<'a> {
    Subject {
        kind: &object.kind,
        namespace: object.key.namespace.as_deref(),
        name: &object.key.name,
        operation: if old.is_some() { Operation::Update } else { Operation::Create },
        object: value,
        old,
        namespace_object: namespace,
    }
}

/// What each policy says of each object that it means, as far as this can be said without a cluster.
pub fn survey(policies: &Policies, derived: &Derived) -> Vec<Verdict> {
    let judge = |(key, wanted): (&Key, &Wanted)| {
        let namespace = key.namespace.as_deref().map(|name| namespace(name, None, derived).1);
        let value = wanted.object.value();
        policies.verdicts(&key.to_string(), &subject(&wanted.object, &value, None, namespace.as_ref()))
    };
    derived.wanted.iter().flat_map(judge).collect()
}

/// The objects that policies forbid, as far as this can be said without a cluster, each with the reason. What was there `before` is updated, not
/// created.
pub fn forbidden(policies: &Policies, derived: &Derived, before: &Derived) -> Vec<(Key, String)> {
    let judge = |(key, wanted): (&Key, &Wanted)| {
        let namespace = key.namespace.as_deref().map(|name| namespace(name, None, derived).1);
        let (value, old) = (wanted.object.value(), before.wanted.get(key).map(|wanted| wanted.object.value()));
        let why = policies.forbids(&subject(&wanted.object, &value, old.as_ref(), namespace.as_ref()))?;
        Some((key.clone(), why))
    };
    derived.wanted.iter().filter_map(judge).collect()
}
