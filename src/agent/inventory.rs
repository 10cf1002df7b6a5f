//! The inventory as it lies in the agent's ConfigMap: one key for each kind, one line for each object, so that a change of one
//! kind rewrites one key.
//!
//! ```text
//! networking.istio.io.VirtualService: |
//!   v1beta1 created prod-bookinfo/details
//! core.Namespace: |
//!   v1 adopted prod-bookinfo
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::decide::Origin;
use crate::object::{Key, Kind};

/// Objects by identity, with where each comes from.
pub type Inventory = BTreeMap<Key, Origin>;

/// The data of the ConfigMap; keys of a ConfigMap take letters, digits, `-`, `_` and `.` (Kubernetes API).
pub fn write(inventory: &Inventory) -> BTreeMap<String, String> {
    let mut data: BTreeMap<String, String> = BTreeMap::new();
    for (key, origin) in inventory {
        let (origin, kind) = match origin {
            Origin::Created(kind) => ("created", kind),
            Origin::Adopted(kind) => ("adopted", kind),
        };
        let lines = data.entry(kind_key(key)).or_default();
        let _ = writeln!(lines, "{} {origin} {}", kind.version, place(key)); // writing to a String cannot fail
    }
    data
}

/// An object by kind and place, as one line.
pub fn line(key: &Key) -> String {
    format!("{} {}", kind_key(key), place(key))
}

/// Reads what [`line`] wrote.
pub fn key(line: &str) -> Option<Key> {
    let (kind, place) = line.split_once(' ')?;
    identity(kind, "", place).map(|(key, _)| key)
}

fn kind_key(key: &Key) -> String {
    format!("{}.{}", if key.group.is_empty() { "core" } else { &key.group }, key.kind)
}

fn place(key: &Key) -> String {
    match &key.namespace {
        Some(namespace) => format!("{namespace}/{}", key.name),
        None => key.name.to_string(),
    }
}

/// Reads what [`write`] wrote; also gives the lines that it does not understand, which a newer agent may have written.
pub fn read(data: &BTreeMap<String, String>) -> (Inventory, Vec<String>) {
    let mut inventory = Inventory::new();
    let mut unknown = Vec::new();
    for (key, lines) in data {
        for line in lines.lines() {
            match entry(key, line) {
                Some((key, origin)) => {
                    inventory.insert(key, origin);
                }
                None => unknown.push(format!("{key}: {line}")),
            }
        }
    }
    (inventory, unknown)
}

fn entry(key: &str, line: &str) -> Option<(Key, Origin)> {
    let [version, origin, place] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let (key, kind) = identity(key, version, place)?;
    match origin {
        "created" => Some((key, Origin::Created(kind))),
        "adopted" => Some((key, Origin::Adopted(kind))),
        _ => None,
    }
}

fn identity(kind: &str, version: &str, place: &str) -> Option<(Key, Kind)> {
    let (group, kind) = kind.rsplit_once('.')?;
    let kind = if group == "core" { Kind::new(version, kind) } else { Kind::new(&format!("{group}/{version}"), kind) };
    let key = match place.split_once('/') {
        Some((namespace, name)) => Key::new(&kind, Some(namespace), name),
        None => Key::new(&kind, None, place),
    };
    Some((key, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let route = Kind::new("networking.istio.io/v1beta1", "VirtualService");
        let namespace = Kind::new("v1", "Namespace");
        let inventory = Inventory::from([
            (Key::new(&route, Some("n"), "a"), Origin::Created(route.clone())),
            (Key::new(&namespace, None, "n"), Origin::Adopted(namespace.clone())),
        ]);
        let data = write(&inventory);
        assert_eq!(data["networking.istio.io.VirtualService"], "v1beta1 created n/a\n");
        assert_eq!(read(&data), (inventory, vec![]));
    }

    #[test]
    fn a_line_from_the_future_is_reported_and_harmless() {
        let data = BTreeMap::from([("core.ConfigMap".to_owned(), "v1 borrowed n/a\nv1 created n/b\n".to_owned())]);
        let (inventory, unknown) = read(&data);
        assert_eq!(inventory.len(), 1);
        assert_eq!(unknown, ["core.ConfigMap: v1 borrowed n/a"]);
    }
}
