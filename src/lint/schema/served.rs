//! Kinds as no API server knows them: of another group, of another version, or from before federation was released.

use super::Schemas;
use crate::object::Kind;

/// Versions that the CustomResourceDefinitions of OSSM 2.x serve (maistra/api); the kinds of a group without a name here are in none.
const SERVED: [(&str, &str, &[&str]); 6] = [
    ("federation.maistra.io", "ServiceMeshPeer", &["v1"]),
    ("federation.maistra.io", "ExportedServiceSet", &["v1"]),
    ("federation.maistra.io", "ImportedServiceSet", &["v1"]),
    ("maistra.io", "ServiceMeshControlPlane", &["v2", "v1"]),
    ("maistra.io", "ServiceMeshMemberRoll", &["v1"]),
    ("maistra.io", "ServiceMeshMember", &["v1"]),
];

/// What they were called while they were made (maistra/istio, pkg/servicemesh/federation/example); all of `maistra.io`.
const EARLY: [(&str, &str); 3] =
    [("MeshFederation", "ServiceMeshPeer"), ("ServiceExports", "ExportedServiceSet"), ("ServiceImports", "ImportedServiceSet")];

/// Why no API server knows a kind, and what to write.
pub(super) fn unknown(kind: &Kind, schemas: &Schemas) -> Option<(String, String)> {
    if schemas.defines(kind) {
        return None;
    }
    let (group, name) = (&*kind.group, &*kind.kind);
    if let Some((_, now)) = EARLY.iter().find(|(early, _)| group == "maistra.io" && name == *early) {
        let message = format!("{name} was tried before federation was released, and no control plane knows it");
        return Some((message, format!("write what it says as {now} of federation.maistra.io/v1")));
    }
    let (right, _, versions) = SERVED.iter().find(|(_, known, _)| name == *known)?;
    let full = format!("{right}/{}", versions[0]);
    if group != *right {
        let shown = if group.is_empty() { "the core group".to_owned() } else { format!("`{}`", group.escape_debug()) };
        return Some((format!("{name} is no kind of {shown}"), format!("write `apiVersion: {full}`")));
    }
    let known = versions.contains(&&*kind.version);
    (!known).then(|| {
        (format!("{name} is not served in version `{}`", kind.version.escape_debug()), format!("write `apiVersion: {full}`"))
    })
}
