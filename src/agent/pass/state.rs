//! The agent's ConfigMap: read once, written ahead of what it is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

use super::Agent;
use super::perform::failure;
use super::retry::{backoff, later};
use crate::agent::inventory::Inventory;
use crate::agent::remembered::{self, Remembered};
use crate::cluster::ApplyError;
use crate::decide::Deletions;
use crate::decide::{Decision, Lapses};
use crate::derive::Hold;
use crate::object::{STATE_NAME, set_id};

/// Label of the ConfigMap that names a set (KEP-3659).
const SET_ID_LABEL: &str = "applyset.kubernetes.io/id";

/// What the ConfigMap says: inventory, removals, lapses.
pub(super) type Written = (Arc<Inventory>, Deletions, Arc<Lapses>);

impl Agent {
    /// Reads the agent's ConfigMap, once for each namespace that the control plane has ever had in this process.
    pub(super) async fn read_state(&mut self, namespace: &str) -> Result<(), ApplyError> {
        if self.state.as_ref().is_some_and(|(read, _)| read == namespace) {
            return Ok(());
        }
        let data = self.cluster.read_state(namespace, STATE_NAME).await?.map(|(data, _)| data).unwrap_or_default();
        let (Remembered { inventory, deletions, lapses }, unknown) = remembered::read(&data);
        for line in unknown {
            warn!(event = "state", "ConfigMap/{namespace}/{STATE_NAME} has a line that this version does not understand: {line}");
        }
        Arc::make_mut(&mut self.memory.inventory).extend(inventory);
        self.memory.deletions.admitted.extend(deletions.admitted);
        self.memory.deletions.joined.extend(deletions.joined);
        Arc::make_mut(&mut self.memory.health.lapses).extend(lapses);
        self.state = Some((namespace.to_owned(), data));
        self.written = None;
        Ok(())
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

    /// Writes inventory and lapses ahead of what they are about, so that a crash never leaves an object, nor a weight, that nobody
    /// remembers.
    pub(super) async fn write_state(&mut self, decision: &Decision) -> Result<(), ApplyError> {
        let Some((namespace, data)) = self.state.as_mut().filter(|_| !self.observe) else { return Ok(()) };
        let (inventory, deletions, lapses) = (&decision.inventory, &decision.deletions, &decision.health.lapses);
        let same = |(i, d, l): &Written| Arc::ptr_eq(i, inventory) && d == deletions && Arc::ptr_eq(l, lapses);
        if self.written.as_ref().is_some_and(same) {
            return Ok(());
        }
        let wanted = remembered::write(inventory, deletions, lapses);
        let patch = remembered::patch(data, &wanted);
        if !patch.is_empty() {
            let labels = BTreeMap::from([(SET_ID_LABEL.to_owned(), set_id(namespace))]);
            self.cluster.write_state(namespace, STATE_NAME, &patch, &labels).await?;
            *data = wanted;
        }
        self.written = Some((inventory.clone(), deletions.clone(), lapses.clone()));
        Ok(())
    }
}
