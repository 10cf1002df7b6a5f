//! Findings about plain TCP: the control plane numbers the virtual IPs of each peer's imports from the same start, so that two peers'
//! services can share one (maistra/istio pilot/pkg/serviceregistry/federation). HTTP is told apart by its host, TCP only by address
//! and port.

use std::collections::BTreeMap;

use super::{Found, twice};
use crate::model::at::Span;
use crate::model::code::Code;
use crate::model::diagnostic::Diagnostic;
use crate::model::federation::{Import, MeshFolder, Peer};

pub(super) fn check(folder: &MeshFolder, found: &mut Found) {
    let ports = folder.peers.values().flat_map(|peer| tcp_ports(peer).into_iter().map(move |(port, at)| (port, (peer, at))));
    twice(ports, |port, first, second| {
        for ((peer, (import, span)), (other, (theirs, at))) in [(*first, second), (second, *first)] {
            let message = format!(
                "{} and {} of `{}` both speak TCP on port {port} ({}:{})",
                name(import),
                name(theirs),
                *other.name,
                other.path,
                at.line
            );
            let help = "they can get one virtual IP, and requests for one then reach the other; give one another port";
            let finding = Diagnostic::warning(&peer.path, span, Code::Suspicious, message, help);
            found.push(finding.also(&other.path, at, format!("{} of `{}`", name(theirs), *other.name)));
        }
    });
}

/// Ports of a peer's imports, with the first that uses each. What joins a local Service has that Service's address.
fn tcp_ports(peer: &Peer) -> BTreeMap<u16, (&Import, Span)> {
    let mut ports = BTreeMap::new();
    for import in peer.imports.iter().filter(|import| !import.as_local) {
        for port in &import.tcp_ports {
            ports.entry(port.value).or_insert((import, port.span));
        }
    }
    ports
}

fn name(import: &Import) -> String {
    import.imported_as().map_or("`*`".to_owned(), |name| format!("`{name}`"))
}
