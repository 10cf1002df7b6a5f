//! ServiceMeshPeers: who the peer is, where it is, and by which roots it is believed.

use std::net::IpAddr;

use super::gaps::GAP;
use super::{Scene, Side};
use crate::derive::kinds;
use crate::lint::{Plain, platform};
use crate::model::names::closest;
use crate::model::{At, Diagnostic, Node, address, is_placeholder, is_shouted, root};

/// Key of the roots in their ConfigMap.
const ROOTS_KEY: &str = "root-cert.pem";

pub(super) fn check(scene: &Scene, found: &mut Vec<Diagnostic>) {
    let placed = [kinds::PEER, kinds::EXPORTED, kinds::IMPORTED, kinds::MEMBER_ROLL];
    placed.into_iter().flat_map(|kind| scene.of(kind)).for_each(|plain| place(scene, plain, found));
    for plain in scene.of(kinds::PEER) {
        identity(scene, plain, found);
        addresses(scene, plain, found);
        roots(scene, plain, found);
        gateways(scene, plain, found);
    }
}

/// Whether a control plane looks into the namespace that an object is in; it looks only into its own.
pub(super) fn is_placed(scene: &Scene, plain: &Plain) -> bool {
    let of_side = |own: &str| scene.sides.iter().any(|side| side.namespace == own);
    let of_plane = |own: &str| scene.of(kinds::CONTROL_PLANE).any(|plane| plane.namespace() == Some(own));
    scene.sides.is_empty() || plain.namespace().is_none_or(|own| of_side(own) || of_plane(own))
}

fn place(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let known: Vec<&str> = scene.sides.iter().map(|side| side.namespace.as_str()).collect();
    if let Some(namespace) = plain.text(&["metadata", "namespace"]).filter(|_| !is_placed(scene, plain)) {
        let message = format!("`{}` holds no control plane, so this {} is ignored", namespace.escape_debug(), plain.kind.kind);
        found.push(plain.error(namespace.span, message, closest(&namespace, &known)));
    }
}

fn identity(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let domain = plain.text(&["spec", "security", "trustDomain"]);
    let own = scene.own(plain);
    if let Some(domain) = &domain {
        if own.is_some_and(|own| own.trust_domain == domain.value) {
            let message = format!("`{}` is this mesh's own trust domain", domain.escape_debug());
            found.push(plain.error(
                domain.span,
                message,
                "here belongs the peer's, `spec.security.trust.domain` of its control plane",
            ));
        } else if scene.trusting(domain).is_none() && !scene.sides.is_empty() {
            let others = scene.sides.iter().filter(|side| own.is_none_or(|own| own.trust_domain != side.trust_domain));
            let names: Vec<&str> = others.map(|side| side.trust_domain.as_str()).collect();
            if !names.is_empty() {
                let message = format!("no mesh here has the trust domain `{}`", domain.escape_debug());
                found.push(plain.warning(domain.span, message, closest(domain, &names)));
            }
        }
    }
    let Some(id) = plain.text(&["spec", "security", "clientID"]) else { return };
    if id.starts_with("spiffe://") {
        let help = "the control plane puts it there itself: leave it out";
        return found.push(plain.error(id.span, "with `spiffe://` this `clientID` matches nobody", help));
    }
    if id.contains('*') || is_placeholder(&id) {
        let help = "write `<trust domain>/ns/<namespace>/sa/<egress gateway>-service-account` of the peer";
        return found.push(plain.error(id.span, format!("`{}` is no identity", id.escape_debug()), help));
    }
    let peer = domain
        .as_ref()
        .and_then(|domain| scene.trusting(domain))
        .filter(|peer| own.is_none_or(|own| own.trust_domain != peer.trust_domain));
    let expected = peer.map(|peer| expected(peer, own)).unwrap_or_default();
    if let (Some(peer), Some(own), Some(domain)) = (peer, own, &domain)
        && !peers_back(scene, peer, own)
    {
        let message = format!("the mesh of `{}` has no ServiceMeshPeer for this one", domain.escape_debug());
        let help = format!("each side needs one: give that of `{}` too", peer.namespace);
        found.push(plain.warning(domain.span, message, help));
    }
    if let Some(own) = own.filter(|own| own.egresses.iter().any(|(egress, _)| own.identity(egress) == id.value)) {
        let message = format!("this is the egress of `{}` itself, and the peer's requests are refused (403)", own.namespace);
        return found.push(plain.error(id.span, message, help(&expected)));
    }
    match domain {
        Some(domain) if !id.starts_with(&format!("{}/ns/", domain.value)) => {
            let message = format!(
                "`{}` is not in the trust domain `{}`: the peer's requests are refused (403)",
                id.escape_debug(),
                domain.escape_debug()
            );
            found.push(plain.error(id.span, message, help(&expected)).also(plain.path, domain.span, "the peer's trust domain"));
        }
        _ if !expected.is_empty() && !expected.contains(&id.value.to_owned()) => {
            let message =
                format!("`{}` is no egress gateway of the peer for this mesh: its requests are refused (403)", id.escape_debug());
            found.push(plain.error(id.span, message, help(&expected)));
        }
        _ => {}
    }
}

