//! The guard on deletions: what a slip in the repository would take away stays until a person says that it is meant.
//!
//! Deletions that are newly wanted are counted against what the agent looks after, peerings apart from other objects and these also kind by
//! kind, so that many small ones do not hide the few that matter. Within the limits they are admitted, and what was admitted goes on until
//! it is done, through restarts too (the set is kept beside the inventory). Beyond the limits, or where `main` is no longer what it was,
//! all of them wait; what is added or changed goes on.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::is_ours;
use super::memory::{Applied, Deletions, Memory, Origin};
use super::observe::peer_of;
use super::{World, remove, views};
use crate::derive::{Derived, Hold, Observed};
use crate::model::{Guards, MeshFolder};
use crate::object::Key;
use crate::words::{count, some};

/// Trailer of a commit on `main` that allows deletions beyond the limits, with the names of the meshes it is for.
pub const TRAILER: &str = "Meshfed-Allow-Delete";

/// Peerings that one change may always delete: else a mesh with a single peer could never lose it.
const FREE_PEERINGS: usize = 1;

/// Objects that it may always delete: an application with its Services, routes and settings is about as many.
const FREE_OBJECTS: usize = 10;

/// Names given for each thing that is counted.
const NAMED: usize = 3;

/// What is new on `main` since the commit that this agent applied last in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Along first parents from the tip, newest first, without those that were in its history then.
    pub commits: Vec<Step>,
    /// The commit that they follow; `None` where `main` does not descend from what was applied, or nothing was.
    pub since: Option<String>,
}

/// A commit of that line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its id.
    pub commit: String,
    /// A trailer of it allows deletions in this mesh.
    pub allows: bool,
}

/// What is decided about deletions.
#[derive(Debug, Default)]
pub(super) struct Ruling {
    /// Those that may go on.
    pub admitted: BTreeSet<Key>,
    /// Those that wait.
    pub waiting: BTreeSet<Key>,
    /// Peers whose peering would go.
    pub kept: BTreeSet<String>,
    /// Why they wait.
    pub hold: Option<Hold>,
}

/// Whether a peer has withdrawn a peering that is still there, so that [`Ruling::kept`] may matter to what is derived.
pub(super) fn may_keep(world: &World, memory: &Memory, folder: &MeshFolder) -> bool {
    let withdrawn = |peer: &str| folder.peers.contains_key(peer) && world.federation.peer(peer, world.me).is_none();
    memory.inventory.keys().filter_map(peer_of).any(withdrawn)
}

/// Rules on everything in the inventory that nothing declares any more.
/// `whole` says that the whole mesh was taken out of the repository.
pub(super) fn rule(world: &World, memory: &Memory, whole: bool, observed: &Observed, derived: &Derived) -> Ruling {
    let derived_holds: BTreeSet<&Key> = derived.holds.iter().filter_map(|hold| hold.key.as_ref()).collect();
    let orphan = |key: &Key| !derived.wanted.contains_key(key) && !derived_holds.contains(key);
    let known = memory.deletions.admitted.iter().filter(|key| memory.inventory.contains_key(*key) && orphan(key));
    let mut admitted: BTreeSet<Key> = known.cloned().collect();
    // A peering that has begun to leave goes on: what comes last of it may have been wanted until now.
    let begun: BTreeSet<String> = admitted.iter().filter_map(peer_of).map(str::to_owned).collect();
    if !begun.is_empty() {
        let rest = memory.inventory.keys().filter(|key| orphan(key) && peer_of(key).is_some_and(|peer| begun.contains(peer)));
        admitted.extend(rest.cloned());
    }
    let barrier = remove::barrier(world);
    // What gives way to another gateway comes back at once.
    let renewed =
        |key: &Key| peer_of(key).and_then(|peer| observed.replaced.get(peer)).is_some_and(|replaced| replaced.taking_down);
    let asks = |key: &Key| orphan(key) && (barrier.is_some() || !(admitted.contains(key) || renewed(key)));
    let waiting = memory.inventory.keys().filter(|key| asks(key) && goes(world, key));
    let waiting: BTreeSet<Key> = waiting.cloned().collect();
    if waiting.is_empty() {
        return Ruling { admitted, ..Ruling::default() };
    }
    let joined = &memory.deletions.joined;
    let established = memory.inventory.keys().filter(|key| (!orphan(key) || waiting.contains(*key)) && !joined.contains(*key));
    let count = Count::of(established, &waiting);
    let objection = match barrier {
        Some(reason) => Some(Objection { reason, way_out: "Mend it, or bring it back".into() }),
        None => doubt(world, memory).or_else(|| objection(world, Applied::before(world, memory), whole, &count)),
    };
    let Some(Objection { reason, way_out }) = objection else {
        return Ruling { admitted: admitted.into_iter().chain(waiting).collect(), ..Ruling::default() };
    };
    let reason = format!(
        "held, because {reason}. This would delete {}; all of it stays and works on, and the rest of main is applied. {way_out}",
        count.words()
    );
    let said = Hold { stuck: true, ..Hold::part("deletions", reason) };
    Ruling { admitted, waiting, kept: count.peers, hold: Some(said) }
}

/// What the next pass has to know, given the inventory as it will be.
pub(super) fn remember(memory: &Memory, ruling: &Ruling, inventory: &BTreeMap<Key, Origin>) -> Deletions {
    let admitted = ruling.admitted.clone();
    if ruling.hold.is_none() {
        return Deletions { admitted, ..Deletions::default() };
    }
    let before = &memory.deletions.joined;
    let joined = inventory.keys().filter(|key| before.contains(*key) || !memory.inventory.contains_key(*key));
    Deletions { admitted, joined: joined.cloned().collect() }
}

