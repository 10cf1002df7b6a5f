//! Gateways of ServiceMeshControlPlanes: what the operator does not render, and what two peers must not share.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Scene;
use crate::derive::kinds;
use crate::lint::Plain;
use crate::lint::platform::{AWS_NAMES, AWS_TYPE, NLB};
use crate::model::documents::Platform;
use crate::model::names::closest;
use crate::model::{At, Diagnostic, Node, defaults, names};

/// The gateways of one side of a control plane.
pub(super) fn of<'a>(plain: &'a Plain, side: &str) -> impl Iterator<Item = (&'a At<String>, &'a At<Node>)> + use<'a> {
    let gateways = plain.object.at(&["spec", "gateways", side]);
    gateways.into_iter().flat_map(|gateways| gateways.fields()).map(|(name, gateway)| (name, gateway))
}

pub(super) fn check(scene: &Scene, found: &mut Vec<Diagnostic>) {
    for plain in scene.of(kinds::CONTROL_PLANE) {
        if plain.whole() {
            trust_domain(scene, plain, found);
        }
        let peers: Vec<&Plain> = scene.beside(plain, kinds::PEER).filter(|peer| peer.namespace() == scene.home(plain)).collect();
        let mut seen: BTreeMap<&str, &At<String>> = BTreeMap::new();
        for (side, field) in [("additionalIngress", "ingress"), ("additionalEgress", "egress")] {
            for (name, gateway) in of(plain, side) {
                if let Some(first) = seen.insert(name, name) {
                    let finding = plain.error(
                        name.span,
                        format!("gateway `{}` is there twice", name.escape_debug()),
                        "the operator refuses it",
                    );
                    found.push(finding.also(plain.path, first.span, "first here"));
                }
                if let Some(peer) = documented(scene, plain, side, name) {
                    // The rest of it is derived; what the document says of it counts.
                    if side == "additionalEgress" && gateway.get("requestedNetworkView").is_some() {
                        network_view(plain, name, gateway, peer, found);
                    }
                    continue;
                }
                let using: Vec<&Plain> = peers.iter().copied().filter(|peer| uses(peer, field, name)).collect();
                if is_for_a_peer(gateway) || !using.is_empty() {
                    one(scene, plain, name, gateway, found);
                    shared(plain, name, &using, found);
                    if side == "additionalIngress" {
                        load_balancer(scene, plain, name, gateway, found);
                    }
                    if let Some(peer) = using.first().and_then(|peer| peer.name()).filter(|_| side == "additionalEgress") {
                        network_view(plain, name, gateway, peer.value, found);
                    }
                    if using.is_empty() && side == "additionalEgress" {
                        strange_view(scene, plain, &peers, gateway, found);
                    }
                }
            }
        }
    }
}

/// The peer for which documents derive a gateway that a Mesh document says something of.
fn documented<'a>(scene: &Scene<'a>, plain: &Plain<'a>, side: &str, name: &str) -> Option<&'a str> {
    let folder = scene.federation.meshes.get(super::folder(plain).filter(|_| !plain.whole())?)?;
    let gateway = |peer: &'a crate::model::Peer| if side == "additionalEgress" { &peer.egress } else { &peer.ingress };
    folder.peers.iter().find(|(_, peer)| gateway(peer) == name).map(|(peer, _)| peer.as_str())
}

fn trust_domain(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let Some(given) = plain.text(&["spec", "security", "trust", "domain"]) else {
        if scene.beside(plain, kinds::PEER).next().is_some()
            && super::folder(plain).is_none_or(|mesh| scene.federation.mesh(mesh).is_none())
        {
            let message = "the control plane has no trust domain of its own: it is `cluster.local`, as every other's";
            let help = "write `spec.security.trust.domain`; every workload gets a new identity with it";
            found.push(plain.error(plain.span(), message, help));
        }
        return;
    };
    if let Err(message) = names::trust_domain(&given) {
        found.push(plain.error(given.span, message, ""));
    }
    let declared = super::folder(plain).and_then(|mesh| scene.federation.mesh(mesh));
    if let Some(mesh) = declared.filter(|mesh| plain.namespace() == Some(&mesh.namespace) && *mesh.trust_domain != given.value) {
        let message = format!("`{}` is not the trust domain of `{}`", given.escape_debug(), mesh.name);
        found.push(plain.error(given.span, message, format!("write `{}`", *mesh.trust_domain)).also(
            &mesh.path,
            mesh.trust_domain.span,
            "declared here",
        ));
    }
    let same =
        |other: &&Plain| other.text(&["spec", "security", "trust", "domain"]).is_some_and(|theirs| theirs.value == given.value);
    let mut others = scene.of(kinds::CONTROL_PLANE).filter(|other| other.whole() && other.namespace() != plain.namespace());
    if let Some(other) = others.find(same) {
        let message = format!("another control plane has the trust domain `{}` too", given.escape_debug());
        found.push(plain.error(given.span, message, "each mesh needs its own").also(other.path, other.span(), "this one"));
    }
}

fn uses(peer: &Plain, field: &str, gateway: &str) -> bool {
    peer.text(&["spec", "gateways", field, "name"]).is_some_and(|name| name.value == gateway)
}

/// Labels that samples and documentation put on gateways of a federation.
fn is_for_a_peer(gateway: &Node) -> bool {
    let labels = gateway.at(&["service", "metadata", "labels"]);
    labels.is_some_and(|labels| labels.fields().iter().any(|(key, _)| key.starts_with("federation.maistra.io/")))
}

