//! Findings that need more than one document: names that lead nowhere, and things said twice.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::at::{At, Span};
use super::diagnostic::{Code, Diagnostic};
use super::federation::{Destination, Export, Federation, Mesh, MeshFolder, Peer, ServiceName, Traffic};
use super::names;
use crate::object::Key;

type Found = Vec<Diagnostic>;

/// Adds the findings between documents.
pub fn check(federation: &Federation, found: &mut Found) {
    trust_domains(federation, found);
    for (name, folder) in &federation.meshes {
        let Some(mesh) = &folder.mesh else {
            let path = format!("meshes/{name}/mesh.yaml");
            if !federation.unreadable.contains(&path) {
                let help = "a mesh's folder begins with it; nothing else in the folder is used without it";
                found.push(Diagnostic::error(&path, Span::default(), Code::Dangling, "the file is missing", help));
            }
            continue;
        };
        gateways(mesh, folder, found);
        for peer in folder.peers.values() {
            peering(federation, name, mesh, peer, found);
            exports(mesh, peer, found);
            imports(federation, name, mesh, peer, found);
        }
        for item in folder.traffic.values() {
            traffic(federation, mesh, folder, item, found);
        }
        owners(folder, found);
        routed_by_hand(folder, found);
        manifests(mesh, folder, found);
    }
}

/// Finds the first item seen with the same key: the second one is the slip.
fn twice<'a, K: Ord, V>(items: impl IntoIterator<Item = (K, V)> + 'a, mut report: impl FnMut(&K, &V, V)) {
    let mut seen = BTreeMap::new();
    for (key, value) in items {
        match seen.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(entry) => report(entry.key(), entry.get(), value),
        }
    }
}

/// Roots are keyed by trust domain in the control plane, so two meshes must never share one.
fn trust_domains(federation: &Federation, found: &mut Found) {
    let meshes = federation.meshes.values().filter_map(|folder| folder.mesh.as_ref());
    twice(meshes.map(|mesh| (&*mesh.trust_domain.value, mesh)), |domain, first, second| {
        for (one, other) in [(*first, second), (second, *first)] {
            let message = format!("trust domain `{domain}` is also that of `{}`", other.name);
            found.push(Diagnostic::error(&one.path, one.trust_domain.span, Code::Duplicate, message, "each mesh needs its own"));
        }
    });
}

/// A gateway serves one peer: with a shared one the two peers' policies refuse each other.
fn gateways(mesh: &Mesh, folder: &MeshFolder, found: &mut Found) {
    for peer in folder.peers.values() {
        for gateway in [&peer.ingress, &peer.egress] {
            if let Err(message) = names::gateway(gateway, &mesh.namespace) {
                let help = "name it under `spec.gateways`";
                found.push(Diagnostic::error(&peer.path, peer.name.span, Code::BadName, message, help));
            }
        }
    }
    let all = folder.peers.values().flat_map(|peer| [(&peer.ingress, peer), (&peer.egress, peer)]);
    twice(all, |gateway, first, second| {
        let message = format!("gateway `{gateway}` also serves `{}`", *first.name);
        found.push(Diagnostic::error(
            &second.path,
            second.name.span,
            Code::Duplicate,
            message,
            "each peer needs gateways of its own",
        ));
    });
}

fn peering(federation: &Federation, name: &str, mesh: &Mesh, peer: &Peer, found: &mut Found) {
    if !federation
        .meshes
        .get(&*peer.name.value)
        .is_some_and(|folder| folder.mesh.is_some() || has_mesh_file(federation, &peer.name))
    {
        let message = format!("there is no mesh `{}`", *peer.name);
        let others = federation.meshes.iter().filter(|(other, folder)| *other != name && folder.mesh.is_some());
        let help = names::closest(&peer.name, &others.map(|(other, _)| other).collect::<Vec<_>>());
        found.push(Diagnostic::error(&peer.path, peer.name.span, Code::Dangling, message, help));
    }
    if mesh.cluster.as_deref() == Some(&**peer.name) {
        let message = format!("peer `{}` has the name of this mesh's own cluster", *peer.name);
        found.push(Diagnostic::error(
            &peer.path,
            peer.name.span,
            Code::BadName,
            message,
            "the control plane refuses it; rename one",
        ));
    }
}

/// A broken `mesh.yaml` is reported where it is broken, not at everyone who names it.
fn has_mesh_file(federation: &Federation, mesh: &str) -> bool {
    federation.unreadable.contains(&format!("meshes/{mesh}/mesh.yaml"))
}

