//! Rotation of the mesh's own CA, without a moment in which a peer does not trust a certificate that is in use.
//!
//! ```text
//! steady → announced → ready → overlap → steady      planned: people declare the next root first
//! steady → exposed → overlap → steady                the control plane switched before every peer knew
//! ```
//!
//! The control plane shows only the roots that it uses. So people may declare the next one; it is published beside the old. A
//! peer's agent reports the roots that its own control plane was given. A root that is used no more leaves when every peer has
//! reported those in use and the certificates from the old one have run out, never before.

mod reported;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::{Memory, World};
use crate::derive::{Hold, kinds};
use crate::facts::{Root, roots};
use crate::model::Mesh;
use reported::{PeerTrust, peers};
use status::subject;

pub(super) use reported::{Trusted, trusted};
pub use status::{Phase, RotationStatus};

/// What a mesh publishes of its CA, and how that came about.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    /// All roots that peers are to trust, the longest-lived first.
    pub roots: Vec<Root>,
    /// Fingerprints of those that are used no more, and since when.
    pub retiring: BTreeMap<String, Timestamp>,
    /// Fingerprints of those that are not used yet.
    pub announced: BTreeSet<String>,
    pub status: RotationStatus,
    pub holds: Vec<Hold>,
    /// When time alone changes something.
    pub wake_at: Option<Timestamp>,
}

/// The roots that a mesh publishes now, given those that it published before.
pub(super) fn rotate(world: &World, mesh: &Mesh, memory: &Memory) -> Rotation {
    let before = world.own_facts;
    let mut rotation = Rotation::default();
    let used = used(world, mesh, &mut rotation.holds);
    if used.is_empty() {
        let (roots, retiring, announced) = (before.roots.clone(), before.retiring.clone(), before.announced.clone());
        return Rotation { roots, retiring, announced, ..rotation };
    }
    let peers = peers(world);
    rotation.roots.clone_from(&used);
    rotation.retire(world, mesh, memory, peers.iter().all(|peer| peer.knows_all(&used)));
    rotation.announce(world, mesh, &used);
    rotation.tell(mesh, &used, &peers);
    roots::sort(&mut rotation.roots);
    rotation
}

/// The roots in the ConfigMap that istiod keeps; where it cannot be read, those that were in use when we published last.
fn used(world: &World, mesh: &Mesh, holds: &mut Vec<Hold>) -> Vec<Root> {
    let key = kinds::key(kinds::CONFIG_MAP, &mesh.namespace, kinds::OWN_ROOTS_NAME);
    let why = match world.live.get(&key).map(|live| live.value()) {
        None => "is not there yet: the control plane makes it when it runs".to_owned(),
        Some(map) => match roots::parse(bundle_of(&map), world.now) {
            Ok(roots) => return roots,
            Err(message) => format!("{message}; what was published stays"),
        },
    };
    holds.push(Hold::part(key.to_string(), why));
    let before = world.own_facts;
    let used = |root: &&Root| !before.retiring.contains_key(&root.fingerprint) && !before.announced.contains(&root.fingerprint);
    before.roots.iter().filter(used).cloned().collect()
}

fn bundle_of(map: &Value) -> &str {
    map.get("data").and_then(|data| data.get(kinds::ROOTS_KEY)).and_then(Value::as_str).unwrap_or_default()
}

impl Rotation {
    /// Adds a root if there is room; says so where there is none.
    fn add(&mut self, root: &Root) -> bool {
        let fits = self.roots.len() < roots::MAX_ROOTS;
        if fits {
            self.roots.push(root.clone());
        } else {
            let reason = format!("is not published: {} others are already", roots::MAX_ROOTS);
            self.holds.push(Hold { stuck: true, ..Hold::part(subject(&root.fingerprint), reason) });
        }
        fits
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }

    fn has(&self, root: &Root) -> bool {
        self.roots.iter().any(|other| other.fingerprint == root.fingerprint)
    }

