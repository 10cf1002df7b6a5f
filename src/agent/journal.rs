//! One line for each transition, none for a pass that changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use super::declarations::Declarations;
use crate::decide::{Comparisons, Condition, ConditionKind, Decision, LiveObjects};
use crate::derive::Hold;
use crate::model::{Diagnostic, Severity};

/// Most changed fields named in one line.
const FIELDS_SHOWN: usize = 3;

/// What was said last, so that nothing is said twice.
#[derive(Default)]
pub struct Journal {
    commit: String,
    problems: BTreeSet<Diagnostic>,
    holds: BTreeSet<Hold>,
    conditions: BTreeMap<(String, ConditionKind), bool>,
    said: String,
}

impl Journal {
    /// New declarations.
    pub fn declarations(&mut self, now: &Declarations) {
        let commit = now.commit.id.to_string();
        if commit != self.commit {
            info!(event = "commit", commit, author = %now.commit.author_email, "{} {}", now.commit.id.short(), now.commit.summary);
            self.commit = commit;
        }
        let problems: BTreeSet<Diagnostic> = now.problems.iter().cloned().collect();
        for problem in problems.difference(&self.problems) {
            match problem.severity {
                Severity::Error => warn!(event = "problem", code = problem.code.number(), "{problem}"),
                Severity::Warning => info!(event = "problem", code = problem.code.number(), "{problem}"),
            }
        }
        for problem in self.problems.difference(&problems) {
            info!(event = "solved", code = problem.code.number(), "solved: {problem}");
        }
        self.problems = problems;
    }

    /// A decision: what waits now that did not wait before, and peerings that came or went.
    pub fn decision(&mut self, decision: &Decision) {
        let holds: BTreeSet<Hold> = decision.holds.iter().cloned().collect();
        for hold in holds.difference(&self.holds) {
            if hold.stuck {
                warn!(event = "held", subject = hold.subject, "{}: {}", hold.subject, hold.reason);
            } else {
                info!(event = "held", subject = hold.subject, "{}: {}", hold.subject, hold.reason);
            }
        }
        self.holds = holds;
        for condition in &decision.conditions {
            self.condition(condition);
        }
    }

    /// A peering that came or went; what concerns the mesh itself has lines of its own.
    fn condition(&mut self, condition: &Condition) {
        let Condition { subject, kind, status, message } = condition;
        let known = self.conditions.insert((subject.clone(), *kind), *status);
        if known.unwrap_or(false) == *status || matches!(kind, ConditionKind::Applied | ConditionKind::Valid) {
            return;
        }
        let words = kind.words(*status);
        if *status {
            info!(event = words, peer = subject, "peering with {subject}: {words}");
        } else {
            warn!(event = words, peer = subject, "peering with {subject}: {words}: {message}");
        }
    }

    /// Objects about to be applied, with what differs.
    pub fn applying(decision: &Decision, live: &LiveObjects, comparisons: &mut Comparisons) {
        for apply in &decision.apply {
            let object = &apply.object;
            let what = match live.get(&object.key) {
                None => "created".to_owned(),
                Some(live) => {
                    let comparison = comparisons.get(object, live);
                    let paths: Vec<&str> = comparison.changes.iter().map(|change| &*change.path).collect();
                    let own = |path: &&str| !path.starts_with("metadata.annotations[meshfed.dev/");
                    let mut shown: Vec<&str> = paths.iter().copied().filter(own).take(FIELDS_SHOWN).collect();
                    if shown.len() < paths.iter().copied().filter(own).count() {
                        shown.push("…");
                    }
                    if shown.is_empty() {
                        "gives up fields that nothing declares any more".to_owned()
                    } else {
                        format!("changed {}", shown.join(", "))
                    }
                }
            };
            info!(event = "apply", object = %object.key, forced = apply.force, "applying {}: {what}", object.key);
        }
    }

    /// Says something once, until something else is said.
    pub fn trouble(&mut self, what: &str, message: &str) {
        if self.said != message {
            warn!(event = what, "{message}");
            message.clone_into(&mut self.said);
        }
    }

    /// The trouble is over.
    pub fn trouble_over(&mut self, message: &str) {
        if !std::mem::take(&mut self.said).is_empty() {
            info!(event = "recovered", "{message}");
        }
    }
}