fn exports(mesh: &Mesh, peer: &Peer, found: &mut Found) {
    let mut here = Vec::new();
    let mut exported = Vec::new();
    for export in &peer.exports {
        match export {
            Export::Service { service, alias } => {
                outside(mesh, peer, &service.namespace, service.span, found);
                here.push(service);
                exported.push(alias.as_ref().unwrap_or(service));
            }
            Export::Selector { namespace, aliases, .. } => {
                outside(mesh, peer, namespace, namespace.span, found);
                for (service, alias) in aliases {
                    if service.namespace != **namespace {
                        let message = format!("the selector looks in `{}`, so `{}` is never found", **namespace, **service);
                        found.push(Diagnostic::error(&peer.path, service.span, Code::Dangling, message, ""));
                    }
                    here.push(service);
                    exported.push(alias);
                }
            }
        }
    }
    twice(here.into_iter().map(|service| (&service.value, service.span)), |service, first, second| {
        let message = format!("`{service}` is already exported in line {}", first.line);
        let help = "a service has one exported name for each peer";
        found.push(Diagnostic::error(&peer.path, second, Code::Duplicate, message, help));
    });
    twice(exported.into_iter().map(|name| (&name.value, name.span)), |name, first, second| {
        let message = format!("`{name}` is already the exported name of the service in line {}", first.line);
        found.push(Diagnostic::error(&peer.path, second, Code::Duplicate, message, "give one of them another name with `as`"));
    });
}

/// The control plane exports only what members hold.
fn outside(mesh: &Mesh, peer: &Peer, namespace: &str, span: Span, found: &mut Found) {
    if mesh.members.iter().any(|member| member == namespace) {
        return;
    }
    let message = format!("namespace `{namespace}` is no member of `{}`", mesh.name);
    found.push(Diagnostic::error(&peer.path, span, Code::OutsideMesh, message, members(mesh)));
}

fn members(mesh: &Mesh) -> String {
    if mesh.members.is_empty() { "it has no members yet".into() } else { format!("members are: {}", mesh.members.join(", ")) }
}

fn imports(federation: &Federation, me: &str, mesh: &Mesh, peer: &Peer, found: &mut Found) {
    twice(peer.imports.iter().map(|import| (&import.service.value, import.service.span)), |service, first, second| {
        let name = service.as_ref().map_or("*".to_owned(), ToString::to_string);
        let message = format!("`{name}` is already imported in line {}", first.line);
        found.push(Diagnostic::error(&peer.path, second, Code::Duplicate, message, "a service is imported under one name"));
    });
    let local = peer.imports.iter().filter_map(|import| Some((import.imported_as()?, import.service.span)));
    twice(local, |name, first, second| {
        let message = format!("`{name}` is already the name of the import in line {}", first.line);
        found.push(Diagnostic::error(&peer.path, second, Code::Duplicate, message, "give one of them another name with `as`"));
    });
    for import in peer.imports.iter().filter(|import| import.as_local) {
        let outside = import.imported_as().filter(|name| !mesh.members.contains(&name.namespace));
        if let Some(name) = outside {
            let message = format!("`{name}` is in a namespace that is no member of `{}`", mesh.name);
            found.push(Diagnostic::error(
                &peer.path,
                import.service.span,
                Code::OutsideMesh,
                message,
                "`asLocal` joins a Service of this mesh",
            ));
        }
    }
    let Some(theirs) = federation.peer(&peer.name, me) else { return };
    let Some(offered) = offered(theirs) else { return };
    for import in &peer.imports {
        if let At { value: Some(service), span } = &import.service
            && !offered.contains(service)
        {
            let message = format!("`{}` does not export `{service}` to `{me}`", *peer.name);
            let help = names::closest(&service.to_string(), &offered.iter().map(ToString::to_string).collect::<Vec<_>>());
            found.push(Diagnostic::warning(
                &peer.path,
                *span,
                Code::NotExported,
                message,
                format!("it waits until then; {help}"),
            ));
        }
    }
}

/// The exported names of a peer's half; `None` where a selector decides in the cluster.
pub fn offered(half: &Peer) -> Option<BTreeSet<&ServiceName>> {
    half.exports.iter().map(|export| export.exported_name().map(|name| &name.value)).collect()
}

