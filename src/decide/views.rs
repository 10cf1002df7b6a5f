//! What the repository's host shows us, against what it shows our peers and when. A host that shows two histories is found because each
//! agent names the commit of `main` that it last saw; one that serves no more news, because no agent's heartbeat is from today.
//!
//! Nothing here freezes anybody: an agent may lie about what it saw, and may be away. Only an agent that has just started, and to which
//! nothing shown is recent, takes nothing away: it may have been given an old history.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::heartbeat;
use super::memory::Memory;
use super::report::{MainStatus, Mode, Status};
use super::{Decision, World, later};
use crate::facts::roots::CLOCK_GRACE_SECONDS;
use crate::words::{one_line, printable};

/// How old the newest sign of life may be: an agent gives one daily, and two hours allow for a host that is away.
pub const FRESHNESS: SignedDuration = SignedDuration::from_hours(26);

/// Where a commit that a peer names lies, as the mirror knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// On our line of `main`: we are there, or were.
    Behind,
    /// It continues our line.
    Ahead,
    /// The mirror does not have it.
    Unknown,
    /// The mirror has it, and it is neither on our line nor continues it.
    Elsewhere,
}

/// What Git says beyond the documents: where everybody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// By peer: where the commit lies that its status names.
    pub peers: BTreeMap<String, Position>,
    /// When our commit of `main` was made, by the clock of whoever made it; `None` where that is not known.
    pub committed_at: Option<Timestamp>,
}

/// What outlives a pass of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewMemory {
    /// By peer: since when it names commits that are not on our line.
    pub apart: BTreeMap<String, Timestamp>,
    /// Something recent was shown since this process started.
    pub fresh: bool,
}

/// What is suspected of the host, as it is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ViewStatus {
    /// By peer: what it sees where we see something else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub forked: BTreeMap<String, ForkStatus>,
    /// The newest sign of life that was shown, where it is too old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Timestamp>,
}

/// Two views of `main`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkStatus {
    /// The commit that the peer names.
    pub theirs: String,
    /// Our own.
    pub ours: String,
    /// When we first saw that.
    pub since: Timestamp,
}

impl ViewStatus {
    /// Whether there is nothing to tell.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// One line for each thing suspected.
    pub fn lines(&self) -> Vec<String> {
        let forked = self.forked.iter().map(|(peer, fork)| format!("forked view suspected: {}", fork.words(peer)));
        let stale = self.stale_since.map(|since| format!("stale: {}", stale_words(since)));
        forked.chain(stale).map(|line| printable(&line)).collect()
    }
}

impl ForkStatus {
    /// What it is about, for people.
    pub fn words(&self, peer: &str) -> String {
        let Self { theirs, ours, since } = self;
        let short = |commit: &str| one_line(&commit.chars().take(7).collect::<String>());
        format!(
            "{peer} says that it saw {} of main, which is not on the line of {}, ours, since {since}; the host may show two histories",
            short(theirs),
            short(ours)
        )
    }
}

/// What it means that nothing shown is newer, for people.
pub(super) fn stale_words(newest: Timestamp) -> String {
    format!("the host may have stopped serving news: the newest sign of life of a peer's agent, or of main, is from {newest}")
}

impl MainStatus {
    /// The commit that the agent names; one of before there was `seen` names what it applied.
    pub fn named(&self) -> Option<&str> {
        [&self.seen, &self.applied].into_iter().find(|commit| !commit.is_empty()).map(String::as_str)
    }
}

/// Peers whose agents still look after a mesh.
fn active<'a>(world: &World<'a>) -> impl Iterator<Item = (&'a String, &'a Status)> {
    world.statuses.iter().filter(|(_, status)| status.mode != Mode::Left)
}

/// The newest sign that news are served: a peer's heartbeat, or `main` itself. `None` where no peer ever gave one: then nothing can be
/// told. What lies in the future is no sign of now.
fn newest(world: &World) -> Option<Timestamp> {
    let soon = later(world.now, SignedDuration::from_secs(CLOCK_GRACE_SECONDS));
    let heartbeats = active(world).filter_map(|(peer, status)| heartbeat::begin(peer, &status.main.heartbeat));
    let heartbeat = heartbeats.filter(|at| *at <= soon).max()?;
    Some(world.views.committed_at.filter(|at| *at <= soon).map_or(heartbeat, |at| at.max(heartbeat)))
}

/// The newest sign of life, if it is too old.
fn stale(world: &World) -> Option<Timestamp> {
    newest(world).filter(|newest| world.now.duration_since(*newest) > FRESHNESS)
}

/// Why an agent that has just started takes nothing away; `None` once anything recent was shown.
pub(super) fn unsure(world: &World, memory: &Memory) -> Option<String> {
    let since = stale(world).filter(|_| !memory.views.fresh)?;
    Some(format!("this agent has just started, and {}", stale_words(since)))
}

/// Looks at them; gives what to publish, and leaves in the decision what to remember.
pub(super) fn look(world: &World, memory: &Memory, decision: &mut Decision) -> ViewStatus {
    let stale_since = stale(world);
    decision.views.fresh = memory.views.fresh || (stale_since.is_none() && newest(world).is_some());
    if let Some(newest) = newest(world).filter(|_| stale_since.is_none()) {
        decision.wake(later(newest, FRESHNESS + SignedDuration::from_secs(1)));
    }
    let mut forked = BTreeMap::new();
    for (peer, status) in active(world) {
        let position = world.views.peers.get(peer).copied().unwrap_or(Position::Behind);
        let Some(theirs) = status.main.named().filter(|_| position != Position::Behind) else { continue };
        let published = || world.own_status.views.forked.get(peer).map(|fork| fork.since);
        let since = memory.views.apart.get(peer).copied().or_else(published).unwrap_or(world.now);
        decision.views.apart.insert(peer.clone(), since);
        // Its branch and `main` are fetched together, so that only servers behind one name that copy from each other explain a commit
        // that we do not have; a few polls are enough for them.
        let due = later(since, world.patience);
        if position == Position::Elsewhere || due <= world.now {
            forked.insert(peer.clone(), ForkStatus { theirs: one_line(theirs), ours: world.commit.to_owned(), since });
        } else {
            decision.wake(due);
        }
    }
    ViewStatus { forked, stale_since }
}
