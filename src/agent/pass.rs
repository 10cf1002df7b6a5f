//! One pass: gather what is known, decide, perform.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
use tracing::{info, warn};

use super::Outcome;
use super::declarations::Declarations;
use super::inventory::{self, Inventory};
use super::journal::Journal;
use super::repository::{Command, News};
use super::scopes::{missing, scopes};
use crate::cluster::{APPLIES_IN_FLIGHT, ApplyError, Cluster, Trouble};
use crate::decide::{Comparisons, Decision, Failure, LiveObjects, Memory, REMOVAL, World, decide};
use crate::derive::Hold;
use crate::facts::Facts;
use crate::facts::published::{self, FACTS_PATH};
use crate::model::Severity;
use crate::object::{Key, Kind, Object, STATE_NAME, set_id};
use crate::repo::RepoError;

/// First and longest wait before an object that could not be applied for the moment is tried again.
const RETRY: (SignedDuration, SignedDuration) = (SignedDuration::from_millis(500), SignedDuration::from_mins(2));

/// Wait before an object that was refused is tried again: whoever refuses (a webhook, a policy) may have changed meanwhile.
const REFUSED_RETRY: SignedDuration = SignedDuration::from_mins(5);

/// Passes in a row before the loop looks at other events; each has applied something, so this many mean a fight.
const MAX_PASSES: usize = 20;

/// Longest wait for first listings before other news are looked at: a commit may take away the very kind that cannot be listed.
const SYNC_LIMIT: Duration = Duration::from_secs(10);

/// Label of the ConfigMap that names a set (KEP-3659).
const SET_ID_LABEL: &str = "applyset.kubernetes.io/id";

/// The agent's state.
pub(super) struct Agent {
    me: String,
    pub(super) cluster: Cluster,
    pub(super) cluster_uid: String,
    pub(super) journal: Journal,
    commands: Sender<Command>,
    declarations: Option<Arc<Declarations>>,
    own_files: BTreeMap<String, String>,
    own_facts: Facts,
    memory: Memory,
    comparisons: Comparisons,
    /// Kinds that were not served when an object of theirs was sent, until the next poll.
    unserved: BTreeMap<Kind, String>,
    /// Namespace and data of the ConfigMap as it lies in the cluster; `None` before it was read.
    state: Option<(String, BTreeMap<String, String>)>,
    /// The inventory that these data say, once it was written.
    written: Option<Arc<Inventory>>,
    publishing: Publishing,
    stale: bool,
    /// The last pass could not decide, or not perform, for want of the inventory or the watches; whether only people can end that.
    blocked: Option<bool>,
    last: Option<Decision>,
}

/// What has become of the last publication.
#[derive(Default)]
struct Publishing {
    /// Sent, and not yet answered.
    sent: Option<Files>,
    /// What the repository did not take.
    failure: Option<Unpublished>,
}

type Files = BTreeMap<String, String>;

struct Unpublished {
    files: Files,
    message: String,
    retry_at: Timestamp,
    attempts: u32,
}

impl Publishing {
    /// When these files may be sent again. `None`: at once, or when what was sent last is answered.
    fn retry_at(&self, files: &Files) -> Option<Timestamp> {
        let failure = self.failure.as_ref().filter(|failure| self.sent.is_none() && failure.files == *files);
        failure.map(|failure| failure.retry_at)
    }

    fn may_send(&self, files: &Files) -> bool {
        self.sent.is_none() && self.retry_at(files).is_none_or(|at| at <= Timestamp::now())
    }

    fn failed(&mut self, error: &RepoError) {
        let files = self.sent.take().unwrap_or_default();
        let before = self.failure.take().filter(|failure| failure.files == files);
        let attempts = before.map_or(1, |failure| failure.attempts + 1);
        let wait = if error.is_transient() { backoff(attempts) } else { REFUSED_RETRY };
        let retry_at = later(Timestamp::now(), wait);
        self.failure = Some(Unpublished { files, message: error.to_string(), retry_at, attempts });
    }
}

impl Agent {
    pub(super) fn new(me: String, cluster: Cluster, commands: Sender<Command>) -> Self {
        Self {
            me,
            cluster,
            cluster_uid: String::new(),
            journal: Journal::default(),
            commands,
            declarations: None,
            own_files: BTreeMap::new(),
            own_facts: Facts::default(),
            memory: Memory::default(),
            comparisons: Comparisons::default(),
            unserved: BTreeMap::new(),
            state: None,
            written: None,
            publishing: Publishing::default(),
            stale: false,
            blocked: None,
            last: None,
        }
    }

