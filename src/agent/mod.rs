//! The agent: gather, decide, perform, sleep until something happens.
//!
//! One task owns all state. Git is read and written on a thread of its own ([`repository`]), the cluster is watched by tasks of its
//! edge; both tell the loop what is new. A pass runs only when something that it decides from has changed, so a quiet agent costs
//! a look at the repository now and then, and nothing else.

pub mod declarations;
mod http;
pub mod inventory;
mod journal;
mod leader;
pub mod log;
mod overview;
mod pass;
pub mod probe;
pub mod reconcile;
pub mod remembered;
mod repository;
pub mod rights;
pub mod scopes;
pub mod throwaway;
mod traces;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand_core::{OsRng, RngCore};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use crate::cluster::{Cluster, ClusterError, Fence};
use crate::config::AgentConfig;
use crate::decide::patience;
use crate::repo::{self, RepoError, SigningKey};
use crate::trust::{Introduction, Verification};
use http::{Showing, Webhook};
use leader::{Leader, Standing};
use overview::Place;
use pass::{Agent, Cause};
use repository::{Command, News, Told};
use traces::Traces;

/// Pause after an event, so that a burst of them makes one pass.
const DEBOUNCE: Duration = Duration::from_millis(10);

/// How long work at hand may go on after the agent was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// The same of a leader, which then gives its Lease back: a write that waits for an admission webhook may end in this time, and the pod's own
/// grace is six times as long.
const HANDOVER_GRACE: Duration = Duration::from_secs(5);

/// With `--once`: how long the cluster must be silent before the agent believes that it is done, so that controllers can answer.
const ONCE_SILENCE: Duration = Duration::from_secs(1);

/// First and longest pause between tries to reach the API server at the start.
const CONNECT_RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Threads for the asynchronous part: one to decide, one to talk.
const WORKERS: usize = 2;

/// How an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `--once`: nothing is left to do here.
    Quiet,
    /// `--once`: something failed; the reasons, one line each.
    Failed(Vec<String>),
    /// It was told to stop.
    Stopped,
}

/// Why an agent could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The signing key, the state directory or the repository's configuration is unusable.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The cluster's configuration is unusable.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A bug: whoever runs the agent has to see that it does nothing any more, and start it again.
    #[error("the thread that reads the repository has ended; this is a bug in meshfed")]
    Thread,
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The webhook's secret is unusable.
    #[error(transparent)]
    Secret(#[from] http::SecretError),
    /// The system's randomness is unusable.
    #[error("cannot make a key: {0}")]
    Key(#[from] rcgen::Error),
    /// The operating system refused something basic.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the agent until it is told to stop, or with `--once` until it is done.
pub fn run(config: AgentConfig) -> Result<Outcome, AgentError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let traces = Arc::new(Traces::from_environment(&config.mesh, config.lease.as_ref().map(|lease| lease.identity.as_str())));
    let outcome = runtime.block_on(start(config, traces.clone()));
    runtime.shutdown_background(); // a fetch that hangs must not delay the end
    traces.end();
    outcome
}

async fn start(config: AgentConfig, traces: Arc<Traces>) -> Result<Outcome, AgentError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = stop.send(true); // nobody listens only when the agent has ended
    });
    let mut told = stopped.clone();
    let limit = if config.lease.is_some() { HANDOVER_GRACE } else { STOP_GRACE };
    let grace = async {
        let _ = told.wait_for(|stopped| *stopped).await; // an error means the same: stop
        sleep(limit).await;
    };
    tokio::select! {
        outcome = work(config, traces, stopped) => outcome,
        () = grace => Ok(Outcome::Stopped),
    }
}

type Stopped = tokio::sync::watch::Receiver<bool>;

