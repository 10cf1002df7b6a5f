//! What istiod notes about each peer while connections come and go, until `status.rs` writes it down.

use std::collections::BTreeMap;

use serde_json::Value;

use super::istiod::Istiod;
use super::rules::{self, Export, Offer};
use super::status::Connection;
use super::view::Kind;

/// So many resyncs after it has gone, a remote leaves the status: five minutes in life, where a resync is one.
const PRUNED_AFTER: u32 = 5;

/// What the statuses of one peer should say.
pub struct Report {
    /// The peer's name, and that of its service sets.
    pub peer: String,
    /// This istiod's pod.
    pub pod: String,
    /// Its watch of the peer.
    pub watch: Connection,
    /// The peer's watches of it, by address.
    pub remotes: BTreeMap<String, Connection>,
    /// `exportedServices`
    pub exports: Vec<Value>,
    /// `importedServices`; nothing before the first full sync.
    pub imports: Option<Vec<Value>>,
}

impl Istiod {
    /// Changes what is said of this mesh's watch of a peer.
    pub fn with_watch(&self, peer: &str, change: impl FnOnce(&mut Connection)) {
        if let Some(peer) = self.state().peers.get_mut(peer) {
            change(&mut peer.watch);
        }
        self.touch();
    }

    /// Changes what is said of a peer's watch of this mesh.
    pub fn with_remote(&self, peer: &str, source: &str, change: impl FnOnce(&mut Connection)) {
        if let Some(peer) = self.state().peers.get_mut(peer) {
            change(peer.remotes.entry(source.to_owned()).or_default());
        }
        self.touch();
    }

    /// A peer offers these services now; they are imported by the rules as they were last taken over.
    pub fn offered(&self, peer: &str, offers: &[Offer]) {
        if let Some(entry) = self.state().peers.get_mut(peer) {
            entry.imports = Some(rules::imports(&entry.import_rules, offers, peer));
        }
        self.touch();
    }

    /// Takes the import rules over as they are now: when a watch begins, and at each full sync.
    pub fn take_import_rules(&self, peer: &str) {
        let set = self.view().get(Kind::Imports, self.namespace(), peer);
        let rules = set.and_then(|set| set.data.get("spec").cloned()).unwrap_or(Value::Null);
        if let Some(entry) = self.state().peers.get_mut(peer) {
            entry.import_rules = rules;
        }
    }

    /// What the statuses should say.
    pub fn reports(&self) -> Vec<Report> {
        let state = self.state();
        let reports = state.peers.iter().map(|(name, peer)| Report {
            peer: name.clone(),
            pod: state.pod.clone(),
            watch: peer.watch.clone(),
            remotes: peer.remotes.clone(),
            exports: peer.exports.borrow().iter().map(Export::status).collect(),
            imports: peer.imports.clone(),
        });
        reports.collect()
    }

    /// Forgets remotes that have been away for long.
    pub(super) fn prune_remotes(&self) {
        let limit = self.options().resync * PRUNED_AFTER;
        for peer in self.state().peers.values_mut() {
            peer.remotes.retain(|_, remote| !remote.is_gone_for(limit));
        }
        self.touch();
    }
}
