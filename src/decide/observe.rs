//! Live objects → what derivation and status need to know of the control plane (maistra/istio federation/status).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Origin;
use crate::derive::{ImportState, Observed, PeerState, ROOTS_ANNOTATION, RootsInUse, kinds};
use crate::model::{MeshFolder, Traffic};
use crate::object::{Key, Live};
use crate::words;

/// Live objects by identity.
pub type LiveObjects = BTreeMap<Key, Arc<Live>>;

/// Reads the state of a control plane, given its namespace and name.
pub fn observe(
    (namespace, control_plane): (&str, &str),
    folder: &MeshFolder,
    live: &LiveObjects,
    inventory: &BTreeMap<Key, Origin>,
) -> Observed {
    let mut observed = Observed::default();
    for object in of_kind(live, kinds::PEER, namespace) {
        let name = object.key.name.to_string();
        watch_state(&object.value(), observed.peers.entry(name).or_default());
    }
    for object in of_kind(live, kinds::IMPORTED, namespace) {
        observed.peers.entry(object.key.name.to_string()).or_default().imports = imports(&object.value());
    }
    for object in of_kind(live, kinds::EXPORTED, namespace) {
        observed.peers.entry(object.key.name.to_string()).or_default().exports = exported(&object.value()).collect();
    }
    for peer in folder.peers.keys() {
        let in_use = roots_in_use(live, namespace, peer);
        if in_use != RootsInUse::default() {
            observed.roots.insert(peer.clone(), in_use);
        }
    }
    for (peer, key) in folder.peers.keys().map(|peer| (peer, kinds::key(kinds::CONFIG_MAP, namespace, &kinds::roots_name(peer))))
    {
        if matches!(inventory.get(&key), Some(Origin::Created(_))) {
            continue;
        }
        let text = live.get(&key).and_then(|live| Some(live.value().get("data")?.get(kinds::ROOTS_KEY)?.as_str()?.to_owned()));
        observed.foreign_roots.extend(text.map(|text| (peer.clone(), text)));
    }
    let ours = inventory.keys().filter(|key| key.namespace.as_deref() == Some(namespace) && live.contains_key(*key));
    let stays = |key: &Key| folder.manifests.iter().any(|manifest| manifest.object.key == *key);
    let peers = ours.filter_map(|key| Some((key, peer_of(key)?))).filter(|(_, peer)| !folder.peers.contains_key(*peer));
    let peers = peers.filter(|(key, _)| !stays(key)).map(|(_, peer)| peer);
    observed.leaving = peers.map(str::to_owned).collect();
    if let Some(control_plane) = live.get(&kinds::key(kinds::CONTROL_PLANE, namespace, control_plane)) {
        let peers: Vec<Value> = of_kind(live, kinds::PEER, namespace).map(|peer| peer.value()).collect();
        gateways(&control_plane.value(), &peers, &mut observed);
    }
    for traffic in folder.traffic.values() {
        let subsets = lingering_subsets(traffic, live);
        if !subsets.is_empty() {
            observed.subsets.insert((traffic.service.namespace.clone(), traffic.name.clone()), subsets);
        }
    }
    observed
}

/// The roots of a peer as the control plane has them. Nobody's root, which stands there before a peer goes, is none: with the peer's
/// return it is a stranger again.
fn roots_in_use(live: &LiveObjects, namespace: &str, peer: &str) -> RootsInUse {
    let find = |of, name: &str| live.get(&kinds::key(of, namespace, name)).map(|live| live.value());
    let mark = |value: &Value| Some(value.pointer("/metadata/annotations")?.get(ROOTS_ANNOTATION)?.as_str()?.to_owned());
    let map = find(kinds::CONFIG_MAP, &kinds::roots_name(peer)).filter(|map| mark(map).is_none());
    let bundle = map.and_then(|map| Some(map.pointer("/data")?.get(kinds::ROOTS_KEY)?.as_str()?.to_owned()));
    let digest = find(kinds::PEER, peer).as_ref().and_then(mark).filter(|digest| digest.bytes().all(|c| c.is_ascii_hexdigit()));
    RootsInUse { bundle, digest }
}

