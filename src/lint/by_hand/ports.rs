//! Ports at which a ServiceMeshPeer looks for the peer, held against those of the peer's ingress.

use serde_json::Value;

use super::Scene;
use crate::derive::kinds;
use crate::lint::Plain;
use crate::model::{At, Diagnostic, Node, defaults};

pub(super) fn check(scene: &Scene, found: &mut Vec<Diagnostic>) {
    for plain in scene.of(kinds::PEER) {
        if let Some((name, gateway)) = ingress(scene, plain) {
            ports(plain, name, gateway, found);
        }
    }
}

/// The gateway with which the peer answers this mesh, where the peer's control plane is written by hand too.
fn ingress<'a>(scene: &Scene<'a>, plain: &'a Plain<'a>) -> Option<(&'a At<String>, &'a At<Node>)> {
    let domain_of = |peer: &'a Plain<'a>| peer.text(&["spec", "security", "trustDomain"]);
    let (own, theirs) = (scene.own(plain)?, scene.trusting(domain_of(plain)?.value)?);
    let back = scene.of(kinds::PEER).find(|back| {
        back.namespace() == Some(&*theirs.namespace) && domain_of(back).is_some_and(|domain| domain.value == own.trust_domain)
    })?;
    let name = back.text(&["spec", "gateways", "ingress", "name"])?;
    let domain = |plane: &Plain| plane.text(&["spec", "security", "trust", "domain"]).map(|own| own.value.to_owned());
    let plane = scene.of(kinds::CONTROL_PLANE).find(|plane| {
        plane.whole() && plane.namespace() == Some(&*theirs.namespace) && domain(plane).as_ref() == Some(&theirs.trust_domain)
    })?;
    super::gateways::of(plane, "additionalIngress").find(|(gateway, _)| gateway.value == name.value)
}

/// One port that the ingress does not have is a slip; where both are others, something in between changes them on purpose.
fn ports(plain: &Plain, name: &str, gateway: &Node, found: &mut Vec<Diagnostic>) {
    let both = [("discoveryPort", defaults::DISCOVERY_PORT), ("servicePort", defaults::SERVICE_PORT)];
    let wrong = |(field, usual): (&'static str, u16)| {
        let answering = answering(gateway, usual)?;
        let given = plain.object.at(&["spec", "remote", field]);
        let dialled = given.map_or(Some(u64::from(usual)), |given| number(given))?;
        Some((field, given, dialled, answering)).filter(|(.., answering)| !answering.contains(&dialled))
    };
    let off: Vec<_> = both.into_iter().filter_map(wrong).collect();
    let [(field, Some(given), dialled, answering)] = off.as_slice() else { return };
    let all = answering.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ");
    let message = format!("`{}`, the peer's ingress, does not answer at {dialled}", name.escape_debug());
    let help = format!("write `{field}: {all}`, unless something in between changes the port");
    found.push(plain.warning(given.span, message, help));
}

/// Ports of a gateway's Service that lead to one of its own; `None` where only the cluster knows them.
fn answering(gateway: &Node, to: u16) -> Option<Vec<u64>> {
    let entries = gateway.at(&["service", "ports"])?.items();
    let of = |entry: &At<Node>, field: &str| entry.get(field).and_then(|port| number(port));
    let target = |entry: &&At<Node>| of(entry, "targetPort").or_else(|| of(entry, "port")) == Some(u64::from(to));
    let entry = entries.iter().find(target)?;
    let service_type = gateway.at(&["service", "type"]).and_then(|given| given.text());
    let node = of(entry, "nodePort");
    if service_type == Some("NodePort") && node.is_none() {
        return None;
    }
    Some([of(entry, "port"), node].into_iter().flatten().collect())
}

fn number(node: &Node) -> Option<u64> {
    if let Node::Scalar(Value::Number(number)) = node { number.as_u64() } else { None }
}
