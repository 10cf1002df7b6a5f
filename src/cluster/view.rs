//! What the watches have seen, in memory: the only source that decisions read live objects from.
//!
//! Invariant: an object here is never replaced by an older state of itself. Several watches and our own writes report
//! the same object in any order; the resource version, which the API server guarantees to be comparable within a kind,
//! says which report is the newest.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Notify, watch};

use super::scope::{Changes, Problem, Scope};
use super::snapshot::{Snapshot, Watched, number};
use crate::object::{Key, Live};

/// The live objects. Cheap to share; every method is short and none waits for the network.
#[derive(Debug)]
pub struct View {
    now: RwLock<Arc<Snapshot>>,
    pending: Mutex<Changes>,
    news: Notify,
    settled: watch::Sender<bool>,
}

impl View {
    pub(super) fn new() -> Self {
        let settled = watch::Sender::new(true); // nothing is watched, so nothing is waited for
        Self { now: RwLock::default(), pending: Mutex::default(), news: Notify::new(), settled }
    }

    /// All of it as it is at this moment; later changes do not show in it.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One object, if it is watched and there.
    pub fn get(&self, key: &Key) -> Option<Arc<Live>> {
        self.snapshot().get(key).cloned()
    }

    /// What stands in the way of watching, worst first; empty when all is well.
    pub fn problems(&self) -> Vec<Problem> {
        self.snapshot().problems()
    }

    /// Waits until something changed that we did not do ourselves; gives all changes since the last call.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub async fn changed(&self) -> Changes {
        loop {
            let changes = std::mem::take(&mut *self.pending());
            if !changes.is_empty() {
                return changes;
            }
            self.news.notified().await;
        }
    }

    /// Waits until each watch has listed, or will not for a reason that waiting does not mend.
    pub async fn synced(&self) {
        let mut settled = self.settled.subscribe();
        // The sender lives as long as we do, so there is no error to speak of.
        let _ = settled.wait_for(|settled| *settled).await;
    }

    fn pending(&self) -> MutexGuard<'_, Changes> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the view, then tells what changed. Without a snapshot in someone's hands nothing is copied.
    fn edit(&self, edit: impl FnOnce(&mut Snapshot, &mut Changes)) {
        let mut changes = Changes::default();
        let settled = {
            let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
            let snapshot = Arc::make_mut(&mut now);
            edit(snapshot, &mut changes);
            if !changes.is_empty() {
                snapshot.generation += 1;
            }
            snapshot.scopes.values().all(Watched::settled)
        };
        self.settled.send_if_modified(|before| std::mem::replace(before, settled) != settled);
        if !changes.is_empty() {
            self.pending().merge(changes);
            self.news.notify_one();
        }
    }

    /// From now on there is a watch on this scope.
    pub(super) fn begin(&self, scope: &Scope) {
        self.edit(|now, _| {
            now.scopes.entry(scope.clone()).or_default();
        });
    }

    /// The scope is watched no more: what only it covered is not known any more.
    pub(super) fn end(&self, scope: &Scope) {
        self.edit(|now, changes| {
            now.scopes.remove(scope);
            let known: Vec<Scope> = now.scopes.keys().cloned().collect();
            now.retain(scope, |live| known.iter().any(|other| other.covers(&live.key)));
            changes.watches = true;
        });
    }

    /// The kind is not served any more: nothing of it exists, and nothing is known of it.
    pub(super) fn lost(&self, scope: &Scope) {
        self.edit(|now, changes| {
            let Some(watched) = now.scopes.get_mut(scope) else { return };
            changes.watches |= std::mem::replace(&mut watched.listed, false);
            now.retain(scope, |_| false);
        });
    }

    /// What hinders this watch; `None` when nothing does any more.
    pub(super) fn report(&self, scope: &Scope, problem: Option<Problem>) {
        self.edit(|now, changes| {
            let Some(watched) = now.scopes.get_mut(scope) else { return };
            changes.watches |= watched.problem != problem;
            watched.problem = problem;
        });
    }

    /// The same object if the view already holds this very version of it, so that a new listing needs no second copy.
    pub(super) fn intern(&self, live: Live) -> Arc<Live> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        match now.get(&live.key) {
            Some(held) if held.uid == live.uid && held.resource_version == live.resource_version => held.clone(),
            _ => Arc::new(live),
        }
    }

    /// A whole listing as of `version`: what it lacks is gone.
    pub(super) fn listed(&self, scope: &Scope, objects: Vec<Arc<Live>>, version: &str) {
        self.edit(|now, changes| {
            let Some(watched) = now.scopes.get_mut(scope) else { return };
            let first = !std::mem::replace(&mut watched.listed, true);
            let before = std::mem::replace(&mut watched.seen, number(version));
            changes.watches |= first || watched.problem.take().is_some();
            let present: BTreeSet<&Key> = objects.iter().map(|live| &live.key).collect();
            // What is newer than the listing was written by us while it ran; unless the listing is older than what
            // the watch has shown, which means that the cluster's store was set back to a backup.
            let set_back = number(version) < before;
            let ours = |live: &Live| !set_back && number(&live.resource_version) > number(version);
            let stays = |live: &Live| present.contains(&live.key) && !set_back;
            let gone = now.retain(scope, |live| stays(live) || ours(live));
            changes.keys.extend(gone);
            for live in objects {
                let key = live.key.clone();
                // After the first listing everything is new: `watches` says so without naming each.
                if now.put(live) && !first {
                    changes.keys.insert(key);
                }
            }
        });
    }

    /// The watch says that the object now is this.
    pub(super) fn seen(&self, scope: &Scope, live: Live) {
        self.edit(|now, changes| {
            let version = number(&live.resource_version);
            let known = now.knows(&live.key, version);
            let Some(watched) = now.scopes.get_mut(scope) else { return };
            watched.seen = watched.seen.max(version);
            let key = live.key.clone();
            if !known && now.put(Arc::new(live)) {
                changes.keys.insert(key);
            }
        });
    }

    /// The watch says that the object is gone.
    pub(super) fn gone(&self, scope: &Scope, live: &Live) {
        self.edit(|now, changes| {
            let version = number(&live.resource_version);
            let Some(watched) = now.scopes.get_mut(scope) else { return };
            watched.seen = watched.seen.max(version);
            // A newer one was made under the same name.
            let outlived = now.get(&live.key).is_some_and(|held| number(&held.resource_version) > version);
            if !outlived && now.remove(&live.key) {
                changes.keys.insert(live.key.clone());
            }
        });
    }

    /// The watch says that nothing happened up to this version.
    pub(super) fn bookmark(&self, scope: &Scope, version: &str) {
        self.edit(|now, _| {
            if let Some(watched) = now.scopes.get_mut(scope) {
                watched.seen = watched.seen.max(number(version));
            }
        });
    }

    /// Our own write, so that the next decision sees it without waiting for its event. Wakes nobody: we know.
    pub(super) fn wrote(&self, live: &Arc<Live>) {
        self.edit(|now, _| {
            let covered = now.scopes.keys().any(|scope| scope.covers(&live.key));
            // A watch that is past this version has shown it already, and perhaps its end.
            if covered && !now.knows(&live.key, number(&live.resource_version)) && now.put(live.clone()) {
                now.generation += 1;
            }
        });
    }

    /// Our own deletion, finished at once.
    pub(super) fn deleted(&self, live: &Live) {
        self.edit(|now, _| {
            if now.get(&live.key).is_some_and(|held| held.uid == live.uid) && now.remove(&live.key) {
                now.generation += 1;
            }
        });
    }
}

#[cfg(test)]
mod tests;
