//! Findings that need more than one document: names that lead nowhere, and things said twice.

mod failover;
mod peering;
mod traffic;
mod virtual_ips;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::at::Span;
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::federation::{Federation, Mesh, MeshFolder};
use super::names;
use crate::object::Key;
pub use peering::offered;

type Found = Vec<Diagnostic>;

/// Adds the findings between documents, of which those in `federation.broken` have an error of their own.
pub fn check(federation: &Federation, found: &mut Found) {
    trust_domains(federation, found);
    for (name, folder) in &federation.meshes {
        let Some(mesh) = &folder.mesh else {
            let path = format!("meshes/{name}/mesh.yaml");
            if !federation.is_broken(&path) {
                let help = "a mesh's folder begins with it; nothing else in the folder is used without it";
                found.push(Diagnostic::error(&path, Span::default(), Code::Dangling, "the file is missing", help));
            }
            continue;
        };
        gateways(mesh, folder, found);
        for peer in folder.peers.values() {
            peering::check(federation, name, mesh, peer, found);
        }
        virtual_ips::check(folder, found);
        traffic::check(federation, mesh, folder, found);
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
            let finding =
                Diagnostic::error(&one.path, one.trust_domain.span, Code::TrustDomain, message, "each mesh needs its own");
            found.push(finding.also(&other.path, other.trust_domain.span, format!("that of `{}`", other.name)));
        }
    });
}

/// A gateway serves one peer: with a shared one the two peers' policies refuse each other.
fn gateways(mesh: &Mesh, folder: &MeshFolder, found: &mut Found) {
    for peer in folder.peers.values() {
        let (ingress, egress) = (names::gateway(&peer.ingress, &mesh.namespace), names::gateway(&peer.egress, &mesh.namespace));
        let [at, other] = peer.gateway_spans;
        // Both default names are too long where one is: the peer's name is.
        let egress = egress.err().filter(|_| ingress.is_ok() || at != other);
        for (message, span) in
            ingress.err().map(|message| (message, at)).into_iter().chain(egress.map(|message| (message, other)))
        {
            let help = "name this side's gateways in the document: `gateways: {ingress: …, egress: …}` under `spec`";
            found.push(Diagnostic::error(&peer.path, span, Code::BadName, message, help));
        }
    }
    let all = folder.peers.values().flat_map(|peer| [(&peer.ingress, peer, 0), (&peer.egress, peer, 1)]);
    twice(
        all.map(|(gateway, peer, side)| (gateway, (peer, peer.gateway_spans[side]))),
        |gateway, (first, at), (second, span)| {
            if first.path == second.path {
                return; // said of the document alone
            }
            let message = format!("gateway `{gateway}` also serves `{}`", *first.name);
            let help = "each peer needs gateways of its own";
            let finding = Diagnostic::error(&second.path, span, Code::Duplicate, message, help);
            found.push(finding.also(&first.path, *at, format!("`{gateway}` serves this peer")));
        },
    );
}

fn members(mesh: &Mesh) -> String {
    if mesh.members.is_empty() { "it has no members yet".into() } else { format!("members are: {}", mesh.members.join(", ")) }
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
            let finding = Diagnostic::error(&one.object.source, one.span, Code::Duplicate, message, "keep one of them");
            found.push(finding.also(&other.object.source, other.span, "declared here too"));
        }
    });
}
