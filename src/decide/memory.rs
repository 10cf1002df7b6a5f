//! What the agent remembers between passes. Only the inventory, with what may be removed of it, and the lapses of destinations outlive the
//! process; the rest is found out again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::World;
use super::addresses::Settling;
use super::admission::Verdicts;
use super::compare::{Change, Comparison, compare};
use super::fights::Fights;
use super::health::HealthMemory;
use super::report::Status;
use super::views::ViewMemory;
use crate::model::ServiceName;
use crate::object::{Key, Kind, Live, Object};

/// What outlives a pass of deletions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletions {
    /// Objects that the guard has let go and that are not gone yet.
    pub admitted: BTreeSet<Key>,
    /// Objects that joined the inventory while deletions were held. A deletion is no share of them: else a change that adds much would let
    /// go what it deletes, one pass later.
    pub joined: BTreeSet<Key>,
}

/// Memory of one agent.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Every object that we ever applied and have not yet removed or given back.
    pub inventory: Arc<BTreeMap<Key, Origin>>,
    /// What the guard on deletions has to know of the inventory.
    pub deletions: Deletions,
    /// How destinations have been.
    pub health: HealthMemory,
    /// Objects that the API server did not take.
    pub failures: BTreeMap<Key, Failure>,
    /// What was written lately, and what somebody undoes.
    pub fights: Fights,
    /// What is about to be published, once it has stayed the same for a moment.
    pub pending: Option<Pending>,
    /// Since when this cluster has waited for the mesh's owner to answer.
    pub claimed: Option<Timestamp>,
    /// What was applied last in full.
    pub applied: Option<Applied>,
    /// By peer: load balancers that have changed lately.
    pub addresses: BTreeMap<String, Settling>,
    /// Exports that are to end, by peer and exported name.
    pub withdrawals: Withdrawals,
    /// How peers see `main`.
    pub views: ViewMemory,
    /// The mesh as the last pass told it; `None` before the first pass of this process.
    pub told: Option<Status>,
}

impl Memory {
    /// Remembers what a decision tells, so that the next one knows what is new.
    pub fn tell(&mut self, status: &Status) {
        if self.told.as_ref() != Some(status) {
            self.told = Some(status.clone());
        }
    }
}

/// A commit of `main` of which everything was applied that could be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Its id.
    pub commit: String,
    /// Name of its federation.
    pub federation: String,
}

impl Applied {
    /// Everything is applied.
    pub(super) fn now(world: &World, memory: &Memory) -> Self {
        let before = || Self::before(world, memory).map(|before| before.federation);
        let federation = world.federation.name.clone().or_else(before).unwrap_or_default();
        Self { commit: world.commit.to_owned(), federation }
    }

    /// What had been applied before: by this process, or by the one that published the status.
    pub(super) fn before(world: &World, memory: &Memory) -> Option<Self> {
        let main = &world.own_status.main;
        let published = || Self { commit: main.applied.clone(), federation: main.federation.clone() };
        memory.applied.clone().or_else(|| (!main.applied.is_empty()).then(published))
    }
}

/// Exports that are to end, by peer and exported name.
pub type Withdrawals = BTreeMap<(String, ServiceName), Withdrawal>;

/// An export that is to end once its user has turned away from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// When its end was first wanted.
    pub since: Timestamp,
    /// Commits of `main` in which it is wanted: whoever has applied one of them knows.
    pub commits: BTreeSet<String>,
}

/// Where an object of ours comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// We made it: without its declaration it is deleted. With the version that it was applied in.
    Created(Kind),
    /// It was there before us: without its declaration our fields are taken out and the rest stays.
    Adopted(Kind),
}

impl Origin {
    /// Kind and version that the object was last applied in.
    pub fn kind(&self) -> &Kind {
        match self {
            Self::Created(kind) | Self::Adopted(kind) => kind,
        }
    }
}

/// In place of a digest: what failed was the removal.
pub const REMOVAL: &str = "removal";

/// Why an object was not taken, and when it may be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Digest of the object as it was tried, or [`REMOVAL`].
    pub digest: Arc<str>,
    /// The API server's words, for people.
    pub message: String,
    /// Only people can end it.
    pub stuck: bool,
    /// Not before.
    pub retry_at: Timestamp,
    /// Tries so far.
    pub attempts: u32,
}

/// Content that waits to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Files by path.
    pub files: BTreeMap<String, String>,
    /// CA roots that its facts say are used no more, and since when.
    pub retiring: BTreeMap<String, Timestamp>,
    /// Since when its facts are as they are.
    pub facts_since: Timestamp,
    /// Since when its status is as it is.
    pub status_since: Timestamp,
    /// Since when anything waits.
    pub first: Timestamp,
}

/// Comparisons made before. An object is compared anew only when it, or what is wanted of it, has changed.
#[derive(Debug, Default)]
pub struct Comparisons {
    seen: HashMap<Key, Seen>,
    /// What policies said of the objects.
    pub(super) verdicts: Verdicts,
}

#[derive(Debug)]
struct Seen {
    digest: Arc<str>,
    resource_version: Arc<str>,
    comparison: Arc<Comparison>,
    /// Differences that stayed after the API server took the object: its own way of writing what we wrote.
    accepted: Vec<Change>,
}

impl Comparisons {
    /// The difference between the wanted and the live object.
    pub fn get(&mut self, wanted: &Object, live: &Live) -> Arc<Comparison> {
        if let Some(seen) = self.seen.get(&wanted.key)
            && seen.digest == wanted.digest
            && seen.resource_version == live.resource_version
        {
            return seen.comparison.clone();
        }
        let before = self.seen.remove(&wanted.key).filter(|seen| seen.digest == wanted.digest);
        let accepted = before.map(|seen| seen.accepted).unwrap_or_default();
        let mut comparison = compare(wanted, live);
        comparison.changes.retain(|change| !accepted.iter().any(|a| a.path == change.path && a.from == change.from));
        self.remember(wanted, live, comparison, accepted)
    }

    /// The API server took the object and gave it back as `live`: what still differs now is its way of writing it.
    pub fn accept(&mut self, wanted: &Object, live: &Live) {
        self.remember(wanted, live, Comparison::default(), compare(wanted, live).changes);
    }

    fn remember(&mut self, wanted: &Object, live: &Live, comparison: Comparison, accepted: Vec<Change>) -> Arc<Comparison> {
        let (digest, resource_version) = (wanted.digest.clone(), live.resource_version.clone());
        let comparison = Arc::new(comparison);
        self.seen.insert(wanted.key.clone(), Seen { digest, resource_version, comparison: comparison.clone(), accepted });
        comparison
    }

    /// How many objects policies have judged since the start.
    pub fn judged(&self) -> u64 {
        self.verdicts.judged
    }

    /// Forgets objects that nobody wants any more.
    pub fn retain<T>(&mut self, wanted: &BTreeMap<Key, T>) {
        if self.seen.len() > wanted.len() {
            self.seen.retain(|key, _| wanted.contains_key(key));
        }
        self.verdicts.retain(wanted);
    }
}
