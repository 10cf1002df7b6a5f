//! The one decision: declarations, facts, live objects and memory in; what to apply, delete, publish and hold out.
//!
//! Pure: no clock, network, disk or randomness. The agent, `plan` and the tests call the same function.

mod addresses;
mod admission;
mod admit;
mod admitted;
mod claim;
pub mod compare;
mod conditions;
mod decision;
mod drain;
mod events;
mod fights;
mod freeze;
mod guard;
mod health;
mod heartbeat;
mod memory;
mod observe;
mod own_facts;
mod presence;
mod probes;
mod publish;
pub mod remove;
mod replace;
mod report;
mod rotation;
mod spelling;
mod stamp;
mod unseen;
mod views;
mod weights;
mod workloads;
mod world;
mod would;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::derive::{Derived, Hold, Inputs, Need, Observed, derive};
use crate::facts::Facts;
use crate::model::MeshFolder;
use crate::object::Key;

pub use addresses::Settling;
use admission::Namespaces;
pub use admission::{forbidden, survey};
pub use admit::FORCE_ANNOTATION;
use admit::{admit, claimed, found};
use claim::Standing;
pub use claim::patience;
pub use conditions::{Condition, ConditionKind};
pub use decision::{Apply, Decision};
pub use drain::WITHDRAWAL_GRACE;
use drain::drain;
pub use events::Event;
pub use fights::Fights;
pub use freeze::{Trust, VERIFIED};
use guard::Ruling;
pub use guard::{Line, Step, TRAILER, excess};
pub use health::{HealthMemory, Lapse, Lapses};
pub use memory::{Applied, Comparisons, Deletions, Failure, Memory, Origin, Pending, REMOVAL, Withdrawal, Withdrawals};
pub use observe::{LiveObjects, observe, peer_of};
use own_facts::OwnFacts;
pub use presence::{Presence, presence};
use presence::{mode, stop};
pub use publish::{Publication, SETTLE, STATUS_PATH, read_status};
use remove::Scene;
pub use report::{
    AgentStatus, ControlPlaneStatus, ExportStatus, ImportStatus, MainStatus, MatchStatus, Mode, PeeringStatus, RootStatus,
    ShareStatus, Status, TrafficStatus,
};
pub use rotation::{Phase, RotationStatus};
pub use stamp::marks;
pub use unseen::{Gap, Unseen};
pub use views::{FRESHNESS, ForkStatus, Position, ViewMemory, ViewStatus, Views};
pub use weights::moves;
pub use world::World;

/// The time after a wait; the end of time where there is none.
pub fn later(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// Decides one pass.
pub fn decide(world: &World, memory: &Memory, comparisons: &mut Comparisons) -> Decision {
    let mut decision = Decision { inventory: memory.inventory.clone(), ..Decision::default() };
    let empty = MeshFolder::default();
    let folder = world.federation.meshes.get(world.me).unwrap_or(&empty);
    let presence = presence(world.federation, world.me, world.own_status);
    let mut observed = Observed::default();
    if let Some(control_plane) = presence.control_plane() {
        observed = observe(control_plane, folder, world.live, &memory.inventory);
        replace::observe(world, folder, &memory.inventory, &mut observed);
        drain(world, memory, control_plane.0, &mut observed, &mut decision);
        probes::ask(world, folder, &mut observed, &mut decision);
    }
    let mut applied = None;
    decision.claimed = claim::since(world, memory);
    let standing = claim::standing(world, &presence, decision.claimed);
    if let Some(hold) = stop(world, &presence, &standing) {
        decision.hold(hold);
        decision.deletions.clone_from(&memory.deletions);
        decision.health = memory.health.clone();
    } else {
        let derive_from =
            |observed: &Observed| derive(Inputs { federation: world.federation, me: world.me, facts: world.facts, observed });
        if guard::may_keep(world, memory, folder) {
            observed.withheld = guard::rule(world, memory, false, &observed, &derive_from(&observed)).kept;
        }
        health::assess(world, folder, &memory.health, &mut observed, &mut decision);
        let derived = derive_from(&observed);
        let whole = presence.is_leaving();
        let ruling = guard::rule(world, memory, whole, &observed, &derived);
        let scene = Scene { live: world.live, inventory: &memory.inventory, observed: &observed, whole };
        change(world, memory, &derived, scene, &ruling, comparisons, &mut decision);
        if world.observing {
            would::tell(world, memory, &derived, &ruling, comparisons, &mut decision);
        }
        comparisons.retain(&derived.wanted);
        if !world.observing {
            applied = Some(ruling.waiting.is_empty() && decision.leaves_cluster());
            decision.deletions = guard::remember(memory, &ruling, &decision.inventory);
        }
        decision.holds.extend(ruling.hold);
    }
    finish(world, memory, &Scenery { folder, presence, observed: &observed, standing }, applied, &mut decision);
    decision
}

/// What a decision has found out before it comes to its end.
struct Scenery<'a> {
    folder: &'a MeshFolder,
    presence: Presence<'a>,
    observed: &'a Observed,
    standing: Standing,
}