async fn work(config: AgentConfig, traces: Arc<Traces>, mut stopped: Stopped) -> Result<Outcome, AgentError> {
    let (key, created) = SigningKey::load_or_create(&config.signing_key)?;
    if created {
        let line = key.public_line(&config.mesh);
        info!(event = "key", "made a signing key; its public half belongs under agent.keys in mesh.yaml: {line}");
    }
    info!(
        event = "start",
        mesh = config.mesh,
        version = env!("CARGO_PKG_VERSION"),
        "meshfed {} {} {}; {}",
        env!("CARGO_PKG_VERSION"),
        if config.observe { "changes nothing and observes" } else { "looks after" },
        config.mesh,
        match config.verification {
            Verification::Enforce(Introduction { anchor, .. }) => format!("takes what is verified from {anchor} on"),
            Verification::Warn(Introduction { anchor, .. }) => format!("verifies from {anchor} on, and only warns"),
            Verification::Off => "signatures are not verified".to_owned(),
        }
    );
    let options = config.repo_options();
    let (news_sender, news) = unbounded_channel();
    let fence = Fence::default();
    if config.lease.is_some() {
        fence.close();
    }
    let commands = repository::start(options, config.mesh.clone(), key, config.verification, fence.clone(), news_sender);
    let on_change = commands.clone();
    // A receiver that is gone means that the agent is ending.
    let watch = repo::watch(&config.repo, move || drop(on_change.send(Command::Fetch)));
    // Without it, commits are seen at the next poll; also those to a repository that is made only later.
    let _watch = watch.unwrap_or_else(|error| {
        warn!(event = "repository", "{error}");
        None
    });
    let _ = commands.send(Command::Fetch); // first of all: the cluster is made ready while it runs
    let place = Place { repository: config.repo_options().shown(), branch: config.branch.clone() };
    let showing = Showing::new(&config.mesh, place);
    listen(&config, &showing, &commands).await?;
    let cluster = Cluster::connect_behind(&config.cluster_options(), fence.clone()).await?;
    let interval = SignedDuration::try_from(config.interval).unwrap_or(SignedDuration::MAX); // as long: far above the longest
    let mut agent = Agent::new(
        config.mesh.clone(),
        cluster,
        commands.clone(),
        patience(interval),
        throwaway::root()?,
        config.observe,
        showing,
    );
    agent.traces = traces;
    tokio::select! {
        connected = connect(&mut agent, config.once) => connected?,
        _ = stopped.wait_for(|stopped| *stopped) => return Ok(Outcome::Stopped),
    }
    let leader = config.lease.clone().map(|options| {
        agent.stand_by();
        Leader::start(agent.cluster.lease(&options.place), options, fence.clone())
    });
    Box::pin(Loop { agent, news, commands, config, stopped, fence, leader }.run()).await // large: on the heap
}

/// Opens the addresses that are configured.
async fn listen(config: &AgentConfig, showing: &Showing, commands: &Sender<Command>) -> Result<(), AgentError> {
    let bind = async |address| TcpListener::bind(address).await.map_err(|source| AgentError::Listen { address, source });
    if let Some(address) = config.listen {
        tokio::spawn(showing.operators().serve(bind(address).await?));
    }
    if let Some((address, secret_file)) = &config.webhook {
        http::secret(secret_file)?;
        let webhook = Webhook { secret_file: secret_file.clone(), metrics: showing.metrics.clone() };
        tokio::spawn(webhook.serve(bind(*address).await?, commands.clone()));
    }
    Ok(())
}

