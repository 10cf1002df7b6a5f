//! What the agent's ConfigMap holds: the inventory, and in keys of their own what is being removed of it, what joined while
//! deletions were held, the lapses of destinations, and how far branches are verified.
//!
//! ```text
//! removing: |
//!   networking.istio.io.VirtualService prod-bookinfo/details
//! joined: |
//!   core.ConfigMap prod-bookinfo/new
//! destinations: |
//!   aro-stg-mesh prod-bookinfo/details-v2 0 away
//!   gcp-dev-mesh prod-bookinfo/details-v3 2 sound 2026-11-22T18:50:00Z
//! verified: |
//!   main 9f2c1ab0…
//!   published/aro-stg-mesh 77ab0031…
//! ```
//! The number says how often a destination went away again before its first time was forgotten. What is verified is the floor below which
//! no branch may go back.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::inventory::{self, Inventory};
use crate::decide::{Deletions, Lapse, Lapses};
use crate::model::ServiceName;
use crate::model::defaults::GATING_DOUBLINGS;
use crate::repo::PUBLISHED;
use crate::trust::Marks;

/// Annotation of the ConfigMap with namespace and name of the Lease by which its agent chooses the replica that writes.
pub const LEASE_ANNOTATION: &str = "meshfed.dev/lease";

/// The key with the lapses; those of the inventory all have a dot.
const DESTINATIONS: &str = "destinations";

/// The key with what is being removed. Apart from the inventory, so that an older agent finds every object where it looks for it.
const REMOVING: &str = "removing";

/// The key with what joined the inventory while deletions were held.
const JOINED: &str = "joined";

/// The key with the last verified commit of each branch.
const VERIFIED: &str = "verified";

/// What outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Every object that is looked after.
    pub inventory: Inventory,
    /// What the guard on deletions knew of them.
    pub deletions: Deletions,
    /// How destinations have been.
    pub lapses: Lapses,
    /// How far branches are verified.
    pub marks: Marks,
}

/// The data of the ConfigMap.
pub fn write(inventory: &Inventory, deletions: &Deletions, lapses: &Lapses, marks: &Marks) -> BTreeMap<String, String> {
    let mut data = inventory::write(inventory);
    let mut lines = String::new();
    for ((peer, service), Lapse { flaps, sound_since }) in lapses {
        let state = sound_since.map_or("away".to_owned(), |since| format!("sound {since}"));
        let _ = writeln!(lines, "{peer} {service} {flaps} {state}"); // writing to a String cannot fail
    }
    if !lines.is_empty() {
        data.insert(DESTINATIONS.to_owned(), lines);
    }
    for (name, keys) in [(REMOVING, &deletions.admitted), (JOINED, &deletions.joined)] {
        if !keys.is_empty() {
            let lines: Vec<String> = keys.iter().map(inventory::line).collect();
            data.insert(name.to_owned(), lines.join("\n") + "\n");
        }
    }
    let main = marks.main.iter().map(|id| format!("main {id}\n"));
    let published = marks.published.iter().flat_map(|(mesh, ids)| ids.iter().map(move |id| format!("{PUBLISHED}{mesh} {id}\n")));
    let lines: String = main.chain(published).collect();
    if !lines.is_empty() {
        data.insert(VERIFIED.to_owned(), lines);
    }
    data
}

/// Reads what [`write`] wrote; also gives the lines that it does not understand, which a newer agent may have written.
pub fn read(data: &BTreeMap<String, String>) -> (Remembered, Vec<String>) {
    let mut others = data.clone();
    let mut take = |key| others.remove(key).unwrap_or_default();
    let (destinations, removing, joined, verified) = (take(DESTINATIONS), take(REMOVING), take(JOINED), take(VERIFIED));
    let (inventory, mut unknown) = inventory::read(&others);
    let mut remembered = Remembered { inventory, ..Remembered::default() };
    for line in destinations.lines() {
        match lapse(line) {
            Some((import, lapse)) => drop(remembered.lapses.insert(import, lapse)),
            None => unknown.push(format!("{DESTINATIONS}: {line}")),
        }
    }
    let Deletions { admitted, joined: new } = &mut remembered.deletions;
    for (name, lines, keys) in [(REMOVING, removing, admitted), (JOINED, joined, new)] {
        for line in lines.lines() {
            match inventory::key(line) {
                Some(key) => drop(keys.insert(key)),
                None => unknown.push(format!("{name}: {line}")),
            }
        }
    }
    for line in verified.lines() {
        if mark(line, &mut remembered.marks).is_none() {
            unknown.push(format!("{VERIFIED}: {line}"));
        }
    }
    (remembered, unknown)
}

