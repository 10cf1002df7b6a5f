//! What the agent of one mesh would decide in its cluster now. Nothing is performed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::time::timeout;

use super::remote::{ClusterArgs, block_on};
use crate::agent::declarations::{self, Declarations};
use crate::agent::reconcile::annotation;
use crate::agent::remembered::{self, LEASE_ANNOTATION};
use crate::agent::scopes::{scopes, unseen};
use crate::agent::throwaway;
use crate::cluster::{Cluster, Snapshot, Trouble};
use crate::decide::{Comparisons, Decision, Line, Memory, Status, Trust, Views, World, decide, presence};
use crate::error::Error;
use crate::facts::Facts;
use crate::model::{Diagnostic, Federation};
use crate::object::STATE_NAME;
use crate::policy::Policies;
use crate::repo::Mirror;
use crate::view::live::LeaderView;
use crate::words::one_line;

/// Longest wait for the cluster's objects: somebody sits and waits, and a listing takes seconds at most.
const SYNC_LIMIT: Duration = Duration::from_secs(30);

/// What a decision is made from, apart from the cluster.
pub(super) struct Declared {
    /// Where it is from, for people.
    pub(super) from: String,
    pub(super) federation: Federation,
    pub(super) policies: Arc<Policies>,
    pub(super) problems: Vec<Diagnostic>,
    pub(super) facts: BTreeMap<String, Facts>,
    pub(super) statuses: BTreeMap<String, Status>,
    pub(super) own_status: Status,
    pub(super) line: Line,
}

impl Declared {
    /// What the repository has for a mesh.
    pub(super) fn committed(mirror: &Mirror, mesh: &str, now: Timestamp) -> Result<Self, Error> {
        let read = declarations::Reader::default().read(mirror, mesh, now)?;
        let Declarations { commit, line, federation, policies, problems, facts, statuses, own_status, .. } = read;
        let (from, federation) = (format!("{} {}", commit.id.short(), commit.summary), (*federation).clone());
        Ok(Self { from, federation, policies, problems, facts, statuses, own_status, line })
    }
}

/// A decision, and what it was made from.
pub(super) struct Live {
    /// Address of the API server.
    pub(super) url: String,
    pub(super) decision: Decision,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) comparisons: Comparisons,
    /// Which replica of its agent writes, where they choose one by a Lease; else why that cannot be said.
    pub(super) leader: Result<Option<LeaderView>, String>,
}

/// Decides as the agent would; `observing`, as one that may change nothing.
pub(super) fn decide_now(cluster: &ClusterArgs, mesh: &str, declared: &Declared, observing: bool) -> Result<Live, Error> {
    block_on(look(cluster, mesh, declared, observing))?
}

async fn look(cluster: &ClusterArgs, mesh: &str, declared: &Declared, observing: bool) -> Result<Live, Error> {
    let Declared { from, federation, policies, problems, facts, statuses, own_status, line } = declared;
    let cluster = Cluster::connect(&cluster.options()).await?;
    let cluster_uid = cluster.uid().await?;
    let mut memory = Memory::default();
    memory.views.fresh = true; // what makes the host suspect is for the agent to say
    let presence = presence(federation, mesh, own_status);
    let mut leader = Ok(None);
    if let Some((namespace, _)) = presence.control_plane() {
        let state = cluster.whole_state(namespace, STATE_NAME).await?.unwrap_or_default();
        if let Some(place) = annotation(&state, LEASE_ANNOTATION) {
            leader = lead(&cluster, &place).await.map_err(|error| format!("the Lease {}: {error}", one_line(&place)));
        }
        let (remembered, _) = remembered::read(&BTreeMap::deserialize(&state["data"]).unwrap_or_default());
        memory.inventory = remembered.inventory.into();
        memory.deletions = remembered.deletions;
        memory.health.lapses = remembered.lapses.into();
        cluster.watch(&scopes(federation, &presence, &memory.inventory));
        if timeout(SYNC_LIMIT, cluster.synced()).await.is_err() {
            let problems = cluster.view().problems();
            let why = problems.iter().find(|problem| problem.trouble == Trouble::Interrupted).map(|problem| &*problem.message);
            let message = format!("the cluster cannot be read: {}", why.unwrap_or("the first listings take too long"));
            return Err(Error::unavailable(message, ""));
        }
    }
    let snapshot = cluster.view().snapshot();
    let mut comparisons = Comparisons::default();
    let world = World {
        federation,
        problems,
        policies,
        me: mesh,
        facts,
        statuses,
        live: snapshot.objects(),
        unseen: &unseen(&snapshot),
        cluster_uid: &cluster_uid,
        commit: from,
        line,
        views: &Views::default(), // who sees what is no part of it
        trust: &Trust::default(),
        own_facts: &Facts::default(), // what it publishes is no part of it
        own_status,
        published: &BTreeMap::new(),
        patience: SignedDuration::ZERO,
        throwaway_root: &throwaway::root().map_err(Error::other)?,
        probes: &BTreeMap::new(), // nobody is dialled
        observing,
        now: Timestamp::now(),
    };
    let decision = decide(&world, &memory, &mut comparisons);
    Ok(Live { url: cluster.url().to_owned(), decision, snapshot, comparisons, leader })
}

/// Who holds a Lease.
async fn lead(cluster: &Cluster, place: &str) -> Result<Option<LeaderView>, String> {
    let lease = cluster.lease(&place.parse()?).read().await.map_err(|error| error.to_string())?;
    let time = |text: &str| text.parse::<Timestamp>().ok();
    Ok(lease.map(|lease| {
        let ends = time(&lease.renewed).and_then(|renewed| renewed.checked_add(lease.duration).ok());
        LeaderView {
            lease: place.to_owned(),
            current: lease.holder.is_some() && ends.is_some_and(|ends| Timestamp::now() <= ends),
            since: time(&lease.acquired),
            renewed: time(&lease.renewed),
            holder: lease.holder,
        }
    }))
}
