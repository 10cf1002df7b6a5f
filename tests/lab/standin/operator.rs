//! The operator, the cloud's load balancers, and the life of each control plane: one pass over what the cluster holds, at every change.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::gateways::{self, Gateway, Reach};
use super::istiod::Istiod;
use super::members::{self, Joined};
use super::view::{Kind, OWNER, View};
use super::{Cloud, Options, Task, ingress, locked, peer, status, text};

/// Events within this time are taken together.
const SETTLE: Duration = Duration::from_millis(10);

/// The pause after a pass in which a write was refused.
const RETRY: Duration = Duration::from_secs(1);

/// Plays the operator and the cloud for one cluster.
pub struct Operator {
    view: Arc<View>,
    options: Options,
    state: Mutex<State>,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct State {
    meshes: BTreeMap<String, Mesh>,
    /// By namespace and name of the gateway.
    balancers: BTreeMap<(String, String), Balancer>,
    /// How many addresses were given out so far, so that none comes back soon.
    addresses: u8,
    joined: Joined,
}

struct Mesh {
    istiod: Arc<Istiod>,
    _task: Task,
}

/// What the cloud gives to one gateway.
struct Balancer {
    reach: Reach,
    ip: Ipv4Addr,
    hostname: Option<String>,
    ready_at: Instant,
    stopped: bool,
    listener: Option<(SocketAddr, Task)>,
}

impl Operator {
    /// For what `view` sees.
    pub fn new(view: Arc<View>, options: Options) -> Self {
        Self { view, options, state: Mutex::new(State::default()), wake: Arc::new(Notify::new()) }
    }

