//! What the declarations gave and give no longer, found by holding them against what the control plane still has. A broken document
//! withdraws nothing, and neither does a selector: only the cluster knows what it selects.

use std::collections::{BTreeMap, BTreeSet};

use super::{ImportState, Inputs, PeerState, kinds};
use crate::model::{Federation, Peer, ServiceName, offered};

/// One half of a peering, as far as it can be told.
enum Half<'a> {
    Declared(&'a Peer),
    Absent,
    Broken,
}

fn half<'a>(federation: &'a Federation, mesh: &str, peer: &str) -> Half<'a> {
    let paths = [format!("meshes/{mesh}/peers/{peer}.yaml"), format!("meshes/{mesh}/mesh.yaml")];
    if paths.iter().any(|path| federation.is_broken(path)) {
        return Half::Broken;
    }
    federation.peer(mesh, peer).filter(|_| federation.mesh(mesh).is_some()).map_or(Half::Absent, Half::Declared)
}

/// Why people want nothing to be sent to a service that is imported from a peer under this name; `None` where they do.
pub fn why_not_given(inputs: Inputs, peer: &str, imported_as: &ServiceName) -> Option<String> {
    let Inputs { federation, me, .. } = inputs;
    let path = format!("meshes/{peer}/peers/{me}.yaml");
    if inputs.observed.replaced.get(peer).is_some_and(|replaced| replaced.taking_down) {
        return Some(format!("the ingress gateway for {peer} is being replaced"));
    }
    match half(federation, peer, me) {
        Half::Broken => None,
        Half::Absent if inputs.observed.withheld.contains(peer) => None,
        Half::Absent => Some(format!("{peer} does not declare this peering ({path})")),
        Half::Declared(theirs) => {
            let imports = federation.peer(me, peer)?.imports.as_slice();
            let rule = imports.iter().find(|import| import.imported_as() == Some(imported_as));
            let exported = rule.and_then(|rule| rule.service.as_ref()).unwrap_or(imported_as);
            let given = offered(theirs).is_none_or(|offered| offered.contains(exported));
            (!given).then(|| format!("{peer} does not export {exported} to {me} ({path})"))
        }
    }
}

/// Whether the service set of a peer stands in `manifests/`: then people say there what crosses, and nothing is withdrawn for them.
pub fn is_by_hand(federation: &Federation, mesh: &str, set: (&str, &str), peer: &str) -> bool {
    let folder = federation.meshes.get(mesh);
    let declared = folder.and_then(|folder| Some((folder, folder.mesh.as_ref()?)));
    declared.is_some_and(|(folder, mesh)| {
        let key = kinds::key(set, &mesh.namespace, peer);
        folder.manifests.iter().any(|manifest| manifest.object.key == key)
    })
}

/// Hosts of imported services that the two halves no longer give.
pub fn withdrawn_imports(inputs: Inputs) -> BTreeSet<String> {
    let Inputs { federation, me, observed, .. } = inputs;
    let mut hosts = BTreeSet::new();
    for (peer, state) in observed.peers.iter().filter(|(peer, _)| !is_by_hand(federation, me, kinds::IMPORTED, peer)) {
        let (ours, theirs) = (half(federation, me, peer), half(federation, peer, me));
        let given = |exported: &ServiceName| match &theirs {
            Half::Absent => false,
            Half::Declared(theirs) => offered(theirs).is_none_or(|offered| offered.contains(exported)),
            Half::Broken => true,
        };
        let taken = |exported: &ServiceName, host: &str| match &ours {
            Half::Absent => false,
            Half::Declared(ours) => is_taken(ours, exported, host),
            Half::Broken => true,
        };
        let withdrawn = live_imports(state).filter(|(exported, host)| !given(exported) || !taken(exported, host));
        hosts.extend(withdrawn.map(|(_, host)| host.to_owned()));
    }
    hosts
}

/// Whether our half imports the service under this host.
fn is_taken(ours: &Peer, exported: &ServiceName, host: &str) -> bool {
    let rule = ours.imports.iter().find(|import| import.service.as_ref().is_none_or(|service| service == exported));
    rule.is_some_and(|rule| rule.host(&ours.name, rule.imported_as().unwrap_or(exported)) == host)
}

/// Services that are imported under a host of their own, not that of a local Service which they join: exported name and host.
pub fn live_imports(state: &PeerState) -> impl Iterator<Item = (ServiceName, &str)> {
    state.imports.iter().filter_map(|(exported, import)| match import {
        ImportState::Live(host) if !host.ends_with(".svc.cluster.local") => Some((service(exported)?, host.as_str())),
        _ => None,
    })
}

/// `name.namespace` as the control plane writes it.
pub fn service(short: &str) -> Option<ServiceName> {
    let (name, namespace) = short.split_once('.')?;
    Some(ServiceName { namespace: namespace.to_owned(), name: name.to_owned() })
}

/// Names that are still exported although the two halves no longer say so, by peer.
pub fn withdrawn_exports(inputs: Inputs) -> BTreeMap<String, BTreeSet<ServiceName>> {
    let Inputs { federation, me, observed, .. } = inputs;
    let mut withdrawn = BTreeMap::new();
    let by_hand = |peer: &str| is_by_hand(federation, me, kinds::EXPORTED, peer);
    for (peer, state) in observed.peers.iter().filter(|(peer, state)| !state.exports.is_empty() && !by_hand(peer)) {
        let (ours, theirs) = (half(federation, me, peer), half(federation, peer, me));
        let kept = match (&ours, &theirs) {
            (Half::Absent, _) | (Half::Declared(_), Half::Absent) => Some(BTreeSet::new()),
            (Half::Declared(ours), Half::Declared(_)) if !ours.suspend => offered(ours),
            _ => None,
        };
        let Some(kept) = kept else { continue };
        let names: BTreeSet<ServiceName> =
            state.exports.iter().filter_map(|short| service(short)).filter(|name| !kept.contains(name)).collect();
        if !names.is_empty() {
            withdrawn.insert(peer.clone(), names);
        }
    }
    withdrawn
}
