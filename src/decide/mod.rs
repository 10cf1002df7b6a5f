//! The one decision: declarations, facts, live objects and memory in; what to apply, delete, publish and hold out.
//!
//! Pure: no clock, network, disk or randomness. The agent, `plan` and the tests call the same function.

mod addresses;
pub mod compare;
mod conditions;
mod events;
mod health;
mod heartbeat;
mod memory;
mod observe;
mod own_facts;
mod publish;
mod remove;
mod replace;
mod report;
mod rotation;
mod unseen;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::derive::{Derived, Hold, Inputs, Need, Observed, derive};
use crate::facts::Facts;
use crate::model::{Diagnostic, Federation, MeshFolder, Place};
use crate::object::{APPLIED_ANNOTATION, Key, Kind, Live, Object, SOURCE_ANNOTATION};

pub use addresses::Settling;
use compare::is_ours;
pub use conditions::{Condition, ConditionKind};
pub use events::Event;
pub use health::{HealthMemory, Lapse, Lapses};
pub use memory::{Comparisons, Failure, Memory, Origin, Pending, REMOVAL};
pub use observe::{LiveObjects, observe};
use own_facts::OwnFacts;
pub use publish::{Publication, SETTLE, STATUS_PATH, read_status};
pub use report::{
    AgentStatus, ExportStatus, ImportStatus, MainStatus, MatchStatus, PeeringStatus, RootStatus, ShareStatus, Status,
    TrafficStatus,
};
pub use rotation::{Phase, RotationStatus};
pub use unseen::{Gap, Unseen};

/// Everything that a decision is made from.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Declarations.
    pub federation: &'a Federation,
    /// What is wrong with them.
    pub problems: &'a [Diagnostic],
    /// The mesh that the agent looks after.
    pub me: &'a str,
    /// Facts of its peers.
    pub facts: &'a BTreeMap<String, Facts>,
    /// What its peers' agents last said of their meshes; none of a peer that has said nothing, or nothing readable.
    pub statuses: &'a BTreeMap<String, Status>,
    /// Live objects of every kind that matters.
    pub live: &'a LiveObjects,
    /// What is not known of them.
    pub unseen: &'a Unseen,
    /// UID of the cluster's `kube-system` Namespace.
    pub cluster_uid: &'a str,
    /// Commit of `main` that the declarations are from.
    pub commit: &'a str,
    /// How that commit was verified, for people.
    pub verified: &'a str,
    /// Facts that our own branch has now.
    pub own_facts: &'a Facts,
    /// Status that our own branch has now; empty before the first.
    pub own_status: &'a Status,
    /// Files that our own branch has now.
    pub published: &'a BTreeMap<String, String>,
    /// Now.
    pub now: Timestamp,
}

/// An object to send.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The object.
    pub object: Arc<Object>,
    /// Take fields back that somebody edited.
    pub force: bool,
}

/// What one pass does.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// To apply, in any order.
    pub apply: Vec<Apply>,
    /// To delete, exactly as seen.
    pub delete: Vec<Arc<Live>>,
    /// To give back: our fields go, the object stays.
    pub release: Vec<(Key, Kind)>,
    /// The inventory as it must be written before anything above is done; the very one in memory where nothing changes.
    pub inventory: Arc<BTreeMap<Key, Origin>>,
    /// What is to be remembered of destinations, written like the inventory.
    pub health: HealthMemory,
    /// To publish now.
    pub publish: Option<Publication>,
    /// What waits to be published.
    pub pending: Option<Pending>,
    /// By peer: load balancers that have changed lately.
    pub addresses: BTreeMap<String, Settling>,
    /// What waits, and for what.
    pub holds: Vec<Hold>,
    /// What is so and what is not.
    pub conditions: Vec<Condition>,
    /// What has just happened to objects of the cluster: on transitions only.
    pub events: Vec<Event>,
    /// The mesh as its published status tells it.
    pub status: Status,
    /// Decide again then, even if nothing has happened.
    pub wake_at: Option<Timestamp>,
}

impl Decision {
    /// Whether the pass changes nothing in the cluster.
    pub fn leaves_cluster(&self) -> bool {
        self.apply.is_empty() && self.delete.is_empty() && self.release.is_empty()
    }

    /// Whether it says of the mesh what another one says.
    pub fn tells_as(&self, other: &Self) -> bool {
        self.status == other.status && self.holds == other.holds && self.pending == other.pending
    }

    /// The inventory, to be changed: only this copies it.
    fn inventory_mut(&mut self) -> &mut BTreeMap<Key, Origin> {
        Arc::make_mut(&mut self.inventory)
    }

    fn hold(&mut self, hold: Hold) {
        self.holds.push(hold);
    }

    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }
}

