//! The cluster's edge: the only place that knows the Kubernetes client.
//!
//! ```text
//!  API server ──list, watch──▶ watch ──▶ view ──snapshot──▶ decisions
//!       ▲                                 ▲ own writes at once
//!       └──apply, release, delete── apply ┘
//! ```
//! - [`connect`](Cluster::connect): options → client, with errors that say what to do
//! - `discovery`: kind → path, asked once
//! - `watch`, `list`: one task for each [`Scope`] keeps the [`View`] true, through restarts and lost history
//! - `view`, `snapshot`: live objects in memory, never replaced by an older state of themselves
//! - `apply`: server-side apply under one field manager; each object on its own
//! - `events`: what happened to objects, told beside everything else
//! - `state`: the agent's own memory in a `ConfigMap`
//! - `lease`: the Lease by which replicas choose who writes; `fence`: what holds everybody else's writes back
//! - `review`: questions that change nothing, for people who look for a fault
//!
//! Invariants: a quiet cluster costs no request but the renewal of each watch every few minutes; no type of the client
//! leaves this module; no message holds a token, a key or the content of a kubeconfig.

mod apply;
mod connect;
mod discovery;
mod error;
mod events;
mod fence;
mod lease;
mod list;
mod review;
mod scope;
mod snapshot;
mod state;
mod view;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use serde_json::Value;
use tokio::task::JoinHandle;

pub use apply::APPLIES_IN_FLIGHT;
pub use connect::ClusterOptions;
pub use error::{ApplyError, ClusterError};
pub use events::Recorder;
pub use fence::{Fence, Fenced, Moment};
pub use lease::{Claim, Lease, LeaseChanges, LeaseClient, LeaseError, LeaseOptions, LeasePlace, LeaseTerms, lease_kind};
pub use review::{Review, Right};
pub use scope::{Changes, Problem, Scope, Trouble};
pub use snapshot::Snapshot;
pub use view::View;

use crate::object::Kind;
use connect::Transport;
use discovery::{Again, Discovery};

/// One cluster. Methods take `&self`, so that it can be shared; dropping it ends its watches.
pub struct Cluster {
    edge: Arc<Edge>,
    watches: Mutex<BTreeMap<Scope, Task>>,
}

/// What watches and writes share.
struct Edge {
    transport: Transport,
    discovery: Discovery,
    view: Arc<View>,
}

/// A task that ends with its handle.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cluster {
    /// Reads the configuration and prepares the client. The first request is made by what is called next.
    pub async fn connect(options: &ClusterOptions) -> Result<Self, ClusterError> {
        Self::connect_behind(options, Fence::default()).await
    }

    /// The same, for one that writes only while this fence is open.
    pub async fn connect_behind(options: &ClusterOptions, fence: Fence) -> Result<Self, ClusterError> {
        let transport = Transport::connect(options).await?.behind(fence);
        let discovery = Discovery::new(transport.clone());
        let edge = Arc::new(Edge { transport, discovery, view: Arc::new(View::new()) });
        Ok(Self { edge, watches: Mutex::default() })
    }

    /// Address of the API server: scheme, host and port.
    pub fn url(&self) -> &str {
        &self.edge.transport.url
    }

    /// What tells this cluster from every other: the UID of its namespace `kube-system`.
    pub async fn uid(&self) -> Result<String, ClusterError> {
        let Edge { transport, .. } = &*self.edge;
        let unexpected = |message: String| ClusterError::Unexpected { url: transport.url.clone(), message };
        let request = Request::get("/api/v1/namespaces/kube-system").body(Vec::new());
        let request = request.map_err(|error| unexpected(error.to_string()))?;
        let bytes = transport.bytes(request).await.map_err(|failure| failure.of_cluster(&transport.url))?;
        let namespace: Value = serde_json::from_slice(&bytes).map_err(|_| unexpected("something else than JSON".to_owned()))?;
        let uid = namespace.pointer("/metadata/uid").and_then(Value::as_str);
        uid.map(str::to_owned).ok_or_else(|| unexpected("namespace kube-system without a UID".to_owned()))
    }

    /// Finds out where these kinds are, so that nothing that needs it later waits. What fails is asked again when it is needed.
    pub async fn prepare(&self, kinds: impl IntoIterator<Item = Kind>) {
        let one = async |kind: Kind| drop(self.edge.discovery.resolve(&kind).await);
        futures::future::join_all(kinds.into_iter().map(one)).await;
    }

    /// The live objects of all watches.
    pub fn view(&self) -> Arc<View> {
        self.edge.view.clone()
    }

    /// Starts the watches that are wanted and not there, ends those that are there and not wanted.
    ///
    /// Returns at once; [`Self::synced`] waits for the first listings. Whatever hinders a watch, a kind that is not
    /// served among it, is in [`View::problems`] and does not hinder the others. Call it within a tokio runtime.
    pub fn watch(&self, wanted: &BTreeSet<Scope>) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let unwanted: Vec<Scope> = watches.keys().filter(|scope| !wanted.contains(scope)).cloned().collect();
        // Begin before ending, so that an object which an old and a new watch both show is never unknown.
        for scope in wanted {
            if !watches.contains_key(scope) {
                self.edge.view.begin(scope);
                let task = tokio::spawn(watch::run(self.edge.clone(), scope.clone()));
                watches.insert(scope.clone(), Task(task));
            }
        }
        for scope in unwanted {
            watches.remove(&scope);
            self.edge.view.end(&scope);
        }
    }

    /// Waits until each watch has listed, or cannot for a reason that waiting does not mend (see [`View::problems`]).
    pub async fn synced(&self) {
        self.edge.view.synced().await;
    }

    /// Waits for news that are not of our own doing; see [`View::changed`].
    pub async fn changed(&self) -> Changes {
        self.edge.view.changed().await
    }

    /// Kinds that are to be watched and are not served.
    pub fn missing(&self) -> Vec<Problem> {
        self.edge.view.problems().into_iter().filter(|problem| problem.trouble == Trouble::Missing).collect()
    }

    /// Looks again for kinds that were not served, and tries denied watches again, at once.
    ///
    /// Costs a request for each group and version in use, so call it when there is reason to, as a poll while something
    /// is [missing](Self::missing). Not needed for a kind whose `CustomResourceDefinition` is itself watched.
    pub async fn rediscover(&self) {
        self.edge.discovery.again(Again::Perhaps).await;
    }
}
