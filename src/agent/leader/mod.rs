//! Which of several replicas writes: a task that keeps the Lease and opens the fence, and what it tells the loop.

mod election;

use std::sync::Arc;
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::cluster::{Claim, Fence, LeaseChanges, LeaseClient, LeaseError, LeaseOptions, LeaseTerms, Moment};
use crate::object::Key;
use election::{Election, Step};

/// What this replica is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: it is not known yet who leads, or another one does.
    #[default]
    StandsBy,
    /// To write.
    Leads(Leadership),
}

/// One unbroken time as the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Which time it is of this process.
    number: u64,
    /// Tells it from every other time of any replica.
    pub epoch: String,
    /// This replica.
    pub identity: String,
    /// Who led before, where somebody did.
    pub before: Option<String>,
    /// The Lease, and its UID.
    pub lease: (Key, Arc<str>),
}

/// The running task.
pub struct Leader {
    standing: watch::Receiver<Standing>,
    resign: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Leader {
    /// Takes part in the choice. The fence is to be closed before; it is opened while this replica leads.
    pub fn start(client: LeaseClient, options: LeaseOptions, fence: Fence) -> Self {
        let LeaseOptions { identity, terms, place: _ } = options;
        // A container that is started again has the name of the one before it, and must not take its Lease for its own.
        let me = format!("{identity}_{:08x}", OsRng.next_u32());
        let (sender, standing) = watch::channel(Standing::StandsBy);
        let (resign, resigned) = oneshot::channel();
        let keeper = Keeper {
            election: Election::new(me.clone(), terms),
            me,
            terms,
            client,
            fence,
            start: Instant::now(),
            changes: None,
            standing: sender,
            number: 0,
            holder: None,
            trouble: None,
        };
        Self { standing, resign, task: tokio::spawn(keeper.run(resigned)) }
    }

    /// Waits until it is another.
    pub async fn changed(&mut self) -> Standing {
        if self.standing.changed().await.is_err() {
            std::future::pending::<()>().await; // the task ends only when it resigns
        }
        self.standing.borrow_and_update().clone()
    }

    /// Gives the Lease back, if it is held, so that another replica need not wait for its end. To be called when nothing is being written.
    pub async fn resign(self) {
        let _ = self.resign.send(()); // an error means that the task has ended
        let _ = self.task.await; // it does not panic; if it did, the Lease would run out
    }
}

struct Keeper {
    election: Election,
    me: String,
    terms: LeaseTerms,
    client: LeaseClient,
    fence: Fence,
    start: Instant,
    changes: Option<LeaseChanges>,
    standing: watch::Sender<Standing>,
    number: u64,
    /// Who was said to lead last.
    holder: Option<String>,
    trouble: Option<String>,
}

impl Keeper {
    async fn run(mut self, mut resigned: oneshot::Receiver<()>) {
        loop {
            match self.election.step(self.start.elapsed()) {
                Step::Read => self.read().await,
                Step::Write(over, claim) => self.write(over.as_deref(), claim).await,
                Step::Wait(until) => {
                    self.tell();
                    tokio::select! {
                        told = &mut resigned => match told {
                            Ok(()) => return self.resign().await,
                            // It ends in disorder: something may still be on its way, so the Lease runs out.
                            Err(_) => return self.fence.close(),
                        },
                        () = self.wait(until) => {}
                    }
                }
            }
            self.tell();
        }
    }

    /// A request may take half the time in which its holder has to renew the Lease, so that two tries fit.
    fn limit(&self) -> Duration {
        self.terms.renew_deadline / 2
    }