/// What the operator leaves out, and what istiod looks for.
fn one<'a>(scene: &Scene<'a>, plain: &'a Plain<'a>, name: &At<String>, gateway: &At<Node>, found: &mut Vec<Diagnostic>) {
    if let Err(message) = names::gateway(name, scene.home(plain).unwrap_or_default()) {
        found.push(plain.error(name.span, message, ""));
    }
    if gateway.get("enabled").is_none_or(|enabled| enabled.value != Node::Scalar(Value::Bool(true))) {
        let message = format!("gateway `{}` is not enabled, so the operator does not make it", name.escape_debug());
        found.push(plain.error(name.span, message, "write `enabled: true`; there is no default"));
    }
    let ports = gateway.at(&["service", "ports"]);
    let has = |port: u16| {
        let ports = ports.map(|ports| ports.items()).unwrap_or_default();
        ports.iter().any(|entry| entry.get("port").is_some_and(|number| number.value == Node::Scalar(port.into())))
    };
    for port in [defaults::DISCOVERY_PORT, defaults::SERVICE_PORT] {
        if !has(port) {
            let message = format!("the Service of gateway `{}` lacks port {port}", name.escape_debug());
            let span = ports.map_or(name.span, |ports| ports.span);
            found.push(plain.error(span, message, "federation speaks on 8188 (discovery) and 15443 (tls)"));
        }
    }
}

fn shared(plain: &Plain, name: &At<String>, using: &[&Plain], found: &mut Vec<Diagnostic>) {
    if let [first, second, ..] = using {
        let message = format!("gateway `{}` serves two peers, and each is refused by the other's policy", name.escape_debug());
        let finding = plain.error(name.span, message, "each peer needs gateways of its own");
        found.push(finding.also(first.path, first.span(), "one").also(second.path, second.span(), "and the other"));
    }
}

/// On AWS a classic load balancer, the default, does not pass on TLS as federation needs it. Where a mesh runs is declared, or seen in the
/// addresses by which its peers reach it.
fn load_balancer<'a>(
    scene: &Scene<'a>,
    plain: &'a Plain<'a>,
    name: &At<String>,
    gateway: &At<Node>,
    found: &mut Vec<Diagnostic>,
) {
    let service = |path: &[&str]| gateway.at(&[&["service"], path].concat()).and_then(|node| node.text());
    if service(&["type"]) != Some("LoadBalancer") || service(&["metadata", "annotations", AWS_TYPE]) == Some(NLB) {
        return;
    }
    let Some(side) = scene.own(plain) else { return };
    // What peers have for its address may be another's; what it says of itself counts more.
    if matches!(side.platform, Some(Platform::Azure | Platform::Gcp | Platform::Baremetal)) {
        return;
    }
    let towards =
        |peer: &&Plain| peer.text(&["spec", "security", "trustDomain"]).is_some_and(|domain| *domain.value == *side.trust_domain);
    let amazon = |peer: &Plain| {
        let addresses = peer.items(&["spec", "remote", "addresses"]);
        addresses.iter().any(|address| address.text().is_some_and(|text| text.ends_with(AWS_NAMES)))
    };
    if side.platform == Some(Platform::Aws) || scene.of(kinds::PEER).filter(towards).any(amazon) {
        let message =
            format!("gateway `{}` gets a classic load balancer of AWS, which does not pass on TLS", name.escape_debug());
        found.push(plain.warning(name.span, message, format!("annotate its Service with `{AWS_TYPE}: {NLB}`")));
    }
}

/// The code has `network-<peer>`, the documentation says otherwise (maistra/istio pkg/servicemesh/federation/discovery).
fn network_view(plain: &Plain, name: &At<String>, gateway: &At<Node>, peer: &str, found: &mut Vec<Diagnostic>) {
    let view = format!("network-{peer}");
    let given = gateway.get("requestedNetworkView");
    if !given.is_some_and(|given| given.items().iter().any(|item| item.text() == Some(&view))) {
        let message =
            format!("gateway `{}` does not request the network of its peer `{}`", name.escape_debug(), peer.escape_debug());
        found.push(plain.warning(
            given.map_or(name.span, |given| given.span),
            message,
            format!("write `requestedNetworkView: [{view}]`"),
        ));
    }
}

/// Networks of peers that are not there, asked for by a gateway that no peer names; which one is meant, nothing says.
fn strange_view(scene: &Scene, plain: &Plain, peers: &[&Plain], gateway: &At<Node>, found: &mut Vec<Diagnostic>) {
    let folder = super::folder(plain).and_then(|mesh| scene.federation.meshes.get(mesh));
    let declared = folder.iter().flat_map(|folder| folder.peers.keys()).map(String::as_str);
    let names = peers.iter().filter_map(|peer| Some(peer.name()?.value)).chain(declared);
    let views: Vec<String> = names.map(|peer| format!("network-{peer}")).collect();
    let given = gateway.get("requestedNetworkView").map(|given| given.items()).unwrap_or_default();
    for view in given.iter().filter_map(At::<Node>::located).filter(|view| view.starts_with("network-")) {
        if !views.is_empty() && !views.iter().any(|known| known == view.value) {
            let message = format!("`{}` is the network of no peer", view.escape_debug());
            found.push(plain.warning(view.span, message, closest(&view, &views)));
        }
    }
}
