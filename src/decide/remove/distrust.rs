//! OSSM 2.5 keeps the roots of a ServiceMeshPeer that is deleted: until istiod restarts, whoever holds a key of that CA is still let
//! in (maistra/istio: the bundle is not removed, because the delete path gets an object without a spec). So before the peer goes, its
//! ConfigMap gets a root whose key nobody has, and the ServiceMeshPeer is touched, because the control plane does not watch ConfigMaps.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::annotation;
use crate::decide::memory::{Memory, Origin};
use crate::decide::{Apply, Decision, World, refused};
use crate::derive::{Hold, ROOTS_ANNOTATION, kinds};
use crate::object::{FIELD_MANAGER, Key, Live, Object, SOURCE_ANNOTATION, set_id};

/// What stands in place of the roots' digest where nobody's root is.
const NOBODY: &str = "nobody";

/// How long the control plane has for taking the root up: it reconciles a changed peer at once (in well under a second) and pushes to
/// its proxies within 10 s (istiod's `PILOT_DEBOUNCE_MAX`). The API server's times are whole seconds.
pub const DISTRUST_WAIT: SignedDuration = SignedDuration::from_secs(11);

/// What has to happen before a ServiceMeshPeer can be deleted so that its roots are trusted no longer; `None` when it has.
pub(super) fn first(world: &World, memory: &Memory, peer: &Arc<Live>, origin: &Origin, decision: &mut Decision) -> Option<Hold> {
    let namespace = peer.key.namespace.as_deref()?;
    let roots = kinds::key(kinds::CONFIG_MAP, namespace, &kinds::roots_name(&peer.key.name));
    match (decision.inventory.get(&roots), world.live.get(&roots)) {
        // Somebody else's ConfigMap: not ours to spoil.
        (Some(Origin::Adopted(_)), _) | (None, Some(_)) => return None,
        (_, Some(live)) if live.deleting => return Some(Hold::waiting(&peer.key, format!("waits until {roots} is gone"))),
        _ => {}
    }
    let value = peer.value();
    let source = annotation(&value, SOURCE_ANNOTATION).unwrap_or_default();
    let waiting = |reason: &str| Some(Hold::waiting(&peer.key, format!("before it goes, {reason}")));
    let written = world.live.get(&roots).is_some_and(|live| marked(&live.value()));
    if !written {
        let config_map = config_map(world, &roots, &source)?;
        decision.inventory_mut().entry(roots).or_insert_with(|| Origin::Created(config_map.kind.clone()));
        return send(world, memory, config_map, decision).or_else(|| waiting("its ConfigMap gets a root whose key nobody has"));
    }
    if !marked(&value) {
        let touched = touched(peer, &value, origin, &source)?;
        return send(world, memory, touched, decision).or_else(|| waiting("the control plane is told to read that root"));
    }
    let until = written_at(&value)?.saturating_add(DISTRUST_WAIT).unwrap_or(world.now);
    // A clock that is far behind the API server's tells nothing of how long ago it was.
    if until <= world.now || until.duration_since(world.now) > DISTRUST_WAIT * 2 {
        return None;
    }
    decision.wake(until);
    waiting("the control plane has a few seconds to forget its roots")
}

fn marked(value: &Value) -> bool {
    annotation(value, ROOTS_ANNOTATION).is_some_and(|roots| roots == NOBODY)
}

fn send(world: &World, memory: &Memory, object: Object, decision: &mut Decision) -> Option<Hold> {
    let hold = refused(world, memory, &object.key, &object.digest, decision);
    if hold.is_none() {
        decision.apply.push(Apply { object: Arc::new(object), force: true });
    }
    hold
}

fn config_map(world: &World, key: &Key, source: &str) -> Option<Object> {
    let (api_version, kind) = kinds::CONFIG_MAP;
    let namespace = key.namespace.as_deref()?;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": *key.name, "namespace": namespace, "annotations": {ROOTS_ANNOTATION: NOBODY}},
        "data": {kinds::ROOTS_KEY: world.throwaway_root},
    });
    Object::new(document, &set_id(namespace), source).ok()
}

/// The peer as it is, with another annotation.
fn touched(peer: &Live, value: &Value, origin: &Origin, source: &str) -> Option<Object> {
    let namespace = peer.key.namespace.as_deref()?;
    let document = json!({
        "apiVersion": origin.kind().api_version(), "kind": *peer.key.kind,
        "metadata": {"name": *peer.key.name, "namespace": namespace, "annotations": {ROOTS_ANNOTATION: NOBODY}},
        "spec": value.get("spec"),
    });
    Object::new(document, &set_id(namespace), source).ok()
}

/// When we last applied the object, by the API server's clock.
pub(in crate::decide) fn written_at(value: &Value) -> Option<Timestamp> {
    let entries = value.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let ours = entries.iter().find(|entry| {
        entry.get("manager").and_then(Value::as_str) == Some(FIELD_MANAGER)
            && entry.get("operation").and_then(Value::as_str) == Some("Apply")
    });
    ours?.get("time")?.as_str()?.parse().ok()
}
