//! The agent's ConfigMap: read once, written ahead of what it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::warn;

use super::Agent;
use super::perform::failure;
use super::retry::{backoff, later};
use crate::agent::declarations::Declarations;
use crate::agent::inventory::Inventory;
use crate::agent::remembered::{self, LEASE_ANNOTATION, Remembered};
use crate::agent::repository::Command;
use crate::cluster::ApplyError;
use crate::decide::{Decision, Deletions, Lapses, LiveObjects, Trust, marks};
use crate::derive::Hold;
use crate::object::{STATE_NAME, set_id};
use crate::trust::Marks;

/// Label of the ConfigMap that names a set (KEP-3659).
const SET_ID_LABEL: &str = "applyset.kubernetes.io/id";

/// Annotation of the ConfigMap with the replica that has written it and how often the Lease had passed on until then.
const EPOCH_ANNOTATION: &str = "meshfed.dev/leader";

/// What the ConfigMap says: inventory, removals, lapses, how far branches are verified.
pub(super) type Written = (Arc<Inventory>, Deletions, Arc<Lapses>, Marks);

/// The ConfigMap as it lies in the cluster.
pub(super) struct State {
    pub(super) namespace: String,
    data: BTreeMap<String, String>,
    /// What it was last read or written at; `None` where there is none.
    version: Option<String>,
    /// How far branches are verified, by what was read in it or written.
    marks: Marks,
    /// Live objects may bear newer marks; whether they were looked at.
    heard: bool,
    /// Whether it was written by this process since it came to lead.
    claimed: bool,
}

/// What became of a write.
pub(super) enum Write {
    Done,
    /// Somebody else has written since: it has to be read again.
    Lost,
}

impl Agent {
    /// Reads the agent's ConfigMap, once for each namespace that the control plane has ever had in this process.
    pub(super) async fn read_state(&mut self, namespace: &str) -> Result<(), ApplyError> {
        if self.state.as_ref().is_some_and(|state| state.namespace == namespace) {
            return Ok(());
        }
        let (data, version) = self.cluster.read_state(namespace, STATE_NAME).await?.unzip();
        let data = data.unwrap_or_default();
        let (Remembered { inventory, deletions, lapses, marks }, unknown) = remembered::read(&data);
        for line in unknown {
            warn!(event = "state", "ConfigMap/{namespace}/{STATE_NAME} has a line that this version does not understand: {line}");
        }
        Arc::make_mut(&mut self.memory.inventory).extend(inventory);
        self.memory.deletions.admitted.extend(deletions.admitted);
        self.memory.deletions.joined.extend(deletions.joined);
        Arc::make_mut(&mut self.memory.health.lapses).extend(lapses);
        self.state = Some(State { namespace: namespace.to_owned(), data, version, marks, heard: false, claimed: false });
        self.written = None;
        Ok(())
    }

    /// Whether what is to be applied was judged by all that the cluster remembers of verification. If not, it is judged again, and comes
    /// as news: the namespace of the ConfigMap is known only from what the floor has to judge.
    pub(super) fn is_judged(&mut self, declarations: &Declarations, live: &LiveObjects) -> bool {
        let Some(state) = self.state.as_mut().filter(|_| !declarations.trust.verification.is_off()) else { return true };
        if !state.heard {
            state.heard = true;
            let mut marks = marks(live);
            marks.extend(state.marks.clone());
            self.told_marks += 1;
            let _ = self.commands.send(Command::Remember(marks)); // fails only when the process ends
        }
        declarations.heard == self.told_marks
    }

    /// Nothing is done while the inventory cannot be read or written; tried again in a moment.
    pub(super) fn without_state(&mut self, namespace: &str, error: &ApplyError, decision: Decision) {
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

    /// Writes inventory, lapses and floor ahead of what they are about, so that a crash never leaves an object, nor a weight, that nobody
    /// remembers, nor anything applied that is newer than the floor.
    pub(super) async fn write_state(&mut self, decision: &Decision, trust: &Trust) -> Result<Write, ApplyError> {
        let Some(state) = self.state.as_mut().filter(|_| !self.observe) else { return Ok(Write::Done) };
        let (inventory, deletions, lapses) = (&decision.inventory, &decision.deletions, &decision.health.lapses);
        let marks = trust.marks(&state.marks);
        let same = |(i, d, l, m): &Written| Arc::ptr_eq(i, inventory) && d == deletions && Arc::ptr_eq(l, lapses) && *m == marks;
        // Whoever comes to lead writes it first of all: what the one before has read is out of date then.
        let claims = self.role.term().is_some() && state.version.is_some() && !state.claimed;
        if !claims && self.written.as_ref().is_some_and(same) {
            return Ok(Write::Done);
        }
        let wanted = remembered::write(inventory, deletions, lapses, &marks);
        let patch = remembered::patch(&state.data, &wanted);
        if claims || !patch.is_empty() {
            let mut metadata = json!({"labels": {SET_ID_LABEL: set_id(&state.namespace)}});
            if let Some((epoch, lease)) = self.role.term() {
                let lease = format!("{}/{}", lease.namespace.as_deref().unwrap_or_default(), lease.name);
                metadata["annotations"] = json!({EPOCH_ANNOTATION: epoch, LEASE_ANNOTATION: lease});
            }
            let version = state.version.as_deref();
            let Some(version) = self.cluster.write_state(&state.namespace, STATE_NAME, &patch, &metadata, version).await? else {
                self.state = None;
                return Ok(Write::Lost);
            };
            (state.data, state.version, state.claimed) = (wanted, Some(version), true);
        }
        state.marks.clone_from(&marks);
        self.written = Some((inventory.clone(), deletions.clone(), lapses.clone(), marks));
        Ok(Write::Done)
    }

    /// Writes annotations over what was read of the ConfigMap, where there is one.
    pub(super) async fn annotate_state(&mut self, namespace: &str, metadata: &Value) -> Result<Write, ApplyError> {
        self.read_state(namespace).await?;
        let Some(state) = self.state.as_mut().filter(|state| state.version.is_some()) else { return Ok(Write::Done) };
        let version = state.version.as_deref();
        let written = self.cluster.write_state(namespace, STATE_NAME, &BTreeMap::new(), metadata, version).await?;
        if written.is_none() {
            self.state = None;
            return Ok(Write::Lost);
        }
        state.version = written;
        Ok(Write::Done)
    }

    /// Whether the ConfigMap is there.
    pub(super) fn has_state(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.version.is_some())
    }
}