fn mark(line: &str, marks: &mut Marks) -> Option<()> {
    let (branch, id) = line.split_once(' ')?;
    let id = id.parse().ok()?;
    match branch.strip_prefix(PUBLISHED) {
        Some(mesh) => marks.published.entry(mesh.to_owned()).or_default().insert(id),
        None => (branch == "main").then(|| marks.main.insert(id))?,
    };
    Some(())
}

/// What has to be patched so that the ConfigMap says `wanted`; `None` removes a key.
pub fn patch(written: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> BTreeMap<String, Option<String>> {
    let changed = wanted.iter().filter(|(key, value)| written.get(*key) != Some(*value));
    let gone = written.keys().filter(|key| !wanted.contains_key(*key));
    changed.map(|(key, value)| (key.clone(), Some(value.clone()))).chain(gone.map(|key| (key.clone(), None))).collect()
}

fn lapse(line: &str) -> Option<((String, ServiceName), Lapse)> {
    let words: Vec<&str> = line.split(' ').collect();
    let (import, state) = words.split_at_checked(3)?;
    let sound_since = match state {
        ["away"] => None,
        ["sound", since] => Some(since.parse().ok()?),
        _ => return None,
    };
    let (namespace, name) = import[1].split_once('/')?;
    let service = ServiceName { namespace: namespace.to_owned(), name: name.to_owned() };
    let flaps = import[2].parse::<u32>().ok()?.min(GATING_DOUBLINGS);
    Some(((import[0].to_owned(), service), Lapse { flaps, sound_since }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decide::Origin;
    use crate::object::Key;
    use crate::object::Kind;
    use crate::trust::Id;

    fn mk_import(peer: &str) -> (String, ServiceName) {
        (peer.to_owned(), ServiceName { namespace: "n".into(), name: "s".into() })
    }

    #[test]
    fn what_is_written_is_read() {
        let namespace = Kind::new("v1", "Namespace");
        let inventory = Inventory::from([(Key::new(&namespace, None, "n"), Origin::Adopted(namespace.clone()))]);
        let back = Lapse { flaps: 2, sound_since: Some("2026-11-22T18:50:00.25Z".parse().unwrap()) };
        let lapses = Lapses::from([(mk_import("a"), Lapse { flaps: 0, sound_since: None }), (mk_import("b"), back)]);
        let keys: BTreeSet<Key> = inventory.keys().cloned().collect();
        let deletions = Deletions { admitted: keys.clone(), joined: keys };
        let marks = Marks {
            main: BTreeSet::from([Id([1; 20])]),
            published: BTreeMap::from([("a".to_owned(), BTreeSet::from([Id([2; 20]), Id([3; 20])]))]),
        };
        let data = write(&inventory, &deletions, &lapses, &marks);
        assert_eq!(data[DESTINATIONS], "a n/s 0 away\nb n/s 2 sound 2026-11-22T18:50:00.25Z\n");
        assert_eq!(data[REMOVING], "core.Namespace n\n");
        assert_eq!(read(&data), (Remembered { inventory, deletions, lapses, marks }, vec![]));
        let nothing = write(&Inventory::new(), &Deletions::default(), &Lapses::new(), &Marks::default());
        assert_eq!(nothing, BTreeMap::new(), "nothing is written of destinations that are well");
    }

    #[test]
    fn lines_from_the_future_are_reported_and_harmless() {
        let lines = "a n/s 0 away\nb n/s 0 resting 5m\nc n/s 99 sound 2026-11-22T18:50:00Z\nd\n";
        let data = BTreeMap::from([(DESTINATIONS.to_owned(), lines.to_owned())]);
        let (Remembered { lapses, .. }, unknown) = read(&data);
        assert_eq!(lapses.keys().map(|(peer, _)| peer.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(lapses[&mk_import("c")].flaps, GATING_DOUBLINGS, "never more than the limit");
        assert_eq!(unknown, ["destinations: b n/s 0 resting 5m", "destinations: d"]);
    }

    #[test]
    fn a_mark_that_cannot_be_read_is_reported() {
        let data = BTreeMap::from([(VERIFIED.to_owned(), "main 12\ndev 34\n".to_owned())]);
        assert_eq!(read(&data), (Remembered::default(), vec!["verified: main 12".to_owned(), "verified: dev 34".to_owned()]));
    }

    #[test]
    fn only_what_changed_is_patched() {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let patch = patch(&map(&[("a", "1"), ("b", "1")]), &map(&[("a", "1"), ("c", "1")]));
        assert_eq!(patch, BTreeMap::from([("b".into(), None), ("c".into(), Some("1".into()))]));
    }
}
