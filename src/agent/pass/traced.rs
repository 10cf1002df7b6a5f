//! What is traced of a pass: what started it, its steps, what came of it.

use std::collections::BTreeSet;

use super::Agent;
use crate::agent::repository::News;
use crate::agent::traces::Step;

/// Why a pass is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::agent) enum Cause {
    /// A new commit of `main`.
    Commit,
    /// News on a published branch.
    Facts,
    /// Something in the cluster.
    Cluster,
    /// Somebody has asked for it.
    Request,
    /// What was pushed has arrived.
    Publication,
    /// This replica leads, or stands by.
    Leadership,
    /// A peer's ingress has shown who it is, or not.
    Probe,
    /// Its time has come: something waits no longer, or is tried again.
    Time,
    /// The pass before has changed something.
    Pass,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Facts => "facts",
            Self::Cluster => "cluster",
            Self::Request => "request",
            Self::Publication => "publication",
            Self::Leadership => "leadership",
            Self::Probe => "probe",
            Self::Time => "time",
            Self::Pass => "pass",
        }
    }
}

/// What a pass did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Requests to the API server, without those of watches.
    pub(super) requests: usize,
    /// Objects that the API server took.
    pub(super) applied: usize,
    /// Objects deleted or given back.
    pub(super) removed: usize,
    /// Objects that could not be applied or removed.
    pub(super) failed: usize,
}

impl Agent {
    /// A pass has ended. A quiet one found what the one before it found, and is told of only where everything is.
    pub(super) fn trace_pass(&mut self, causes: &BTreeSet<Cause>, quiet: bool) {
        let tally = std::mem::take(&mut self.tally);
        let sent = self.publishing.sent.is_some() && self.publishing.trace.is_none();
        let steps = self.course.take();
        let Some(mut pass) = Step::around("pass", &steps) else { return };
        let causes: Vec<_> = causes.iter().map(|cause| cause.name()).collect();
        let commit = self.declarations.as_ref().map(|declarations| declarations.commit.id.to_string()).unwrap_or_default();
        let holds = self.last.iter().flat_map(|decision| &decision.holds);
        let (stuck, waiting): (Vec<_>, Vec<_>) = holds.partition(|hold| hold.stuck);
        pass.attributes = vec![
            ("causes", causes.into()),
            ("commit", commit.as_str().into()),
            ("objects", self.memory.inventory.len().into()),
            ("requests", tally.requests.into()),
            ("applied", tally.applied.into()),
            ("removed", tally.removed.into()),
            ("failed", tally.failed.into()),
            ("waiting", waiting.len().into()),
            ("stuck", stuck.len().into()),
        ];
        let parent = self.traces.tell(pass, steps, quiet && !sent);
        if sent {
            self.publishing.trace = parent;
        }
    }

    /// Steps that the repository's thread took: they belong to the pass that they cause, or to the one that sent what is published.
    pub(super) fn trace_news(&mut self, news: &News, steps: Vec<Step>) {
        match news {
            News::Declarations(_) => self.course.add(steps),
            News::Published(..) | News::Unpublished(_) => {
                if let Some(parent) = self.publishing.trace.take() {
                    self.traces.tell_later(&parent, steps);
                }
            }
            News::Nothing => self.trace_look(steps, true),
            News::Unreadable(error) => {
                let known = self.journal.knows("repository", &error.to_string());
                self.trace_look(steps, known);
            }
            News::Hooked | News::CaughtUp(_) => {}
        }
    }

    /// A look at the repository that causes no pass.
    fn trace_look(&self, steps: Vec<Step>, quiet: bool) {
        if let Some(look) = Step::around("look", &steps) {
            self.traces.tell(look, steps, quiet);
        }
    }
}
