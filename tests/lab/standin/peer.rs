//! How istiod's federation controller takes `ServiceMeshPeer`s and `ExportedServiceSet`s over
//! (maistra/istio, pkg/servicemesh/federation/discovery/controller.go and server/server.go).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::egress::Target;
use super::istiod::Istiod;
use super::rules::{self, Export, LocalService};
use super::status::{self, Connection};
use super::view::{Kind, is_code};
use super::wire::DISCOVERY_PORT;
use super::{Task, text, trust};

/// Events within this time are taken together.
const SETTLE: Duration = Duration::from_millis(10);

/// A peer that was reconciled.
pub(super) struct Peer {
    uid: Option<String>,
    pub(super) spec: PeerSpec,
    pub(super) exports: watch::Sender<Vec<Export>>,
    pub(super) imports: Option<Vec<Value>>,
    pub(super) import_rules: Value,
    pub(super) watch: Connection,
    pub(super) remotes: BTreeMap<String, Connection>,
    task: Task,
}

/// A `ServiceMeshPeer` with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PeerSpec {
    target: Target,
    pub(super) ingress: String,
    pub(super) client_id: String,
    certificates: String,
    certificates_kind: String,
}

impl PeerSpec {
    fn of(object: &DynamicObject) -> Self {
        let name = object.name_any();
        let field = |path: &str| text(&object.data, path).to_owned();
        let addresses = object.data.pointer("/spec/remote/addresses").and_then(Value::as_array);
        let port = object.data.pointer("/spec/remote/discoveryPort").and_then(Value::as_u64).unwrap_or_default();
        let certificates = match text(&object.data, "/spec/security/certificateChain/name") {
            "" => format!("{name}-ca-root-cert"),
            given => given.to_owned(),
        };
        Self {
            target: Target {
                addresses: addresses.into_iter().flatten().map(|address| text(address, "").to_owned()).collect(),
                port: u16::try_from(port).ok().filter(|port| *port != 0).unwrap_or(DISCOVERY_PORT),
                egress: field("/spec/gateways/egress/name"),
                trust_domain: field("/spec/security/trustDomain"),
                peer: name,
            },
            ingress: field("/spec/gateways/ingress/name"),
            client_id: field("/spec/security/clientID"),
            certificates,
            certificates_kind: field("/spec/security/certificateChain/kind"),
        }
    }
}

/// Whether a principal is the one that a policy names. Istio knows `*`, `x*` and `*x`; it puts `spiffe://` in front by itself, so that a pattern
/// which has it already matches nothing.
pub(super) fn principal_matches(pattern: &str, principal: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => principal.ends_with(end),
        (_, Some(start)) => principal.starts_with(start),
        _ => pattern == principal,
    }
}

/// Runs the controller until dropped.
pub(super) async fn run(istiod: Arc<Istiod>, started: impl FnOnce()) {
    sleep(istiod.options().ca_delay).await;
    istiod.set_up();
    started();
    let _statuses = Task::spawn(status::keep_written(Arc::clone(&istiod)));
    let (mut changes, mut epoch) = (istiod.view().changes(), istiod.epoch());
    let mut resync = interval(istiod.options().resync);
    resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let full = tokio::select! {
            _ = changes.changed() => false,
            _ = epoch.changed() => false,
            _ = resync.tick() => true,
        };
        sleep(SETTLE).await;
        changes.mark_unchanged();
        istiod.pass(full).await;
        if full {
            istiod.prune_remotes();
            istiod.resynced();
        }
    }
}

impl Istiod {
    async fn pass(self: &Arc<Self>, full: bool) {
        // Only peers in the namespace of the control plane exist for istiod; elsewhere they are not even logged.
        let live = self.view().within(Kind::Peer, self.namespace());
        if !self.forget_deleted(&live) {
            return;
        }
        for peer in &live {
            // A write of the status is an update too, and alone no reason to do anything.
            let meta = &peer.metadata;
            let print = format!("{:?} {:?} {:?} {:?}", meta.uid, meta.generation, meta.annotations, meta.labels);
            let seen = self.state().seen.insert(peer.name_any(), print.clone());
            let due = full || seen != Some(print);
            if due && let Err(why) = self.reconcile(peer).await {
                tracing::debug!(peer = peer.name_any(), why, "cannot reconcile a peer, giving up until the next resync");
            }
        }
        self.export();
    }

