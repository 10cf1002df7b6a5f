//! Step 2: one ingress and one egress gateway for each peer, and the trust domain, on the ServiceMeshControlPlane.
//!
//! Sources: maistra/istio-operator rendering (`enabled` must be explicit, a Route is rendered unless switched off),
//! maistra/istio `discovery/controller.go` (`network-<peer>`), and the CRD (gateways are maps, so other owners' gateways stay).

use serde_json::{Map, Value, json};

use super::{Context, Hold, Need, kinds};
use crate::model::documents::{Platform, ServiceType};
use crate::model::{Mesh, Peer};

/// Makes a Service on AWS a network load balancer; the classic one does not pass TLS through.
const AWS_TYPE: (&str, &str) = ("service.beta.kubernetes.io/aws-load-balancer-type", "nlb");

/// Ports that the gateways listen on (maistra/istio pkg/servicemesh/federation/common).
const GATEWAY_SERVICE_PORT: u16 = 15443;
const GATEWAY_DISCOVERY_PORT: u16 = 8188;

pub(super) fn derive(context: &mut Context) {
    let mesh = context.mesh;
    let key = kinds::key(kinds::CONTROL_PLANE, &mesh.namespace, &mesh.control_plane);
    let mut ingress = Map::new();
    let mut egress = Map::new();
    for peer in context.folder.peers.values().filter(|peer| !peer.suspend) {
        // Two gateways cannot have the same node ports: there, the new one comes when the old one goes.
        let one_only = mesh.ingress.service_type == ServiceType::NodePort;
        let replaced = context.inputs.observed.replaced.get(&*peer.name.value);
        if !(one_only && replaced.is_some_and(|replaced| replaced.ingress.is_some())) {
            ingress.insert(peer.ingress.clone(), ingress_gateway(mesh, peer));
        }
        egress.insert(peer.egress.clone(), egress_gateway(peer));
    }
    carry_over(context, &mut ingress, &mut egress);
    let mut spec = Value::Object(mesh.base.as_ref().map(|base| base.spec.clone()).unwrap_or_default());
    merge(&mut spec, json!({"security": {"trust": {"domain": *mesh.trust_domain}}}));
    for (side, derived) in [("additionalIngress", ingress), ("additionalEgress", egress)] {
        gateways(&mut spec, side, derived);
    }
    let needs = if mesh.base.is_some() { Need::Exists(kinds::namespace(&mesh.namespace)) } else { Need::Exists(key) };
    let (api_version, kind) = kinds::CONTROL_PLANE;
    let mut metadata = json!({"name": mesh.control_plane, "namespace": mesh.namespace});
    if let Some(base) = &mesh.base {
        metadata["labels"] = json!(base.labels);
        metadata["annotations"] = json!(base.annotations);
    }
    context.want(json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}), &mesh.path, vec![needs]);
}

/// Puts derived gateways into the control plane. What people say of such a gateway in `base` counts, for labels and ports of one that is
/// there cannot be changed. What is left of it when its peer is gone makes no gateway: the operator needs `enabled`.
fn gateways(spec: &mut Value, side: &str, derived: Map<String, Value>) {
    let said = spec.pointer_mut(&format!("/gateways/{side}")).and_then(Value::as_object_mut).map(std::mem::take);
    let mut all = derived;
    for (name, said) in said.into_iter().flatten() {
        match all.get_mut(&name) {
            Some(gateway) => overlay(gateway, said),
            None => drop(all.insert(name, said)),
        }
    }
    if !all.is_empty() {
        merge(spec, json!({"gateways": {side: all}}));
    }
}

/// Puts what people say over what is derived; ports are told apart by their number, as the API server does it.
fn overlay(derived: &mut Value, said: Value) {
    match (derived, said) {
        (Value::Object(derived), Value::Object(said)) => {
            for (key, value) in said {
                overlay(derived.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(derived), Value::Array(said)) if said.iter().all(|item| item.get("port").is_some()) => {
            for item in said {
                match derived.iter_mut().find(|port| port.get("port") == item.get("port")) {
                    Some(port) => overlay(port, item),
                    None => derived.push(item),
                }
            }
        }
        (derived, said) => *derived = said,
    }
}

/// Gateways that stay as they are: their document is broken or suspended, or their peer is still leaving.
fn carry_over(context: &mut Context, ingress: &mut Map<String, Value>, egress: &mut Map<String, Value>) {
    let federation = context.inputs.federation;
    for ((peer, side, name), entry) in &context.inputs.observed.gateways {
        let path = format!("meshes/{}/peers/{peer}.yaml", context.mesh.name);
        let suspended = context.folder.peers.get(peer).is_some_and(|peer| peer.suspend);
        let reason = if federation.is_broken(&path) {
            format!("{path} has an error")
        } else if suspended {
            format!("{path} says `suspend: true`")
        } else if context.inputs.observed.leaving.contains(peer) {
            format!("not all that belongs to {peer} is gone yet")
        } else if let Some(reason) = context.inputs.observed.kept.get(&(*side, name.clone())) {
            reason.clone()
        } else {
            continue;
        };
        let gateways = if *side == "additionalIngress" { &mut *ingress } else { &mut *egress };
        if !gateways.contains_key(name) {
            gateways.insert(name.clone(), Value::Object(entry.clone()));
            let hold = Hold::part(format!("gateway {name}"), format!("stays, because {reason}"));
            context.out.holds.push(Hold { asked: suspended, ..hold });
        }
    }
}

fn ingress_gateway(mesh: &Mesh, peer: &Peer) -> Value {
    let mut annotations = mesh.ingress.annotations.clone();
    if mesh.platform == Platform::Aws && mesh.ingress.service_type == ServiceType::LoadBalancer {
        annotations.entry(AWS_TYPE.0.into()).or_insert_with(|| AWS_TYPE.1.into());
    }
    let mut ports = [
        json!({"name": "tls", "port": GATEWAY_SERVICE_PORT}),
        json!({"name": "https-discovery", "port": GATEWAY_DISCOVERY_PORT}),
    ];
    if mesh.ingress.service_type == ServiceType::NodePort {
        ports[0]["nodePort"] = json!(mesh.ingress.service_port);
        ports[1]["nodePort"] = json!(mesh.ingress.discovery_port);
    }
    let mut metadata = json!({"labels": {kinds::INGRESS_FOR: *peer.name}});
    if !annotations.is_empty() {
        metadata["annotations"] = json!(annotations);
    }
    let service_type = match mesh.ingress.service_type {
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::NodePort => "NodePort",
        ServiceType::ClusterIP => "ClusterIP",
    };
    json!({
        "enabled": true,
        "routeConfig": {"enabled": false},
        "service": {"type": service_type, "metadata": metadata, "ports": ports},
    })
}

fn egress_gateway(peer: &Peer) -> Value {
    json!({
        "enabled": true,
        "requestedNetworkView": [format!("network-{}", *peer.name)],
        "service": {
            "metadata": {"labels": {kinds::EGRESS_FOR: *peer.name}},
            "ports": [
                {"name": "tls", "port": GATEWAY_SERVICE_PORT},
                {"name": "http-discovery", "port": GATEWAY_DISCOVERY_PORT},
            ],
        },
    })
}

/// Puts `over` into `base`, mapping by mapping; what is derived wins.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}
