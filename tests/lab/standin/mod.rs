//! A stand-in for what plays on a real cluster beside its API server: the operator of OSSM 2.x, istiod with its federation, the
//! gateways, and the cloud's load balancers.
//!
//! It reads nothing but its own cluster, through the API, and meets other meshes only over mutual TLS at the addresses that their
//! `ServiceMeshPeer`s name. What it writes, and when it does not, is what OSSM 2.5 was seen to do, with the quirks that people run into:
//!
//! | file | plays |
//! |---|---|
//! | `operator.rs`, `gateways.rs` | additional gateways: Service, service account, endpoints, load balancer; status of the control plane |
//! | `members.rs` | `ServiceMeshMember`s and the member roll |
//! | `webhook.rs`, `admission.rs` | the operator's admission webhook, and what it refuses |
//! | `istiod.rs`, `peer.rs` | the federation controller: peers, exports, the deadlock on deletion |
//! | `ingress.rs`, `egress.rs` | both ends of the discovery connection; `trust.rs` its TLS, `wire.rs` what is said |
//! | `rules.rs` | what export and import rules select |
//! | `notes.rs`, `status.rs` | status of peers and service sets |
//! | `identity.rs`, `net.rs`, `view.rs` | certificates, loopback addresses, the watched objects |

mod admission;
mod egress;
mod gateways;
mod identity;
mod ingress;
mod istiod;
mod members;
pub mod net;
mod notes;
mod operator;
mod peer;
mod rules;
mod status;
mod trust;
mod view;
mod webhook;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Client;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use net::{Dns, Pool};
use operator::Operator;
use view::View;

/// What a cloud gives to a Service of type `LoadBalancer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// A host name, as AWS does; and only a network load balancer, asked for by annotation, passes TLS on.
    Hostname,
    /// An IP address, as Azure and Google Cloud do.
    Ip,
}

/// How a stand-in plays.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name, for logs and for the names of load balancers; a DNS label.
    pub label: String,
    /// The cloud that the cluster is in.
    pub cloud: Cloud,
    /// The addresses of its load balancers.
    pub pool: Pool,
    /// Where names of load balancers are known; shared by stand-ins that are to find each other.
    pub dns: Dns,
    /// The period of istiod's informers: 60 s in life. Five of them after it has gone, a remote is pruned from the status.
    pub resync: Duration,
    /// From the Service to its address: minutes in life.
    pub lb_delay: Duration,
    /// From the control plane to a ready istiod and its root certificate: about 10 s in life.
    pub ca_delay: Duration,
    /// From a new root to gateway certificates that are issued by it: up to half of 24 h in life.
    pub leaf_renewal: Duration,
}

impl Options {
    /// A cluster that is quick, for tests: everything at once, and a resync every second.
    pub fn quick(label: &str, cloud: Cloud, dns: &Dns) -> Self {
        Self {
            label: label.to_owned(),
            cloud,
            pool: Pool::any(),
            dns: dns.clone(),
            resync: Duration::from_secs(1),
            lb_delay: Duration::ZERO,
            ca_delay: Duration::ZERO,
            leaf_renewal: Duration::ZERO,
        }
    }
}

/// A running stand-in; it ends when dropped, and leaves in the cluster what it has written.
///
/// The controls change what no API shows: load balancers, certificate authorities, pods.
pub struct Standin {
    operator: Arc<Operator>,
    options: Options,
    _tasks: Vec<Task>,
}

impl Standin {
    /// Starts it for the cluster of `client`, all of whose control planes it serves. It returns when the admission webhook is active.
    ///
    /// The CRDs must be there.
    pub async fn start(client: Client, options: Options) -> Self {
        let (view, mut tasks) = View::start(client).await;
        tasks.push(webhook::start(&view).await);
        let operator = Arc::new(Operator::new(view, options.clone()));
        tasks.push(Task::spawn(Arc::clone(&operator).run()));
        Self { operator, options, _tasks: tasks }
    }

    /// The load balancer of a gateway is replaced: it has another address from now on, and nobody answers at the old one.
    pub fn new_address(&self, gateway: &str) {
        self.operator.new_address(gateway);
    }

    /// The status of a gateway's load balancer is empty for `lb_delay`; then the old address comes back.
    pub fn flap(&self, gateway: &str) {
        self.operator.flap(gateway);
    }

    /// Nobody can reach a gateway: its load balancer answers no more, though its status stays.
    pub fn stop_ingress(&self, gateway: &str) {
        self.operator.set_stopped(gateway, true);
    }

    /// A gateway can be reached again.
    pub fn resume_ingress(&self, gateway: &str) {
        self.operator.set_stopped(gateway, false);
    }

    /// The CA of the cluster's meshes is replaced by one with another key. `istio-ca-root-cert` says so at once; the gateways keep their old
    /// certificates for `leaf_renewal`. Then they are started again with new ones, and whoever trusts only the old root gets 503.
    pub fn replace_ca(&self) {
        let (operator, delay) = (Arc::clone(&self.operator), self.options.leaf_renewal);
        let istiods = operator.istiods();
        for istiod in &istiods {
            istiod.replace_root();
        }
        operator.wake();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            for istiod in istiods {
                istiod.renew_certificates();
            }
        });
    }

    /// Makes the CA that the next replacement brings; gives its root, PEM. Nothing uses it before.
    pub fn prepare_ca(&self) -> String {
        self.operator.istiods().iter().map(|istiod| istiod.prepare_root()).collect()
    }

    /// The gateways get certificates from the root that `istio-ca-root-cert` says, now.
    pub fn renew_certificates(&self) {
        for istiod in self.operator.istiods() {
            istiod.renew_certificates();
        }
    }

    /// Somebody who makes handshakes as the cluster's egress gateways do.
    pub fn prober(&self) -> Prober {
        Prober(Arc::clone(&self.operator))
    }

    /// Every istiod of the cluster is replaced by another pod: what it had in memory is gone, a federation controller that hung runs again.
    pub fn restart_istiod(&self) {
        for istiod in self.operator.istiods() {
            istiod.restart();
        }
    }
}

/// Makes handshakes with peers, with the certificates and the trust that the gateways have at that moment.
#[derive(Clone)]
pub struct Prober(Arc<Operator>);

impl Prober {
    /// One handshake with a peer's ingress gateway, which has to admit us; an error is what its next connection would end with.
    pub async fn handshake(&self, peer: &str) -> Result<(), String> {
        let istiods = self.0.istiods();
        let known = istiods.iter().find_map(|istiod| Some((istiod, istiod.target(peer)?)));
        let Some((istiod, target)) = known else { return Err(format!("no ServiceMeshPeer {peer}")) };
        egress::hello(istiod, &target).await
    }
}

/// A task that ends with its handle.
struct Task(JoinHandle<()>);

impl Task {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Locks, also after a panic elsewhere: the test that panicked has reported it, the others go on.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text at a JSON pointer, or none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Conditions of a status; the time of each is that of its last change.
fn conditions(live: &DynamicObject, wanted: &[(&str, &str, &str)], now: &str) -> Vec<Value> {
    let known = live.data.pointer("/status/conditions").and_then(Value::as_array);
    let condition = |(kind, status, reason): &(&str, &str, &str)| {
        let same = known.into_iter().flatten().find(|one| one["type"] == *kind && one["status"] == *status);
        let since = same.map(|one| text(one, "/lastTransitionTime")).filter(|time| !time.is_empty()).unwrap_or(now);
        json!({ "type": kind, "status": status, "reason": reason, "lastTransitionTime": since })
    };
    wanted.iter().map(condition).collect()
}
