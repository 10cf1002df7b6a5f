//! Performing a decision: each object on its own, so that one refusal stops no other.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use tracing::info;

use super::Agent;
use super::retry::{REFUSED_RETRY, backoff, later};
use super::state::Write;
use crate::agent::repository::Command;
use crate::cluster::{APPLIES_IN_FLIGHT, ApplyError};
use crate::decide::{Decision, Failure, LiveObjects, Memory, Publication, REMOVAL, Trust};
use crate::object::{Key, Object};

impl Agent {
    pub(super) async fn perform(&mut self, decision: Decision, live: &LiveObjects, trust: &Trust) -> bool {
        let settled = decision.leaves_cluster();
        self.memory.pending.clone_from(&decision.pending);
        self.memory.claimed = decision.claimed;
        self.memory.fights.forget(Timestamp::now());
        self.remember_applied(&decision);
        self.memory.withdrawals.clone_from(&decision.withdrawals);
        self.memory.addresses.clone_from(&decision.addresses);
        self.memory.views.clone_from(&decision.views);
        let (namespaces, mut others): (Vec<_>, Vec<_>) =
            decision.apply.iter().cloned().partition(|apply| apply.object.key.namespace.is_none());
        if self.has_state() {
            others.extend(namespaces);
        } else {
            self.apply(namespaces).await; // the one that the state is to lie in may be among them
        }
        match self.write_state(&decision, trust).await {
            Ok(Write::Done) => {}
            Ok(Write::Lost) => return self.later(Some(Timestamp::now())),
            Err(error) => {
                let namespace = self.state.as_ref().map(|state| state.namespace.clone()).unwrap_or_default();
                self.without_state(&namespace, &error, decision);
                return true;
            }
        }
        self.journal.trouble_over("state", "the inventory can be written");
        self.memory.inventory.clone_from(&decision.inventory);
        self.memory.deletions.clone_from(&decision.deletions);
        self.memory.health.clone_from(&decision.health);
        self.memory.failures.retain(|key, _| decision.inventory.contains_key(key));
        self.apply(others).await;
        self.renew(&decision.renew).await;
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
        let may_send =
            |publication: &&Publication| self.role.may_publish(self.looked) && self.publishing.may_send(&publication.files);
        if let Some(publication) = decision.publish.as_ref().filter(may_send) {
            self.publishing.sent = Some(publication.files.clone());
            let _ = self.commands.send(Command::Publish(publication.clone())); // fails only when the process ends
        }
        self.prober.ask(&decision.probes);
        self.memory.tell(&decision.status);
        for event in &decision.events {
            self.recorder.record(event.clone());
        }
        self.last = Some(decision);
        settled
    }

    /// What is new on `main` is counted from there, so that the repository's thread has to know.
    fn remember_applied(&mut self, decision: &Decision) {
        if self.memory.applied != decision.applied {
            self.memory.applied.clone_from(&decision.applied);
            if let Some(Ok(commit)) = self.memory.applied.as_ref().map(|applied| applied.commit.parse()) {
                let _ = self.commands.send(Command::Applied(commit)); // fails only when the process ends
            }
        }
    }

    async fn apply(&mut self, applies: Vec<crate::decide::Apply>) {
        self.tally.requests += applies.len();
        let items = applies.into_iter().map(|apply| (apply.object, apply.force)).collect();
        let mut results = pin!(self.cluster.apply_all(items, APPLIES_IN_FLIGHT));
        // One by one, so that what there is to do here is done while the API server works on the next.
        while let Some((object, result)) = results.next().await {
            let Object { kind, key, digest, source, .. } = &*object;
            self.showing.metrics.applied(result.is_ok());
            self.tally.applied += usize::from(result.is_ok());
            if let Err(error) = &result {
                self.tally.failed += 1;
                self.course.fail_with(key.to_string(), &error.to_string());
            }
            match result {
                Ok(live) => {
                    self.memory.failures.remove(key);
                    self.memory.fights.wrote(&object, Timestamp::now());
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

    /// Sends objects again for their mark. One that fails is sent again by the next pass, whenever there is one.
    async fn renew(&mut self, objects: &[Arc<Object>]) {
        self.tally.requests += objects.len();
        for object in objects {
            match self.cluster.apply(object, false).await {
                Ok(_) => self.journal.trouble_over("mark", "the mark of the verified commit can be written"),
                Err(error) => {
                    let message = format!("{} cannot be marked with the verified commit: {error}", object.key);
                    self.journal.trouble("mark", &message);
                }
            }
        }
    }

    fn removed(&mut self, key: &Key, how: &str, result: Result<(), ApplyError>) {
        self.showing.metrics.removed(result.is_ok());
        self.tally.requests += 1;
        match result {
            Ok(()) => {
                self.tally.removed += 1;
                self.memory.failures.remove(key);
                self.journal.trouble_over("remove", "objects can be removed");
                info!(event = "removed", object = %key, "{how}: {key}");
            }
            Err(error) => {
                self.tally.failed += 1;
                self.course.fail_with(key.to_string(), &error.to_string());
                self.journal.trouble("remove", &format!("{key} cannot be {how}: {error}"));
                failed(&mut self.memory, key, REMOVAL.into(), error.to_string(), &error);
            }
        }
    }
}

fn failed(memory: &mut Memory, key: &Key, digest: Arc<str>, message: String, error: &ApplyError) {
    let before = memory.failures.get(key).filter(|failure| failure.digest == digest);
    let failure = failure(digest, message, error, before);
    memory.failures.insert(key.clone(), failure);
}

pub(super) fn failure(digest: Arc<str>, message: String, error: &ApplyError, before: Option<&Failure>) -> Failure {
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