/// Waits for the API server.
async fn connect(agent: &mut Agent, once: bool) -> Result<(), AgentError> {
    let (mut pause, longest) = CONNECT_RETRY;
    loop {
        match agent.cluster.uid().await {
            Ok(uid) => {
                agent.journal.trouble_over("cluster", "the API server answers");
                agent.cluster_uid = uid;
                agent.cluster.prepare(scopes::usual()).await; // the repository is being read meanwhile
                agent.showing.ready();
                return Ok(());
            }
            Err(error) if once => return Err(error.into()),
            Err(error) => agent.journal.trouble("cluster", &error.to_string()),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

struct Loop {
    agent: Agent,
    news: UnboundedReceiver<Told>,
    commands: Sender<Command>,
    config: AgentConfig,
    stopped: Stopped,
    fence: Fence,
    leader: Option<Leader>,
}

impl Loop {
    async fn run(mut self) -> Result<Outcome, AgentError> {
        let outcome = self.work().await?;
        self.agent.hand_over(&mut self.news).await;
        if let Some(leader) = self.leader {
            leader.resign().await;
        }
        Ok(outcome)
    }

    async fn work(&mut self) -> Result<Outcome, AgentError> {
        let mut poll = Instant::now() + jitter(self.config.interval);
        let mut last_event = Instant::now(); // of those that meant something
        loop {
            let wake = self.agent.wake_at().map(|at| Instant::now() + until(at));
            let silence = last_event + ONCE_SILENCE;
            let done = self.config.once && self.agent.is_quiet();
            tokio::select! {
                _ = self.stopped.wait_for(|stopped| *stopped) => {
                    info!(event = "stop", "stopping");
                    return Ok(Outcome::Stopped);
                }
                news = self.news.recv() => match news {
                    Some((News::Unreadable(error), _)) if self.config.once => return Ok(Outcome::Failed(vec![error.to_string()])),
                    Some(told) => self.agent.take(told),
                    None => return Err(AgentError::Thread), // it ends only after this loop, or by a panic
                },
                standing = stands(&mut self.leader) => match standing {
                    Standing::Leads(leadership) => self.agent.lead(leadership),
                    Standing::StandsBy => self.agent.stand_by(),
                },
                _ = self.agent.cluster.changed() => self.agent.wake(Cause::Cluster),
                () = self.agent.prober.answered() => self.agent.wake(Cause::Probe),
                () = sleep_until(wake.unwrap_or(poll)), if wake.is_some() => self.agent.wake(Cause::Time),
                () = sleep_until(poll) => {
                    poll = Instant::now() + jitter(self.config.interval);
                    let _ = self.commands.send(self.agent.look()); // see above
                    self.agent.poll().await;
                }
                () = sleep_until(silence), if done => return Ok(self.agent.outcome()),
            }
            self.agent.pass_on().await;
            if !self.agent.is_stale() {
                continue;
            }
            self.drain().await;
            match self.passes().await {
                Some(true) => last_event = Instant::now(),
                Some(false) => {}
                None => self.agent.stand_by(),
            }
        }
    }

    /// Passes; `None` where they were cut off, because another replica may write now.
    async fn passes(&mut self) -> Option<bool> {
        let Self { agent, stopped, fence, .. } = self;
        let stop = async {
            let _ = stopped.wait_for(|stopped| *stopped).await; // an error means the same: stop
            fence.end();
            std::future::pending::<()>().await; // what is on its way still arrives
        };
        let writes = !agent.stands_by();
        tokio::select! {
            new = agent.passes() => Some(new),
            () = fence.lost(), if writes => None,
            () = stop => None,
        }
    }

    /// Takes what else arrives within a moment.
    async fn drain(&mut self) {
        let end = Instant::now() + DEBOUNCE;
        loop {
            tokio::select! {
                news = timeout(end.saturating_duration_since(Instant::now()), self.news.recv()) => match news {
                    Ok(Some(told)) => self.agent.take(told),
                    _ => return,
                },
                _ = self.agent.cluster.changed() => {}
            }
        }
    }
}

/// Waits until it is to do something else than before.
async fn stands(leader: &mut Option<Leader>) -> Standing {
    match leader {
        Some(leader) => leader.changed().await,
        None => std::future::pending().await,
    }
}

fn until(at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default() // negative: now
}

/// The interval give or take a tenth, so that many agents do not ask the host at the same moment.
fn jitter(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * f64::from(OsRng.next_u32()) / f64::from(u32::MAX))
}