/// Subsets of a Traffic's live DestinationRule that the live VirtualService beside it names, and the Traffic no longer does.
fn lingering_subsets(traffic: &Traffic, live: &LiveObjects) -> BTreeMap<String, Value> {
    let find = |of| live.get(&kinds::key(of, &traffic.service.namespace, &traffic.name));
    let Some(routes) = find(kinds::VIRTUAL_SERVICE) else { return BTreeMap::new() };
    // Searched as text, for there is hardly ever one, and parsing every VirtualService at every pass would cost.
    let text = str::from_utf8(&routes.body).unwrap_or_default(); // our own JSON
    let named = text.split("\"subset\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let lingering: BTreeSet<&str> = named.filter(|name| !traffic.subsets.contains_key(*name)).collect();
    let Some(rule) = find(kinds::DESTINATION_RULE).filter(|_| !lingering.is_empty()) else { return BTreeMap::new() };
    let rule = rule.value();
    let subset = |subset: &Value| Some((subset.get("name")?.as_str()?.to_owned(), subset.get("labels")?.clone()));
    list(&rule, "/spec/subsets").filter_map(subset).filter(|(name, _)| lingering.contains(name.as_str())).collect()
}

/// The peer that an object in the control plane's namespace is about.
pub fn peer_of(key: &Key) -> Option<&str> {
    match (&*key.group, &*key.kind) {
        ("federation.maistra.io", _) => Some(&key.name),
        ("", "ConfigMap") => key.name.strip_suffix(kinds::roots_name("").as_str()),
        _ => None,
    }
}

/// All live objects of one kind in a namespace.
pub fn of_kind<'a>(live: &'a LiveObjects, of: (&str, &str), namespace: &'a str) -> impl Iterator<Item = &'a Arc<Live>> {
    let first = kinds::key(of, namespace, "");
    let kind = first.kind.clone();
    live.range(first..)
        .map(|(_, object)| object)
        .take_while(move |object| object.key.kind == kind && object.key.namespace.as_deref() == Some(namespace))
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn watch_state(peer: &Value, state: &mut PeerState) {
    // Perhaps a peer's words: nothing in them that a terminal would obey.
    let text = |value: &Value, key: &str| words::printable(value.get(key).and_then(Value::as_str).unwrap_or_default());
    let connected = |value: &Value| value.get("connected").and_then(Value::as_bool).unwrap_or(false);
    let active = || list(peer, "/status/discoveryStatus/active");
    let inactive = || list(peer, "/status/discoveryStatus/inactive");
    state.connected = active().filter_map(|pod| pod.get("watch")).any(connected);
    state.remote_connected = active().chain(inactive()).flat_map(|pod| list(pod, "/remotes")).any(connected);
    let synced = |watch: &Value| watch.get("lastFullSync")?.as_str()?.parse::<Timestamp>().ok();
    state.synced = active().filter_map(|pod| pod.get("watch")).filter(|watch| connected(watch)).filter_map(synced).max();
    let watches = active().chain(inactive()).filter_map(|pod| pod.get("watch"));
    state.last_disconnect = watches.map(|watch| text(watch, "lastDisconnectStatus")).find(|s| !s.is_empty()).unwrap_or_default();
}

/// `details-v2.prod-bookinfo` of `details-v2.prod-bookinfo.svc.rosa-exports.local`.
pub(super) fn short(exported: &str) -> String {
    exported.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

/// What became of each service that the set's peer offers, by its exported name.
pub fn imports(set: &Value) -> BTreeMap<String, ImportState> {
    list(set, "/status/importedServices")
        .filter_map(|service| {
            let name = service.get("exportedName")?.as_str()?;
            let host = service.pointer("/localService/hostname").and_then(Value::as_str).filter(|host| !host.is_empty());
            Some((short(name), host.map_or(ImportState::Offered, |host| ImportState::Live(host.to_owned()))))
        })
        .collect()
}

/// Names under which a set's services are exported now.
pub fn exported(set: &Value) -> impl Iterator<Item = String> {
    list(set, "/status/exportedServices").filter_map(|service| Some(short(service.get("exportedName")?.as_str()?)))
}

/// A gateway serves the peer that names it, else the one on its label: on gateways that people made the label says what they like, and it
/// cannot be changed.
fn gateways(control_plane: &Value, peers: &[Value], observed: &mut Observed) {
    let sides = [("additionalIngress", "ingress", kinds::INGRESS_FOR), ("additionalEgress", "egress", kinds::EGRESS_FOR)];
    for (side, field, label) in sides {
        let text = |value: &'_ Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let named = |gateway: &str| {
            let mut naming =
                peers.iter().filter(|peer| text(peer, &format!("/spec/gateways/{field}/name")).as_deref() == Some(gateway));
            text(naming.next()?, "/metadata/name")
        };
        let Some(entries) = control_plane.pointer(&format!("/spec/gateways/{side}")).and_then(Value::as_object) else { continue };
        for (name, entry) in entries {
            let labels: Option<&Map<_, _>> = entry.pointer("/service/metadata/labels").and_then(Value::as_object);
            let labelled = || labels.and_then(|labels| labels.get(label)).and_then(Value::as_str).map(str::to_owned);
            if let (Some(peer), Some(entry)) = (named(name).or_else(labelled), entry.as_object()) {
                observed.gateways.insert((peer, side, name.clone()), entry.clone());
            }
        }
    }
}
