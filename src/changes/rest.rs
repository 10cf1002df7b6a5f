//! Manifests, documents with an error, and files that are no declarations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Change, Topic, both};
use crate::model::{Federation, Manifest, Place};
use crate::words::{count, some};

/// Objects of one mesh named in one change; more are counted.
const NAMED: usize = 3;

/// Objects of `manifests/` that came, changed and went: before and after, of files that have no error.
pub(super) fn manifests(me: &str, states: [&[Arc<Manifest>]; 2], readable: &dyn Fn(&str) -> bool) -> Vec<Change> {
    let [before, after] = states.map(|manifests| -> BTreeMap<String, Arc<str>> {
        let known = manifests.iter().filter(|manifest| readable(&manifest.object.source));
        known.map(|manifest| (manifest.object.key.to_string(), manifest.object.digest.clone())).collect()
    });
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, was, is) in both(&before, &after) {
        let what = match (was, is) {
            (None, Some(_)) => "adds",
            (Some(_), None) => "removes",
            (Some(was), Some(is)) if was != is => "changes",
            _ => continue,
        };
        told.entry(what).or_default().push(key);
    }
    let say = |(what, keys): (&str, Vec<&str>)| {
        let number = if keys.len() > NAMED { format!("{}: ", count(keys.len(), "object")) } else { String::new() };
        Change::new(Topic::Manifest, format!("{me} {what} {number}{}", some(&keys, NAMED))).of(me)
    };
    told.into_iter().map(say).collect()
}

/// Documents that have an error now, or no longer.
pub(super) fn broken(before: &Federation, after: &Federation) -> Vec<Change> {
    let (new, mended) = super::differing(&before.broken, &after.broken);
    let new = new.into_iter().map(|path| (path, "has an error: what it said before stays"));
    let mended = mended.into_iter().map(|path| (path, "has no error any more"));
    new.chain(mended)
        .map(|(path, words)| Change { mesh: mesh_of(path), ..Change::new(topic(path), format!("{path} {words}")) })
        .collect()
}

/// Files that are no declarations, but count: policies and who may change what. Each with whether it was there and is there.
pub fn files<'a>(files: impl Iterator<Item = (&'a str, bool, bool)>) -> Vec<Change> {
    let say = |(path, was, is): (&str, bool, bool)| {
        let topic = topic(path);
        let verb = match (was, is) {
            (false, true) => "added",
            (true, false) => "removed",
            _ => "changed",
        };
        matches!(topic, Topic::Policy | Topic::Trust).then(|| Change::new(topic, format!("{path} {verb}")))
    };
    files.filter_map(say).collect()
}

fn topic(path: &str) -> Topic {
    match Place::of(path) {
        _ if path.starts_with("trust/") => Topic::Trust,
        Place::Federation => Topic::Federation,
        Place::Mesh(_) => Topic::Mesh,
        Place::Peer { .. } => Topic::Peering,
        Place::Traffic { .. } => Topic::Traffic,
        Place::Policy => Topic::Policy,
        Place::Manifests { .. } | Place::Definition | Place::Waiting | Place::Unknown { .. } | Place::Foreign => Topic::Manifest,
    }
}

fn mesh_of(path: &str) -> Option<String> {
    Place::of(path).mesh().map(str::to_owned)
}
