//! What comes out of a decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Applied, Condition, Deletions, Event, HealthMemory, Origin, Pending, Publication, Settling, Status, ViewMemory, Withdrawals,
};
use crate::derive::Hold;
use crate::facts::probe::Question;
use crate::object::{Key, Kind, Live, Object};

/// An object to send.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The object.
    pub object: Arc<Object>,
    /// Take fields back that somebody edited.
    pub force: bool,
}

/// What one pass does.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// To apply, in any order.
    pub apply: Vec<Apply>,
    /// To send again for the mark of the verified commit alone; nothing else differs.
    pub renew: Vec<Arc<Object>>,
    /// To delete, exactly as seen.
    pub delete: Vec<Arc<Live>>,
    /// To give back: our fields go, the object stays.
    pub release: Vec<(Key, Kind)>,
    /// The inventory as it must be written before anything above is done; the very one in memory where nothing changes.
    pub inventory: Arc<BTreeMap<Key, Origin>>,
    /// What is to be remembered of deletions, written with the inventory.
    pub deletions: Deletions,
    /// Since when this cluster has waited for the mesh's owner to answer.
    pub claimed: Option<Timestamp>,
    /// What is to be remembered of destinations, written like the inventory.
    pub health: HealthMemory,
    /// To publish now.
    pub publish: Option<Publication>,
    /// What waits to be published.
    pub pending: Option<Pending>,
    /// What is applied in full, to be remembered.
    pub applied: Option<Applied>,
    /// Exports that are to end.
    pub withdrawals: Withdrawals,
    /// By peer: load balancers that have changed lately.
    pub addresses: BTreeMap<String, Settling>,
    /// What is to be remembered of how peers see `main`.
    pub views: ViewMemory,
    /// By peer: what to ask of its ingress, so that its roots can be believed.
    pub probes: BTreeMap<String, Question>,
    /// What waits, and for what.
    pub holds: Vec<Hold>,
    /// What is so and what is not.
    pub conditions: Vec<Condition>,
    /// What would be done if it were not only observed.
    pub would_do: Vec<String>,
    /// What has just happened to objects of the cluster: on transitions only.
    pub events: Vec<Event>,
    /// The mesh as its published status tells it.
    pub status: Status,
    /// Decide again then, even if nothing has happened.
    pub wake_at: Option<Timestamp>,
}

impl Decision {
    /// Whether the pass changes nothing in the cluster.
    pub fn leaves_cluster(&self) -> bool {
        self.apply.is_empty() && self.delete.is_empty() && self.release.is_empty()
    }

    /// Whether it says of the mesh what another one says.
    pub fn tells_as(&self, other: &Self) -> bool {
        self.status == other.status && self.holds == other.holds && self.pending == other.pending
    }

    /// The inventory, to be changed: only this copies it.
    pub(super) fn inventory_mut(&mut self) -> &mut BTreeMap<Key, Origin> {
        Arc::make_mut(&mut self.inventory)
    }

    pub(super) fn hold(&mut self, hold: Hold) {
        self.holds.push(hold);
    }

    pub(super) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |other| other.min(at)));
    }
}