    /// Something that decisions are made from has changed.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn cluster_changed(&mut self) {
        self.stale = true;
    }

    pub(super) fn time_has_come(&mut self) {
        self.stale = true;
    }

    /// When a pass is due although nothing happens.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let decision = self.last.as_ref()?;
        let retry = decision.publish.as_ref().and_then(|publication| self.publishing.retry_at(&publication.files));
        [retry, decision.wake_at].into_iter().flatten().min()
    }

    /// What the repository's thread says.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Nothing => self.journal.trouble_over("repository", "the repository answers"),
            News::Unreadable(error) => self.journal.trouble("repository", &error.to_string()),
            News::Declarations(declarations) => {
                self.journal.trouble_over("repository", "the repository answers");
                self.journal.declarations(&declarations);
                self.own_files.clone_from(&declarations.own_files);
                self.own_facts.clone_from(&declarations.own_facts);
                self.declarations = Some(declarations);
                self.stale = true;
            }
            News::Published(files, commit, message) => {
                info!(event = "published", commit = %commit, "published {} {message}", commit.short());
                if let Some(text) = files.get(FACTS_PATH) {
                    self.own_facts = published::read_own(&self.me, text, Timestamp::now());
                }
                self.own_files = files;
                self.publishing = Publishing::default();
                self.journal.trouble_over("publish", "the repository takes what is published");
                self.stale = true;
            }
            News::Unpublished(error) => {
                self.journal.trouble("publish", &error.to_string());
                self.publishing.failed(&error);
            }
        }
    }

    /// What is done at each poll besides looking at the repository: look for kinds that were missing.
    pub(super) async fn poll(&mut self) {
        if !self.cluster.missing().is_empty() || !self.unserved.is_empty() {
            self.cluster.rediscover().await;
        }
        self.stale |= !std::mem::take(&mut self.unserved).is_empty();
    }

    /// Passes until nothing is left to do in the cluster for now; whether any of them found something new.
    pub(super) async fn passes(&mut self) -> bool {
        let mut new = false;
        for _ in 0..MAX_PASSES {
            let before = self.last.take();
            let settled = self.pass().await;
            new |= !settled || !self.last.as_ref().zip(before).is_some_and(|(last, before)| last.tells_as(&before));
            if settled {
                return new;
            }
        }
        self.journal.trouble("fight", "something undoes what is applied; going on in a while");
        if let Some(last) = &mut self.last {
            last.wake_at = Some(later(Timestamp::now(), RETRY.1));
        }
        true
    }

    /// One pass; whether nothing is left to do in the cluster.
    async fn pass(&mut self) -> bool {
        self.stale = false;
        self.blocked = None;
        let Some(declarations) = self.declarations.clone() else { return true };
        if let Some(mesh) = declarations.federation.mesh(&self.me) {
            if let Err(error) = self.read_state(&mesh.namespace).await {
                self.without_state(&mesh.namespace, &error, Decision::default());
                return true;
            }
            self.cluster.watch(&scopes(&declarations.federation, mesh, &self.memory.inventory));
            if timeout(SYNC_LIMIT, self.cluster.synced()).await.is_err() {
                self.without_watches();
                return true;
            }
            self.journal.trouble_over("watches", "all watches have listed");
        }
        let snapshot = self.cluster.view().snapshot();
        let live = snapshot.objects();
        let mut missing = missing(&snapshot);
        missing.extend(self.unserved.clone());
        let world = World {
            federation: &declarations.federation,
            problems: &declarations.problems,
            me: &self.me,
            facts: &declarations.facts,
            live,
            missing: &missing,
            cluster_uid: &self.cluster_uid,
            commit: &declarations.commit.id.to_string(),
            verified: &declarations.verified,
            own_facts: &self.own_facts,
            published: &self.own_files,
            now: Timestamp::now(),
        };
        let decision = decide(&world, &self.memory, &mut self.comparisons);
        self.journal.decision(&decision);
        Journal::applying(&decision, live, &mut self.comparisons);
        self.perform(decision, live).await
    }

    async fn perform(&mut self, decision: Decision, live: &LiveObjects) -> bool {
        let settled = decision.leaves_cluster();
        self.memory.pending.clone_from(&decision.pending);
        self.memory.applied = Some(decision.status.main.applied.clone()).filter(|commit| !commit.is_empty());
        // The namespace that the state lies in may be among what is to be created.
        let (namespaces, others): (Vec<_>, Vec<_>) =
            decision.apply.iter().cloned().partition(|apply| apply.object.key.namespace.is_none());
        self.apply(namespaces).await;
        if let Err(error) = self.write_state(&decision).await {
            let namespace = self.state.as_ref().map(|(namespace, _)| namespace.clone()).unwrap_or_default();
            self.without_state(&namespace, &error, decision);
            return true;
        }
        self.journal.trouble_over("state", "the inventory can be written");
        self.memory.inventory.clone_from(&decision.inventory);
        self.memory.failures.retain(|key, _| decision.inventory.contains_key(key));
        self.apply(others).await;
        for object in &decision.delete {
            let result = self.cluster.delete(object).await;
            self.removed(&object.key, "deleted", result);
        }
        for (key, kind) in &decision.release {
            let Some(object) = live.get(key) else { continue };
            let object = crate::object::Live { kind: kind.clone(), ..(**object).clone() };
            let result = self.cluster.release(&object).await;
            self.removed(key, "given back", result);
        }
        if let Some(publication) = decision.publish.as_ref().filter(|publication| self.publishing.may_send(&publication.files)) {
            self.publishing.sent = Some(publication.files.clone());
            let _ = self.commands.send(Command::Publish(publication.clone())); // fails only when the process ends
        }
        self.last = Some(decision);
        settled
    }

    async fn apply(&mut self, applies: Vec<crate::decide::Apply>) {
        let items = applies.into_iter().map(|apply| (apply.object, apply.force)).collect();
        let mut results = pin!(self.cluster.apply_all(items, APPLIES_IN_FLIGHT));
        // One by one, so that what there is to do here is done while the API server works on the next.
        while let Some((object, result)) = results.next().await {
            let Object { kind, key, digest, source, .. } = &*object;
            match result {
                Ok(live) => {
                    self.memory.failures.remove(key);
                    self.comparisons.accept(&object, &live);
                    info!(event = "applied", object = %key, "applied {key}");
                }
                Err(error @ ApplyError::KindMissing { .. }) => {
                    self.unserved.insert(kind.clone(), error.to_string());
                }
                // The next decision holds the object, and says why.
                Err(error) => {
                    let message = format!("{error} (declared in {source})");
                    failed(&mut self.memory, key, digest.clone(), message, &error);
                }
            }
        }
    }

    fn removed(&mut self, key: &Key, how: &str, result: Result<(), ApplyError>) {
        match result {
            Ok(()) => {
                self.memory.failures.remove(key);
                info!(event = "removed", object = %key, "{how}: {key}");
            }
            Err(error) => {
                self.journal.trouble("remove", &format!("{key} cannot be {how}: {error}"));
                failed(&mut self.memory, key, REMOVAL.into(), error.to_string(), &error);
            }
        }
    }

    /// Reads the agent's ConfigMap, once for each namespace that the control plane has ever had in this process.
    async fn read_state(&mut self, namespace: &str) -> Result<(), ApplyError> {
        if self.state.as_ref().is_some_and(|(read, _)| read == namespace) {
            return Ok(());
        }
        let data = self.cluster.read_state(namespace, STATE_NAME).await?.map(|(data, _)| data).unwrap_or_default();
        let (inventory, unknown) = inventory::read(&data);
        for line in unknown {
            warn!(event = "state", "ConfigMap/{namespace}/{STATE_NAME} has a line that this version does not understand: {line}");
        }
        Arc::make_mut(&mut self.memory.inventory).extend(inventory);
        self.state = Some((namespace.to_owned(), data));
        self.written = None;
        Ok(())
    }

    /// Nothing is decided before every watch has listed: an object that is not seen would count as absent.
    fn without_watches(&mut self) {
        let problems = self.cluster.view().problems();
        let why = problems.iter().find(|problem| problem.trouble == Trouble::Interrupted).map(|problem| problem.message.clone());
        let why = why.unwrap_or_else(|| "the first listings take long".to_owned());
        self.journal.trouble("watches", &format!("nothing is changed until all watches have listed: {why}"));
        self.blocked = Some(false);
        self.last = Some(Decision { wake_at: Some(Timestamp::now()), ..Decision::default() });
    }

    /// Nothing is done while the inventory cannot be read or written; tried again in a moment.
    fn without_state(&mut self, namespace: &str, error: &ApplyError, decision: Decision) {
        let subject = format!("ConfigMap/{namespace}/{STATE_NAME}");
        self.journal.trouble("state", &format!("{subject}: {error}"));
        let stuck = failure(STATE_NAME.into(), String::new(), error, None).stuck;
        let mut holds = decision.holds;
        holds.push(Hold { stuck, ..Hold::part(subject, error.to_string()) });
        let wake_at = Some(later(Timestamp::now(), backoff(1)));
        self.blocked = Some(stuck);
        // What was not sent must not wake us for being sent again.
        self.last = Some(Decision { wake_at, holds, publish: None, ..decision });
    }

    /// Writes the inventory ahead of what it is about, so that a crash never leaves an object that nobody remembers.
    async fn write_state(&mut self, decision: &Decision) -> Result<(), ApplyError> {
        let Some((namespace, data)) = &mut self.state else { return Ok(()) };
        if self.written.as_ref().is_some_and(|written| Arc::ptr_eq(written, &decision.inventory)) {
            return Ok(());
        }
        let wanted = inventory::write(&decision.inventory);
        let patch = inventory::patch(data, &wanted);
        if !patch.is_empty() {
            let labels = BTreeMap::from([(SET_ID_LABEL.to_owned(), set_id(namespace))]);
            self.cluster.write_state(namespace, STATE_NAME, &patch, &labels).await?;
            *data = wanted;
        }
        self.written = Some(decision.inventory.clone());
        Ok(())
    }

    /// Nothing is left to do that waiting here could bring about.
    pub(super) fn is_quiet(&self) -> bool {
        let Some(decision) = &self.last else { return false };
        if let Some(stuck) = self.blocked {
            return stuck && !self.stale;
        }
        let Publishing { sent, failure } = &self.publishing;
        let idle = sent.is_none() && (failure.is_some() || decision.pending.is_none());
        idle && !self.stale && decision.leaves_cluster() && !self.memory.failures.values().any(|failure| !failure.stuck)
    }

    /// How `--once` ends.
    pub(super) fn outcome(&self) -> Outcome {
        let problems = self.declarations.iter().flat_map(|declarations| &declarations.problems);
        let errors = problems.filter(|problem| problem.severity == Severity::Error).map(ToString::to_string);
        let stuck = self.last.iter().flat_map(|decision| &decision.holds).filter(|hold| hold.stuck);
        let mut reasons: Vec<String> = errors.chain(stuck.map(|hold| format!("{}: {}", hold.subject, hold.reason))).collect();
        reasons.extend(self.publishing.failure.iter().map(|failure| failure.message.clone()));
        if reasons.is_empty() { Outcome::Quiet } else { Outcome::Failed(reasons) }
    }
}

