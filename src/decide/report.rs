//! The status of a mesh, as its agent publishes it and `meshfed status` reads it. No times but the day of the heartbeat: only a
//! transition changes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::own_facts::OwnFacts;
use super::rotation::RotationStatus;
use super::views::ViewStatus;
use super::weights::{self, Stays};
use super::{Decision, Scenery, World, heartbeat};
use crate::derive::{Hold, ImportState, Inputs, Observed, PeerState, live_imports};
use crate::model::{Export, MeshFolder, Peer, Severity, Traffic};

/// Everything that people want to know of one mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The agent itself.
    pub agent: AgentStatus,
    /// What of `main` is applied.
    pub main: MainStatus,
    /// What the agent does with its mesh.
    pub mode: Mode,
    /// Where the control plane is, so that the next agent knows it even when `main` no longer says so.
    pub control_plane: Option<ControlPlaneStatus>,
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
    /// By peer: services that the declarations no longer give us, and to which routes here still lead. Their exporter waits for this.
    pub draining: BTreeMap<String, Vec<String>>,
    /// What an agent that only observes would do.
    pub would_do: Vec<String>,
    /// What waits, and for what; first what only people can end.
    pub holds: Vec<String>,
    /// How many of these only people can end.
    #[serde(skip_serializing_if = "is_zero")]
    pub stuck: usize,
    /// What makes the repository's host suspect.
    #[serde(skip_serializing_if = "ViewStatus::is_plain")]
    pub views: ViewStatus,
    /// Errors in documents that concern this mesh.
    pub problems: Vec<String>,
    /// Warnings about them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What an agent does with its mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It keeps the mesh as it is declared.
    #[default]
    Active,
    /// It changes nothing, because `mesh.yaml` says so.
    Suspended,
    /// It changes nothing, because it was started with `--observe`.
    Observing,
    /// It removes what it made and gives back the rest, because the mesh is not declared any more.
    Leaving,
    /// It has done so.
    Left,
}

/// Where the control plane is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlPlaneStatus {
    /// Namespace of the `ServiceMeshControlPlane`.
    pub namespace: String,
    /// Its name.
    pub name: String,
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
    /// The last commit that the agent had seen when this was written, so that peers can tell whether they see the same `main`.
    pub seen: String,
    /// Name of the federation that what is applied was a commit of.
    pub federation: String,
    /// How the commit was verified.
    pub verified: String,
    /// Why nothing newer of `main` is taken; empty where it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub frozen: String,
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
    /// Nothing of it changes, because our half says so.
    pub suspended: bool,
    /// Our half is gone, and not yet all that belongs to it.
    pub leaving: bool,
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
    /// Why nothing newer of what the peer publishes is taken; empty where it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub frozen: String,
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

fn verified(world: &World) -> MainStatus {
    MainStatus {
        verified: world.trust.words().to_owned(),
        frozen: world.trust.frozen_main(),
        seen: world.own_status.main.seen.clone(), // moves along with the rest
        heartbeat: heartbeat::day(world.me, world.now),
        ..MainStatus::default()
    }
}

/// The status as it was, where nothing of `main` can be believed: what is in the cluster stays, and so does what is said of it.
pub(super) fn blind(world: &World, decision: &Decision) -> Status {
    let MainStatus { applied, federation, .. } = world.own_status.main.clone();
    Status {
        agent: AgentStatus { version: env!("CARGO_PKG_VERSION").into() },
        main: MainStatus { applied, federation, ..verified(world) },
        holds: told(decision).iter().map(ToString::to_string).collect(),
        stuck: stuck(decision),
        ..world.own_status.clone()
    }
}

/// What waits without having been asked to, first what only people can end.
fn told(decision: &Decision) -> Vec<&Hold> {
    let mut holds: Vec<&Hold> = decision.holds.iter().filter(|hold| !hold.asked).collect();
    holds.sort_by_key(|hold| !hold.stuck);
    holds
}

