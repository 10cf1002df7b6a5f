//! Coming to lead, and standing by: everything is read and kept warm, nothing is decided.

use tokio::sync::mpsc::UnboundedReceiver;

use super::Agent;
use super::asked::Asked;
use super::publishing::Publishing;
use crate::agent::leader::Leadership;
use crate::agent::repository::{Command, News};
use crate::cluster::lease_kind;
use crate::decide::{Decision, Event, Memory};
use crate::object::Key;

/// Whether this process writes.
pub(super) enum Role {
    /// There is no other one.
    Single,
    /// Another one does, or nobody yet.
    Standby,
    /// It does, and others may have before.
    Leader {
        /// Marks what is written in this time as the leader.
        epoch: String,
        /// The Lease that says so.
        lease: Key,
        /// Number of the look at the repository with which it knows what the one before published.
        look: u64,
    },
}

impl Role {
    /// Whether what would be published is made from what is published, after so many looks at the repository.
    pub(super) fn may_publish(&self, looked: u64) -> bool {
        match self {
            Self::Single => true,
            Self::Standby => false,
            Self::Leader { look, .. } => *look <= looked,
        }
    }

    /// What marks the time as the leader, and its Lease.
    pub(super) fn term(&self) -> Option<(&str, &Key)> {
        match self {
            Self::Leader { epoch, lease, .. } => Some((epoch, lease)),
            Self::Single | Self::Standby => None,
        }
    }
}

impl Agent {
    /// This process may write from now on. What it remembers is older than what the one before may have written, so it begins as if it had
    /// just been started; what it has fetched, verified and watched stays.
    pub(in crate::agent) fn lead(&mut self, leadership: Leadership) {
        let Leadership { epoch, identity, before, lease: (key, uid), .. } = leadership;
        self.forget();
        self.role = Role::Leader { epoch, lease: key.clone(), look: self.look_again() };
        self.showing.leads(true);
        let before = before.map(|before| format!("; before it, {before} did")).unwrap_or_default();
        let note = format!("{identity} looks after {} now{before}", self.me);
        let event = Event { kind: lease_kind(), about: key, warning: false, reason: "Leading", note };
        self.recorder.record_of(event, Some(uid));
        self.stale = true;
    }

    /// Another process may write from now on.
    pub(in crate::agent) fn stand_by(&mut self) {
        self.forget();
        self.role = Role::Standby;
        self.showing.leads(false);
        self.stale = true;
    }

    /// Whether nothing is decided here.
    pub(in crate::agent) fn stands_by(&self) -> bool {
        matches!(self.role, Role::Standby)
    }

    /// Nothing is decided any more; waits until what was sent to be published has been answered.
    pub(in crate::agent) async fn hand_over(&mut self, news: &mut UnboundedReceiver<News>) {
        while self.publishing.sent.is_some() && self.role.term().is_some() {
            match news.recv().await {
                Some(news) => self.take(news),
                None => return,
            }
        }
    }

    /// Has the repository looked at once more; gives the number of this look.
    pub(super) fn look_again(&mut self) -> u64 {
        self.looks += 1;
        let _ = self.commands.send(Command::CatchUp(self.looks)); // fails only when the process ends
        self.looks
    }

    /// What the next look at the repository is to be: somebody may still wait for the last one.
    pub(in crate::agent) fn look(&self) -> Command {
        if self.looked < self.looks { Command::CatchUp(self.looks) } else { Command::Fetch }
    }

    pub(super) fn has_looked(&mut self, number: u64) {
        self.looked = number;
        self.stale = true;
    }

    /// Nothing is decided; shown is what the leader has published.
    pub(super) fn watches_on(&mut self) -> bool {
        self.blocked = Some(false);
        self.last = Some(Decision { status: self.own_status.clone(), ..Decision::default() });
        true
    }

    fn forget(&mut self) {
        self.memory = Memory::default();
        self.state = None;
        self.written = None;
        self.publishing = Publishing::default();
        self.asked = Asked::default();
        self.blocked = None;
        self.last = None;
    }
}
