//! Removal, in stages: the control plane deadlocks if a peer goes while it still has exports (maistra/istio
//! `federation/server`), and a route to an import that is gone answers 503.
//!
//! VirtualService → DestinationRule → service sets, exports only when their users have turned away, emptied first and deleted when
//! nothing is exported any more → a root that nobody has the key of → ServiceMeshPeer → ConfigMap with its roots → gateways (which
//! `derive` keeps until then) → where the whole mesh leaves, everything else.

mod distrust;
mod exports;
mod order;

use serde_json::Value;

use super::compare::is_ours;
use super::memory::{Comparisons, Memory, Origin, REMOVAL};
use super::{Decision, World, refused};
use crate::derive::{Hold, kinds};
use crate::object::{Key, Live, SOURCE_ANNOTATION};

pub use distrust::DISTRUST_WAIT;
pub(super) use distrust::written_at;
pub use order::Scene;

/// What may stop all deletions at once.
pub(super) fn barrier(world: &World) -> Option<String> {
    world.federation.name.is_none().then(|| "federation.yaml is missing or has an error".into())
}

/// Decides what becomes of an object in the inventory that nothing declares any more.
pub(super) fn orphan(
    world: &World,
    memory: &Memory,
    scene: Scene,
    key: &Key,
    origin: &Origin,
    comparisons: &mut Comparisons,
    decision: &mut Decision,
) {
    if let Some(gap) = world.unseen.blind(key) {
        return decision.hold(Hold::stuck(key, format!("would be removed, but the cluster does not show it: {}", gap.reason)));
    }
    let Some(live) = world.live.get(key) else {
        decision.inventory_mut().remove(key);
        return;
    };
    if !is_ours(live) {
        decision.inventory_mut().remove(key); // made anew by somebody else: not ours to touch
        return;
    }
    if live.deleting {
        return decision.hold(Hold::waiting(key, "is being deleted"));
    }
    if let Some(reason) = broken_source(world, live) {
        return decision.hold(Hold::stuck(key, reason));
    }
    if let Some(hold) = refused(world, memory, key, REMOVAL, decision) {
        return decision.hold(hold);
    }
    let release = matches!(origin, Origin::Adopted(_)) || lasts(key);
    if let Some(reason) = order::in_use(scene, key, release) {
        return decision.hold(Hold::waiting(key, reason));
    }
    if release {
        return decision.release.push((key.clone(), origin.kind().clone()));
    }
    let first = if is_kind(key, kinds::EXPORTED) {
        exports::empty_first(world, memory, live, origin, comparisons, decision)
    } else if is_kind(key, kinds::PEER) {
        // One that is only made anew keeps its roots.
        let anew = scene.observed.replaced.get(&*key.name).is_some_and(|replaced| replaced.taking_down);
        if anew { None } else { distrust::first(world, memory, live, origin, decision) }
    } else {
        None
    };
    if let Some(hold) = first {
        return decision.hold(hold);
    }
    decision.delete.push(live.clone());
}

/// A document with an error never causes a deletion: what came from it stays.
pub(super) fn broken_source(world: &World, live: &Live) -> Option<String> {
    match annotation(&live.value(), SOURCE_ANNOTATION) {
        Some(source) if world.federation.is_broken(&source) => Some(format!("{source} has an error; what it declared stays")),
        Some(_) => None,
        None if world.federation.broken.is_empty() => None,
        None => Some("it does not say which document it came from, and some have errors".into()),
    }
}

fn annotation(value: &Value, name: &str) -> Option<String> {
    value.pointer("/metadata/annotations")?.get(name)?.as_str().map(str::to_owned)
}

/// Whether an object is of one of the kinds in [`kinds`], in whatever version.
pub(super) fn is_kind(key: &Key, (api_version, kind): (&str, &str)) -> bool {
    *key.kind == *kind && api_version.split_once('/').map_or("", |(group, _)| group) == &*key.group
}

/// Objects that others depend on without our seeing it: a Namespace takes along all that is in it, an operator serves every mesh
/// of the cluster. They are never deleted.
pub fn lasts(key: &Key) -> bool {
    is_kind(key, kinds::NAMESPACE) || is_kind(key, kinds::SUBSCRIPTION)
}
