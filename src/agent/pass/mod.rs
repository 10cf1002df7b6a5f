//! One pass: gather what is known, decide, perform.

mod asked;
mod leading;
mod perform;
mod publishing;
mod retry;
mod state;
mod traced;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::Outcome;
use super::declarations::{self, Declarations};
use super::http::Showing;
use super::journal::Journal;
use super::overview::Overview;
use super::probe::Prober;
use super::repository::{Command, News, Told};
use super::scopes::{scopes, unseen};
use super::traces::{Course, Traces};
use crate::cluster::{Cluster, Recorder, Trouble};
use crate::decide::{Comparisons, Decision, Gap, Memory, Status, World, decide, presence};
use crate::facts::Facts;
use crate::model::Severity;
use crate::object::Kind;
use asked::Asked;
use leading::Role;
use publishing::Publishing;
use retry::{RETRY, later};
use state::{State, Written};
pub(super) use traced::Cause;
use traced::Tally;

/// Passes in a row before the loop looks at other events: a chain of needs is shorter.
const MAX_PASSES: usize = 20;

/// Longest wait for first listings before other news are looked at: a commit may take away the very kind that cannot be listed.
const SYNC_LIMIT: Duration = Duration::from_secs(10);

/// The agent's state.
pub(super) struct Agent {
    me: String,
    pub(super) cluster: Cluster,
    recorder: Recorder,
    pub(super) cluster_uid: String,
    patience: SignedDuration,
    pub(super) journal: Journal,
    commands: Sender<Command>,
    declarations: Option<Arc<Declarations>>,
    own_files: BTreeMap<String, String>,
    own_facts: Facts,
    own_status: Status,
    own_at: Option<Timestamp>,
    memory: Memory,
    comparisons: Comparisons,
    /// Kinds that were not served when an object of theirs was sent, until the next poll.
    unserved: BTreeMap<Kind, String>,
    /// `None` before it was read.
    state: Option<State>,
    /// How often the repository's thread was told what the cluster remembers of verification.
    told_marks: u64,
    /// What these data say, once they were written.
    written: Option<Written>,
    publishing: Publishing,
    pub(super) prober: Prober,
    /// Why a pass is due; empty where none is.
    causes: BTreeSet<Cause>,
    /// The last pass could not decide, or not perform, for want of the inventory or the watches; whether only people can end that.
    blocked: Option<bool>,
    last: Option<Decision>,
    throwaway_root: String,
    observe: bool,
    role: Role,
    asked: Asked,
    /// How often the repository was to be looked at with an answer, and which of these looks was answered last.
    looks: u64,
    looked: u64,
    pub(super) showing: Showing,
    pub(super) traces: Arc<Traces>,
    course: Course,
    tally: Tally,
}

impl Agent {
    pub(super) fn new(
        me: String,
        cluster: Cluster,
        commands: Sender<Command>,
        patience: SignedDuration,
        throwaway_root: String,
        observe: bool,
        showing: Showing,
    ) -> Self {
        let recorder = cluster.recorder(&me);
        Self {
            me,
            cluster,
            recorder,
            cluster_uid: String::new(),
            patience,
            journal: Journal::default(),
            commands,
            declarations: None,
            own_files: BTreeMap::new(),
            own_facts: Facts::default(),
            own_status: Status::default(),
            own_at: None,
            memory: Memory::default(),
            comparisons: Comparisons::default(),
            unserved: BTreeMap::new(),
            state: None,
            told_marks: 0,
            written: None,
            publishing: Publishing::default(),
            prober: Prober::default(),
            causes: BTreeSet::new(),
            blocked: None,
            last: None,
            throwaway_root,
            observe,
            role: Role::Single,
            asked: Asked::default(),
            looks: 0,
            looked: 0,
            showing,
            traces: Arc::default(),
            course: Course::default(),
            tally: Tally::default(),
        }
    }

    /// Something that decisions are made from has changed.
    pub(super) fn is_stale(&self) -> bool {
        !self.causes.is_empty()
    }

    /// A pass is due.
    pub(super) fn wake(&mut self, cause: Cause) {
        self.causes.insert(cause);
    }

