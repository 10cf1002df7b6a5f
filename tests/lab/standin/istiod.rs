//! One mesh's istiod, as far as federation goes: what it holds in memory, and what it tells its gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::{ClientConfig, ServerConfig};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::egress::{self, Target};
use super::identity::{Authority, Identity, SpiffeId};
use super::peer::{Peer, principal_matches};
use super::rules::{self, Export};
use super::trust::{self, Bundles, Clients};
use super::view::{Kind, View};
use super::{Options, Task, locked, text};

/// The federation part of a control plane, in one namespace.
pub struct Istiod {
    namespace: String,
    view: Arc<View>,
    options: Options,
    up: AtomicBool,
    pods: AtomicU64,
    state: Mutex<State>,
    dirty: Notify,
    resync: watch::Sender<u64>,
    epoch: watch::Sender<u64>,
}

/// What istiod has in memory, and loses when it restarts (all but the certificates).
pub(super) struct State {
    pub(super) pod: String,
    /// The mesh's `spec.security.trust.domain`.
    pub(super) trust_domain: String,
    /// The mesh's `spec.cluster.name`, which no peer may be called.
    pub(super) cluster: String,
    /// The root that istiod publishes.
    pub(super) authority: Arc<Authority>,
    /// The root that takes its place when the CA is replaced; a new one where none is prepared.
    next: Option<Arc<Authority>>,
    /// The root that the gateways' certificates are from: the one before, until they are renewed.
    issuing: Arc<Authority>,
    identities: BTreeMap<String, Identity>,
    pub(super) bundles: Bundles,
    pub(super) peers: BTreeMap<String, Peer>,
    /// Peers as they were when last looked at, whether or not they could be reconciled.
    pub(super) seen: BTreeMap<String, String>,
    /// Since a peer was deleted with services still exported to it (see `peer.rs`).
    pub(super) blocked: bool,
}

impl Istiod {
    /// A control plane with a root of its own; it does nothing yet.
    pub fn new(namespace: &str, trust_domain: &str, view: Arc<View>, options: Options) -> Self {
        let authority = Arc::new(Authority::new(trust_domain));
        let state = State {
            pod: String::new(),
            trust_domain: trust_domain.to_owned(),
            cluster: String::new(),
            next: None,
            issuing: Arc::clone(&authority),
            authority,
            identities: BTreeMap::new(),
            bundles: Bundles::default(),
            peers: BTreeMap::new(),
            seen: BTreeMap::new(),
            blocked: false,
        };
        let istiod = Self {
            namespace: namespace.to_owned(),
            view,
            options,
            up: AtomicBool::new(false),
            pods: AtomicU64::new(0),
            state: Mutex::new(state),
            dirty: Notify::new(),
            resync: watch::Sender::new(0),
            epoch: watch::Sender::new(0),
        };
        istiod.restart();
        istiod
    }

    /// The namespace of the control plane.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What its cluster holds.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// How the stand-in was started.
    pub fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Whether its pod is ready.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(super) fn set_up(&self) {
        self.up.store(true, Ordering::Relaxed);
    }

