//! Which meshes there are among the objects, what they are called, and whose each object is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::Given;
use crate::derive::kinds;
use crate::lint::nearness;
use crate::model::{is_placeholder, names};
use crate::object::Kind;

/// A mesh as its control plane tells it.
#[derive(Clone, Debug)]
pub(super) struct Plane<'a> {
    /// Its name in the repository.
    pub mesh: String,
    /// Name of the control plane.
    pub name: String,
    pub namespace: String,
    pub domain: Option<String>,
    pub members: Vec<String>,
    /// Its control plane names no namespace; ours is a guess.
    pub homeless: bool,
    /// Names of its additional gateways.
    gateways: BTreeSet<String>,
    /// Where its control plane is written.
    path: &'a str,
}

impl Plane<'_> {
    /// Whether an object is its control plane.
    pub fn is(&self, given: &Given) -> bool {
        let namespace = given.key.namespace.as_deref().unwrap_or(&given.key.name);
        self.name == *given.key.name && self.namespace == namespace && self.domain == domain(given)
    }

    /// Whether a namespace is the control plane's or a member's.
    pub fn has(&self, namespace: &str) -> bool {
        self.namespace == namespace || self.members.iter().any(|member| member == namespace)
    }
}

/// A text in a value.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Whether an object is of a kind, whatever its version.
pub(super) fn is(given: &Given, (api_version, kind): (&str, &str)) -> bool {
    let wanted = Kind::new(api_version, kind);
    given.kind.group == wanted.group && given.kind.kind == wanted.kind
}

fn gateways(given: &Given, side: &str) -> Vec<String> {
    let gateways = given.value.pointer(&format!("/spec/gateways/{side}")).and_then(Value::as_object);
    gateways.into_iter().flat_map(|gateways| gateways.keys().cloned()).collect()
}

/// `maistra.io/v1` has other fields, and none for federation.
fn domain(given: &Given) -> Option<String> {
    let current = given.kind.version == kinds::kind(kinds::CONTROL_PLANE).version;
    text(&given.value, "/spec/security/trust/domain").filter(|_| current).map(str::to_owned)
}

/// The meshes among the objects. One control plane that is written several times is one mesh.
pub(super) fn planes<'a>(objects: &[Given<'a>]) -> Vec<Plane<'a>> {
    let mut planes: Vec<Plane> = Vec::new();
    // What was never filled in names no mesh.
    let filled = |given: &&Given| !is_placeholder(&given.key.name) && !given.key.namespace.as_deref().is_some_and(is_placeholder);
    for given in objects.iter().filter(|given| is(given, kinds::CONTROL_PLANE)).filter(filled) {
        if !planes.iter().any(|plane| plane.is(given)) {
            planes.push(Plane {
                mesh: String::new(),
                name: given.key.name.to_string(),
                namespace: given.key.namespace.as_deref().unwrap_or(&given.key.name).to_owned(),
                domain: domain(given),
                members: Vec::new(),
                homeless: given.key.namespace.is_none(),
                gateways: ["additionalIngress", "additionalEgress"].into_iter().flat_map(|side| gateways(given, side)).collect(),
                path: given.path,
            });
        }
    }
    for object in objects.iter().filter(|object| is(object, kinds::MEMBER_ROLL)) {
        let listed = ["/spec/members", "/status/configuredMembers"]
            .iter()
            .filter_map(|list| object.node.value.value().pointer(list).cloned());
        let names: Vec<String> = listed
            .flat_map(|list| list.as_array().cloned().unwrap_or_default())
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect();
        // Of a roll that may be one mesh's or another's nobody knows whose members it lists.
        if let [of] = rivals(object, &planes).as_slice() {
            planes[*of].members.extend(names);
        }
    }
    for object in objects.iter().filter(|object| is(object, kinds::MEMBER)) {
        let of = |field| text(&object.value, field).unwrap_or_default();
        let (name, namespace) = (of("/spec/controlPlaneRef/name"), of("/spec/controlPlaneRef/namespace"));
        let named = (0..planes.len()).filter(|i| planes[*i].name == name && planes[*i].namespace == namespace).collect();
        for i in nearest(object, &planes, named) {
            planes[i].members.extend(object.key.namespace.as_deref().map(str::to_owned));
        }
    }
    for plane in &mut planes {
        plane.members.sort();
        plane.members.dedup();
        plane.members.retain(|member| *member != plane.namespace);
    }
    name(&mut planes, objects);
    planes
}

