//! A state of the view that does not change while it is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::scope::{Problem, Scope, Trouble};
use crate::object::{Key, Kind, Live};

/// What is known of one watch.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    /// It has listed once, so absence means absence.
    pub(super) listed: bool,
    /// Every change up to this version has been shown.
    pub(super) seen: u64,
    pub(super) problem: Option<Problem>,
}

impl Watched {
    /// Listed, or hindered by something that waiting does not mend.
    pub(super) fn settled(&self) -> bool {
        self.listed || self.problem.as_ref().is_some_and(|problem| problem.trouble != Trouble::Interrupted)
    }
}

type Objects = BTreeMap<Key, Arc<Live>>;

/// Live objects at one moment. Copied on write.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) generation: u64,
    pub(super) scopes: BTreeMap<Scope, Watched>,
    /// Behind a pointer of its own, so that news of a watch copy no objects.
    objects: Arc<Objects>,
}

impl Snapshot {
    /// Grows with every change of an object or a watch.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// One object, if it is watched and there.
    pub fn get(&self, key: &Key) -> Option<&Arc<Live>> {
        self.objects.get(key)
    }

    /// All objects of a kind, in one namespace or (`None`) everywhere, by namespace and name.
    pub fn list<'a>(&'a self, kind: &Kind, namespace: Option<&'a str>) -> impl Iterator<Item = &'a Arc<Live>> + use<'a> {
        self.of_kind(kind, namespace).take_while(move |live| namespace.is_none() || live.key.namespace.as_deref() == namespace)
    }

    /// Every object that any watch shows.
    pub fn objects(&self) -> &BTreeMap<Key, Arc<Live>> {
        &self.objects
    }

    /// Those of a kind, in the order of their keys: by namespace, then name. Begins at the namespace.
    fn of_kind(&self, kind: &Kind, namespace: Option<&str>) -> impl Iterator<Item = &Arc<Live>> + use<'_> {
        let start = Key::new(kind, namespace, "");
        let (group, kind) = (start.group.clone(), start.kind.clone());
        let same = move |live: &&Arc<Live>| live.key.kind == kind && live.key.group == group;
        self.objects.range(start..).map(|(_, live)| live).take_while(same)
    }

    /// Whether an object that is not here does not exist: some watch that shows it has listed.
    pub fn knows_of(&self, key: &Key) -> bool {
        self.scopes.iter().any(|(scope, watched)| watched.listed && scope.covers(key))
    }

    /// Whether all objects of the kind in the namespace (`None`: in the cluster) are here.
    pub fn is_watched(&self, kind: &Kind, namespace: Option<&str>) -> bool {
        self.scopes.iter().any(|(scope, watched)| watched.listed && scope.covers_all(&kind.group, &kind.kind, namespace))
    }

    /// What stands in the way of watching, worst first.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.scopes.values().filter_map(|watched| watched.problem.clone()).collect();
        problems.sort();
        problems
    }

    /// Whether a watch has shown all that happened to the object up to this version.
    pub(super) fn knows(&self, key: &Key, version: u64) -> bool {
        version > 0 && self.scopes.iter().any(|(scope, watched)| watched.listed && watched.seen >= version && scope.covers(key))
    }

    /// Takes the object unless the one that is held is as new; says whether it did.
    pub(super) fn put(&mut self, live: Arc<Live>) -> bool {
        if self.get(&live.key).is_some_and(|held| !newer(&live, held)) {
            return false;
        }
        Arc::make_mut(&mut self.objects).insert(live.key.clone(), live);
        true
    }

    pub(super) fn remove(&mut self, key: &Key) -> bool {
        self.objects.contains_key(key) && Arc::make_mut(&mut self.objects).remove(key).is_some()
    }

    /// Of what the scope covers, keeps what `keep` says; gives the rest.
    pub(super) fn retain(&mut self, scope: &Scope, keep: impl Fn(&Live) -> bool) -> Vec<Key> {
        let goes = |live: &&Arc<Live>| scope.covers(&live.key) && !keep(live);
        let gone: Vec<Key> = self.of_kind(&scope.kind, None).filter(goes).map(|live| live.key.clone()).collect();
        for key in &gone {
            self.remove(key);
        }
        gone
    }
}

/// A resource version as a number; 0 from a server that does not number them.
pub(super) fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

/// Whether the first is a later state than the second. Without numbers the later report counts.
fn newer(live: &Live, held: &Live) -> bool {
    match (number(&live.resource_version), number(&held.resource_version)) {
        (0, _) | (_, 0) => live.resource_version != held.resource_version,
        (live, held) => live > held,
    }
}
