//! One line for each transition, none for a pass that changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use super::declarations::Declarations;
use crate::decide::{Comparisons, Condition, ConditionKind, Decision, LiveObjects};
use crate::derive::Hold;
use crate::model::{Diagnostic, Severity};
use crate::object::APPLIED_ANNOTATION;
use crate::repo::CommitId;
use crate::words::some;

/// Most changed fields named in one line.
const FIELDS_SHOWN: usize = 3;

/// Most objects named in one line that wait for the same thing.
const SUBJECTS_SHOWN: usize = 5;

/// What was said last, so that nothing is said twice.
#[derive(Default)]
pub struct Journal {
    commit: String,
    published: Option<CommitId>,
    problems: BTreeSet<Diagnostic>,
    holds: BTreeSet<Hold>,
    would_do: BTreeSet<String>,
    conditions: BTreeMap<(String, ConditionKind), (bool, String)>,
    troubles: BTreeMap<&'static str, String>,
}

impl Journal {
    /// New declarations.
    pub fn declarations(&mut self, now: &Declarations) {
        let commit = now.commit.id.to_string();
        if commit != self.commit && !now.trust.is_blind() {
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

    /// A publication. Where our own branch is not believed, the same is offered at each look at it, and nothing new comes of it.
    pub fn published(&mut self, commit: CommitId, message: &str) {
        if self.published.replace(commit) != Some(commit) {
            info!(event = "published", commit = %commit, "published {} {message}", commit.short());
        }
    }

    /// A decision: what waits now that did not wait before, and peerings that came or went.
    pub fn decision(&mut self, decision: &Decision) {
        let holds: BTreeSet<Hold> = decision.holds.iter().cloned().collect();
        let mut news: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
        for hold in holds.difference(&self.holds) {
            news.entry((hold.stuck, &hold.reason)).or_default().push(&hold.subject);
        }
        for ((stuck, reason), subjects) in news {
            let subject = some(&subjects, SUBJECTS_SHOWN);
            if stuck {
                warn!(event = "held", subject, count = subjects.len(), "{subject}: {reason}");
            } else {
                info!(event = "held", subject, count = subjects.len(), "{subject}: {reason}");
            }
        }
        self.holds = holds;
        let would_do: BTreeSet<String> = decision.would_do.iter().cloned().collect();
        for line in would_do.difference(&self.would_do) {
            info!(event = "would", "would {line}");
        }
        self.would_do = would_do;
        for condition in &decision.conditions {
            self.condition(condition);
        }
    }

    /// A peering that came or went, weights that moved; what concerns the mesh itself has lines of its own.
    fn condition(&mut self, condition: &Condition) {
        let Condition { subject, kind, status, message } = condition;
        let known = self.conditions.insert((subject.clone(), *kind), (*status, message.clone()));
        let (before, words_before) = known.unwrap_or((kind.is_usual(), String::new()));
        // Weights can move again while they are not as declared.
        let moved = *kind == ConditionKind::AsDeclared && words_before != *message;
        if (before == *status && !moved) || matches!(kind, ConditionKind::Applied | ConditionKind::Valid | ConditionKind::Unique)
        {
            return;
        }
        let (kind, about, words) = (kind.name(), kind.about(subject), kind.words(*status));
        if *status {
            info!(event = "condition", condition = kind, status, subject, "{about}: {words}");
        } else {
            warn!(event = "condition", condition = kind, status, subject, "{about}: {words}: {message}");
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
                    let own = |path: &&str| *path != format!("metadata.annotations[{APPLIED_ANNOTATION}]");
                    let paths: Vec<&str> = comparison.changes.iter().map(|change| &*change.path).filter(own).collect();
                    if paths.is_empty() {
                        "gives up fields that nothing declares any more".to_owned()
                    } else {
                        format!("changed {}", some(&paths, FIELDS_SHOWN))
                    }
                }
            };
            info!(event = "apply", object = %object.key, forced = apply.force, "applying {}: {what}", object.key);
        }
    }

    /// Whether this was said last of the subject.
    pub fn knows(&self, subject: &str, message: &str) -> bool {
        self.troubles.get(subject).is_some_and(|known| known == message)
    }

    /// Says something once, until something else is to be said of the same subject.
    pub fn trouble(&mut self, subject: &'static str, message: &str) {
        if !self.knows(subject, message) {
            warn!(event = subject, "{message}");
            self.troubles.insert(subject, message.to_owned());
        }
    }

    /// The trouble with a subject is over.
    pub fn trouble_over(&mut self, subject: &'static str, message: &str) {
        if self.troubles.remove(subject).is_some() {
            info!(event = "recovered", subject, "{message}");
        }
    }
}