    /// Keeps roots that were in use and are no more, the one that went last first.
    fn retire(&mut self, world: &World, mesh: &Mesh, memory: &Memory, known: bool) {
        let before = world.own_facts;
        let waiting = memory.pending.as_ref().map(|pending| &pending.retiring);
        let since = |root: &Root| {
            let seen = before.retiring.get(&root.fingerprint).or_else(|| waiting?.get(&root.fingerprint));
            seen.copied().unwrap_or_else(|| whole_second(world.now))
        };
        let gone = |root: &&Root| !self.has(root) && !before.announced.contains(&root.fingerprint) && root.not_after >= world.now;
        let mut old: Vec<(Timestamp, &Root)> = before.roots.iter().filter(gone).map(|root| (since(root), root)).collect();
        old.sort_by(|(a, _), (b, _)| b.cmp(a));
        for (since, root) in old {
            let until = after(since, mesh);
            if known && until <= world.now {
                continue;
            }
            if self.add(root) {
                self.retiring.insert(root.fingerprint.clone(), since);
            }
            if until > world.now {
                self.wake(until);
            }
        }
    }

    /// Adds what people declare beside what the control plane shows.
    fn announce(&mut self, world: &World, mesh: &Mesh, used: &[Root]) {
        for root in &mesh.ca.roots {
            let fingerprint = &root.fingerprint;
            let say = |reason: String, stuck| Hold { stuck, ..Hold::part(subject(fingerprint), reason) };
            if used.iter().any(|other| other.fingerprint == *fingerprint) {
                let reason = format!("is what the control plane uses now; it can be removed from `ca.roots` in {}", mesh.path);
                self.holds.push(say(reason, false));
            } else if root.not_after < world.now {
                let reason = format!("expired at {}; remove it from `ca.roots` in {}", root.not_after, mesh.path);
                self.holds.push(say(reason, true));
            } else if roots::too_early(root, world.now) {
                self.holds.push(say(format!("is published when it becomes valid, at {}", root.not_before), false));
                self.wake(root.not_before);
            } else if !self.has(root) && self.add(root) && root.self_issued {
                self.announced.insert(fingerprint.clone());
            }
        }
    }

    /// Says how far it is, and who is missing.
    fn tell(&mut self, mesh: &Mesh, used: &[Root], peers: &[PeerTrust]) {
        let new: Vec<Root> = self.roots.iter().filter(|root| self.announced.contains(&root.fingerprint)).cloned().collect();
        // One that the control plane itself shows beside another, before it uses it.
        let beside =
            used.iter().filter(|root| peers.iter().any(|peer| used.iter().any(|one| peer.knows(one)) && !peer.knows(root)));
        let beside: Vec<&Root> = if self.retiring.is_empty() { beside.collect() } else { Vec::new() };
        let switched = self.retiring.iter().max_by_key(|(_, since)| **since).map(|(root, since)| (root.clone(), *since));
        let (from, to, wanted): (String, String, Vec<&Root>) = match (&switched, new.first().or(beside.first().copied())) {
            (Some((old, _)), _) => (old.clone(), used[0].fingerprint.clone(), used.iter().collect()),
            (None, Some(next)) => {
                let from = used.iter().find(|root| root.fingerprint != next.fingerprint).unwrap_or(next);
                (from.fingerprint.clone(), next.fingerprint.clone(), new.iter().chain(beside.iter().copied()).collect())
            }
            (None, None) => return,
        };
        let names = |peers: Vec<&PeerTrust>| -> Vec<String> { peers.iter().map(|peer| peer.name.to_owned()).collect() };
        let (reported, missing): (Vec<&PeerTrust>, Vec<&PeerTrust>) =
            peers.iter().partition(|peer| wanted.iter().all(|root| peer.knows(root)));
        let refuses = |peer: &&PeerTrust| switched.is_some() && used.iter().any(|root| peer.refuses(root, &self.roots));
        let exposed = names(peers.iter().filter(refuses).collect());
        let phase = match (&switched, missing.is_empty()) {
            (Some(_), _) if !exposed.is_empty() => Phase::Exposed,
            (Some(_), _) => Phase::Overlap,
            (None, true) => Phase::Ready,
            (None, false) => Phase::Announced,
        };
        let since = switched.map(|(_, since)| since);
        let until = since.map(|since| after(since, mesh));
        let (reported, missing) = (names(reported), names(missing));
        self.status = RotationStatus { phase, from, to, reported, missing, exposed, since, until };
        self.holds.extend(self.status.hold());
    }
}

fn after(since: Timestamp, mesh: &Mesh) -> Timestamp {
    since.saturating_add(mesh.ca.overlap).unwrap_or(Timestamp::MAX)
}

/// A time that people can read; never earlier than now, so that a root never leaves too early.
fn whole_second(now: Timestamp) -> Timestamp {
    let up = i64::from(now.subsec_nanosecond() > 0);
    Timestamp::from_second(now.as_second() + up).unwrap_or(now)
}
