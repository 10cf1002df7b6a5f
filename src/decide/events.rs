//! Events: what has just happened to an object of the cluster, for `kubectl describe` and whoever collects events. They are told on
//! transitions only, by holding the status of this pass against the one before, so a quiet pass tells none.

use super::report::{self, PeeringStatus, Status, TrafficStatus};
use super::views::{self, ViewStatus};
use super::{World, freeze, weights};
use crate::derive::kinds;
use crate::model::Mesh;
use crate::object::{Key, Kind};

/// Something that has happened to an object (Kubernetes `events.k8s.io/v1` Event).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Kind and version of the object.
    pub kind: Kind,
    /// The object. The event is written into its namespace.
    pub about: Key,
    /// Whether people should look at it (`type: Warning` rather than `Normal`).
    pub warning: bool,
    /// What happened, for machines: one word in `CamelCase`, always the same for the same thing.
    pub reason: &'static str,
    /// What happened, for people: one line.
    pub note: String,
}

impl Event {
    /// An event about an object of one of the [`kinds`] in a namespace.
    pub fn about(of: (&str, &str), namespace: &str, name: &str, reason: &'static str, note: impl Into<String>) -> Self {
        Self { kind: kinds::kind(of), about: kinds::key(of, namespace, name), warning: false, reason, note: note.into() }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { warning: true, ..self }
    }
}

/// What has happened between two statuses of the mesh.
pub(super) fn between(world: &World, before: &Status, now: &Status) -> Vec<Event> {
    let frozen = freeze::events(before, now);
    let Some(mesh) = world.federation.mesh(world.me) else { return frozen };
    let known = now.peerings.iter().filter_map(|(name, now)| Some((name, before.peerings.get(name)?, now)));
    let connections = known.filter_map(|(name, before, now)| connection(&mesh.namespace, name, before, now));
    let known = now.traffic.iter().filter_map(|(name, now)| Some((name, before.traffic.get(name)?, now)));
    let weights = known.filter_map(|(name, before, now)| weights(name, before, now));
    frozen.into_iter().chain(connections).chain(weights).chain(sight(mesh, &before.views, &now.views)).collect()
}

/// The host became suspect, or is not any more.
fn sight(mesh: &Mesh, before: &ViewStatus, now: &ViewStatus) -> Vec<Event> {
    let peer = |name: &String, reason, note: String| Event::about(kinds::PEER, &mesh.namespace, name, reason, note);
    let of_mesh = |reason, note: String| Event::about(kinds::CONTROL_PLANE, &mesh.namespace, &mesh.control_plane, reason, note);
    let began = now.forked.iter().filter(|(name, _)| !before.forked.contains_key(*name));
    let ended = before.forked.keys().filter(|name| !now.forked.contains_key(*name));
    let mut events: Vec<Event> = began.map(|(name, fork)| peer(name, "ForkedView", fork.words(name)).warning()).collect();
    events.extend(ended.map(|name| peer(name, "SameView", format!("{name} sees the main that we see"))));
    match (before.stale_since, now.stale_since) {
        (None, Some(since)) => events.push(of_mesh("Stale", views::stale_words(since)).warning()),
        (Some(_), None) => events.push(of_mesh("Fresh", "the repository's host serves news".to_owned())),
        _ => {}
    }
    events
}

/// Requests go elsewhere than before.
fn weights(traffic: &str, before: &TrafficStatus, now: &TrafficStatus) -> Option<Event> {
    let moves = weights::moves(before, now);
    let (namespace, _) = now.service.split_once('/').filter(|_| !moves.is_empty())?;
    let event = Event::about(kinds::VIRTUAL_SERVICE, namespace, traffic, "WeightsChanged", moves.join(", "));
    Some(if weights::lacking(now).is_empty() { event } else { event.warning() })
}

/// Our control plane's watch of a peer began or ended.
fn connection(namespace: &str, peer: &str, before: &PeeringStatus, now: &PeeringStatus) -> Option<Event> {
    if before.connected == now.connected {
        return None;
    }
    let (reason, note) = if now.connected {
        ("Connected", format!("watches {peer}"))
    } else {
        ("Disconnected", report::disconnected(peer, &now.last_disconnect))
    };
    let event = Event::about(kinds::PEER, namespace, peer, reason, note);
    Some(if now.connected { event } else { event.warning() })
}