    /// When a pass is due although nothing happens.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let decision = self.last.as_ref()?;
        let retry = decision.publish.as_ref().and_then(|publication| self.publishing.retry_at(&publication.files));
        [retry, decision.wake_at].into_iter().flatten().min()
    }

    /// What the repository's thread says.
    pub(super) fn take(&mut self, (news, steps): Told) {
        self.trace_news(&news, steps);
        let metrics = &self.showing.metrics;
        match &news {
            News::Nothing => metrics.fetched(Some(false)),
            News::Declarations(_) => metrics.fetched(Some(true)),
            News::Unreadable(_) => metrics.fetched(None),
            News::Published(..) => metrics.published(true),
            News::Hooked | News::CaughtUp(_) => {}
            News::Unpublished(_) => metrics.published(false),
        }
        match news {
            News::Nothing => self.journal.trouble_over("repository", "the repository answers"),
            News::Unreadable(error) => {
                self.cannot_look(&error.to_string());
                self.journal.trouble("repository", &error.to_string());
            }
            News::Declarations(declarations) => {
                self.journal.trouble_over("repository", "the repository answers");
                self.journal.declarations(&declarations);
                self.own_files.clone_from(&declarations.own_files);
                self.own_facts.clone_from(&declarations.own_facts);
                self.own_status.clone_from(&declarations.own_status);
                self.own_at = declarations.own_at;
                let known = self.declarations.as_ref().is_some_and(|known| known.commit.id == declarations.commit.id);
                self.declarations = Some(declarations);
                self.wake(if known { Cause::Facts } else { Cause::Commit });
            }
            News::Published(files, commit, at, message) => {
                self.journal.published(commit, &message);
                self.own_at = Some(at);
                self.own_facts = declarations::own_facts(&self.me, &files, Timestamp::now());
                self.own_status = declarations::own_status(&files);
                self.own_files = files;
                self.publishing = Publishing::default();
                self.journal.trouble_over("publish", "the repository takes what is published");
                self.wake(Cause::Publication);
            }
            News::Hooked => self.asked.pass_on = self.stands_by(),
            News::CaughtUp(number) => self.has_looked(number),
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
        if !std::mem::take(&mut self.unserved).is_empty() {
            self.wake(Cause::Cluster);
        }
    }

    /// Passes until nothing is left to do in the cluster for now; whether any of them found something new.
    pub(super) async fn passes(&mut self) -> bool {
        let mut new = false;
        for _ in 0..MAX_PASSES {
            let before = self.last.take();
            self.showing.begins();
            let causes = self.causes();
            let settled = self.pass().await;
            self.showing.ends(self.last.as_ref(), self.overview());
            let found = !settled || !self.last.as_ref().zip(before).is_some_and(|(last, before)| last.tells_as(&before));
            self.trace_pass(&causes, !found);
            new |= found;
            if settled {
                self.answer_request().await;
                return new;
            }
        }
        if let Some(last) = &mut self.last {
            last.wake_at = Some(later(Timestamp::now(), RETRY.0));
        }
        true
    }

    /// Why there is a pass now.
    fn causes(&mut self) -> BTreeSet<Cause> {
        let causes = std::mem::take(&mut self.causes);
        if causes.is_empty() { BTreeSet::from([Cause::Pass]) } else { causes }
    }

    /// What the last pass tells of the mesh.
    fn overview(&self) -> Option<Overview> {
        let declarations = self.declarations.clone()?;
        Some(Overview { declarations, facts: self.own_facts.clone(), published_at: self.own_at })
    }

    /// One pass; whether nothing is left to do in the cluster.
    async fn pass(&mut self) -> bool {
        self.course.enter("gather");
        self.blocked = None;
        let Some(declarations) = self.declarations.clone() else { return true };
        let own_status = self.own_status.clone();
        let presence = presence(&declarations.federation, &self.me, &own_status);
        if let Some((namespace, _)) = presence.control_plane() {
            if let Err(error) = self.read_state(namespace).await {
                self.without_state(namespace, &error, Decision::default());
                return true;
            }
            self.cluster.watch(&scopes(&declarations.federation, &presence, &self.memory.inventory));
            if timeout(SYNC_LIMIT, self.cluster.synced()).await.is_err() {
                self.without_watches();
                return true;
            }
            self.journal.trouble_over("watches", "all watches have listed");
        }
        let snapshot = self.cluster.view().snapshot();
        let live = snapshot.objects();
        if !self.is_judged(&declarations, live) {
            return self.later(None);
        }
        if self.stands_by() {
            return self.watches_on();
        }
        self.hear_requests(live);
        let mut unseen = unseen(&snapshot);
        unseen.extend(self.unserved.iter().map(|(kind, reason)| Gap::kind(kind.clone(), reason)));
        let world = World {
            federation: &declarations.federation,
            problems: &declarations.problems,
            policies: &declarations.policies,
            me: &self.me,
            facts: &declarations.facts,
            statuses: &declarations.statuses,
            live,
            unseen: &unseen,
            cluster_uid: &self.cluster_uid,
            commit: &declarations.commit.id.to_string(),
            line: &declarations.line,
            views: &declarations.views,
            trust: &declarations.trust,
            own_facts: &self.own_facts,
            own_status: &self.own_status,
            published: &self.own_files,
            patience: self.patience,
            throwaway_root: &self.throwaway_root,
            probes: self.prober.answers(),
            observing: self.observe,
            now: Timestamp::now(),
        };
        self.course.enter("decide");
        let decision = decide(&world, &self.memory, &mut self.comparisons);
        self.journal.decision(&decision);
        Journal::applying(&decision, live, &mut self.comparisons);
        self.course.enter("perform");
        self.perform(decision, live, &declarations.trust).await
    }

    /// Nothing is done before there is news, or before some time.
    fn later(&mut self, wake_at: Option<Timestamp>) -> bool {
        self.blocked = Some(false);
        self.last = Some(Decision { wake_at, ..Decision::default() });
        true
    }

    /// Nothing is decided before every watch has listed: an object that is not seen would count as absent.
    fn without_watches(&mut self) {
        let problems = self.cluster.view().problems();
        let why = problems.iter().find(|problem| problem.trouble == Trouble::Interrupted).map(|problem| problem.message.clone());
        let why = why.unwrap_or_else(|| "the first listings take long".to_owned());
        self.course.fail(&why);
        self.journal.trouble("watches", &format!("nothing is changed until all watches have listed: {why}"));
        self.later(Some(Timestamp::now()));
    }

    /// Nothing is left to do that waiting here could bring about.
    pub(super) fn is_quiet(&self) -> bool {
        let Some(decision) = &self.last else { return false };
        if let Some(stuck) = self.blocked {
            return stuck && !self.is_stale();
        }
        let Publishing { sent, failure, .. } = &self.publishing;
        let idle = self.prober.is_idle()
            && sent.is_none()
            && decision.claimed.is_none()
            && (failure.is_some() || decision.pending.is_none());
        idle && !self.is_stale() && decision.leaves_cluster() && !self.memory.failures.values().any(|failure| !failure.stuck)
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
