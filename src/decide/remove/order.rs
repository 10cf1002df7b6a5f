//! Which objects others still need.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::is_kind;
use crate::decide::drain::route_to;
use crate::decide::memory::Origin;
use crate::decide::observe::{LiveObjects, imports, of_kind};
use crate::derive::{ImportState, Observed, kinds};
use crate::object::Key;

/// What a removal looks at.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Live objects.
    pub live: &'a LiveObjects,
    /// What is ours.
    pub inventory: &'a BTreeMap<Key, Origin>,
    /// What the control plane says.
    pub observed: &'a Observed,
    /// The whole mesh leaves.
    pub whole: bool,
}

/// Who still needs the object; `release`: it is not deleted but given back.
pub(super) fn in_use(scene: Scene, key: &Key, release: bool) -> Option<String> {
    let Scene { live, inventory, observed, whole } = scene;
    if is_federation(key) {
        // What others made before us and use with us does not go, so nobody has to wait for it.
        return if release { None } else { federation(live, observed, key) };
    }
    if is_kind(key, kinds::DESTINATION_RULE) {
        let routes = live.get(&kinds::key(kinds::VIRTUAL_SERVICE, key.namespace.as_deref().unwrap_or_default(), &key.name));
        let routes = routes.filter(|routes| routes.mentions("\"subset\":"));
        return routes.map(|routes| format!("{} still uses its subsets", routes.key));
    }
    if is_kind(key, kinds::VIRTUAL_SERVICE) {
        return None;
    }
    if is_kind(key, kinds::CONTROL_PLANE) && !release {
        let mut peers = of_kind(live, kinds::PEER, key.namespace.as_deref().unwrap_or_default());
        return peers.next().map(|peer| format!("waits until {} is gone", peer.key));
    }
    if whole && let Some(left) = inventory.keys().find(|other| is_federation(other) && live.contains_key(*other)) {
        return Some(format!("waits until {left} is gone"));
    }
    // The workloads of a service go after its users: its objects lie in its namespace.
    let place = key.namespace.as_deref().unwrap_or(&key.name);
    let mut kept = observed.kept_exports.iter().flat_map(|(peer, kept)| kept.iter().map(move |export| (peer, export)));
    let user = kept.find(|(_, export)| export.service.namespace == place);
    user.map(|(peer, export)| format!("waits, because {peer} may still use {}", export.service))
}

/// A service set, a ServiceMeshPeer, or a ConfigMap with a peer's roots.
fn is_federation(key: &Key) -> bool {
    [kinds::EXPORTED, kinds::IMPORTED, kinds::PEER].into_iter().any(|of| is_kind(key, of)) || peer_of_roots(key).is_some()
}

fn peer_of_roots(key: &Key) -> Option<&str> {
    if is_kind(key, kinds::CONFIG_MAP) { key.name.strip_suffix(kinds::roots_name("").as_str()) } else { None }
}

fn federation(live: &LiveObjects, observed: &Observed, key: &Key) -> Option<String> {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let name = &*key.name;
    let exists = |of: (&str, &str), name: &str| {
        let user = kinds::key(of, namespace, name);
        live.contains_key(&user).then(|| format!("waits until {user} is gone"))
    };
    if is_kind(key, kinds::EXPORTED) {
        let kept = observed.kept_exports.get(name).and_then(|kept| kept.first());
        kept.map(|export| format!("{} stays exported: {}", export.name, export.reason))
    } else if is_kind(key, kinds::IMPORTED) {
        route_to(live, &hosts(live, namespace, name)).map(|route| format!("{route} still routes to {name}"))
    } else if is_kind(key, kinds::PEER) {
        exists(kinds::EXPORTED, name).or_else(|| exists(kinds::IMPORTED, name))
    } else {
        peer_of_roots(key).and_then(|peer| exists(kinds::PEER, peer))
    }
}

/// What hosts of a peer's services end in, or are where a rule gives them another domain. Those that joined a local Service are no
/// trace of the peer.
fn hosts(live: &LiveObjects, namespace: &str, peer: &str) -> Vec<String> {
    let set = live.get(&kinds::key(kinds::IMPORTED, namespace, peer));
    let set = set.map(|set: &Arc<_>| imports(&set.value())).unwrap_or_default();
    let own = set.into_values().filter_map(|state| match state {
        ImportState::Live(host) if !host.ends_with(".svc.cluster.local") => Some(format!("\"{host}\"")),
        _ => None,
    });
    std::iter::once(format!(".svc.{peer}-imports.local")).chain(own).collect()
}
