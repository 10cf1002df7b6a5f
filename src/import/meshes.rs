//! Which meshes there are among the objects, what they are called, and whose each object is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::Given;
use crate::derive::kinds;
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
    /// Where its control plane is written.
    path: &'a str,
}

impl Plane<'_> {
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

/// The meshes among the objects. One control plane that is written several times is one mesh.
pub(super) fn planes<'a>(objects: &[Given<'a>]) -> Vec<Plane<'a>> {
    let mut planes: Vec<Plane> = Vec::new();
    for given in objects.iter().filter(|given| is(given, kinds::CONTROL_PLANE)) {
        let namespace = given.key.namespace.as_deref().unwrap_or(&given.key.name);
        let domain = text(&given.value, "/spec/security/trust/domain").map(str::to_owned);
        let known = |plane: &Plane| plane.name == *given.key.name && plane.namespace == namespace && plane.domain == domain;
        if !planes.iter().any(known) {
            planes.push(Plane {
                mesh: String::new(),
                name: given.key.name.to_string(),
                namespace: namespace.to_owned(),
                domain,
                members: Vec::new(),
                path: given.path,
            });
        }
    }
    for (object, owner) in objects.iter().zip(owners(objects, &planes)) {
        let Some(owner) = owner else { continue };
        if is(object, kinds::MEMBER_ROLL) {
            let listed = ["/spec/members", "/status/configuredMembers"]
                .iter()
                .filter_map(|list| object.node.value.value().pointer(list).cloned());
            let names: Vec<String> = listed
                .flat_map(|list| list.as_array().cloned().unwrap_or_default())
                .filter_map(|name| Some(name.as_str()?.to_owned()))
                .collect();
            planes[owner].members.extend(names);
        }
    }
    for object in objects.iter().filter(|object| is(object, kinds::MEMBER)) {
        let of = |field| text(&object.value, field).unwrap_or_default();
        let named = |plane: &&mut Plane| {
            plane.name == of("/spec/controlPlaneRef/name") && plane.namespace == of("/spec/controlPlaneRef/namespace")
        };
        let near = planes.iter_mut().filter(named).max_by_key(|plane| shared(plane.path, object.path));
        if let (Some(plane), Some(namespace)) = (near, &object.key.namespace) {
            plane.members.push(namespace.to_string());
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
        let mut names =
            called.into_iter().map(str::to_owned).chain(own.into_iter().cloned()).filter(|name| !taken.contains(name));
        let mesh = names.next().unwrap_or_else(|| format!("{namespace}-{}", i + 1));
        taken.insert(mesh.clone());
        planes[i].mesh = mesh;
    }
}

/// Whose each object is: the mesh in whose namespaces it is, and of several the one whose control plane is written nearest.
pub(super) fn owners(objects: &[Given], planes: &[Plane]) -> Vec<Option<usize>> {
    let owner = |object: &Given| {
        let namespace = object.key.namespace.as_deref().or((&*object.key.kind == "Namespace").then_some(&*object.key.name));
        let in_it: Vec<usize> = match namespace {
            Some(namespace) => (0..planes.len()).filter(|i| planes[*i].has(namespace)).collect(),
            None => Vec::new(),
        };
        let among = if in_it.is_empty() { (0..planes.len()).collect() } else { in_it };
        let near = among.iter().map(|i| shared(planes[*i].path, object.path)).max()?;
        let mut nearest = among.into_iter().filter(|i| shared(planes[*i].path, object.path) == near);
        // Several control planes in one text: the first whose namespace it is.
        nearest.next().filter(|_| near > 0 || namespace.is_some() || planes.len() == 1)
    };
    objects.iter().map(owner).collect()
}

/// How much of their paths two texts share: folders, and a point more where they are one text.
fn shared(one: &str, other: &str) -> usize {
    let folders = |path: &'_ str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
    let (a, b) = (folders(one), folders(other));
    let same = a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b && !a.is_empty()).count();
    2 * same + usize::from(one == other)
}