/// Whether a mesh has a peer for another, in documents or by hand. One that may be meant for it counts: what is wrong with it is told there.
fn peers_back(scene: &Scene, peer: &Side, own: &Side) -> bool {
    let broken = |(peer, own)| scene.federation.is_broken(&format!("meshes/{peer}/peers/{own}.yaml"));
    let declared =
        peer.egresses.iter().any(|(_, of)| of.is_some() && *of == own.mesh) || peer.mesh.zip(own.mesh).is_some_and(broken);
    let back = |back: &Plain| {
        let Some(domain) = back.text(&["spec", "security", "trustDomain"]) else { return true };
        let strange = domain.value == peer.trust_domain || scene.trusting(&domain).is_none();
        domain.value == own.trust_domain || (strange && back.namespace() == Some(&peer.namespace))
    };
    declared || scene.of(kinds::PEER).any(back)
}

/// As whom a mesh comes to another: by the egress that its documents have for it, else by any that is not for somebody else.
fn expected(peer: &Side, own: Option<&Side>) -> Vec<String> {
    let mine = own.and_then(|own| own.mesh);
    let declared: Vec<String> =
        peer.egresses.iter().filter(|(_, of)| of.is_some() && *of == mine).map(|(egress, _)| peer.identity(egress)).collect();
    if !declared.is_empty() {
        return declared;
    }
    peer.egresses.iter().filter(|(_, of)| of.is_none()).map(|(egress, _)| peer.identity(egress)).collect()
}

fn help(expected: &[String]) -> String {
    match expected {
        [] => "write `<trust domain>/ns/<namespace>/sa/<egress gateway>-service-account` of the peer".into(),
        [one] => format!("write `{one}`"),
        many => format!("write the one that is for this mesh: {}", many.join(", ")),
    }
}

fn addresses(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let domain = plain.text(&["spec", "security", "trustDomain"]);
    let peer = domain.and_then(|domain| scene.trusting(&domain));
    for given in plain.items(&["spec", "remote", "addresses"]).iter().filter_map(At::<Node>::located) {
        if is_placeholder(&given) || is_shouted(&given) {
            found.push(plain.error(
                given.span,
                format!("`{}` {GAP}", given.escape_debug()),
                "write the address of the peer's ingress",
            ));
            continue;
        }
        match address::parse(&given) {
            Err(message) => found.push(plain.error(
                given.span,
                message,
                "write a bare IP address or DNS name; ports have fields of their own",
            )),
            Ok(address) if address.parse::<IpAddr>().is_err() && address::is_inside(&address) => {
                if !is_cluster_ip(scene, plain, &address) {
                    let message = format!("`{}` says nothing outside of one cluster", given.escape_debug());
                    let help = "write the address of the peer's ingress: oc get svc INGRESS -o wide, in its cluster";
                    found.push(plain.warning(given.span, message, help));
                }
            }
            Ok(address) => {
                if let Err(message) = address::allowed(&address, &scene.federation.allow_addresses) {
                    found.push(plain.warning(given.span, message, ""));
                } else if let Some((message, help)) = peer.and_then(|peer| platform::odd(peer.platform?, &address)) {
                    found.push(plain.warning(given.span, message, help));
                }
            }
        }
    }
}