/// Whether its removal would take something away now. What is gone already, or stays for a reason of its own, is not counted.
fn goes(world: &World, key: &Key) -> bool {
    match world.live.get(key) {
        None => world.unseen.blind(key).is_some(),
        Some(live) => !live.deleting && is_ours(live) && remove::broken_source(world, live).is_none(),
    }
}

/// What would go, against what there is.
struct Count {
    peers: BTreeSet<String>,
    all_peers: usize,
    /// By kind: what goes, and how many there are.
    objects: BTreeMap<String, (Vec<String>, usize)>,
}

impl Count {
    fn of<'a>(established: impl Iterator<Item = &'a Key> + Clone, waiting: &BTreeSet<Key>) -> Self {
        let all: BTreeSet<&str> = established.clone().filter_map(peer_of).collect();
        // Its service sets may stay for a while longer: a peering goes with the peer.
        let goes = waiting.iter().filter(|key| matches!(&*key.kind, "ServiceMeshPeer" | "ConfigMap"));
        let peers: BTreeSet<String> = goes.filter_map(peer_of).map(str::to_owned).collect();
        let mut objects: BTreeMap<String, (Vec<String>, usize)> = BTreeMap::new();
        for key in established.filter(|key| peer_of(key).is_none_or(|peer| !peers.contains(peer))) {
            let (gone, of) = objects.entry(key.kind.to_string()).or_default();
            *of += 1;
            gone.extend(waiting.contains(key).then(|| key.to_string()));
        }
        Self { peers, all_peers: all.len(), objects }
    }

    fn objects(&self) -> (usize, usize) {
        self.objects.values().fold((0, 0), |(gone, all), (names, of)| (gone + names.len(), all + of))
    }

    /// The first limit that is exceeded, in words.
    fn excess(&self, guards: Guards) -> Option<String> {
        let Guards { peerings, objects } = guards;
        let excess = |what: &str, (gone, of): (usize, usize), (name, share): (&str, u8), free: usize| {
            let most = (of * usize::from(share) / 100).max(free);
            let all = count(of, what);
            (gone > most).then(|| {
                format!("one change may delete at most {most} of {all} (`spec.guards.{name}: {share}%` in federation.yaml)")
            })
        };
        let mut kinds = self.objects.iter().map(|(kind, (names, of))| (kind, (names.len(), *of)));
        excess("peering", (self.peers.len(), self.all_peers), ("peerings", peerings), FREE_PEERINGS)
            .or_else(|| excess("object", self.objects(), ("objects", objects), FREE_OBJECTS))
            .or_else(|| kinds.find_map(|(kind, count)| excess(kind, count, ("objects", objects), FREE_OBJECTS)))
    }

    /// `2 of 2 peerings (a, b) and 12 of 40 objects (…)`.
    fn words(&self) -> String {
        let names = |names: &[&str], of, what| {
            (!names.is_empty()).then(|| format!("{} of {} ({})", names.len(), count(of, what), some(names, NAMED)))
        };
        let peers: Vec<&str> = self.peers.iter().map(String::as_str).collect();
        let objects: Vec<&str> = self.objects.values().flat_map(|(names, _)| names.iter().map(String::as_str)).collect();
        let parts = [names(&peers, self.all_peers, "peering"), names(&objects, self.objects().1, "object")];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }
}

/// Of what one change of the repository takes out of `all`: why it is more than may go at once, and the peers whose peering would go.
/// `None` where it may.
pub fn excess(all: &BTreeSet<Key>, gone: &BTreeSet<Key>, guards: Guards) -> Option<(String, BTreeSet<String>)> {
    let count = Count::of(all.iter(), gone);
    let reason = count.excess(guards)?;
    Some((format!("{reason}, and this would delete {}", count.words()), count.peers))
}

/// Why deletions must not go, and what to do about it.
struct Objection {
    reason: String,
    way_out: String,
}

/// What is old may be given anew: not even the trailers in it count.
fn doubt(world: &World, memory: &Memory) -> Option<Objection> {
    let way_out = "A heartbeat of any peer, or any new commit to main, ends this".into();
    views::unsure(world, memory).map(|reason| Objection { reason, way_out })
}

fn objection(world: &World, applied: Option<Applied>, whole: bool, count: &Count) -> Option<Objection> {
    let Applied { commit: before, federation } = applied.unwrap_or_default();
    let Line { commits, since } = world.line;
    let position = commits.iter().position(|step| step.commit == before);
    let descends = before.is_empty() || before == world.commit || position.is_some() || since.as_ref() == Some(&before);
    let news = match position {
        Some(position) => &commits[..position],
        // Of the commits before the first that was applied only the tip can be meant.
        None if before.is_empty() => &commits[..commits.len().min(1)],
        None => commits,
    };
    if news.iter().any(|step| step.allows) {
        return None;
    }
    let commit = format!("commit to main with the trailer `{TRAILER}: {}`", world.me);
    if !descends {
        let (now, before) = (short(world.commit), short(&before));
        let reason = format!(
            "main is at {now}, which does not follow {before}, the commit that was applied last: it was reset or replaced"
        );
        return Some(Objection { reason, way_out: format!("If main is right as it is, {commit}; if not, put it back") });
    }
    if let Some(name) = world.federation.name.as_ref().filter(|name| !federation.is_empty() && **name != federation) {
        let reason = format!("federation.yaml is that of `{name}`, and what was applied last is of `{federation}`");
        return Some(Objection {
            reason,
            way_out: format!("If the federation was renamed, {commit}; if not, put the right repository back"),
        });
    }
    let gone = || format!("meshes/{}/ is gone, and with it the whole mesh", world.me);
    let reason = whole.then(gone).or_else(|| count.excess(world.federation.guards))?;
    Some(Objection { reason, way_out: format!("If that is meant, {commit}; if not, bring the files back with `git revert`") })
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