/// Decides one pass.
pub fn decide(world: &World, memory: &Memory, comparisons: &mut Comparisons) -> Decision {
    let mut decision = Decision { inventory: memory.inventory.clone(), ..Decision::default() };
    let empty = MeshFolder::default();
    let folder = world.federation.meshes.get(world.me).unwrap_or(&empty);
    let mut observed = observe(folder, world.live, &memory.inventory);
    replace::observe(world, folder, &memory.inventory, &mut observed);
    let stopped = stop(world, folder);
    if let Some(reason) = stopped.clone() {
        decision.health = memory.health.clone();
        decision.hold(Hold { stuck: true, ..Hold::part(world.me, reason) });
    } else {
        health::assess(world, folder, &memory.health, &mut observed, &mut decision);
        let derived = derive(Inputs { federation: world.federation, me: world.me, facts: world.facts, observed: &observed });
        change(world, memory, &derived, comparisons, &mut decision);
        comparisons.retain(&derived.wanted);
    }
    finish(world, memory, folder, &observed, stopped.is_none(), &mut decision);
    decision
}

/// Why nothing at all may change.
fn stop(world: &World, folder: &MeshFolder) -> Option<String> {
    let Some(mesh) = &folder.mesh else {
        return Some(format!("meshes/{}/mesh.yaml is missing or has an error; everything stays as it is", world.me));
    };
    if mesh.suspend {
        return Some(format!("{} says `suspend: true`; everything stays as it is", mesh.path));
    }
    let pinned = mesh.cluster_uid.as_deref()?;
    (pinned != world.cluster_uid).then(|| {
        format!(
            "this cluster is {}, but {} pins clusterUID {pinned}; nothing is applied or published",
            world.cluster_uid, mesh.path
        )
    })
}

fn change(world: &World, memory: &Memory, derived: &Derived, comparisons: &mut Comparisons, decision: &mut Decision) {
    decision.holds.extend(derived.holds.iter().cloned());
    for (key, wanted) in &derived.wanted {
        let object = &wanted.object;
        if let Some(live) = world.live.get(key)
            && comparisons.get(object, live).changes.is_empty()
            && !live.deleting
        {
            if !decision.inventory.contains_key(key) {
                decision.inventory_mut().insert(key.clone(), Origin::Adopted(object.kind.clone()));
            }
            continue;
        }
        match obstacle(world, memory, derived, key, comparisons, decision) {
            Some(hold) => decision.hold(hold),
            None => admit(world, object, comparisons, decision),
        }
    }
    let held: BTreeSet<Key> = decision.holds.iter().filter_map(|hold| hold.key.clone()).collect();
    let orphans = memory.inventory.iter().filter(|(key, _)| !derived.wanted.contains_key(*key) && !held.contains(*key));
    let barrier = remove::barrier(world);
    let unsettled = workloads::unsettled_routes(world, derived, &held, decision);
    for (key, origin) in orphans {
        if let Some(reason) = workloads::routed(&unsettled, key).filter(|_| world.live.contains_key(key)) {
            decision.hold(Hold::waiting(key, reason));
            continue;
        }
        match &barrier {
            Some(reason) if world.live.contains_key(key) => {
                decision.hold(Hold::stuck(key, format!("would be removed, but {reason}")));
            }
            _ => remove::orphan(world, memory, key, origin, comparisons, decision),
        }
    }
}

/// What stands between us and applying an object.
fn obstacle(
    world: &World,
    memory: &Memory,
    derived: &Derived,
    key: &Key,
    comparisons: &mut Comparisons,
    decision: &mut Decision,
) -> Option<Hold> {
    let wanted = &derived.wanted[key];
    if let Some(gap) = world.unseen.blind(key) {
        return Some(Hold::stuck(key, gap.reason.clone()));
    }
    if world.live.get(key).is_some_and(|live| live.deleting) {
        return Some(Hold::waiting(key, "is being deleted"));
    }
    for need in &wanted.needs {
        let (needed, met) = match need {
            Need::Exists(needed) => (needed, world.live.get(needed).is_some_and(|live| !live.deleting)),
            Need::Applied(needed) => {
                let clean = world.live.get(needed).zip(derived.wanted.get(needed));
                (needed, clean.is_some_and(|(live, wanted)| comparisons.get(&wanted.object, live).changes.is_empty()))
            }
        };
        if !met {
            let reason = match need {
                Need::Exists(needed) if needed == key => {
                    "does not exist yet; without `controlPlane.base` somebody else makes it".to_owned()
                }
                Need::Exists(_) => format!("waits for {needed}, which does not exist yet"),
                Need::Applied(_) => format!("waits for {needed}"),
            };
            return Some(Hold::waiting(key, reason));
        }
    }
    refused(world, memory, key, &wanted.object.digest, decision)
}

