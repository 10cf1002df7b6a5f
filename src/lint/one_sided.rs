//! Peerings, exports and imports of which only one side knows.

use crate::derive::{is_by_hand, kinds};
use crate::model::{Code, Diagnostic, Federation, Peer, ServiceName, offered};

pub(super) fn check(federation: &Federation, found: &mut Vec<Diagnostic>) {
    for (name, folder) in federation.meshes.iter().filter(|(_, folder)| folder.mesh.is_some()) {
        for peer in folder.peers.values() {
            let path = format!("meshes/{}/peers/{name}.yaml", *peer.name);
            match federation.peer(&peer.name, name) {
                // What a set in its manifests/ imports is nobody's to tell here.
                Some(_) if is_by_hand(federation, &peer.name, kinds::IMPORTED, name) => {}
                Some(theirs) => exports(name, peer, theirs, found),
                None if federation.is_broken(&path) || federation.mesh(&peer.name).is_none() => {} // it is reported there
                None => {
                    let message = format!("`{}` does not peer with `{name}`", *peer.name);
                    let help = format!("this side waits until {path} is there");
                    found.push(Diagnostic::warning(&peer.path, peer.name.span, Code::OneSided, message, help));
                }
            }
        }
    }
}

/// What is given and not taken.
fn exports(name: &str, ours: &Peer, theirs: &Peer, found: &mut Vec<Diagnostic>) {
    let offered = offered(ours);
    let astray = |service: &ServiceName| offered.as_ref().is_some_and(|offered| !offered.contains(service));
    // Who takes everything needs no name, and who takes what is not there has misspelt it: that is said where it is written.
    if theirs.imports.iter().any(|import| import.service.as_ref().is_none_or(astray)) {
        return;
    }
    for exported in ours.exports.iter().filter_map(|export| export.exported_name()) {
        if theirs.imports.iter().all(|import| import.service.as_ref() != Some(&exported.value)) {
            let message = format!("`{}` does not import `{}` from `{name}`", *ours.name, **exported);
            let help = "an export reaches nobody until the other side imports it under this name";
            let finding = Diagnostic::warning(&ours.path, exported.span, Code::OneSided, message, help);
            found.push(finding.also(&theirs.path, theirs.name.span, "the other side"));
        }
    }
}