fn traffic(federation: &Federation, mesh: &Mesh, folder: &MeshFolder, traffic: &Traffic, found: &mut Found) {
    let mut error = |span: Span, code, message: String, help: String| {
        found.push(Diagnostic::error(&traffic.path, span, code, message, help));
    };
    if !mesh.members.contains(&traffic.service.namespace) {
        let message = format!("`{}` is in a namespace that is no member of `{}`", *traffic.service, mesh.name);
        error(traffic.service.span, Code::OutsideMesh, message, members(mesh));
    }
    for (destination, span) in traffic.destinations() {
        let Destination::Imported { peer: name, service } = destination else { continue };
        let Some(peer) = folder.peers.get(name) else {
            let path = format!("meshes/{}/peers/{name}.yaml", mesh.name);
            if federation.unreadable.contains(&path) {
                continue; // it is reported there
            }
            error(
                span,
                Code::Dangling,
                format!("`{name}` is no peer of `{}`", mesh.name),
                format!("peers are declared in files like {path}"),
            );
            continue;
        };
        let wildcard = peer.imports.iter().any(|import| import.service.is_none());
        match peer.imports.iter().find(|import| import.imported_as() == Some(service)) {
            Some(import) if import.as_local => {
                let message = format!("`{service}` is imported from `{name}` as local: it has no host of its own");
                error(span, Code::BadValue, message, "split by weight needs a plain import, without `asLocal`".into());
            }
            None if !wildcard => {
                let names: Vec<String> = peer.imports.iter().filter_map(|i| i.imported_as()).map(ToString::to_string).collect();
                let message = format!("nothing is imported from `{name}` as `{service}`");
                error(span, Code::Dangling, message, names::closest(&service.to_string(), &names));
            }
            _ => {}
        }
    }
    let destinations = traffic.routes.iter().map(|route| (format!("{:?}", route.to), route.span));
    twice(destinations, |_, first, second| {
        error(
            second,
            Code::Duplicate,
            format!("this destination is already in line {}", first.line),
            "add up their weights".into(),
        );
    });
}

/// Two declarations for one host overwrite each other: each host has one owner.
fn owners(folder: &MeshFolder, found: &mut Found) {
    twice(folder.traffic.values().map(|traffic| (&traffic.service.value, traffic)), |service, first, second| {
        for (one, other) in [(*first, second), (second, *first)] {
            let message = format!("requests for `{service}` are also routed by {}", other.path);
            found.push(Diagnostic::error(&one.path, one.service.span, Code::Duplicate, message, "keep one of them"));
        }
    });
}

/// A VirtualService in `manifests/` for a host that a Traffic routes: which of them wins is left to chance.
fn routed_by_hand(folder: &MeshFolder, found: &mut Found) {
    if folder.traffic.is_empty() {
        return;
    }
    for manifest in &folder.manifests {
        let Key { group, kind, namespace, .. } = &manifest.object.key;
        if (&**group, &**kind) != ("networking.istio.io", "VirtualService") {
            continue;
        }
        let value = manifest.object.value();
        let hosts: Vec<&str> =
            value.pointer("/spec/hosts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for traffic in folder.traffic.values() {
            let ServiceName { namespace: at, name } = &traffic.service.value;
            let names = [traffic.service.local_host(), format!("{name}.{at}"), format!("{name}.{at}.svc")];
            let short = namespace.as_deref() == Some(at) && hosts.contains(&name.as_str());
            if !short && !names.iter().any(|name| hosts.contains(&name.as_str())) {
                continue;
            }
            let path = &manifest.object.source;
            let message = format!("requests for `{}` are also routed by the VirtualService in {path}", *traffic.service);
            found.push(Diagnostic::error(&traffic.path, traffic.service.span, Code::Duplicate, message, "keep one of them"));
            let message = format!("requests for `{}` are also routed by {}", *traffic.service, traffic.path);
            found.push(Diagnostic::error(path, manifest.span, Code::Duplicate, message, "keep one of them"));
        }
    }
}

fn manifests(mesh: &Mesh, folder: &MeshFolder, found: &mut Found) {
    let namespaces: BTreeSet<&str> = mesh.namespaces().collect();
    for manifest in &folder.manifests {
        let Key { kind, namespace, name, group } = &manifest.object.key;
        let own_namespace = group.is_empty() && &**kind == "Namespace" && namespaces.contains(&**name);
        if own_namespace || namespace.as_deref().is_some_and(|namespace| namespaces.contains(namespace)) {
            continue;
        }
        let message = match namespace {
            Some(namespace) => format!("{kind} `{name}` is in `{namespace}`, which is no namespace of `{}`", mesh.name),
            None => format!("{kind} `{name}` names no namespace"),
        };
        let help = format!("set metadata.namespace to one of: {}", namespaces.iter().copied().collect::<Vec<_>>().join(", "));
        found.push(Diagnostic::error(&manifest.object.source, manifest.span, Code::OutsideMesh, message, help));
    }
    twice(folder.manifests.iter().map(|manifest| (&manifest.object.key, manifest)), |key, first, second| {
        for (one, other) in [(*first, second), (second, *first)] {
            let message = format!("{key} is also declared in {}:{}", other.object.source, other.span.line);
            found.push(Diagnostic::error(&one.object.source, one.span, Code::Duplicate, message, "keep one of them"));
        }
    });
}