    /// Drops peers that are gone; `false` when the controller hangs.
    ///
    /// Stopping the exports to a peer takes a lock, and removing each service from them takes it again: a peer that goes while services are
    /// still exported to it blocks the controller for good (server.go, `stop` and `pushWatchEvent`).
    fn forget_deleted(&self, live: &[Arc<DynamicObject>]) -> bool {
        let mut state = self.state();
        let is_live =
            |name: &str, uid: &Option<String>| live.iter().any(|peer| peer.name_any() == name && peer.metadata.uid == *uid);
        while !state.blocked {
            let Some(name) = state.peers.iter().find(|(name, peer)| !is_live(name, &peer.uid)).map(|(name, _)| name.clone())
            else {
                break;
            };
            state.seen.remove(&name);
            let peer = state.peers.remove(&name);
            state.blocked = peer.is_some_and(|peer| !peer.exports.borrow().is_empty());
            if state.blocked {
                tracing::debug!(peer = name, "deleted with exported services: the federation controller hangs");
            }
        }
        !state.blocked
    }

    async fn reconcile(self: &Arc<Self>, object: &DynamicObject) -> Result<(), String> {
        let spec = PeerSpec::of(object);
        let name = object.name_any();
        let (own_trust_domain, own_root) = {
            let state = self.state();
            if state.cluster == name {
                return Err(format!("registry {name} exists and belongs to another provider"));
            }
            (state.trust_domain.clone(), state.authority.root_pem())
        };
        let roots = if spec.target.trust_domain == own_trust_domain {
            // Meshes of one trust domain must share their root: what the ConfigMap says is ignored.
            own_root
        } else {
            self.roots_of_peer(&spec).await?
        };
        let mut state = self.state();
        state.bundles.set(&spec.target.trust_domain, trust::roots_in(&roots));
        match state.peers.get_mut(&name) {
            Some(known) if known.spec == spec => {}
            Some(known) => {
                if known.spec.target != spec.target {
                    known.watch.disconnected("200 OK");
                    known.task = self.start_watch(spec.target.clone());
                }
                // The ingress that the exports to a peer are served at is that of the first object (server.go).
                known.spec = PeerSpec { ingress: known.spec.ingress.clone(), ..spec };
            }
            None => {
                let peer = Peer {
                    uid: object.metadata.uid.clone(),
                    exports: watch::Sender::new(Vec::new()),
                    imports: None,
                    import_rules: Value::Null,
                    watch: Connection::default(),
                    remotes: BTreeMap::new(),
                    task: self.start_watch(spec.target.clone()),
                    spec,
                };
                state.peers.insert(name, peer);
            }
        }
        drop(state);
        self.touch();
        Ok(())
    }

    /// Where a peer is asked; `None` where none of that name was reconciled.
    pub(super) fn target(&self, peer: &str) -> Option<Target> {
        self.state().peers.get(peer).map(|peer| peer.spec.target.clone())
    }

    async fn roots_of_peer(&self, spec: &PeerSpec) -> Result<String, String> {
        if !matches!(spec.certificates_kind.as_str(), "" | "ConfigMap") {
            return Err(format!("certificateChain of kind {} is not supported", spec.certificates_kind));
        }
        match self.view().api(Kind::ConfigMap, self.namespace()).get(&spec.certificates).await {
            Ok(map) => match map.data["data"]["root-cert.pem"].as_str() {
                Some(pem) => Ok(pem.to_owned()),
                None => Err(format!("could not get root cert: ConfigMap {} lacks root-cert.pem", spec.certificates)),
            },
            Err(error) if is_code(&error, 404) => Err(format!("could not get root cert: no ConfigMap {}", spec.certificates)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Evaluates the export rules; what changes goes to the peers at once.
    fn export(&self) {
        let services = self.member_services();
        let state = self.state();
        for (name, peer) in &state.peers {
            let set = self.view().get(Kind::Exports, self.namespace(), name);
            let rules = set.as_ref().and_then(|set| set.data.pointer("/spec/exportRules")).unwrap_or(&Value::Null);
            let exports = rules::exports(rules, &services, name);
            peer.exports.send_if_modified(|current| {
                let changed = *current != exports;
                *current = exports;
                changed
            });
        }
        drop(state);
        self.touch();
    }

    /// The Services of the member namespaces that the control plane may see and that are the cluster's own.
    fn member_services(&self) -> Vec<LocalService> {
        let members = self.members();
        let services = self.view().all(Kind::Service);
        let visible = services.iter().filter(|service| {
            let hidden =
                service.annotations().get("networking.istio.io/exportTo").is_some_and(|to| matches!(to.as_str(), "." | "~"));
            let external = text(&service.data, "/spec/type") == "ExternalName";
            !hidden && !external && service.namespace().is_some_and(|namespace| members.contains(&namespace))
        });
        let local = visible.map(|service| LocalService {
            name: service.name_any(),
            namespace: service.namespace().unwrap_or_default(),
            labels: service.labels().clone(),
        });
        local.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::principal_matches;

    #[test]
    fn a_client_id_never_has_a_scheme() {
        let principal = "west/ns/west/sa/east-egress-service-account";
        assert!(principal_matches(principal, principal));
        assert!(principal_matches("west/*", principal));
        assert!(!principal_matches(&format!("spiffe://{principal}"), principal));
        assert!(!principal_matches("", principal));
    }
}