/// Holds what was tried lately and failed, until it may be tried again.
fn refused(world: &World, memory: &Memory, key: &Key, digest: &str, decision: &mut Decision) -> Option<Hold> {
    let failure = memory.failures.get(key).filter(|failure| *failure.digest == *digest && failure.retry_at > world.now)?;
    decision.wake(failure.retry_at);
    Some(Hold { stuck: failure.stuck, ..Hold::waiting(key, failure.message.clone()) })
}

/// Applies, unless somebody else claims a field.
fn admit(world: &World, object: &Arc<Object>, comparisons: &mut Comparisons, decision: &mut Decision) {
    let Some(live) = world.live.get(&object.key) else {
        decision.inventory_mut().insert(object.key.clone(), Origin::Created(object.kind.clone()));
        return decision.apply.push(Apply { object: object.clone(), force: false });
    };
    let comparison = comparisons.get(object, live);
    let foreign = |(manager, path): (&str, &str)| {
        let source = annotation(&object.value(), SOURCE_ANNOTATION).unwrap_or_default();
        // The other documents have no place for an annotation.
        let win = if matches!(Place::of(&source), Place::Manifests { .. }) {
            format!(", or let meshfed win with the annotation {FORCE_ANNOTATION}: \"true\"")
        } else {
            format!(", or in {source}")
        };
        let reason = format!("`{manager}` owns {path} and wants it otherwise; settle it there{win}");
        Hold::stuck(&object.key, reason)
    };
    let forced = annotation(&object.value(), FORCE_ANNOTATION).is_some_and(|value| value == "true");
    let edited = comparison.writers().next();
    if !is_ours(live)
        && let Some(origin) = decision.inventory_mut().get_mut(&object.key)
    {
        // Somebody made it, or made it anew, since we last looked: it is theirs, whatever the inventory says.
        *origin = Origin::Adopted(object.kind.clone());
    }
    // A field that we had applied and somebody edited is drift; one that was never ours has an owner.
    let had = matches!(decision.inventory.get(&object.key), Some(Origin::Created(_)))
        || annotation(&live.value(), APPLIED_ANNOTATION).is_some_and(|digest| *digest == *object.digest);
    if !forced && let Some(owner) = comparison.appliers().next().or(edited.filter(|_| !had)) {
        return decision.hold(foreign(owner));
    }
    decision.inventory_mut().entry(object.key.clone()).or_insert_with(|| Origin::Adopted(object.kind.clone()));
    decision.apply.push(Apply { object: object.clone(), force: forced || edited.is_some() });
}

/// Annotation on a document in `manifests/`: fields that others own are overwritten.
pub const FORCE_ANNOTATION: &str = "meshfed.dev/force";

fn annotation(value: &serde_json::Value, name: &str) -> Option<String> {
    value.pointer("/metadata/annotations")?.get(name)?.as_str().map(str::to_owned)
}

/// Facts, status and what to publish of them.
fn finish(world: &World, memory: &Memory, folder: &MeshFolder, observed: &Observed, acts: bool, decision: &mut Decision) {
    let mesh = folder.mesh.as_ref();
    let own = match mesh {
        Some(mesh) => own_facts::gather(world, memory, folder, mesh, observed),
        None => OwnFacts {
            facts: world.own_facts.clone(),
            rotation: world.own_status.rotation.clone(),
            addresses: memory.addresses.clone(),
            ..OwnFacts::default()
        },
    };
    let OwnFacts { facts, rotation, addresses, holds, wake_at } = own;
    decision.holds.extend(holds);
    decision.addresses = addresses;
    decision.holds.sort();
    decision.holds.dedup();
    let applied = if acts && decision.leaves_cluster() { Some(world.commit.to_owned()) } else { memory.applied.clone() };
    decision.status = report::status(world, folder, observed, decision, applied, (&facts, rotation));
    decision.conditions = conditions::conditions(world.me, mesh.is_some(), decision.leaves_cluster(), &decision.status);
    let before = memory.told.as_ref().unwrap_or(world.own_status);
    decision.events.extend(events::between(world, before, &decision.status));
    let unknown = mesh.is_none() && world.published.is_empty(); // perhaps a slip in the agent's own configuration
    let other_cluster = mesh.and_then(|mesh| mesh.cluster_uid.as_deref()).is_some_and(|pinned| pinned != world.cluster_uid);
    if !other_cluster && !unknown {
        publish::decide(world, memory, &facts, decision);
        decision.wake(heartbeat::next(world.me, world.now));
        wake_at.into_iter().for_each(|at| decision.wake(at));
    }
}

#[cfg(test)]
mod tests;
