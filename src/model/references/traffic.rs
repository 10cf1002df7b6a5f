//! Findings about the Traffic documents of a mesh: do their destinations exist, and does each host have one owner?

use serde_json::Value;

use super::{Found, failover, members, offered, twice};
use crate::model::at::Span;
use crate::model::code::Code;
use crate::model::diagnostic::Diagnostic;
use crate::model::federation::{Federation, Mesh, MeshFolder, Peer, ServiceName};
use crate::model::names;
use crate::model::traffic::{Destination, Traffic};
use crate::object::Key;

pub(super) fn check(federation: &Federation, mesh: &Mesh, folder: &MeshFolder, found: &mut Found) {
    for item in folder.traffic.values() {
        traffic(federation, mesh, folder, item, found);
        failover::check(federation, mesh, folder, item, found);
    }
    owners(folder, found);
    by_hand(folder, found);
}

/// What the mesh declares about a peer that a Traffic names, if it can be read.
pub(super) fn declared_peer<'a>(
    federation: &Federation,
    mesh: &Mesh,
    folder: &'a MeshFolder,
    name: &str,
    span: Span,
    error: &mut dyn FnMut(Span, Code, String, String),
) -> Option<&'a Peer> {
    let path = format!("meshes/{}/peers/{name}.yaml", mesh.name);
    if federation.is_broken(&path) {
        return None; // what it says, nobody can tell
    }
    let peer = folder.peers.get(name);
    if peer.is_none() {
        let known: Vec<&str> = folder.peers.keys().map(String::as_str).collect();
        let help = match names::similar(name, &known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("peers are declared in files like {path}"),
        };
        error(span, Code::Dangling, format!("`{name}` is no peer of `{}`", mesh.name), help);
    }
    peer
}

fn traffic(federation: &Federation, mesh: &Mesh, folder: &MeshFolder, traffic: &Traffic, found: &mut Found) {
    let mut error = |span: Span, code, message: String, help: String| {
        found.push(Diagnostic::error(&traffic.path, span, code, message, help));
    };
    if !mesh.members.contains(&traffic.service.namespace) {
        let message = format!("`{}` is in a namespace that is no member of `{}`", *traffic.service, mesh.name);
        error(traffic.service.span, Code::OutsideMesh, message, members(mesh));
    }
    for (destination, _, names) in traffic.destinations() {
        let Destination::Imported { peer: name, service } = destination else { continue };
        let Some(peer) = declared_peer(federation, mesh, folder, name, names.peer, &mut error) else { continue };
        let wildcard = peer.imports.iter().any(|import| import.service.is_none());
        match peer.imports.iter().find(|import| import.imported_as() == Some(service)) {
            Some(import) if import.as_local => {
                let message = format!("`{service}` is imported from `{name}` as local: it has no host of its own");
                error(
                    names.service,
                    Code::BadValue,
                    message,
                    "from one peer a service is either failover (`asLocal`) or a target of weights".into(),
                );
            }
            None if !wildcard => {
                let message = format!("nothing is imported from `{name}` as `{service}`");
                error(names.service, Code::Dangling, message, instead(federation, &mesh.name, peer, service));
            }
            _ => {}
        }
    }
    for rule in &traffic.rules {
        twice(rule.routes.iter().map(|route| (format!("{:?}", route.to), route.span)), |_, first, second| {
            let message = format!("this destination is already in line {}", first.line);
            error(second, Code::Duplicate, message, "add up their weights".into());
        });
    }
    twice(traffic.rules.iter().map(|rule| (&rule.when, rule.span)), |_, first, second| {
        let message = format!("the match in line {} takes all of these requests", first.line);
        error(second, Code::Duplicate, message, "remove one".into());
    });
}

/// What to do about a destination that is not imported: import it where the peer offers it, else name what is.
fn instead(federation: &Federation, me: &str, peer: &Peer, service: &ServiceName) -> String {
    let theirs = federation.peer(&peer.name, me).and_then(offered).unwrap_or_default();
    if theirs.contains(service) && peer.imports.iter().all(|import| import.service.as_ref() != Some(service)) {
        return format!("`{}` exports it: import it in {}", *peer.name, peer.path);
    }
    let imported: Vec<String> = peer.imports.iter().filter_map(|i| i.imported_as()).map(ToString::to_string).collect();
    if imported.is_empty() {
        return format!("import it in {}, as the peer exports it", peer.path);
    }
    names::closest(&service.to_string(), &imported)
}

/// Two declarations for one host overwrite each other: each host has one owner.
fn owners(folder: &MeshFolder, found: &mut Found) {
    twice(folder.traffic.values().map(|traffic| (&traffic.service.value, traffic)), |service, first, second| {
        for (one, other) in [(*first, second), (second, *first)] {
            let message = format!("requests for `{service}` are also routed by {}", other.path);
            let finding = Diagnostic::error(&one.path, one.service.span, Code::Duplicate, message, "keep one of them");
            found.push(finding.also(&other.path, other.service.span, "the same service"));
        }
    });
}

/// A VirtualService or DestinationRule in `manifests/` for a host that has one from a Traffic: which of them wins is left to chance.
fn by_hand(folder: &MeshFolder, found: &mut Found) {
    if folder.traffic.is_empty() {
        return;
    }
    for manifest in &folder.manifests {
        let Key { group, kind, namespace, .. } = &manifest.object.key;
        let routes = &**kind == "VirtualService";
        if &**group != "networking.istio.io" || !(routes || &**kind == "DestinationRule") {
            continue;
        }
        let value = manifest.object.value();
        let hosts = if routes { routed_hosts(&value) } else { ruled_host(&value) };
        let rivals = |traffic: &&Traffic| if routes { !traffic.rules.is_empty() } else { traffic.has_policy() };
        for traffic in folder.traffic.values().filter(rivals) {
            let ServiceName { namespace: at, name } = &traffic.service.value;
            let names = [traffic.service.local_host(), format!("{name}.{at}"), format!("{name}.{at}.svc")];
            let short = namespace.as_deref() == Some(at) && hosts.contains(&name.as_str());
            if !short && !names.iter().any(|name| hosts.contains(&name.as_str())) {
                continue;
            }
            let path = &manifest.object.source;
            let message = format!("`{}` also has the {kind} in {path}:{}", *traffic.service, manifest.span.line);
            let finding = Diagnostic::error(&traffic.path, traffic.service.span, Code::Duplicate, message, "keep one of them");
            found.push(finding.also(path, manifest.span, "written by hand here"));
            let message = format!("`{}` also has a {kind} from {}", *traffic.service, traffic.path);
            let finding = Diagnostic::error(path, manifest.span, Code::Duplicate, message, "keep one of them");
            found.push(finding.also(&traffic.path, traffic.service.span, "declared here"));
        }
    }
}

/// Hosts that a VirtualService routes inside of the mesh: one for gateways only is no rival (Istio `VirtualService.gateways`).
fn routed_hosts(value: &Value) -> Vec<&str> {
    let list = |pointer| {
        let items = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).collect::<Vec<&str>>()
    };
    let gateways = list("/spec/gateways");
    if gateways.is_empty() || gateways.contains(&"mesh") { list("/spec/hosts") } else { Vec::new() }
}

fn ruled_host(value: &Value) -> Vec<&str> {
    value.pointer("/spec/host").and_then(Value::as_str).into_iter().collect()
}
