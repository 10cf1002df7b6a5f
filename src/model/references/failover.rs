//! Findings about failover: does each peer's service join the local one, and does the control plane know which of them is far?

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use super::traffic::declared_peer;
use crate::model::at::{At, Span};
use crate::model::code::Code;
use crate::model::diagnostic::Diagnostic;
use crate::model::federation::{Federation, Mesh, MeshFolder, Peer};
use crate::model::traffic::Traffic;

pub(super) fn check(federation: &Federation, mesh: &Mesh, folder: &MeshFolder, traffic: &Traffic, found: &mut Found) {
    let Some(first) = traffic.failover.first() else { return };
    let mut error = |span: Span, code, message: String, help: String| {
        found.push(Diagnostic::error(&traffic.path, span, code, message, help));
    };
    // Who is where; the control plane takes every endpoint in the region of the first for the first's.
    let mut regions = BTreeMap::new();
    match &mesh.locality {
        Some(locality) => _ = regions.insert(&*locality.region, &*mesh.name),
        None => {
            let message = format!("failover needs the region of `{}`", mesh.name);
            error(first.span, Code::Failover, message, format!("add `locality: {{region: …}}` to {}", mesh.path));
        }
    }
    let mut seen = BTreeSet::new(); // a second time is reported as that
    for name in traffic.failover.iter().filter(|name| seen.insert(&*name.value)) {
        let Some(peer) = declared_peer(federation, mesh, folder, name, name.span, &mut error) else { continue };
        join(peer, traffic, name, &mut error);
        let Some(theirs) = federation.mesh(name) else { continue }; // it is reported there
        match peer.runs_in(Some(theirs)) {
            None => {
                let help = format!("add `locality: {{region: …}}` to {} or to {}", theirs.path, peer.path);
                error(name.span, Code::Failover, format!("failover needs the region of `{}`", **name), help);
            }
            Some(locality) => {
                if let Some(other) = regions.insert(&*locality.region, &**name).filter(|other| *other != **name) {
                    let message = format!("`{}` is in the same region as `{other}`: {}", **name, locality.region);
                    let help = "requests fail over from one region to another; say where each mesh runs under `locality`";
                    error(name.span, Code::Failover, message, help.into());
                }
            }
        }
    }
}

/// The peer's service must be among the endpoints of the local one.
fn join(peer: &Peer, traffic: &Traffic, name: &At<String>, error: &mut dyn FnMut(Span, Code, String, String)) {
    let service = &*traffic.service;
    match peer.imports.iter().find(|import| import.imported_as() == Some(service)) {
        Some(import) if import.as_local => {}
        Some(_) => {
            let message = format!("`{service}` is imported from `{}` with a host of its own", **name);
            let help = format!(
                "failover needs `asLocal: true` in {}; from one peer a service is either failover or a target of weights",
                peer.path
            );
            error(name.span, Code::Failover, message, help);
        }
        None => {
            let message = format!("nothing is imported from `{}` as `{service}`", **name);
            let help = format!("add an import with `as: {service}` and `asLocal: true` to {}", peer.path);
            error(name.span, Code::Failover, message, help);
        }
    }
}
