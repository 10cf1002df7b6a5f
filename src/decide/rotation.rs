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

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Memory, World};
use crate::derive::{Hold, ROOTS_ANNOTATION, kinds, roots_digest};
use crate::facts::{Root, roots};
use crate::model::{Mesh, root};

/// How far a rotation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// One set of roots, and nothing about to change.
    #[default]
    Steady,
    /// A new root is published beside the old one; not every peer trusts it yet.
    Announced,
    /// Every peer trusts the new root: people may switch.
    Ready,
    /// The control plane uses the new root; the old one stays while certificates from it live.
    Overlap,
    /// The control plane uses a root that some peers do not trust yet: connections with them fail.
    Exposed,
}

impl Phase {
    /// As the status writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Announced => "announced",
            Self::Ready => "ready",
            Self::Overlap => "overlap",
            Self::Exposed => "exposed",
        }
    }
}

/// A rotation as the mesh's status tells it. Roots are SHA-256 fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RotationStatus {
    /// How far it is.
    pub phase: Phase,
    /// The root that is, or was, in use; empty while steady.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The root that takes its place; empty while steady.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Peers that trust the new root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<String>,
    /// Peers that have not said so yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Those among them that are known to trust only roots that are not in use: they cannot connect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// When the control plane was first seen to use the new root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when the old root stays at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

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

/// A mesh that shares a peering, and the roots of ours that its agent says its control plane trusts.
struct PeerTrust<'a> {
    name: &'a str,
    reported: &'a [String],
}

impl PeerTrust<'_> {
    fn knows(&self, root: &Root) -> bool {
        self.reported.contains(&root.fingerprint)
    }

    fn knows_all(&self, roots: &[Root]) -> bool {
        roots.iter().all(|root| self.knows(root))
    }

    /// Whether it trusts some root of ours but cannot verify what this one signs. A root that was renewed with the same key is
    /// verified by its predecessor too.
    fn refuses(&self, root: &Root, known: &[Root]) -> bool {
        !self.reported.is_empty() && !known.iter().any(|other| other.key == root.key && self.knows(other))
    }
}

/// Every mesh that shares a peering with us. A half that cannot be read counts as there: it is not taken down either.
fn peers<'a>(world: &World<'a>) -> Vec<PeerTrust<'a>> {
    let folder = format!("meshes/{}/peers/", world.me);
    let broken = world.federation.broken.iter().filter_map(|path| path.strip_prefix(&folder)?.strip_suffix(".yaml"));
    let declared = world.federation.meshes.get(world.me).into_iter().flat_map(|folder| folder.peers.keys().map(String::as_str));
    let names: BTreeSet<&str> = declared.chain(broken).collect();
    let shares = |name: &&str| {
        let half = format!("meshes/{name}/peers/{}.yaml", world.me);
        world.federation.peer(name, world.me).is_some() || world.federation.is_broken(&half)
    };
    let trust = |name: &'a str| {
        let peering = world.statuses.get(name).and_then(|status| status.peerings.get(world.me));
        PeerTrust { name, reported: peering.map(|peering| peering.trusted_roots.as_slice()).unwrap_or_default() }
    };
    names.into_iter().filter(shares).map(trust).collect()
}

/// The roots of a peer that our control plane was given: those in its ConfigMap, once its ServiceMeshPeer was changed with them, for
/// that makes the control plane read it again.
pub(super) fn trusted(world: &World, peer: &str) -> Vec<String> {
    let Some(mesh) = world.federation.mesh(world.me) else {
        return world.own_status.peerings.get(peer).map(|peering| peering.trusted_roots.clone()).unwrap_or_default();
    };
    let live = |of, name: &str| world.live.get(&kinds::key(of, &mesh.namespace, name)).filter(|live| !live.deleting);
    let (Some(map), Some(object)) = (live(kinds::CONFIG_MAP, &kinds::roots_name(peer)), live(kinds::PEER, peer)) else {
        return Vec::new();
    };
    let (map, object) = (map.value(), object.value());
    let bundle = bundle_of(&map);
    let seen = object.pointer("/metadata/annotations").and_then(|map| map.get(ROOTS_ANNOTATION)).and_then(Value::as_str);
    if seen != Some(roots_digest(bundle).as_str()) {
        return Vec::new();
    }
    let fingerprints = |roots: &[Root]| roots.iter().map(|root| root.fingerprint.clone()).collect();
    match world.facts.get(peer).filter(|facts| roots::bundle(&facts.roots) == bundle) {
        Some(facts) => fingerprints(&facts.roots), // nothing is parsed again
        None => root::read(bundle).map(|roots| fingerprints(&roots)).unwrap_or_default(),
    }
}

impl Rotation {
    /// Adds a root if there is room; says so where there is none.
    fn add(&mut self, root: &Root) -> bool {
        let room = self.roots.len() < roots::MAX_ROOTS;
        if room {
            self.roots.push(root.clone());
        } else {
            let reason = format!("is not published: {} others are already", roots::MAX_ROOTS);
            self.holds.push(Hold { stuck: true, ..Hold::part(subject(&root.fingerprint), reason) });
        }
        room
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

impl RotationStatus {
    /// What of it people must know now.
    fn hold(&self) -> Option<Hold> {
        let Self { phase, from, to, reported: _, missing, exposed, since, until: _ } = self;
        let since = since.unwrap_or_default();
        let (root, reason) = match phase {
            Phase::Announced => (to, format!("is announced; not yet trusted by {}: do not switch to it", missing.join(", "))),
            Phase::Exposed => {
                (to, format!("is in use since {since} but not yet trusted by {}: connections with them fail", exposed.join(", ")))
            }
            Phase::Overlap if !missing.is_empty() => {
                (from, format!("was replaced at {since}; it stays until {} trust {}", missing.join(", "), root::short(to)))
            }
            Phase::Steady | Phase::Ready | Phase::Overlap => return None,
        };
        Some(Hold::part(subject(root), reason))
    }
}

fn subject(fingerprint: &str) -> String {
    format!("CA root {}", root::short(fingerprint))
}

fn after(since: Timestamp, mesh: &Mesh) -> Timestamp {
    since.saturating_add(mesh.ca.overlap).unwrap_or(Timestamp::MAX)
}

/// A time that people can read; never earlier than now, so that a root never leaves too early.
fn whole_second(now: Timestamp) -> Timestamp {
    let up = i64::from(now.subsec_nanosecond() > 0);
    Timestamp::from_second(now.as_second() + up).unwrap_or(now)
}