    /// Another pod takes over: all connections end, and everything is reconciled anew.
    pub fn restart(&self) {
        let number = self.pods.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.pod = format!("istiod-{}-7d9f8c6b5-{number:05}", self.namespace);
        state.bundles = Bundles::default();
        state.peers.clear();
        state.seen.clear();
        state.blocked = false;
        drop(state);
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Takes over what the `ServiceMeshControlPlane` says; another trust domain means other identities.
    pub fn configure(&self, trust_domain: &str, cluster: &str) {
        let mut state = self.state();
        cluster.clone_into(&mut state.cluster);
        if state.trust_domain != trust_domain {
            trust_domain.clone_into(&mut state.trust_domain);
            state.identities.clear();
            state.seen.clear();
        }
    }

    /// The root as `istio-ca-root-cert` has it.
    pub fn root_pem(&self) -> String {
        self.state().authority.root_pem()
    }

    /// A new root with a new key. The gateways keep the certificates that they have until `renew_certificates`.
    pub fn replace_root(&self) {
        let mut state = self.state();
        let prepared = state.next.take();
        state.authority = prepared.unwrap_or_else(|| Arc::new(Authority::new(&state.trust_domain)));
    }

    /// The root that the next replacement brings, PEM.
    pub fn prepare_root(&self) -> String {
        let mut state = self.state();
        let next = Arc::new(Authority::new(&state.trust_domain));
        let pem = next.root_pem();
        state.next = Some(next);
        pem
    }

    /// The gateways get certificates of the current root, as new pods, so that connections are made anew.
    pub fn renew_certificates(&self) {
        let mut state = self.state();
        state.issuing = Arc::clone(&state.authority);
        state.identities.clear();
        drop(state);
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Changes when all connections have to be made anew.
    pub fn epoch(&self) -> watch::Receiver<u64> {
        let mut receiver = self.epoch.subscribe();
        receiver.mark_unchanged();
        receiver
    }

    /// Changes at each resync.
    pub fn resyncs(&self) -> watch::Receiver<u64> {
        self.resync.subscribe()
    }

    pub(super) fn resynced(&self) {
        self.resync.send_modify(|resync| *resync += 1);
    }

    /// Something in a status has changed.
    pub fn touch(&self) {
        self.dirty.notify_one();
    }

    /// Waits for a change in a status.
    pub async fn status_changed(&self) {
        self.dirty.notified().await;
    }

    fn identity(&self, gateway: &str) -> Identity {
        let mut state = self.state();
        let id = SpiffeId::gateway(&state.trust_domain, &self.namespace, gateway);
        let issuing = Arc::clone(&state.issuing);
        state.identities.entry(gateway.to_owned()).or_insert_with(|| issuing.issue(&id)).clone()
    }

    /// The TLS of an ingress gateway, as it stands now.
    pub fn server_tls(&self, gateway: &str) -> ServerConfig {
        let identity = self.identity(gateway);
        let state = self.state();
        let clients = if state.peers.values().any(|peer| peer.spec.ingress == gateway) {
            Clients::Verified(state.bundles.clone())
        } else {
            Clients::Anybody
        };
        trust::server(identity, clients)
    }

    /// The TLS of an egress gateway for a peer; `None` when nothing is known of the peer's trust domain.
    pub fn client_tls(&self, target: &Target) -> Option<ClientConfig> {
        let identity = self.identity(&target.egress);
        let roots = self.state().bundles.get(&target.trust_domain)?;
        Some(trust::client(identity, &target.trust_domain, roots))
    }

    /// What istiod sees when it cannot even reach its own egress gateway.
    pub fn egress_problem(&self, gateway: &str) -> Option<String> {
        let host = format!("{gateway}.{}.{}", self.namespace, rules::CLUSTER_DOMAIN);
        let Some(service) = self.view.get(Kind::Service, &self.namespace, gateway) else {
            return Some(format!("dial tcp: lookup {host}: no such host"));
        };
        let ports = service.data.pointer("/spec/ports").and_then(Value::as_array);
        let open = ports.is_some_and(|ports| ports.iter().any(|port| port["port"] == super::wire::DISCOVERY_PORT));
        (!open).then(|| format!("dial tcp {host}:{}: connect: connection refused", super::wire::DISCOVERY_PORT))
    }

    /// Which peer a client is that comes to an ingress gateway, or the code that it is refused with.
    ///
    /// Each peer on the gateway contributes a policy that denies everybody but its own client, so two peers on one gateway shut out each other.
    pub fn admit(&self, gateway: &str, client: &SpiffeId) -> Result<String, u16> {
        let state = self.state();
        let mut here = state.peers.iter().filter(|(_, peer)| peer.spec.ingress == gateway).peekable();
        let Some((name, _)) = here.peek() else { return Err(400) };
        let name = String::clone(name);
        if here.all(|(_, peer)| principal_matches(&peer.spec.client_id, &client.principal())) { Ok(name) } else { Err(403) }
    }

    /// What is exported to a peer, now and later.
    pub fn exports_to(&self, peer: &str) -> Option<watch::Receiver<Vec<Export>>> {
        self.state().peers.get(peer).map(|peer| peer.exports.subscribe())
    }

    /// The namespaces that belong to the mesh, as the member roll has them configured.
    pub fn members(&self) -> BTreeSet<String> {
        let roll = self.view.get(Kind::MemberRoll, &self.namespace, "default");
        let configured = roll.and_then(|roll| roll.data.pointer("/status/configuredMembers").and_then(Value::as_array).cloned());
        configured.unwrap_or_default().iter().map(|member| text(member, "").to_owned()).collect()
    }

    /// Starts the watch of a peer.
    pub(super) fn start_watch(self: &Arc<Self>, target: Target) -> Task {
        Task::spawn(egress::run(Arc::clone(self), target))
    }
}
