//! Step 4: the ConfigMap with the peer's CA roots, before the ServiceMeshPeer: without it the control plane gives up on the peer.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::peering::Peering;
use super::{Context, Hold, Need, kinds};
use crate::facts::roots;
use crate::object::hex16;

/// Annotation on a ServiceMeshPeer with a digest of the peer's roots: the control plane does not watch the ConfigMap, a changed peer
/// makes it read again.
pub const ROOTS_ANNOTATION: &str = "meshfed.dev/roots";

/// The value of [`ROOTS_ANNOTATION`] for a bundle.
pub fn digest(bundle: &str) -> String {
    hex16(&Sha256::digest(bundle))
}

pub(super) fn derive(context: &mut Context, peering: &Peering) {
    let peer = &*peering.ours.name.value;
    let name = kinds::roots_name(peer);
    let roots = peering.facts.map(|facts| facts.roots.as_slice()).unwrap_or_default();
    if roots.is_empty() {
        let key = kinds::key(kinds::CONFIG_MAP, &context.mesh.namespace, &name);
        let reason = match peering.facts {
            Some(facts) if facts.broken => format!("the facts on published/{peer} have an error; what is there stays"),
            _ => format!("waits for the CA root of {peer} on published/{peer}"),
        };
        return context.hold(Hold::waiting(&key, reason));
    }
    let mut bundle = roots::bundle(roots);
    // Blanks make no difference to whoever reads it; somebody else's ConfigMap need not change for them.
    let same = |text: &&String| {
        let marks = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        marks(text) == marks(&bundle)
    };
    if let Some(text) = context.inputs.observed.foreign_roots.get(peer).filter(same) {
        bundle.clone_from(text);
    }
    let (api_version, kind) = kinds::CONFIG_MAP;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "namespace": context.mesh.namespace},
        "data": {kinds::ROOTS_KEY: bundle},
    });
    let needs = vec![Need::Exists(kinds::namespace(&context.mesh.namespace))];
    context.want(document, &peering.ours.path, needs);
}
