//! Which roots of a mesh its peers' control planes trust, and how an agent finds that out of its own.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::bundle_of;
use crate::decide::World;
use crate::decide::remove::{DISTRUST_WAIT, written_at};
use crate::derive::{ROOTS_ANNOTATION, kinds, roots_digest};
use crate::facts::{Root, roots};
use crate::model::{Mesh, root};

/// A mesh that shares a peering, and the roots of ours that its agent says its control plane trusts.
pub(super) struct PeerTrust<'a> {
    pub name: &'a str,
    reported: &'a [String],
}

impl PeerTrust<'_> {
    pub fn knows(&self, root: &Root) -> bool {
        self.reported.contains(&root.fingerprint)
    }

    pub fn knows_all(&self, roots: &[Root]) -> bool {
        roots.iter().all(|root| self.knows(root))
    }

    /// Whether it trusts some root of ours but cannot verify what this one signs. A root that was renewed with the same key is
    /// verified by its predecessor too.
    pub fn refuses(&self, root: &Root, known: &[Root]) -> bool {
        !self.reported.is_empty() && !known.iter().any(|other| other.key == root.key && self.knows(other))
    }
}

/// Every mesh that shares a peering with us. A half that cannot be read counts as there: it is not taken down either.
pub(super) fn peers<'a>(world: &World<'a>) -> Vec<PeerTrust<'a>> {
    let folder = format!("meshes/{}/peers/", world.me);
    let broken = world.federation.broken.iter().filter_map(|path| path.strip_prefix(&folder)?.strip_suffix(".yaml"));
    let declared = world.federation.meshes.get(world.me).into_iter().flat_map(|folder| folder.peers.keys().map(String::as_str));
    let names: BTreeSet<&str> = declared.chain(broken).collect();
    let shares = |name: &&str| {
        let half = format!("meshes/{name}/peers/{}.yaml", world.me);
        world.federation.peer(name, world.me).is_some() || world.federation.is_broken(&half)
    };
    let trust = |name: &'a str| {
        let peering = world.statuses.get(name).and_then(|status| status.peerings.get(world.me));
        PeerTrust { name, reported: peering.map(|peering| peering.trusted_roots.as_slice()).unwrap_or_default() }
    };
    names.into_iter().filter(shares).map(trust).collect()
}

/// What our control plane trusts of a peer's CA.
#[derive(Debug, Default)]
pub(in crate::decide) struct Trusted {
    /// Fingerprints.
    pub roots: Vec<String>,
    /// When more of them count.
    pub wake_at: Option<Timestamp>,
}

/// The roots of a peer that our control plane trusts: those in its ConfigMap, once its ServiceMeshPeer was changed with them, for that
/// makes the control plane read it again, and once it has had its time to tell its proxies. Those that it trusted before count on.
pub(in crate::decide) fn trusted(world: &World, mesh: &Mesh, peer: &str) -> Trusted {
    let live = |of, name: &str| world.live.get(&kinds::key(of, &mesh.namespace, name)).filter(|live| !live.deleting);
    let (Some(map), Some(object)) = (live(kinds::CONFIG_MAP, &kinds::roots_name(peer)), live(kinds::PEER, peer)) else {
        return Trusted::default();
    };
    let (map, object) = (map.value(), object.value());
    let bundle = bundle_of(&map);
    let fingerprints = |roots: &[Root]| roots.iter().map(|root| root.fingerprint.clone()).collect();
    let mut roots: Vec<String> = match world.facts.get(peer).filter(|facts| roots::bundle(&facts.roots) == bundle) {
        Some(facts) => fingerprints(&facts.roots), // nothing is parsed again
        None => root::read(bundle).map(|roots| fingerprints(&roots)).unwrap_or_default(),
    };
    let before = world.own_status.peerings.get(peer).map(|peering| peering.trusted_roots.as_slice()).unwrap_or_default();
    let told = object.pointer("/metadata/annotations").and_then(|map| map.get(ROOTS_ANNOTATION)).and_then(Value::as_str);
    if told != Some(roots_digest(bundle).as_str()) {
        roots.retain(|root| before.contains(root));
        return Trusted { roots, wake_at: None };
    }
    let until = written_at(&object).and_then(|at| at.saturating_add(DISTRUST_WAIT).ok());
    // A clock that is far behind the API server's tells nothing of how long ago it was.
    let until = until.filter(|until| *until > world.now && until.duration_since(world.now) <= DISTRUST_WAIT * 2);
    let new = roots.iter().any(|root| !before.contains(root));
    let Some(until) = until.filter(|_| new && !before.is_empty()) else { return Trusted { roots, wake_at: None } };
    roots.retain(|root| before.contains(root));
    Trusted { roots, wake_at: Some(until) }
}
