//! Step 5: the ServiceMeshPeer (maistra/api federation/v1 `ServiceMeshPeer`).
//!
//! `clientID` follows from the peer's own documents and is never typed by anyone: trust domain, control-plane namespace and egress
//! name of the peer, without `spiffe://`, which Istio adds. Addresses join when they are known: an exporter works without them.

use serde_json::json;

use super::peer_roots::{ROOTS_ANNOTATION, digest};
use super::peering::Peering;
use super::{Context, Hold, Need, kinds};
use crate::facts::{Facts, roots};

pub(super) fn derive(context: &mut Context, peering: &Peering) {
    let Peering { ours, mesh, theirs, facts } = peering;
    let name = &*ours.name.value;
    let namespace = &context.mesh.namespace;
    let key = kinds::key(kinds::PEER, namespace, name);
    // What an error voids is missing here; what it leaves is sound, so that a bad address for one peer holds up no other.
    let address = |facts: &Facts| facts.ingress.contains_key(&context.mesh.name);
    let Some(facts) = facts.filter(|facts| !facts.roots.is_empty() && (!facts.broken || address(facts))) else {
        let reason = match facts {
            Some(facts) if facts.broken => format!("the facts on published/{name} have an error; what is there stays"),
            _ => format!("waits for the CA root of {name} on published/{name}"),
        };
        return context.hold(Hold::waiting(&key, reason));
    };
    let replaced = context.inputs.observed.replaced.get(name);
    let ingress = replaced.and_then(|replaced| replaced.ingress.as_ref()).unwrap_or(&ours.ingress);
    let egress = replaced.and_then(|replaced| replaced.egress.as_ref()).unwrap_or(&ours.egress);
    let mut spec = json!({
        "gateways": {"ingress": {"name": ingress}, "egress": {"name": egress}},
        "security": {
            "trustDomain": *mesh.trust_domain,
            "clientID": mesh.identity(&theirs.egress),
            "certificateChain": {"kind": "ConfigMap", "name": kinds::roots_name(name)},
        },
    });
    match facts.ingress.get(&context.mesh.name).filter(|endpoint| !endpoint.addresses.is_empty()) {
        Some(endpoint) => {
            spec["remote"] = json!({
                "addresses": endpoint.addresses,
                "discoveryPort": endpoint.discovery_port,
                "servicePort": endpoint.service_port,
            });
        }
        None => {
            let reason = format!("waits for the ingress address of {name} for {} on published/{name}", context.mesh.name);
            context.out.holds.push(Hold::part(format!("{key} remote.addresses"), reason));
        }
    }
    let digest = digest(&roots::bundle(&facts.roots));
    let (api_version, kind) = kinds::PEER;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "annotations": {ROOTS_ANNOTATION: digest}},
        "spec": spec,
    });
    let needs = vec![Need::Applied(kinds::key(kinds::CONFIG_MAP, namespace, &kinds::roots_name(name)))];
    context.want(document, &ours.path, needs);
}