fn change(
    world: &World,
    memory: &Memory,
    derived: &Derived,
    scene: Scene,
    ruling: &Ruling,
    comparisons: &mut Comparisons,
    decision: &mut Decision,
) {
    decision.holds.extend(derived.holds.iter().cloned());
    let namespaces = Namespaces::new(world, derived);
    for (key, wanted) in &derived.wanted {
        let object = &wanted.object;
        if let Some(hold) = comparisons.verdicts.hold(world, object, &namespaces) {
            decision.hold(hold);
            continue;
        }
        if let Some(live) = world.live.get(key)
            && comparisons.get(object, live).changes.is_empty()
            && !live.deleting
        {
            if !decision.inventory.contains_key(key) {
                decision.inventory_mut().insert(key.clone(), found(object, live));
            }
            decision.renew.extend(stamp::renewed(world, object, live).filter(|_| !world.observing));
            continue;
        }
        match obstacle(world, memory, derived, key, comparisons, decision) {
            Some(hold) => decision.hold(hold),
            None => admit(world, object, comparisons, decision),
        }
    }
    let held: BTreeSet<Key> = decision.holds.iter().filter_map(|hold| hold.key.clone()).collect();
    let orphans = memory.inventory.iter().filter(|(key, _)| !derived.wanted.contains_key(*key) && !held.contains(*key));
    let unsettled = workloads::unsettled_routes(world, derived, &held, decision);
    for (key, origin) in orphans.filter(|(key, _)| !ruling.waiting.contains(*key)) {
        if let Some(reason) = workloads::routed(&unsettled, key).filter(|_| world.live.contains_key(key)) {
            decision.hold(Hold::waiting(key, reason));
            continue;
        }
        remove::orphan(world, memory, scene, key, origin, comparisons, decision);
    }
    fights::rest_from(world, memory, comparisons, decision);
    stamp::mark(world, &mut decision.apply);
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

/// The facts of a mesh that is not declared: those that it published last. When it has left, its gateways are gone, and what a mesh of
/// this name has next is another's address.
fn last_facts(world: &World, mode: Mode) -> Facts {
    let facts = world.own_facts.clone();
    if mode == Mode::Left { Facts { ingress: BTreeMap::new(), ..facts } } else { facts }
}

/// Facts, status and what to publish of them. `applied` says whether all of `main` is, and is `None` where nothing may change.
fn finish(world: &World, memory: &Memory, scenery: &Scenery, applied: Option<bool>, decision: &mut Decision) {
    let Scenery { folder, presence, observed, standing } = scenery;
    let mode = mode(world, presence, decision);
    let mut own = match presence {
        Presence::Declared(mesh) => own_facts::gather(world, memory, folder, mesh, observed),
        _ => OwnFacts { facts: last_facts(world, mode), ..OwnFacts::before(world, memory) },
    };
    decision.holds.extend(own.holds.iter().cloned());
    decision.holds.extend(freeze::holds(world));
    decision.addresses.clone_from(&own.addresses);
    own.facts.claims = standing.claims(world);
    let dispute = standing.hold(world, presence);
    decision.holds.extend(dispute.clone().filter(|_| standing.acts()));
    decision.holds.sort();
    decision.holds.dedup();
    decision.applied = if applied == Some(true) { Some(Applied::now(world, memory)) } else { Applied::before(world, memory) };
    let settled = decision.leaves_cluster() && decision.would_do.is_empty();
    let rests = mode == Mode::Left && world.own_status.mode == Mode::Left;
    let stays = |key: &Key| {
        let held = decision.holds.iter().find(|hold| hold.key.as_ref() == Some(key)).map(|hold| hold.reason.clone());
        let failed = || memory.failures.get(key).map(|failure| failure.message.clone()); // until it is taken
        held.or_else(failed).or(applied.is_none().then(|| "nothing is changed at present".to_owned()))
    };
    decision.status = if rests {
        world.own_status.clone() // what happens on `main` is no business of this mesh any more
    } else if world.trust.is_blind() {
        decision.views.clone_from(&memory.views);
        report::blind(world, decision)
    } else {
        let status = report::status(world, scenery, mode, decision, &own, &stays);
        seen(world, views::look(world, memory, decision), status)
    };
    let known = matches!(presence, Presence::Declared(_));
    decision.conditions = conditions::conditions(world, known, settled, dispute.as_ref(), &decision.status);
    let before = memory.told.as_ref().unwrap_or(world.own_status);
    decision.events.extend(events::between(world, before, &decision.status));
    if world.observing {
        decision.events.clear(); // an event is an object too
    }
    match standing {
        // Perhaps a slip in the agent's own configuration.
        Standing::Owner if !known && world.published.is_empty() => {}
        _ if freeze::is_mute(world) => {}
        Standing::Owner | Standing::Challenged { answer: true } => {
            publish::decide(world, memory, &own.facts, decision);
            if mode != Mode::Left {
                decision.wake(heartbeat::next(world.me, world.now));
            }
            own.wake_at.into_iter().for_each(|at| decision.wake(at));
        }
        Standing::Claims => publish::claim(world, decision),
        Standing::Waits { until } => decision.wake(*until),
        Standing::Challenged { answer: false } | Standing::Refused | Standing::Elsewhere => {}
    }
}

/// Completes a status by what the agent sees. The commit that it names moves along with anything else, so that it makes no commits of
/// its own.
fn seen(world: &World, views: ViewStatus, status: Status) -> Status {
    let mut status = Status { views, ..status };
    if status != *world.own_status {
        world.commit.clone_into(&mut status.main.seen);
    }
    status
}

#[cfg(test)]
mod tests;
