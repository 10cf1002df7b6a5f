//! What changes between two states of the repository, without any cluster.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::differences;
use super::{Action, Held, Place, Plan, Planned, Waiting, declared, place, warnings};
use crate::changes::{self, Topic};
use crate::decide::{peer_of, remove};
use crate::derive::{Derived, Hold, kinds};
use crate::model::{Federation, Mesh, MeshFolder};
use crate::object::{APPLIED_ANNOTATION, Key, MAIN_ANNOTATION, Object, PUBLISHED_ANNOTATION, SOURCE_ANNOTATION};

/// One mesh in one state of the repository.
#[derive(Clone, Copy)]
pub struct Half<'a> {
    /// All documents.
    pub federation: &'a Federation,
    /// What follows from them for this mesh.
    pub derived: &'a Derived,
}

/// What a change says of the federation that objects do not show, or only some of them: `None` of the mesh is the whole federation.
pub fn settings(before: &Federation, after: &Federation, mesh: Option<&str>) -> Vec<String> {
    let shown = [Topic::Federation, Topic::Mesh, Topic::Peering, Topic::Key, Topic::Ca, Topic::Ingress];
    let all = changes::declared(before, after).into_iter();
    let ours = all.filter(|change| change.mesh.as_deref() == mesh && shown.contains(&change.topic));
    ours.map(|change| change.words).collect()
}

/// The documents of `after`, where what is broken is as it was before: it keeps what it declared.
pub fn kept(mut after: Federation, before: &Federation) -> Federation {
    for (name, old) in &before.meshes {
        let broken = |path: &str| after.is_broken(path);
        let mut mesh = old.mesh.iter().filter(|mesh| broken(&mesh.path));
        let peers = old.peers.iter().filter(|(_, peer)| broken(&peer.path));
        let traffic = old.traffic.iter().filter(|(_, traffic)| broken(&traffic.path));
        let manifests = old.manifests.iter().filter(|manifest| broken(&manifest.object.source));
        let stays = MeshFolder {
            mesh: mesh.next().cloned(),
            peers: peers.map(|(name, peer)| (name.clone(), peer.clone())).collect(),
            traffic: traffic.map(|(name, traffic)| (name.clone(), traffic.clone())).collect(),
            manifests: manifests.cloned().collect(),
        };
        if stays.mesh.is_none() && stays.peers.is_empty() && stays.traffic.is_empty() && stays.manifests.is_empty() {
            continue;
        }
        let MeshFolder { mesh, peers, traffic, manifests } = stays;
        let folder = after.meshes.entry(name.clone()).or_default();
        folder.mesh = folder.mesh.take().or(mesh);
        peers.into_iter().for_each(|(name, peer)| _ = folder.peers.entry(name).or_insert(peer));
        traffic.into_iter().for_each(|(name, traffic)| _ = folder.traffic.entry(name).or_insert(traffic));
        for manifest in manifests {
            if folder.manifests.iter().all(|other| other.object.key != manifest.object.key) {
                folder.manifests.push(manifest);
            }
        }
    }
    after
}

/// Compares two states of a mesh, of which some deletions may be held. `text` gives the text of a file as it would be.
pub fn between<'a>(mesh: &str, from: Half, to: Half, guard: Option<&Held>, text: &dyn Fn(&str) -> Option<&'a str>) -> Plan {
    let after = to.federation;
    let keys: BTreeSet<&Key> = from.derived.wanted.keys().chain(to.derived.wanted.keys()).collect();
    let held: BTreeSet<&Key> = to.derived.holds.iter().filter_map(|hold| hold.key.as_ref()).collect();
    let mut changes = Vec::new();
    for key in keys {
        let old = from.derived.wanted.get(key).map(|wanted| &*wanted.object);
        let new = to.derived.wanted.get(key).map(|wanted| &*wanted.object);
        match (old, new) {
            (Some(old), None) if !held.contains(key) => changes.push(gone(old, (from, to), mesh, guard.is_some())),
            (None, Some(new)) => changes.push(created(new, after, mesh)),
            (Some(old), Some(new)) if old.digest != new.digest => changes.extend(changed(old, new, after, mesh, text)),
            _ => {}
        }
    }
    count_peerings(&mut changes, from.derived);
    changes.sort_by(|a, b| a.object.cmp(&b.object));
    let known: BTreeSet<&Hold> = from.derived.holds.iter().collect();
    let news = to.derived.holds.iter().filter(|hold| !known.contains(hold));
    let waiting = |hold: &Hold| Waiting { subject: hold.subject.clone(), reason: hold.reason.clone(), stuck: hold.stuck };
    let settings = settings(from.federation, after, Some(mesh));
    let holds = guard
        .filter(|_| changes.iter().any(|change| change.held))
        .map(Held::waiting)
        .into_iter()
        .chain(news.map(waiting))
        .collect();
    Plan { mesh: mesh.to_owned(), settings, changes, holds }
}