/// A mesh is called in the repository as its peers call it, for that name is in their objects; else as its control plane, or, where that has a
/// name that many have, as its namespace.
fn name(planes: &mut [Plane], objects: &[Given]) {
    let mut taken = BTreeSet::new();
    for i in 0..planes.len() {
        let Plane { domain, name, namespace, .. } = planes[i].clone();
        let peers = objects.iter().filter(|given| is(given, kinds::PEER));
        let calling =
            peers.filter(|peer| domain.is_some() && text(&peer.value, "/spec/security/trustDomain") == domain.as_deref());
        let called: BTreeSet<&str> = calling.map(|peer| &*peer.key.name).collect();
        let alone = planes.iter().filter(|plane| plane.name == name).count() == 1;
        let own = if alone && name != "basic" { [&name, &namespace] } else { [&namespace, &name] };
        let numbered = [format!("{namespace}-{}", i + 1), format!("mesh-{}", i + 1)];
        let all = called.into_iter().map(str::to_owned).chain(own.into_iter().cloned()).chain(numbered);
        // It becomes the name of a folder.
        let mut free = all.filter(|name| !taken.contains(name) && names::mesh(name).is_ok());
        let mesh = free.next().unwrap_or_else(|| format!("mesh-{}-{}", i + 1, taken.len()));
        taken.insert(mesh.clone());
        planes[i].mesh = mesh;
    }
}

/// Whose an object may be. One mesh, where its namespace or its place tells it; several, where nothing tells them apart.
///
/// The namespace of a control plane tells whose what is in it is. The name of a member namespace does not where another mesh's control plane
/// is written nearer: many meshes call their namespaces alike, and a membership that is broken must not make one mesh's objects another's.
pub(super) fn rivals(object: &Given, planes: &[Plane]) -> Vec<usize> {
    let all: Vec<usize> = (0..planes.len()).collect();
    if is(object, kinds::CONTROL_PLANE) {
        let own = all.iter().copied().filter(|i| planes[*i].is(object)).collect();
        return nearest(object, planes, own);
    }
    let Some(namespace) = namespace(object) else { return nearest(object, planes, all) };
    let home: Vec<usize> = all.iter().copied().filter(|i| planes[*i].namespace == namespace).collect();
    if !home.is_empty() {
        return nearest(object, planes, home);
    }
    let near = nearest(object, planes, all);
    let members: Vec<usize> = near.iter().copied().filter(|i| planes[*i].has(namespace)).collect();
    if members.is_empty() { near } else { members }
}

/// Whose each object may be. Where namespace and place leave several, what it says may tell them apart.
pub(super) fn all_rivals(objects: &[Given], planes: &[Plane]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = objects.iter().map(|object| rivals(object, planes)).collect();
    let undecided = |all: &[Vec<usize>], kinds: &[(&str, &str)]| -> Vec<usize> {
        (0..objects.len()).filter(|i| all[*i].len() > 1 && kinds.iter().any(|kind| is(&objects[*i], *kind))).collect()
    };
    for i in undecided(&all, &[kinds::PEER]) {
        let peer = &objects[i].value;
        let domain = text(peer, "/spec/security/trustDomain").map(str::to_owned);
        narrow(&mut all[i], |plane| domain.is_none() || planes[plane].domain != domain); // nobody is a peer of itself
        let used = ["ingress", "egress"].map(|side| text(peer, &format!("/spec/gateways/{side}/name")).unwrap_or_default());
        narrow(&mut all[i], |plane| used.iter().any(|gateway| planes[plane].gateways.contains(*gateway)));
    }
    for i in undecided(&all, &[kinds::EXPORTED, kinds::IMPORTED]) {
        let key = &objects[i].key;
        let with = with_peer(objects, &all, |peer| peer.key.name == key.name && peer.key.namespace == key.namespace);
        narrow(&mut all[i], |plane| with.contains(&plane));
    }
    for i in undecided(&all, &[kinds::VIRTUAL_SERVICE]) {
        let text = objects[i].value.to_string();
        let with = with_peer(objects, &all, |peer| text.contains(&format!(".svc.{}-imports.local\"", peer.key.name)));
        narrow(&mut all[i], |plane| with.contains(&plane));
    }
    all
}

/// Leaves those that fit, where any does.
fn narrow(rivals: &mut Vec<usize>, fits: impl Fn(usize) -> bool) {
    if rivals.iter().any(|plane| fits(*plane)) {
        rivals.retain(|plane| fits(*plane));
    }
}

/// Meshes that have a peer of this kind.
fn with_peer(objects: &[Given], all: &[Vec<usize>], wanted: impl Fn(&Given) -> bool) -> BTreeSet<usize> {
    let peers = objects.iter().zip(all).filter(|(peer, _)| is(peer, kinds::PEER) && wanted(peer));
    peers.flat_map(|(_, planes)| planes.iter().copied()).collect()
}

/// The namespace that an object is in, or is.
pub(super) fn namespace<'o>(object: &'o Given) -> Option<&'o str> {
    object.key.namespace.as_deref().or((&*object.key.kind == "Namespace").then_some(&*object.key.name))
}

/// Those among some meshes whose control plane is written nearest to an object.
fn nearest(object: &Given, planes: &[Plane], among: Vec<usize>) -> Vec<usize> {
    let near = among.iter().map(|i| nearness(planes[*i].path, object.path)).max();
    among.into_iter().filter(|i| Some(nearness(planes[*i].path, object.path)) == near).collect()
}
