//! The inventory as it lies in the agent's ConfigMap: one key for each kind, one line for each object, so that a change of one
//! kind rewrites one key.
//!
//! ```text
//! networking.istio.io.VirtualService: |
//!   v1beta1 created prod-bookinfo/details
//! core.Namespace: |
//!   v1 adopted prod-bookinfo
//! removing: |
//!   networking.istio.io.VirtualService prod-bookinfo/details
//! ```
//!
//! What is being removed stands apart, so that an older agent finds every object where it looks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::decide::Origin;
use crate::object::{Key, Kind};

/// Objects by identity, with where each comes from.
pub type Inventory = BTreeMap<Key, Origin>;

/// The key of what is being removed. No kind's: theirs have a dot.
const REMOVING: &str = "removing";

/// The data of the ConfigMap; keys of a ConfigMap take letters, digits, `-`, `_` and `.` (Kubernetes API).
pub fn write(inventory: &Inventory, removing: &BTreeSet<Key>) -> BTreeMap<String, String> {
    let mut data: BTreeMap<String, String> = BTreeMap::new();
    for (key, origin) in inventory {
        let (origin, kind) = match origin {
            Origin::Created(kind) => ("created", kind),
            Origin::Adopted(kind) => ("adopted", kind),
        };
        let lines = data.entry(kind_key(key)).or_default();
        let _ = writeln!(lines, "{} {origin} {}", kind.version, place(key)); // writing to a String cannot fail
    }
    if !removing.is_empty() {
        let lines = removing.iter().map(|key| format!("{} {}\n", kind_key(key), place(key)));
        data.insert(REMOVING.to_owned(), lines.collect());
    }
    data
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
pub fn read(data: &BTreeMap<String, String>) -> (Inventory, BTreeSet<Key>, Vec<String>) {
    let mut inventory = Inventory::new();
    let mut removing = BTreeSet::new();
    let mut unknown = Vec::new();
    for (key, lines) in data {
        for line in lines.lines() {
            if key == REMOVING {
                match line.split_once(' ').and_then(|(kind, place)| identity(kind, "", place)) {
                    Some((key, _)) => drop(removing.insert(key)),
                    None => unknown.push(format!("{key}: {line}")),
                }
                continue;
            }
            match entry(key, line) {
                Some((key, origin)) => {
                    inventory.insert(key, origin);
                }
                None => unknown.push(format!("{key}: {line}")),
            }
        }
    }
    (inventory, removing, unknown)
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

/// What has to be patched so that the ConfigMap says `wanted`; `None` removes a key.
pub fn patch(written: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> BTreeMap<String, Option<String>> {
    let changed = wanted.iter().filter(|(key, value)| written.get(*key) != Some(*value));
    let gone = written.keys().filter(|key| !wanted.contains_key(*key));
    changed.map(|(key, value)| (key.clone(), Some(value.clone()))).chain(gone.map(|key| (key.clone(), None))).collect()
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
        let removing = BTreeSet::from([Key::new(&route, Some("n"), "a"), Key::new(&namespace, None, "n")]);
        let data = write(&inventory, &removing);
        assert_eq!(data["networking.istio.io.VirtualService"], "v1beta1 created n/a\n");
        assert_eq!(data["removing"], "core.Namespace n\nnetworking.istio.io.VirtualService n/a\n");
        assert_eq!(read(&data), (inventory.clone(), removing, vec![]));
        assert!(!write(&inventory, &BTreeSet::new()).contains_key("removing"));
    }

    #[test]
    fn a_line_from_the_future_is_reported_and_harmless() {
        let data = BTreeMap::from([("core.ConfigMap".to_owned(), "v1 borrowed n/a\nv1 created n/b\n".to_owned())]);
        let (inventory, _, unknown) = read(&data);
        assert_eq!(inventory.len(), 1);
        assert_eq!(unknown, ["core.ConfigMap: v1 borrowed n/a"]);
    }

    #[test]
    fn only_what_changed_is_patched() {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let patch = patch(&map(&[("a", "1"), ("b", "1")]), &map(&[("a", "1"), ("c", "1")]));
        assert_eq!(patch, BTreeMap::from([("b".into(), None), ("c".into(), Some("1".into()))]));
    }
}