/// Whether a name is that of the peer's ingress, which is there for its own cluster alone: then both meshes are in it.
fn is_cluster_ip(scene: &Scene, plain: &Plain, address: &str) -> bool {
    let parts: Vec<&str> = address.split('.').collect();
    let ([service, namespace, "svc"] | [service, namespace, "svc", "cluster", "local"]) = parts.as_slice() else { return false };
    let domain = plain.text(&["spec", "security", "trustDomain"]).map(|domain| domain.value);
    let of_peer = |plane: &&Plain| {
        plane.namespace() == Some(*namespace)
            && plane.text(&["spec", "security", "trust", "domain"]).map(|own| own.value) == domain
    };
    let mut planes = scene.of(kinds::CONTROL_PLANE).filter(of_peer);
    let of_type = |plane: &Plain| {
        let path = ["spec", "gateways", "additionalIngress", service, "service", "type"];
        plane.text(&path).is_none_or(|given| given.value == "ClusterIP")
    };
    planes.any(|plane| super::gateways::of(plane, "additionalIngress").any(|(name, _)| name.value == *service) && of_type(plane))
}

/// The ConfigMap with the peer's roots, where it is written by hand too.
fn roots(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let Some(peer) = plain.name() else { return };
    let named = plain.text(&["spec", "security", "certificateChain", "name"]);
    let name = named.map_or_else(|| kinds::roots_name(&peer), |name| name.value.to_owned());
    let map = |other: &&Plain| other.namespace() == plain.namespace() && other.name().is_some_and(|own| own.value == name);
    for map in scene.beside(plain, kinds::CONFIG_MAP).filter(map) {
        match map.text(&["data", ROOTS_KEY]) {
            None => {
                let message =
                    format!("the roots of `{}` are looked for under `{ROOTS_KEY}`, which is not there", peer.escape_debug());
                found.push(map.error(map.span(), message, "without it nothing of the peer is set up"));
            }
            Some(text) if is_placeholder(&text) => {
                found.push(map.error(
                    text.span,
                    "the roots were never filled in",
                    "take `istio-ca-root-cert` of the peer's control plane",
                ));
            }
            Some(text) => {
                if let Err(message) = root::read(&text) {
                    found.push(map.error(
                        text.span,
                        format!("the roots of `{}` are unusable: {message}", peer.escape_debug()),
                        "",
                    ));
                }
            }
        }
    }
}

/// Its gateways must be there, in the control plane that is written beside it.
fn gateways(scene: &Scene, plain: &Plain, found: &mut Vec<Diagnostic>) {
    let planes: Vec<&Plain> =
        scene.beside(plain, kinds::CONTROL_PLANE).filter(|plane| scene.home(plane) == plain.namespace()).collect();
    for (field, side) in [("ingress", "additionalIngress"), ("egress", "additionalEgress")] {
        let Some(given) = plain.text(&["spec", "gateways", field, "name"]) else {
            let message = format!("the peer has no `spec.gateways.{field}.name`, and nothing works without it");
            found.push(plain.error(plain.span(), message, format!("name the {side} of this mesh that is for it")));
            continue;
        };
        let derived = super::folder(plain).and_then(|mesh| scene.federation.meshes.get(mesh));
        let derived = derived.iter().flat_map(|folder| folder.peers.values());
        let derived = derived.map(|peer| if field == "egress" { peer.egress.as_str() } else { peer.ingress.as_str() });
        let written = planes.iter().flat_map(|plane| super::gateways::of(plane, side)).map(|(name, _)| name.as_str());
        let names: Vec<&str> = written.chain(derived).collect();
        if !planes.is_empty() && !names.contains(&given.value) {
            let message = format!("the control plane has no {side} `{}`", given.escape_debug());
            found.push(plain.error(given.span, message, closest(&given, &names)));
        }
    }
}