    async fn read(&mut self) {
        self.changes = None;
        match timeout(self.limit(), self.client.read()).await.unwrap_or_else(|_| late()) {
            Ok(lease) => {
                self.election.saw(lease, self.start.elapsed());
                self.report(None);
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn write(&mut self, over: Option<&str>, claim: Claim) {
        let (sent, now) = (self.start.elapsed(), Moment::now());
        match timeout(self.limit(), self.client.write(over, &claim)).await.unwrap_or_else(|_| late()) {
            Ok(lease) => {
                let uid = lease.uid.clone();
                self.election.wrote(lease, sent);
                self.report(None);
                // Where it was closed, work was given up: it begins anew.
                if self.fence.open_until(now.after(self.terms.renew_deadline)) {
                    self.begin(&claim, uid);
                }
            }
            Err(LeaseError::Conflict) => self.election.lost_race(),
            Err(error) => self.failed(&error),
        }
    }

    fn begin(&mut self, claim: &Claim, uid: Arc<str>) {
        self.number += 1;
        let (key, before) = (self.client.key.clone(), self.holder.replace(self.me.clone()));
        info!(event = "leader", leads = true, lease = %key, "leads: holds {key} as {}", self.me);
        self.standing.send_replace(Standing::Leads(Leadership {
            number: self.number,
            epoch: format!("{} {}", claim.transitions, self.me),
            identity: self.me.clone(),
            before: before.filter(|before| *before != self.me),
            lease: (key, uid),
        }));
    }

    /// Until that time, or until something happens to the Lease or to the time.
    async fn wait(&mut self, until: Duration) {
        let Self { election, client, fence, changes, start, .. } = self;
        let leads = election.leads_until().is_some();
        let version = election.follows().map(str::to_owned);
        let next = async {
            let Some(version) = version else { return std::future::pending().await };
            if changes.is_none() {
                *changes = Some(client.follow(&version).await?);
            }
            match changes {
                Some(changes) => changes.next().await,
                None => late(),
            }
        };
        tokio::select! {
            () = sleep_until(*start + until) => {}
            () = fence.lost(), if leads => election.stop(),
            seen = next => match seen {
                Ok(lease) => election.saw(lease, start.elapsed()),
                Err(error) => {
                    *changes = None;
                    tracing::debug!(%error, "following the Lease");
                    election.failed(start.elapsed());
                }
            },
        }
    }

    /// Closes the fence where this replica does not lead, and says who does.
    fn tell(&mut self) {
        let now = self.start.elapsed();
        if self.election.leads_until().is_some_and(|end| now < end) {
            return;
        }
        self.fence.close();
        self.standing.send_if_modified(|standing| std::mem::take(standing) != Standing::StandsBy);
        let Some(lease) = self.election.lease() else { return };
        if lease.holder != self.holder && lease.holder.as_ref() != Some(&self.me) {
            self.holder.clone_from(&lease.holder);
            let (key, holder) = (&self.client.key, lease.holder.as_deref().unwrap_or("nobody"));
            info!(event = "leader", leads = false, lease = %key, holder, "stands by: {holder} holds {key}");
        }
    }

    fn failed(&mut self, error: &LeaseError) {
        self.election.failed(self.start.elapsed());
        self.report(Some(error.to_string()));
    }

    /// Says once what stands in the way, until it is something else.
    fn report(&mut self, trouble: Option<String>) {
        if trouble == self.trouble {
            return;
        }
        let key = &self.client.key;
        match &trouble {
            Some(message) => warn!(event = "leader", lease = %key, "{key} cannot be kept: {message}"),
            None => info!(event = "recovered", subject = "leader", "{key} can be kept again"),
        }
        self.trouble = trouble;
    }

    async fn resign(mut self) {
        self.fence.close();
        let Some((version, claim)) = self.election.resign(self.start.elapsed()) else { return };
        match self.client.write(Some(&version), &claim).await {
            Ok(_) => info!(event = "leader", leads = false, lease = %self.client.key, "gave {} back", self.client.key),
            Err(error) => warn!(event = "leader", lease = %self.client.key, "{} is not given back: {error}", self.client.key),
        }
    }
}

fn late<T>() -> Result<T, LeaseError> {
    Err(LeaseError::Failed("no answer in time".to_owned()))
}
