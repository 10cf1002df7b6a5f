//! The status of a mesh, as its agent publishes it and `meshfed status` reads it. No times but the day of the heartbeat: only a
//! transition changes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rotation::{self, RotationStatus};
use super::{Decision, World, heartbeat};
use crate::derive::{Hold, ImportState, Inputs, Observed, PeerState, Share, shares};
use crate::facts::Facts;
use crate::model::{Destination, Export, MeshFolder, Peer, Traffic};

/// Everything that people want to know of one mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The agent itself.
    pub agent: AgentStatus,
    /// What of `main` is applied.
    pub main: MainStatus,
    /// Where the cluster runs.
    pub platform: String,
    /// Number of objects that the agent looks after.
    pub objects: usize,
    /// CA roots that the mesh publishes.
    pub ca_roots: Vec<RootStatus>,
    /// How far a change of its CA is.
    pub rotation: RotationStatus,
    /// Addresses that it publishes, by peer.
    pub ingress: BTreeMap<String, Vec<String>>,
    /// By peer.
    pub peerings: BTreeMap<String, PeeringStatus>,
    /// By Traffic.
    pub traffic: BTreeMap<String, TrafficStatus>,
    /// What waits, and for what.
    pub holds: Vec<String>,
    /// Errors in documents that concern this mesh.
    pub problems: Vec<String>,
}

/// The agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentStatus {
    /// Its version.
    pub version: String,
}

/// What of `main` is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MainStatus {
    /// The last commit of which everything is applied that can be; what cannot is among the holds. Empty before the first.
    pub applied: String,
    /// How the commit was verified.
    pub verified: String,
    /// The day on which the agent last looked, so that a silent agent is told from one with nothing to say.
    pub heartbeat: String,
}

/// A CA root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RootStatus {
    /// SHA-256.
    pub fingerprint: String,
    /// End of validity, RFC 3339.
    pub not_after: String,
    /// The control plane no longer uses it; it stays while certificates from it live.
    pub retiring: bool,
    /// People declare it; the control plane does not use it yet.
    pub announced: bool,
}

/// One peering from this side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PeeringStatus {
    /// Everything that this side declares of it works.
    pub ready: bool,
    /// Both sides declare it.
    pub declared_by_both: bool,
    /// Our control plane watches the peer's.
    pub connected: bool,
    /// The peer's control plane watches ours.
    pub peer_connected: bool,
    /// How our last watch ended, where we are not connected.
    pub last_disconnect: String,
    /// Fingerprints of the peer's CA roots that our control plane trusts.
    pub trusted_roots: Vec<String>,
    /// What the peer may use.
    pub exports: Vec<ExportStatus>,
    /// What we take.
    pub imports: Vec<ImportStatus>,
    /// Why it is not ready.
    pub why: String,
}

/// A service that a peer may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExportStatus {
    /// As the peer sees it: `name.namespace`.
    pub name: String,
}

/// A service that we take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImportStatus {
    /// As the peer exports it: `namespace/name`, or `*`.
    pub service: String,
    /// As clients here call it.
    pub host: String,
    /// The control plane has it.
    pub live: bool,
}

/// One Traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficStatus {
    /// The service that clients call.
    pub service: String,
    /// Requests that go elsewhere than the rest, the first match first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<MatchStatus>,
    /// Where all other requests go.
    pub routes: Vec<ShareStatus>,
}

impl TrafficStatus {
    /// The weights of the requests that a match describes as `when`, or of all others where it is empty.
    pub fn shares(&self, when: &str) -> Option<&[ShareStatus]> {
        if when.is_empty() {
            return Some(&self.routes);
        }
        self.matches.iter().find(|item| item.when == when).map(|item| item.routes.as_slice())
    }
}

/// Where requests of one kind go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatchStatus {
    /// Which requests: `end-user = jason`.
    pub when: String,
    /// Where they go. Nothing in effect: none of it is there, and they go where the others go.
    pub routes: Vec<ShareStatus>,
}

/// One destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShareStatus {
    /// `local v1`, or the peer.
    pub to: String,
    /// Service that the peer exports, empty for local ones.
    pub service: String,
    /// Percent that people declared.
    pub declared: u32,
    /// Percent in effect.
    pub effective: u32,
    /// Why they differ.
    pub why: String,
}

pub(super) fn status(
    world: &World,
    folder: &MeshFolder,
    observed: &Observed,
    decision: &Decision,
    applied: Option<String>,
    (facts, rotation): (&Facts, RotationStatus),
) -> Status {
    let inputs = Inputs { federation: world.federation, me: world.me, facts: world.facts, observed };
    let hold = |hold: &Hold| format!("{}: {}", hold.subject, hold.reason);
    let mine = |path: &str| path.starts_with(&format!("meshes/{}/", world.me)) || !path.starts_with("meshes/");
    Status {
        agent: AgentStatus { version: env!("CARGO_PKG_VERSION").into() },
        main: MainStatus {
            applied: applied.unwrap_or_default(),
            verified: world.verified.to_owned(),
            heartbeat: heartbeat::day(world.me, world.now),
        },
        platform: folder.mesh.as_ref().map(|mesh| mesh.platform.name()).unwrap_or_default().to_owned(),
        objects: decision.inventory.len(),
        ca_roots: facts
            .roots
            .iter()
            .map(|root| RootStatus {
                fingerprint: root.fingerprint.clone(),
                not_after: root.not_after.to_string(),
                retiring: facts.retiring.contains_key(&root.fingerprint),
                announced: facts.announced.contains(&root.fingerprint),
            })
            .collect(),
        rotation,
        ingress: facts.ingress.iter().map(|(peer, endpoint)| (peer.clone(), endpoint.addresses.clone())).collect(),
        peerings: folder.peers.values().map(|peer| (peer.name.value.clone(), peering(world, peer, observed, decision))).collect(),
        traffic: folder.traffic.values().map(|item| (item.name.clone(), traffic(item, inputs))).collect(),
        holds: decision.holds.iter().map(hold).collect(),
        problems: world.problems.iter().filter(|problem| mine(&problem.path)).map(ToString::to_string).collect(),
    }
}