    /// Runs until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut changes = self.view.changes();
        loop {
            let again = match self.pass().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::debug!(cluster = self.options.label, %error, "the operator could not write everything");
                    Some(Instant::now() + RETRY)
                }
            };
            tokio::select! {
                _ = changes.changed() => {}
                () = self.wake.notified() => {}
                () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
            }
            sleep(SETTLE).await;
            changes.mark_unchanged();
        }
    }

    /// Brings everything in line; says when the next load balancer becomes ready.
    async fn pass(&self) -> Result<Option<Instant>, kube::Error> {
        let now = status::seconds(Timestamp::now());
        let control_planes = self.view.all(Kind::ControlPlane);
        let declared: Vec<Gateway> = control_planes.iter().flat_map(|control_plane| gateways::declared(control_plane)).collect();
        self.meshes(&control_planes);

        let mut refused = None;
        let mut note = |result: Result<(), kube::Error>| refused = result.err().or(refused.take());
        for (number, gateway) in declared.iter().enumerate() {
            note(gateway.render(&self.view, number).await);
        }
        note(self.remove_others(&declared).await);
        let next = self.balancers(&declared);
        note(self.publish_addresses(&declared).await);

        let mut joined = std::mem::take(&mut locked(&self.state).joined);
        note(members::reconcile(&self.view, &mut joined, &now).await);
        locked(&self.state).joined = joined;

        for control_plane in &control_planes {
            let namespace = control_plane.namespace().unwrap_or_default();
            let Some(istiod) = self.istiod(&namespace) else { continue };
            let own: Vec<Gateway> = gateways::declared(control_plane);
            let status = gateways::control_plane_status(control_plane, &own, istiod.is_up(), &now);
            note(self.view.set_status(Kind::ControlPlane, control_plane, status).await);
            if istiod.is_up() {
                note(self.publish_root(&istiod).await);
            }
        }
        refused.map_or(Ok(next), Err)
    }

    /// Starts an istiod for each new control plane, and ends those whose control plane is gone.
    fn meshes(&self, control_planes: &[Arc<DynamicObject>]) {
        let mut state = locked(&self.state);
        state.meshes.retain(|namespace, _| control_planes.iter().any(|one| one.metadata.namespace.as_ref() == Some(namespace)));
        for control_plane in control_planes {
            let or = |path: &str, default: &str| match text(&control_plane.data, path) {
                "" => default.to_owned(),
                given => given.to_owned(),
            };
            let trust_domain = or("/spec/security/trust/domain", "cluster.local");
            let namespace = control_plane.namespace().unwrap_or_default();
            let mesh = state.meshes.entry(namespace.clone()).or_insert_with(|| {
                let istiod = Arc::new(Istiod::new(&namespace, &trust_domain, Arc::clone(&self.view), self.options.clone()));
                let wake = Arc::clone(&self.wake);
                let task = Task::spawn(peer::run(Arc::clone(&istiod), move || wake.notify_one()));
                Mesh { istiod, _task: task }
            });
            mesh.istiod.configure(&trust_domain, &or("/spec/cluster/name", "Kubernetes"));
        }
    }

    /// What the operator has made for gateways that are declared no more.
    async fn remove_others(&self, declared: &[Gateway]) -> Result<(), kube::Error> {
        for kind in [Kind::Service, Kind::ServiceAccount, Kind::EndpointSlice] {
            for object in self.view.all(kind) {
                let ours = object.labels().contains_key(OWNER) && object.metadata.deletion_timestamp.is_none();
                if ours && !declared.iter().any(|gateway| gateway.includes(kind, &object)) {
                    self.view.remove(kind, &object.namespace().unwrap_or_default(), &object.name_any()).await?;
                }
            }
        }
        Ok(())
    }

    /// Gives addresses to gateways, takes them back, and listens at those that are ready.
    fn balancers(&self, declared: &[Gateway]) -> Option<Instant> {
        let mut state = locked(&self.state);
        let outside: Vec<&Gateway> = declared.iter().filter(|gateway| gateway.reach() != Reach::Cluster).collect();
        let key = |gateway: &Gateway| (gateway.namespace.clone(), gateway.name.clone());
        // Another kind of load balancer is another load balancer, with another address.
        state.balancers.retain(|known, balancer| {
            let kept = outside.iter().any(|gateway| key(gateway) == *known && gateway.reach() == balancer.reach);
            if let (false, Some(name)) = (kept, &balancer.hostname) {
                self.options.dns.remove(name);
            }
            kept
        });
        let mut next = None;
        for gateway in outside {
            if !state.balancers.contains_key(&key(gateway)) {
                let balancer = self.provision(&mut state.addresses, gateway);
                state.balancers.insert(key(gateway), balancer);
            }
            let istiod = state.meshes.get(&gateway.owner).map(|mesh| Arc::clone(&mesh.istiod)).filter(|istiod| istiod.is_up());
            let balancer = state.balancers.get_mut(&key(gateway)).expect("it was just made");
            if balancer.ready_at > Instant::now() {
                balancer.listener = None;
                next = Some(next.map_or(balancer.ready_at, |earlier: Instant| earlier.min(balancer.ready_at)));
                continue;
            }
            let service = self.view.get(Kind::Service, &gateway.namespace, &gateway.name);
            let port = service.and_then(|service| gateway.discovery_port(&service));
            let address =
                port.filter(|_| gateway.ingress && !balancer.stopped).map(|port| SocketAddr::new(balancer.ip.into(), port));
            if balancer.listener.as_ref().map(|(at, _)| *at) != address || istiod.is_none() {
                balancer.listener = None;
                if let (Some(address), Some(istiod)) = (address, istiod) {
                    let passes_tls = self.options.cloud == Cloud::Ip || balancer.reach != Reach::LoadBalancer { network: false };
                    let task = Task::spawn(ingress::serve(istiod, gateway.name.clone(), address, passes_tls));
                    balancer.listener = Some((address, task));
                }
            }
        }
        next
    }

    fn provision(&self, addresses: &mut u8, gateway: &Gateway) -> Balancer {
        let ready_at = Instant::now() + self.options.lb_delay;
        let reach = gateway.reach();
        if reach == Reach::NodePort {
            return Balancer { reach, ip: self.options.pool.node(), hostname: None, ready_at, stopped: false, listener: None };
        }
        let number = *addresses;
        *addresses = addresses.wrapping_add(1);
        let ip = self.options.pool.balancer(number);
        let hostname = (self.options.cloud == Cloud::Hostname).then(|| {
            let [_, b, c, d] = ip.octets();
            let name = format!("{}-{b:02x}{c:02x}{d:02x}.elb.{}.test", gateway.name, self.options.label);
            self.options.dns.set(&name, IpAddr::V4(ip));
            name
        });
        Balancer { reach, ip, hostname, ready_at, stopped: false, listener: None }
    }

    /// Writes the addresses of load balancers into the status of their Services.
    async fn publish_addresses(&self, declared: &[Gateway]) -> Result<(), kube::Error> {
        for gateway in declared.iter().filter(|gateway| matches!(gateway.reach(), Reach::LoadBalancer { .. })) {
            let Some(service) = self.view.get(Kind::Service, &gateway.namespace, &gateway.name) else { continue };
            let ingress = match locked(&self.state).balancers.get(&(gateway.namespace.clone(), gateway.name.clone())) {
                Some(Balancer { ready_at, hostname, ip, .. }) if *ready_at <= Instant::now() => match hostname {
                    Some(name) => json!([{ "hostname": name }]),
                    None => json!([{ "ip": ip }]),
                },
                _ => Value::Null,
            };
            self.view.set_status(Kind::Service, &service, json!({ "loadBalancer": { "ingress": ingress } })).await?;
        }
        Ok(())
    }

    /// The root certificate, in the namespace of the control plane and in each member's; what anybody else writes there is put right.
    async fn publish_root(&self, istiod: &Istiod) -> Result<(), kube::Error> {
        let map =
            json!({ "metadata": { "labels": { "istio.io/config": "true" } }, "data": { "root-cert.pem": istiod.root_pem() } });
        self.view.ensure(Kind::ConfigMap, istiod.namespace(), "istio-ca-root-cert", &map).await?;
        for member in istiod.members() {
            self.view.ensure(Kind::ConfigMap, &member, "istio-ca-root-cert", &map).await?;
        }
        Ok(())
    }

    fn istiod(&self, namespace: &str) -> Option<Arc<Istiod>> {
        locked(&self.state).meshes.get(namespace).map(|mesh| Arc::clone(&mesh.istiod))
    }

    /// Every istiod of the cluster.
    pub fn istiods(&self) -> Vec<Arc<Istiod>> {
        locked(&self.state).meshes.values().map(|mesh| Arc::clone(&mesh.istiod)).collect()
    }

    /// Has a pass made, to take over what was changed from outside.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Changes the load balancer of a gateway; panics when it has none, which is an error of the test.
    fn with_balancer(&self, gateway: &str, change: impl FnOnce(&mut Balancer)) {
        let mut state = locked(&self.state);
        let balancer = state.balancers.iter_mut().find(|((_, name), _)| name == gateway).map(|(_, balancer)| balancer);
        change(balancer.unwrap_or_else(|| panic!("gateway {gateway} has no load balancer")));
        drop(state);
        self.wake();
    }

    /// The load balancer is replaced by one with another address.
    pub fn new_address(&self, gateway: &str) {
        self.with_balancer(gateway, |balancer| {
            if let Some(name) = &balancer.hostname {
                self.options.dns.remove(name);
            }
            // Of no kind that is declared, so that the next pass makes another.
            balancer.reach = Reach::Cluster;
        });
    }

    /// The load balancer's status is empty until it is provisioned again, with the address it had.
    pub fn flap(&self, gateway: &str) {
        let ready_at = Instant::now() + self.options.lb_delay;
        self.with_balancer(gateway, |balancer| balancer.ready_at = ready_at);
    }

    /// Whether the gateway can be reached at its address.
    pub fn set_stopped(&self, gateway: &str, stopped: bool) {
        self.with_balancer(gateway, |balancer| balancer.stopped = stopped);
    }
}
