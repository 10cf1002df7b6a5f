//! What this mesh tells its peers: read from the live cluster, never replaced by nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::observe::LiveObjects;
use crate::derive::{Hold, kinds};
use crate::facts::{Endpoint, Facts, Root, address, roots};
use crate::model::{Mesh, MeshFolder};

/// How long a root that the control plane has replaced stays published: certificates that it signed live for 24 h
/// (istiod's default workload certificate TTL), and peers must accept them until then.
pub const ROOT_OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// The facts of a mesh now, given those that it published before.
pub fn gather(
    folder: &MeshFolder,
    mesh: &Mesh,
    live: &LiveObjects,
    uid: &str,
    before: &Facts,
    now: Timestamp,
) -> (Facts, Vec<Hold>) {
    let mut holds = Vec::new();
    let (roots, retiring) = own_roots(mesh, live, before, now, &mut holds);
    let mut ingress = BTreeMap::new();
    for peer in folder.peers.values() {
        let name = &*peer.name.value;
        let addresses = match mesh.ingress.addresses.as_slice() {
            [] => service_addresses(live, mesh, &peer.ingress),
            declared => declared.to_vec(),
        };
        let (discovery_port, service_port) = (mesh.ingress.discovery_port, mesh.ingress.service_port);
        if !addresses.is_empty() {
            ingress.insert(name.to_owned(), Endpoint { addresses, discovery_port, service_port });
        } else if let Some(known) = before.ingress.get(name) {
            ingress.insert(name.to_owned(), known.clone());
            holds.push(Hold::part(format!("Service/{}", peer.ingress), "has lost its address; the one published last stays"));
        } else {
            holds.push(Hold::part(format!("Service/{}", peer.ingress), "has no load-balancer address yet"));
        }
    }
    (Facts { cluster_uid: Some(uid.to_owned()), claims: BTreeSet::new(), roots, retiring, ingress, broken: false }, holds)
}

type Roots = (Vec<Root>, BTreeMap<String, Timestamp>);

/// The control plane's roots, together with those that it had before for as long as their certificates live.
fn own_roots(mesh: &Mesh, live: &LiveObjects, before: &Facts, now: Timestamp, holds: &mut Vec<Hold>) -> Roots {
    let key = kinds::key(kinds::CONFIG_MAP, &mesh.namespace, kinds::OWN_ROOTS_NAME);
    let unchanged = || (before.roots.clone(), before.retiring.clone());
    let Some(config_map) = live.get(&key).map(|live| live.value()) else {
        holds.push(Hold::part(key.to_string(), "is not there yet: the control plane makes it when it runs"));
        return unchanged();
    };
    let bundle = config_map.pointer("/data/root-cert.pem").and_then(Value::as_str).unwrap_or_default();
    let mut current = match roots::parse(bundle, now) {
        Ok(roots) => roots,
        Err(message) => {
            holds.push(Hold::part(key.to_string(), format!("{message}; what was published stays")));
            return unchanged();
        }
    };
    let mut retiring = BTreeMap::new();
    for old in &before.roots {
        if current.iter().any(|root| root.fingerprint == old.fingerprint) || old.not_after < now {
            continue;
        }
        let since = before.retiring.get(&old.fingerprint).copied().unwrap_or_else(|| next_hour(now));
        if now < retires_at(since) && current.len() + retiring.len() < roots::MAX_ROOTS {
            retiring.insert(old.fingerprint.clone(), since);
        }
    }
    let kept = before.roots.iter().filter(|root| retiring.contains_key(&root.fingerprint)).cloned();
    current.extend(kept);
    roots::sort(&mut current);
    (current, retiring)
}

/// When a root that the control plane replaced at `since` is published no longer.
pub(super) fn retires_at(since: Timestamp) -> Timestamp {
    since.saturating_add(ROOT_OVERLAP).unwrap_or(Timestamp::MAX)
}

/// A whole hour, so that the facts stay the same from pass to pass until they are published; never earlier than now, so that a root
/// never leaves too early.
fn next_hour(now: Timestamp) -> Timestamp {
    const HOUR: i64 = 60 * 60;
    Timestamp::from_second((now.as_second() / HOUR + 1) * HOUR).unwrap_or(now)
}

/// Every entry of a Service's load balancer: the ip if there is one, else the hostname as it is, sorted. A name is never resolved:
/// the cloud changes the addresses behind it.
fn service_addresses(live: &LiveObjects, mesh: &Mesh, gateway: &str) -> Vec<String> {
    let Some(service) = live.get(&kinds::key(kinds::SERVICE, &mesh.namespace, gateway)).map(|live| live.value()) else {
        return Vec::new();
    };
    let entries = service.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let text = |entry: &Value, field| entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let mut addresses: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| text(entry, "ip").or_else(|| text(entry, "hostname")))
        .filter_map(|text| address::parse(&text).ok())
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}