fn gone(old: &Object, (from, to): (Half, Half), mesh: &str, held: bool) -> Planned {
    let value = old.value();
    let (action, warnings) = if is_given_back(&old.key, from.federation.mesh(mesh)) {
        let mut left = value.clone();
        left.pointer_mut("/spec/gateways").map(Value::take);
        (Action::GiveBack, warnings(&old.key, Some(&value), Some(&left)))
    } else {
        (Action::Delete, warnings(&old.key, Some(&value), None))
    };
    let (object, source) = (old.key.to_string(), old.source.to_string());
    let cause = peer_of(&old.key).and_then(|peer| withdrawn(to.federation, mesh, peer));
    Planned { object, action, held, cause, source, line: 0, warnings, fields: Vec::new() }
}

/// Whether only our fields of an object go: others depend on it, or made it.
fn is_given_back(key: &Key, mesh: Option<&Mesh>) -> bool {
    let found =
        |mesh: &Mesh| mesh.base.is_none() && *key == kinds::key(kinds::CONTROL_PLANE, &mesh.namespace, &mesh.control_plane);
    remove::lasts(key) || mesh.is_some_and(found)
}

/// Why a peering ends that this side still declares.
fn withdrawn(after: &Federation, mesh: &str, peer: &str) -> Option<String> {
    let only_ours = after.peer(mesh, peer).is_some() && after.peer(peer, mesh).is_none();
    only_ours.then(|| format!("meshes/{peer}/peers/{mesh}.yaml is gone, the other half of the peering"))
}

fn created(new: &Object, after: &Federation, mesh: &str) -> Planned {
    let Place { source, line } = declared(after, mesh, new);
    let object = new.key.to_string();
    Planned { object, action: Action::Create, held: false, cause: None, source, line, warnings: Vec::new(), fields: Vec::new() }
}

/// `None` where only notes of ours differ, as with a file that was renamed.
fn changed<'a>(
    old: &Object,
    new: &Object,
    after: &Federation,
    mesh: &str,
    text: &dyn Fn(&str) -> Option<&'a str>,
) -> Option<Planned> {
    let (from, to) = (old.value(), new.value());
    let mut fields = Vec::new();
    differences(&from, &to, "", &mut fields);
    fields.retain(|field| !is_note(&field.path));
    // An item that goes is in no document any more.
    for field in fields.iter_mut().filter(|field| !(field.is_item() && field.to.is_null())) {
        field.comes_from(place(after, mesh, new, &field.path, text(&new.source)));
    }
    let Place { source, line } = declared(after, mesh, new);
    let warnings = warnings(&new.key, Some(&from), Some(&to));
    let object = new.key.to_string();
    (!fields.is_empty()).then_some(Planned {
        object,
        action: Action::Change,
        held: false,
        cause: None,
        source,
        line,
        warnings,
        fields,
    })
}

/// Whether a field is an annotation that the agent writes for itself.
pub(super) fn is_note(field: &str) -> bool {
    [APPLIED_ANNOTATION, SOURCE_ANNOTATION, MAIN_ANNOTATION, PUBLISHED_ANNOTATION].iter().any(|note| field.contains(note))
}

/// Says of a peering that ends how many there are.
fn count_peerings(changes: &mut [Planned], before: &Derived) {
    let all = before.wanted.keys().filter(|key| &*key.kind == "ServiceMeshPeer").count();
    let ends = |change: &Planned| change.action == Action::Delete && change.object.starts_with("ServiceMeshPeer/");
    let gone = changes.iter().filter(|change| ends(change)).count();
    for change in changes.iter_mut().filter(|change| ends(change)) {
        change.warnings.push(format!("{gone} of {all} peerings"));
    }
}
