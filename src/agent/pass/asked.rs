//! A pass that somebody has asked for: looks at the repository, passes, and says how it went.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::Agent;
use super::state::Write;
use super::traced::Cause;
use crate::agent::reconcile::{HANDLED, REQUESTED, RESULT, Reconciled, annotation};
use crate::decide::LiveObjects;
use crate::derive::kinds;
use crate::model::Severity;
use crate::object::STATE_NAME;

/// What somebody has asked for.
#[derive(Default)]
pub(super) struct Asked {
    /// Version of the ConfigMap that was looked at last.
    seen: Arc<str>,
    request: Option<Request>,
    /// A webhook has reached a replica that stands by.
    pub(super) pass_on: bool,
}

struct Request {
    token: String,
    /// Which look at the repository it waits for.
    look: u64,
    /// The repository did not answer.
    error: Option<String>,
}

impl Asked {
    /// Whether somebody waits for an answer.
    pub(super) fn is_open(&self) -> bool {
        self.request.is_some()
    }
}

impl Agent {
    /// Looks for a request that was not answered.
    pub(super) fn hear_requests(&mut self, live: &LiveObjects) {
        let Some(namespace) = self.state.as_ref().map(|state| state.namespace.clone()).filter(|_| !self.observe) else { return };
        let Some(config_map) = live.get(&kinds::key(kinds::CONFIG_MAP, &namespace, STATE_NAME)) else { return };
        if self.asked.seen == config_map.resource_version {
            return;
        }
        self.asked.seen = config_map.resource_version.clone();
        let config_map = config_map.value();
        let [requested, handled] = [REQUESTED, HANDLED].map(|name| annotation(&config_map, name));
        let open = self.asked.request.as_ref().map(|request| &request.token);
        if let Some(token) = requested.filter(|token| Some(token) != handled.as_ref() && Some(token) != open) {
            let look = self.look_again();
            self.asked.request = Some(Request { token, look, error: None });
        }
    }

    /// Tells the leader of a webhook that came here: the one thing that a standby writes, and no more than anybody may ask for.
    pub(in crate::agent) async fn pass_on(&mut self) {
        if !std::mem::take(&mut self.asked.pass_on) {
            return;
        }
        let Some(namespace) = self.state.as_ref().map(|state| state.namespace.clone()) else { return };
        let token = Timestamp::now().to_string();
        match self.cluster.annotate_state(&namespace, STATE_NAME, REQUESTED, &token).await {
            Ok(_) => self.journal.trouble_over("request", "the leader can be told of webhooks"),
            Err(error) => self.journal.trouble("request", &format!("the leader cannot be told of a webhook: {error}")),
        }
    }

    /// The repository could not be read.
    pub(super) fn cannot_look(&mut self, error: &str) {
        if let Some(request) = &mut self.asked.request {
            request.error = Some(error.to_owned());
            self.wake(Cause::Request);
        }
    }

    /// Says how the pass went that somebody has asked for.
    pub(super) async fn answer_request(&mut self) {
        let Some(request) = self.asked.request.take_if(|request| request.look <= self.looked || request.error.is_some()) else {
            return;
        };
        let Some(namespace) = self.state.as_ref().map(|state| state.namespace.clone()) else { return };
        let result = json!(self.result(request.error)).to_string();
        let metadata = json!({"annotations": {HANDLED: request.token, RESULT: result}});
        let mut written = self.annotate_state(&namespace, &metadata).await;
        if matches!(written, Ok(Write::Lost)) {
            written = self.annotate_state(&namespace, &metadata).await; // the request itself was a write of somebody else
        }
        match written {
            Ok(Write::Done) => self.journal.trouble_over("request", "requests are answered"),
            Ok(Write::Lost) => {} // the ConfigMap changes, so the request is heard again
            Err(error) => self.journal.trouble("request", &format!("a request to reconcile cannot be answered: {error}")),
        }
    }

    fn result(&self, error: Option<String>) -> Reconciled {
        let holds = self.last.iter().flat_map(|decision| &decision.holds);
        let (stuck, waiting): (Vec<_>, Vec<_>) = holds.partition(|hold| hold.stuck);
        let problems = self.declarations.iter().flat_map(|declarations| &declarations.problems);
        Reconciled {
            error,
            commit: self.declarations.as_ref().map(|declarations| declarations.commit.id.to_string()).unwrap_or_default(),
            objects: self.memory.inventory.len(),
            waiting: waiting.len(),
            stuck: stuck.len(),
            errors: problems.filter(|problem| problem.severity == Severity::Error).count(),
        }
    }
}
