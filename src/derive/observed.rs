//! What derivation needs to know of the cluster: which imports work, and which gateways must not go yet.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::facts::probe::Answers;
use crate::model::{Destination, MeshFolder, Peer, ServiceName};

/// The cluster, as far as derivation cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// By peer.
    pub peers: BTreeMap<String, PeerState>,
    /// Gateways of the live control plane that serve a peer: (peer, `additionalIngress` or `additionalEgress`, name) → entry.
    pub gateways: BTreeMap<(String, &'static str, String), Map<String, Value>>,
    /// By namespace and name of a Traffic: subsets that its live VirtualService still names and its document no longer does, with
    /// their labels. Requests to a subset that is not defined fail.
    pub subsets: BTreeMap<(String, String), BTreeMap<String, Value>>,
    /// What is known over time of destinations that are in use; one without an entry is judged by its import alone.
    pub health: BTreeMap<Destination, Health>,
    /// Peers that nothing declares any more but of which objects are left: their gateways go last.
    pub leaving: BTreeSet<String>,
    /// By declared peer: its roots as the control plane has them.
    pub roots: BTreeMap<String, RootsInUse>,
    /// What peers' ingresses have shown, where people ask for it.
    pub probes: Answers,
    /// Peers that the other side does not declare any more but that must not go yet: weights to them stay.
    pub withheld: BTreeSet<String>,
    /// By peer: roots as somebody else's ConfigMap has them.
    pub foreign_roots: BTreeMap<String, String>,
    /// Hosts of imported services that nothing gives us any more, and the VirtualService that still routes to each.
    pub routed: BTreeMap<String, String>,
    /// By peer: what is exported still, although it is withdrawn, because the peer may be using it.
    pub kept_exports: BTreeMap<String, Vec<KeptExport>>,
    /// By peer: its ServiceMeshPeer names other gateways than people declare.
    pub replaced: BTreeMap<String, Replacement>,
    /// Gateways of ours, by side and name, that nothing declares any more but that must stay for now, and why.
    pub kept: BTreeMap<(&'static str, String), String>,
}

impl Observed {
    /// A cluster in which everything that a mesh imports is there.
    pub fn assumed(folder: &MeshFolder) -> Self {
        let state = |(name, peer): (&String, &Peer)| {
            let imports = peer.imports.iter().filter_map(|import| {
                let exported = import.service.as_ref()?;
                let host = import.host(name, import.imported_as()?);
                Some((format!("{}.{}", exported.name, exported.namespace), ImportState::Live(host)))
            });
            let imports = imports.collect();
            (name.clone(), PeerState { connected: true, remote_connected: true, imports, ..PeerState::default() })
        };
        Self { peers: folder.peers.iter().map(state).collect(), ..Self::default() }
    }
}

/// The roots of one peer that are in use here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootsInUse {
    /// The bundle in its ConfigMap, whoever wrote it.
    pub bundle: Option<String>,
    /// Digest of the bundle that its ServiceMeshPeer was last applied with: a set that was followed before, whatever has become of the
    /// ConfigMap since.
    pub digest: Option<String>,
}

/// A withdrawn service that is exported until its user has turned away from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptExport {
    /// The Service here.
    pub service: ServiceName,
    /// The name that the peer knows.
    pub name: ServiceName,
    /// What it waits for.
    pub reason: String,
}

/// Gateways of a peering that give way to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replacement {
    /// The ingress that the ServiceMeshPeer has until it is made anew.
    pub ingress: Option<String>,
    /// The egress that it has until the other one is there.
    pub egress: Option<String>,
    /// Its service sets go now, and then it goes itself: the control plane never takes over another ingress.
    pub taking_down: bool,
    /// What waits, for people.
    pub why: String,
    /// Whether only people can end that.
    pub stuck: bool,
}

/// What the control plane says of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerState {
    /// Our watch of the peer is connected (ServiceMeshPeer `status.discoveryStatus.active[].watch.connected`).
    pub connected: bool,
    /// The peer's watch of us is connected (`remotes[].connected`).
    pub remote_connected: bool,
    /// The last answer when our watch ended, as `403 Forbidden`; empty where there was none.
    pub last_disconnect: String,
    /// Last full synchronisation of a watch of ours that is connected; `connected` alone lies (see [`STALE_AFTER`](crate::model::defaults::STALE_AFTER)).
    pub synced: Option<Timestamp>,
    /// By exported name in the peer's words (`name.namespace`): what became of it here.
    pub imports: BTreeMap<String, ImportState>,
    /// Exported names of what we offer (`name.namespace`).
    pub exports: BTreeSet<String>,
}

/// Whether a destination may get requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It may.
    Fit,
    /// It may not, for this reason.
    Unfit(String),
}

/// What became of a service that the peer offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// Imported; clients reach it under this host.
    Live(String),
    /// Offered, but no rule imports it.
    Offered,
}

impl PeerState {
    /// The host under which clients reach `name.namespace`, if it is imported under any.
    pub fn live_host(&self, service: &ServiceName) -> Option<&str> {
        let start = format!("{}.{}.", service.name, service.namespace);
        let mut hosts = self.imports.values().filter_map(|state| match state {
            ImportState::Live(host) => Some(host.as_str()),
            ImportState::Offered => None,
        });
        hosts.find(|host| host.starts_with(&start))
    }

    /// Whether a service is imported under this host.
    pub fn is_live(&self, host: &str) -> bool {
        self.imports.values().any(|state| matches!(state, ImportState::Live(live) if live == host))
    }
}
