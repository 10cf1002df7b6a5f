//! Removal, in stages: the control plane deadlocks if a peer goes while it still has exports (maistra/istio
//! `federation/server`), and a route to an import that is gone answers 503.
//!
//! VirtualService → DestinationRule and manifests → service sets, emptied first and deleted when nothing is exported any more →
//! ServiceMeshPeer → ConfigMap with its roots → gateways (which `derive` keeps until then) → everything else.

use std::sync::Arc;

use serde_json::{Value, json};

use super::compare::is_ours;
use super::memory::{Comparisons, Memory, Origin, REMOVAL};
use super::observe::{LiveObjects, exported, imports, of_kind};
use super::{Apply, Decision, World, refused};
use crate::derive::{Hold, ImportState, kinds};
use crate::object::{Key, Live, Object, SOURCE_ANNOTATION, set_id};

/// What may stop all deletions at once.
pub(super) fn barrier(world: &World) -> Option<String> {
    let folder = world.federation.meshes.get(world.me);
    match (&world.federation.name, folder.and_then(|folder| folder.mesh.as_ref())) {
        (_, None) => Some(format!("meshes/{}/mesh.yaml is missing or has an error", world.me)),
        (None, _) => Some("federation.yaml is missing or has an error".into()),
        _ => None,
    }
}

/// Decides what becomes of an object in the inventory that nothing declares any more.
pub(super) fn orphan(
    world: &World,
    memory: &Memory,
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
    if let (Origin::Adopted(kind), _) | (Origin::Created(kind), true) = (origin, lasts(key)) {
        decision.release.push((key.clone(), kind.clone()));
        return;
    }
    if let Some(reason) = in_use(world.live, key) {
        return decision.hold(Hold::waiting(key, reason));
    }
    if is_kind(key, kinds::EXPORTED)
        && let Some(hold) = empty_first(world, memory, live, origin, comparisons, decision)
    {
        return decision.hold(hold);
    }
    decision.delete.push(live.clone());
}

/// A document with an error never causes a deletion: what came from it stays.
fn broken_source(world: &World, live: &Live) -> Option<String> {
    let value = live.value();
    match value.pointer("/metadata/annotations").and_then(|map| map.get(SOURCE_ANNOTATION)).and_then(Value::as_str) {
        Some(source) if world.federation.is_broken(source) => Some(format!("{source} has an error; what it declared stays")),
        Some(_) => None,
        None if world.federation.broken.is_empty() => None,
        None => Some("it does not say which document it came from, and some have errors".into()),
    }
}

fn is_kind(key: &Key, (api_version, kind): (&str, &str)) -> bool {
    *key.kind == *kind && api_version.split_once('/').map_or("", |(group, _)| group) == &*key.group
}

/// Objects that others depend on without our seeing it: a Namespace takes along all that is in it, an operator serves every mesh
/// of the cluster. They are never deleted.
fn lasts(key: &Key) -> bool {
    is_kind(key, kinds::NAMESPACE) || is_kind(key, kinds::SUBSCRIPTION)
}

/// Who still needs the object.
fn in_use(live: &LiveObjects, key: &Key) -> Option<String> {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let name = &*key.name;
    let exists = |of: (&str, &str), name: &str| {
        let user = kinds::key(of, namespace, name);
        live.contains_key(&user).then(|| format!("waits until {user} is gone"))
    };
    if is_kind(key, kinds::EXPORTED) || is_kind(key, kinds::IMPORTED) {
        let hosts = hosts(live, namespace, name);
        let routes =
            |object: &&Arc<Live>| is_kind(&object.key, kinds::VIRTUAL_SERVICE) && hosts.iter().any(|host| object.mentions(host));
        live.values().find(routes).map(|object| format!("{} still routes to {name}", object.key))
    } else if is_kind(key, kinds::PEER) {
        exists(kinds::EXPORTED, name).or_else(|| exists(kinds::IMPORTED, name))
    } else if is_kind(key, kinds::CONFIG_MAP) {
        name.strip_suffix(kinds::roots_name("").as_str()).and_then(|peer| exists(kinds::PEER, peer))
    } else if is_kind(key, kinds::CONTROL_PLANE) {
        of_kind(live, kinds::PEER, namespace).next().map(|peer| format!("waits until {} is gone", peer.key))
    } else if is_kind(key, kinds::DESTINATION_RULE) {
        let routes = live.get(&kinds::key(kinds::VIRTUAL_SERVICE, namespace, name));
        let routes = routes.filter(|routes| routes.mentions("\"subset\":"));
        routes.map(|routes| format!("{} still uses its subsets", routes.key))
    } else {
        None
    }
}

/// What hosts of a peer's services end in, or are where a rule gives them another domain. Those that joined a local Service are no
/// trace of the peer.
fn hosts(live: &LiveObjects, namespace: &str, peer: &str) -> Vec<String> {
    let set = live.get(&kinds::key(kinds::IMPORTED, namespace, peer)).map(|set| imports(&set.value())).unwrap_or_default();
    let own = set.into_values().filter_map(|state| match state {
        ImportState::Live(host) if !host.ends_with(".svc.cluster.local") => Some(format!("\"{host}\"")),
        _ => None,
    });
    std::iter::once(format!(".svc.{peer}-imports.local")).chain(own).collect()
}

/// Empties an ExportedServiceSet before its deletion, so that its status shows when nothing is exported any more.
fn empty_first(
    world: &World,
    memory: &Memory,
    live: &Arc<Live>,
    origin: &Origin,
    known: &mut Comparisons,
    decision: &mut Decision,
) -> Option<Hold> {
    let value = live.value();
    let (Some(namespace), name) = (live.key.namespace.as_deref(), &*live.key.name) else { return None };
    let count = exported(&value).count();
    if count == 0 || !world.live.contains_key(&kinds::key(kinds::PEER, namespace, name)) {
        return None; // without its peer nobody updates the status
    }
    let source = value.pointer("/metadata/annotations").and_then(|map| map.get(SOURCE_ANNOTATION)).and_then(Value::as_str);
    let document = json!({
        "apiVersion": origin.kind().api_version(), "kind": origin.kind().kind.as_ref(),
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"exportRules": []},
    });
    let object = Object::new(document, &set_id(namespace), source.unwrap_or_default()).ok()?;
    if !known.get(&object, live).changes.is_empty() {
        if let Some(hold) = refused(world, memory, &live.key, &object.digest, decision) {
            return Some(hold);
        }
        decision.apply.push(Apply { object: Arc::new(object), force: true });
    }
    Some(Hold::waiting(
        &live.key,
        format!(
            "waits until the control plane has withdrawn {count} exported {}",
            if count == 1 { "service" } else { "services" }
        ),
    ))
}