fn peering(world: &World, peer: &Peer, observed: &Observed, decision: &Decision) -> PeeringStatus {
    let name = &*peer.name.value;
    let nothing = PeerState::default();
    let state = observed.peers.get(name).unwrap_or(&nothing);
    let imports: Vec<ImportStatus> = peer
        .imports
        .iter()
        .map(|import| match import.imported_as() {
            Some(local) => {
                let host = import.host(name, local);
                let service = import.service.as_ref().unwrap_or(local).to_string();
                ImportStatus { live: state.is_live(&host), service, host }
            }
            None => ImportStatus {
                service: "*".into(),
                host: String::new(),
                live: state.imports.values().any(|import| matches!(import, ImportState::Live(_))),
            },
        })
        .collect();
    let declared_by_both = world.federation.peer(name, world.me).is_some();
    let imported = peer.imports.is_empty() || (state.connected && imports.iter().all(|import| import.live));
    let exported = peer.exports.iter().all(|export| is_exported(export, state));
    let ready = declared_by_both && imported && exported;
    PeeringStatus {
        ready,
        declared_by_both,
        connected: state.connected,
        peer_connected: state.remote_connected,
        trusted_roots: rotation::trusted(world, name),
        last_disconnect: if state.connected { String::new() } else { state.last_disconnect.clone() },
        exports: state.exports.iter().map(|name| ExportStatus { name: name.clone() }).collect(),
        why: if ready { String::new() } else { why(world, peer, state, &imports, decision) },
        imports,
    }
}

fn why(world: &World, peer: &Peer, state: &PeerState, imports: &[ImportStatus], decision: &Decision) -> String {
    let name = &*peer.name.value;
    if world.federation.mesh(world.me).is_none() {
        return format!("unknown, because meshes/{}/mesh.yaml is missing or has an error", world.me);
    }
    if world.federation.peer(name, world.me).is_none() {
        return format!("{name} does not declare it");
    }
    let about =
        |hold: &&Hold| hold.key.as_ref().is_some_and(|key| *key.name == *name || *key.name == *format!("{name}-ca-root-cert"));
    if let Some(hold) = decision.holds.iter().find(about) {
        return format!("{}: {}", hold.subject, hold.reason);
    }
    if !peer.imports.is_empty() && !state.connected {
        return disconnected(name, &state.last_disconnect);
    }
    if let Some(import) = imports.iter().find(|import| !import.live) {
        return match import.service.as_str() {
            "*" => format!("{name} exports nothing yet"),
            service => format!("{service} is not imported yet: {name} does not offer it"),
        };
    }
    let missing = peer.exports.iter().find(|export| !is_exported(export, state));
    match missing {
        Some(Export::Service { service, .. }) => format!("{} is not exported yet: is there such a Service?", **service),
        _ => "not all services are there yet".into(),
    }
}

/// Why our control plane does not watch the peer's, by the answer that ended the last watch.
pub(super) fn disconnected(name: &str, answer: &str) -> String {
    match answer {
        "" => "not connected yet".into(),
        answer if answer.starts_with("200") => format!("{name} ended the connection"),
        answer => format!("{name} answers {answer}"),
    }
}

fn is_exported(export: &Export, state: &PeerState) -> bool {
    export.exported_name().is_none_or(|exported| state.exports.contains(&format!("{}.{}", exported.name, exported.namespace)))
}

fn traffic(traffic: &Traffic, inputs: Inputs) -> TrafficStatus {
    let mut status = TrafficStatus { service: traffic.service.to_string(), ..TrafficStatus::default() };
    for rule in &traffic.rules {
        let routes = shares(traffic, rule, inputs).into_iter().map(share).collect();
        match &rule.when {
            Some(when) => status.matches.push(MatchStatus { when: when.to_string(), routes }),
            None => status.routes = routes,
        }
    }
    status
}

fn share(Share { route, weight, why_not }: Share) -> ShareStatus {
    let (to, service) = match &route.to {
        Destination::Local { subset: None } => ("local".to_owned(), String::new()),
        Destination::Local { subset: Some(subset) } => (format!("local {subset}"), String::new()),
        Destination::Imported { peer, service } => (peer.clone(), service.to_string()),
    };
    ShareStatus { to, service, declared: route.weight, effective: weight, why: why_not.unwrap_or_default() }
}
