//! What is to be watched, what changed in it, and what hinders it: the words between the watches and the agent.

use std::collections::BTreeSet;
use std::fmt;

use crate::object::{Key, Kind};

/// One watch: a kind, in all namespaces or one, all objects or the one of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Kind in the version to watch.
    pub kind: Kind,
    /// `None` for all namespaces, and for kinds that live in none.
    pub namespace: Option<String>,
    /// `None` for all names.
    pub name: Option<String>,
}

impl Scope {
    /// All objects of a kind in one namespace.
    pub fn namespaced(kind: Kind, namespace: &str) -> Self {
        Self { kind, namespace: Some(namespace.to_owned()), name: None }
    }

    /// All objects of a kind in the cluster.
    pub fn everywhere(kind: Kind) -> Self {
        Self { kind, namespace: None, name: None }
    }

    /// One object.
    pub fn single(kind: Kind, namespace: Option<&str>, name: &str) -> Self {
        Self { kind, namespace: namespace.map(str::to_owned), name: Some(name.to_owned()) }
    }

    /// Whether the watch shows this object.
    pub fn covers(&self, key: &Key) -> bool {
        *self.kind.group == *key.group
            && *self.kind.kind == *key.kind
            && self.namespace.as_deref().is_none_or(|namespace| key.namespace.as_deref() == Some(namespace))
            && self.name.as_deref().is_none_or(|name| *key.name == *name)
    }

    /// Whether the watch shows all objects of the kind in the namespace (`None`: in the cluster).
    pub(super) fn covers_all(&self, group: &str, kind: &str, namespace: Option<&str>) -> bool {
        *self.kind.group == *group
            && *self.kind.kind == *kind
            && self.name.is_none()
            && (self.namespace.is_none() || self.namespace.as_deref() == namespace)
    }
}

/// `ConfigMap objects in namespace n`, as part of a sentence.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} {name}", self.kind.kind)?,
            None => write!(f, "{} objects", self.kind.kind)?,
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => Ok(()),
        }
    }
}

/// News from the cluster since it was last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Objects that appeared, changed or went, apart from those of a first listing.
    pub keys: BTreeSet<Key>,
    /// A watch listed for the first time, ended, got into trouble or out of it: look at everything.
    pub watches: bool,
}

impl Changes {
    /// Nothing happened.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.watches
    }

    pub(super) fn merge(&mut self, other: Self) {
        let Self { mut keys, watches } = other;
        self.keys.append(&mut keys);
        self.watches |= watches;
    }
}

/// What kind of trouble a watch has, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Our role lacks a verb: a person has to grant it.
    Denied,
    /// The cluster does not serve the kind: its definition has to be installed.
    Missing,
    /// The API server is away or in trouble: what the view holds may be old.
    Interrupted,
}

/// Why a watch shows nothing, or nothing new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What has to happen for it to end.
    pub trouble: Trouble,
    /// The watch.
    pub scope: Scope,
    /// One line for people: what, where, and what to do.
    pub message: String,
}