fn failed(memory: &mut Memory, key: &Key, digest: Arc<str>, message: String, error: &ApplyError) {
    let before = memory.failures.get(key).filter(|failure| failure.digest == digest);
    let failure = failure(digest, message, error, before);
    memory.failures.insert(key.clone(), failure);
}

fn failure(digest: Arc<str>, message: String, error: &ApplyError, before: Option<&Failure>) -> Failure {
    let attempts = before.map_or(1, |failure| failure.attempts + 1);
    let (stuck, wait) = match error {
        ApplyError::Transient { retry_after, .. } => {
            let asked = retry_after.and_then(|wait| SignedDuration::try_from(wait).ok()).unwrap_or_default();
            (false, backoff(attempts).max(asked))
        }
        ApplyError::NamespaceMissing { .. } | ApplyError::NamespaceTerminating { .. } => (false, backoff(attempts)),
        ApplyError::Conflict { .. }
        | ApplyError::Refused { .. }
        | ApplyError::Forbidden { .. }
        | ApplyError::KindMissing { .. } => (true, REFUSED_RETRY),
    };
    Failure { digest, message, stuck, retry_at: later(Timestamp::now(), wait), attempts }
}

fn backoff(attempts: u32) -> SignedDuration {
    let (first, longest) = RETRY;
    first.saturating_mul(2_i32.saturating_pow(attempts.saturating_sub(1))).min(longest)
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
