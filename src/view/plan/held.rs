//! What the agent holds of a change, because it would delete too much at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Half, Waiting};
use crate::decide::{TRAILER, excess};
use crate::derive::{Derived, Observed, kinds};
use crate::object::Key;

/// Deletions that wait until people say that they are meant.
#[derive(Debug)]
pub struct Held {
    reason: String,
    peers: BTreeSet<String>,
    /// By peer, side and name: the gateways of peerings that would go.
    gateways: BTreeMap<(String, &'static str, String), Map<String, Value>>,
}

/// What the agent of a mesh would hold. Counts what waits for facts as well: it may be there in the cluster.
pub fn held(mesh: &str, from: Half, to: Half) -> Option<Held> {
    let meant = format!("until a commit on main has the trailer `{TRAILER}: {mesh}`");
    if from.federation.meshes.contains_key(mesh) && !to.federation.meshes.contains_key(mesh) {
        let reason = format!("the mesh keeps what it has {meant}");
        return Some(Held { reason, peers: BTreeSet::new(), gateways: BTreeMap::new() });
    }
    let (before, after) = (keys(from.derived), keys(to.derived));
    let gone = before.difference(&after).cloned().collect();
    let (reason, peers) = excess(&before, &gone, to.federation.guards)?;
    let gateways = gateways(mesh, from, &peers);
    Some(Held { reason: format!("held {meant}: {reason}"), peers, gateways })
}

impl Held {
    /// Derivation keeps the gateways of peerings that stay, and weights to them.
    pub fn keep(&self, observed: &mut Observed) {
        observed.withheld.clone_from(&self.peers);
        observed.leaving.clone_from(&self.peers);
        observed.gateways.clone_from(&self.gateways);
    }

    pub(super) fn waiting(&self) -> Waiting {
        Waiting { subject: "deletions".to_owned(), reason: self.reason.clone(), stuck: true }
    }
}

fn keys(derived: &Derived) -> BTreeSet<Key> {
    derived.wanted.keys().chain(derived.holds.iter().filter_map(|hold| hold.key.as_ref())).cloned().collect()
}

fn gateways(mesh: &str, from: Half, peers: &BTreeSet<String>) -> BTreeMap<(String, &'static str, String), Map<String, Value>> {
    let Some(folder) = from.federation.meshes.get(mesh) else { return BTreeMap::new() };
    let control_plane = folder.mesh.as_ref().map(|mesh| kinds::key(kinds::CONTROL_PLANE, &mesh.namespace, &mesh.control_plane));
    let Some(control_plane) = control_plane.and_then(|key| from.derived.wanted.get(&key)) else { return BTreeMap::new() };
    let control_plane = control_plane.object.value();
    let mut found = BTreeMap::new();
    for (name, peer) in folder.peers.iter().filter(|(name, _)| peers.contains(*name)) {
        for (side, gateway) in [("additionalIngress", &peer.ingress), ("additionalEgress", &peer.egress)] {
            let entry = control_plane["spec"]["gateways"][side][gateway.as_str()].as_object();
            found.extend(entry.map(|entry| ((name.clone(), side, gateway.clone()), entry.clone())));
        }
    }
    found
}
