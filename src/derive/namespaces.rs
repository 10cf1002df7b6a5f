//! Step 1: Namespaces, only where the Mesh asks for them. With a Namespace goes all that is in it, so they are never deleted.

use serde_json::json;

use super::Context;

pub(super) fn derive(context: &mut Context) {
    if !context.mesh.create_namespaces {
        return;
    }
    for name in context.mesh.namespaces() {
        let document = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        context.want(document, &context.mesh.path, vec![]);
    }
}
