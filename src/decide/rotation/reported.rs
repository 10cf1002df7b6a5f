//! Which roots of a mesh its peers' control planes trust, and how an agent finds that out of its own.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bundle_of;
use crate::decide::World;
use crate::derive::{ROOTS_ANNOTATION, kinds, roots_digest};
use crate::facts::{Root, roots};
use crate::model::root;

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

/// The roots of a peer that our control plane was given: those in its ConfigMap, once its ServiceMeshPeer was changed with them, for
/// that makes the control plane read it again.
pub(in crate::decide) fn trusted(world: &World, peer: &str) -> Vec<String> {
    let Some(mesh) = world.federation.mesh(world.me) else {
        return world.own_status.peerings.get(peer).map(|peering| peering.trusted_roots.clone()).unwrap_or_default();
    };
    let live = |of, name: &str| world.live.get(&kinds::key(of, &mesh.namespace, name)).filter(|live| !live.deleting);
    let (Some(map), Some(object)) = (live(kinds::CONFIG_MAP, &kinds::roots_name(peer)), live(kinds::PEER, peer)) else {
        return Vec::new();
    };
    let (map, object) = (map.value(), object.value());
    let bundle = bundle_of(&map);
    let seen = object.pointer("/metadata/annotations").and_then(|map| map.get(ROOTS_ANNOTATION)).and_then(Value::as_str);
    if seen != Some(roots_digest(bundle).as_str()) {
        return Vec::new();
    }
    let fingerprints = |roots: &[Root]| roots.iter().map(|root| root.fingerprint.clone()).collect();
    match world.facts.get(peer).filter(|facts| roots::bundle(&facts.roots) == bundle) {
        Some(facts) => fingerprints(&facts.roots), // nothing is parsed again
        None => root::read(bundle).map(|roots| fingerprints(&roots)).unwrap_or_default(),
    }
}
