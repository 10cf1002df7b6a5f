//! Step 3: membership, one ServiceMeshMember for each member namespace.
//!
//! Not the ServiceMeshMemberRoll: its list is atomic, so it can have only one owner. A roll in `manifests/` is left alone, and then
//! it is the one way in which members are declared. So is a ServiceMeshMember there, for its namespace. The name must be `default`
//! (maistra/istio-operator validation webhook).

use serde_json::json;

use super::{Context, Need, kinds};

pub(super) fn derive(context: &mut Context) {
    let (mesh, manifests) = (context.mesh, &context.folder.manifests);
    let by_hand = |kind, namespace: &str| {
        let key = kinds::key(kind, namespace, "default");
        manifests.iter().any(|manifest| manifest.object.key == key)
    };
    if by_hand(kinds::MEMBER_ROLL, &mesh.namespace) {
        return;
    }
    for namespace in mesh.members.iter().filter(|namespace| !by_hand(kinds::MEMBER, namespace)) {
        let (api_version, kind) = kinds::MEMBER;
        let document = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": "default", "namespace": namespace},
            "spec": {"controlPlaneRef": {"name": mesh.control_plane, "namespace": mesh.namespace}},
        });
        context.want(document, &mesh.path, vec![Need::Exists(kinds::namespace(namespace))]);
    }
}