fn stuck(decision: &Decision) -> usize {
    told(decision).iter().filter(|hold| hold.stuck).count()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

pub(super) fn status(world: &World, scenery: &Scenery, mode: Mode, decision: &Decision, own: &OwnFacts, stays: &Stays) -> Status {
    let Scenery { folder, presence, observed, standing: _ } = scenery;
    let OwnFacts { facts, rotation, trusted, .. } = own;
    let inputs = Inputs { federation: world.federation, me: world.me, facts: world.facts, observed };
    let applied = decision.applied.clone().unwrap_or_default();
    let traffic = |item: &Traffic| (item.name.clone(), weights::status(world, item, inputs, stays));
    let mine = |path: &str| path.starts_with(&format!("meshes/{}/", world.me)) || !path.starts_with("meshes/");
    let problems = |severity| {
        let mine = world.problems.iter().filter(|problem| problem.severity == severity && mine(&problem.path));
        mine.map(ToString::to_string).collect()
    };
    Status {
        agent: AgentStatus { version: env!("CARGO_PKG_VERSION").into() },
        main: MainStatus { applied: applied.commit, federation: applied.federation, ..verified(world) },
        mode,
        control_plane: presence
            .control_plane()
            .map(|(namespace, name)| ControlPlaneStatus { namespace: namespace.to_owned(), name: name.to_owned() })
            .or_else(|| world.own_status.control_plane.clone()),
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
        rotation: rotation.clone(),
        ingress: facts.ingress.iter().map(|(peer, endpoint)| (peer.clone(), endpoint.addresses.clone())).collect(),
        peerings: peerings(world, folder, observed, decision, trusted),
        traffic: folder.traffic.values().map(traffic).collect(),
        draining: draining(observed),
        would_do: decision.would_do.clone(),
        holds: told(decision).iter().map(ToString::to_string).collect(),
        stuck: stuck(decision),
        views: ViewStatus::default(), // found out when the rest is known
        problems: problems(Severity::Error),
        warnings: problems(Severity::Warning),
    }
}

/// By peer: fingerprints.
type TrustedRoots = BTreeMap<String, Vec<String>>;

fn peerings(
    world: &World,
    folder: &MeshFolder,
    observed: &Observed,
    decision: &Decision,
    trusted: &TrustedRoots,
) -> BTreeMap<String, PeeringStatus> {
    let name = |peer: &Peer| peer.name.value.clone();
    let declared = folder.peers.values().map(|peer| (name(peer), peering(world, peer, observed, decision, trusted)));
    let path = |peer: &str| format!("meshes/{}/peers/{peer}.yaml", world.me);
    let leaving = observed.leaving.iter().filter(|peer| !world.federation.is_broken(&path(peer)));
    let leaving = leaving.map(|peer| {
        let state = observed.peers.get(peer).cloned().unwrap_or_default();
        let status = PeeringStatus {
            leaving: true,
            connected: state.connected,
            peer_connected: state.remote_connected,
            exports: state.exports.into_iter().map(|name| ExportStatus { name }).collect(),
            why: format!("leaving{}", held(peer, decision).map(|why| format!(": {why}")).unwrap_or_default()),
            ..PeeringStatus::default()
        };
        (peer.clone(), status)
    });
    declared.chain(leaving).collect()
}

/// The first thing that waits among the objects of a peer.
fn held(peer: &str, decision: &Decision) -> Option<String> {
    let about =
        |hold: &&Hold| hold.key.as_ref().is_some_and(|key| *key.name == *peer || *key.name == *format!("{peer}-ca-root-cert"));
    decision.holds.iter().find(about).map(|hold| format!("{}: {}", hold.subject, hold.reason))
}

/// By peer: withdrawn services to which routes here still lead.
fn draining(observed: &Observed) -> BTreeMap<String, Vec<String>> {
    let used = |state: &PeerState| -> Vec<String> {
        let services = live_imports(state).filter(|(_, host)| observed.routed.contains_key(*host));
        services.map(|(exported, _)| exported.to_string()).collect()
    };
    observed.peers.iter().map(|(peer, state)| (peer.clone(), used(state))).filter(|(_, services)| !services.is_empty()).collect()
}

fn peering(world: &World, peer: &Peer, observed: &Observed, decision: &Decision, trusted: &TrustedRoots) -> PeeringStatus {
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
        suspended: peer.suspend,
        leaving: false,
        connected: state.connected,
        peer_connected: state.remote_connected,
        trusted_roots: trusted.get(name).cloned().unwrap_or_default(),
        last_disconnect: if state.connected { String::new() } else { state.last_disconnect.clone() },
        exports: state.exports.iter().map(|name| ExportStatus { name: name.clone() }).collect(),
        why: if ready { String::new() } else { why(world, peer, state, &imports, decision) },
        frozen: world.trust.frozen_branch(name),
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
    if let Some(why) = held(name, decision) {
        return why;
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
