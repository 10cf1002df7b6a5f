//! Whose mesh is it, where two clusters bear one name (T23 of the threats)?
//!
//! The published branch says which cluster owns the mesh. Another one that finds itself under that name puts its UID beside it, as a
//! challenge, and does nothing else. An owner that lives answers with its own UID, and then neither publishes any more; one that is
//! silent is lost, and the newcomer takes over, so that a cluster rebuilt from Git needs nobody's commit. A `clusterUID` in `mesh.yaml`
//! decides at once.
//!
//! Each step is one write of the branch, made from what was read of it. Nothing needs to be remembered but since when a challenge has
//! stood; an agent that starts anew waits anew, and a challenge that is lost to a write of the owner is repeated.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::presence::elsewhere;
use super::{Memory, Presence, World};
use crate::derive::Hold;
use crate::facts::Facts;

/// How many polls an owner gets to see a challenge and to answer it: one may just have begun, one may fail.
const PATIENCE_POLLS: i32 = 3;

/// Shortest and longest wait for an answer: an owner may be busy for a few seconds, and a mesh that was lost should not stay so. Three
/// polls of the default interval are the longest.
const PATIENCE: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(10), SignedDuration::from_secs(90));

/// How long an agent that looks at the repository so often waits for an answer.
pub fn patience(interval: SignedDuration) -> SignedDuration {
    let (shortest, longest) = PATIENCE;
    interval.saturating_mul(PATIENCE_POLLS).clamp(shortest, longest)
}

/// What this cluster may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everything: the mesh is its own.
    Owner,
    /// It owns the mesh and is challenged: it goes on serving, and publishes nothing but that it is there.
    Challenged {
        /// That is still to be published.
        answer: bool,
    },
    /// It must not act, and puts its claim on the branch.
    Claims,
    /// It must not act until then, and takes over if nobody answers.
    Waits { until: Timestamp },
    /// It must not act: the owner is there.
    Refused,
    /// It must not act: `mesh.yaml` names another cluster.
    Elsewhere,
}

/// Since when our claim has stood unanswered in another cluster's facts; counted by this process.
pub(super) fn since(world: &World, memory: &Memory) -> Option<Timestamp> {
    let Facts { cluster_uid, claims, .. } = world.own_facts;
    let other = cluster_uid.as_ref().is_some_and(|owner| owner != world.cluster_uid && !claims.contains(owner));
    (other && claims.contains(world.cluster_uid)).then(|| memory.claimed.unwrap_or(world.now))
}

/// What the cluster that the agent is in may do.
pub(super) fn standing(world: &World, presence: &Presence, since: Option<Timestamp>) -> Standing {
    let Facts { cluster_uid: owner, claims, .. } = world.own_facts;
    let until = since.map(|since| since.saturating_add(world.patience).unwrap_or(Timestamp::MAX));
    let taken = until.is_some_and(|until| until <= world.now);
    let pinned = match presence {
        Presence::Declared(mesh) => mesh.cluster_uid.as_deref(),
        // Nothing says any more which cluster is meant: that which has it.
        Presence::Leaving(_) | Presence::Unknown(_) => owner.as_deref(),
    };
    match rule(world.cluster_uid, pinned, owner.as_deref(), claims, taken) {
        Rule::Waits => Standing::Waits { until: until.unwrap_or(world.now) },
        Rule::Is(standing) => standing,
    }
}

/// A standing, without times.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    Is(Standing),
    Waits,
}

/// The rule itself: `taken` says that our claim has stood long enough.
fn rule(me: &str, pinned: Option<&str>, owner: Option<&str>, claims: &BTreeSet<String>, taken: bool) -> Rule {
    Rule::Is(match (pinned, owner) {
        (Some(pinned), _) if pinned != me => Standing::Elsewhere,
        (Some(_), _) | (None, None) => Standing::Owner,
        (None, Some(owner)) if owner == me && claims.iter().all(|claim| claim == me) => Standing::Owner,
        (None, Some(owner)) if owner == me => Standing::Challenged { answer: !claims.contains(me) },
        (None, Some(owner)) if claims.contains(owner) => Standing::Refused,
        (None, Some(_)) if !claims.contains(me) => Standing::Claims,
        (None, Some(_)) if taken => Standing::Owner,
        (None, Some(_)) => return Rule::Waits,
    })
}

impl Standing {
    /// Whether it may change its cluster.
    pub(super) fn acts(&self) -> bool {
        matches!(self, Self::Owner | Self::Challenged { .. })
    }

    /// The claims that it publishes with its own facts.
    pub(super) fn claims(&self, world: &World) -> BTreeSet<String> {
        match self {
            Self::Challenged { .. } => {
                world.own_facts.claims.iter().cloned().chain(std::iter::once(world.cluster_uid.to_owned())).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// What keeps it from doing everything.
    pub(super) fn hold(&self, world: &World, presence: &Presence) -> Option<Hold> {
        let (me, path) = (world.cluster_uid, format!("meshes/{}/mesh.yaml", world.me));
        let owner = world.own_facts.cluster_uid.as_deref().unwrap_or_default();
        let others: Vec<&str> = world.own_facts.claims.iter().map(String::as_str).filter(|claim| *claim != me).collect();
        let way_out = format!(
            "stop the agent that should not be there, and write the UID of the right cluster as `clusterUID` into {path}"
        );
        let reason = match self {
            Self::Owner => return None,
            Self::Challenged { .. } => format!(
                "two clusters claim this mesh: this one, {me}, and {}. This one goes on serving and keeps its objects right, but neither \
                 publishes any more, so that peers keep what they know; {way_out}",
                others.join(", ")
            ),
            Self::Refused => format!(
                "two clusters claim this mesh: {owner}, which has it, and this one, {me}. Here nothing is applied, and neither publishes any \
                 more; {way_out}"
            ),
            Self::Claims => format!(
                "cluster {owner} has this mesh, and this is {me}. Nothing is applied or published here before that one had time to answer"
            ),
            Self::Waits { until } => format!(
                "cluster {owner} has this mesh, and this is {me}. Nothing is applied or published here until {}; if that one has not \
                 answered by then, it counts as lost and this one takes over",
                until.strftime("%H:%M:%S UTC")
            ),
            Self::Elsewhere => elsewhere(world, presence)?,
        };
        let stuck = !matches!(self, Self::Claims | Self::Waits { .. });
        Some(Hold { stuck, ..Hold::part(world.me, reason) })
    }
}

#[cfg(test)]
mod tests;
