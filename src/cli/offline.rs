//! What can be said of objects without a cluster: those of each mesh as if all imports worked, judged by the policies.

use std::collections::BTreeMap;

use crate::decide::forbidden;
use crate::derive::{Derived, Inputs, Observed, derive};
use crate::model::{Code, Diagnostic, Federation, MeshFolder, Span};
use crate::object::{Key, Object};
use crate::policy::Policies;

/// The objects that policies forbid, at the documents that they come from.
pub(super) fn violations(federation: &Federation, policies: &Policies) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (me, folder) in federation.meshes.iter().filter(|_| !policies.is_empty()) {
        let observed = Observed::assumed(folder);
        let mut derived = derive(Inputs { federation, me, facts: &BTreeMap::new(), observed: &observed });
        found.extend(take_out(folder, &mut derived, policies));
    }
    found
}

/// Takes the objects out that policies forbid.
pub(super) fn take_out(folder: &MeshFolder, derived: &mut Derived, policies: &Policies) -> Vec<Diagnostic> {
    let found = forbidden(policies, derived);
    let finding = |(key, why): (Key, String)| {
        let object = derived.wanted.remove(&key)?.object;
        let message = format!("{key}: {why}");
        Some(Diagnostic::error(&object.source, place(folder, &object), Code::Policy, message, "the object is held"))
    };
    found.into_iter().filter_map(finding).collect()
}

/// Where the declaration of an object begins.
fn place(folder: &MeshFolder, object: &Object) -> Span {
    let source = &*object.source;
    let peer = folder.peers.values().find(|peer| peer.path == source).map(|peer| peer.name.span);
    let traffic = || folder.traffic.values().find(|traffic| traffic.path == source).map(|traffic| traffic.service.span);
    let manifest = || folder.manifests.iter().find(|manifest| manifest.object.key == object.key).map(|manifest| manifest.span);
    let mesh = || folder.mesh.as_ref().filter(|mesh| mesh.path == source).map(|mesh| mesh.trust_domain.span);
    peer.or_else(traffic).or_else(manifest).or_else(mesh).unwrap_or_default()
}
