//! Steps 4 to 6 for one peer: what both halves and the peer's facts together allow.

use super::{Context, Hold, exported_services, imported_services, kinds, peer, peer_roots, probe, root_jump};
use crate::facts::Facts;
use crate::model::{Mesh, Peer};

/// A peering that both sides declare.
pub(super) struct Peering<'a> {
    /// This mesh's half.
    pub ours: &'a Peer,
    /// The peer.
    pub mesh: &'a Mesh,
    /// The peer's half.
    pub theirs: &'a Peer,
    /// What the peer's cluster published.
    pub facts: Option<&'a Facts>,
}

pub(super) fn derive(context: &mut Context, ours: &Peer) {
    let federation = context.inputs.federation;
    let name = &*ours.name.value;
    if ours.suspend {
        return hold_all(context, name, &suspended(ours), Hold::asked);
    }
    let mesh_path = format!("meshes/{name}/mesh.yaml");
    let half_path = format!("meshes/{name}/peers/{}.yaml", context.mesh.name);
    for path in [&mesh_path, &half_path] {
        if federation.is_broken(path) {
            return hold_all(context, name, &format!("{path} has an error; what is there stays"), |hold| Hold {
                stuck: true,
                ..hold
            });
        }
    }
    // An absent folder is an error in our half (a dangling reference), an absent mesh.yaml one of that path: we do not come here.
    let (Some(mesh), Some(theirs)) = (federation.mesh(name), federation.peer(name, &context.mesh.name)) else {
        // Only `plan` looks at what a half of ours said before it got an error.
        if federation.is_broken(&ours.path) {
            let reason = format!("{} has an error; what is there stays", ours.path);
            return hold_all(context, name, &reason, |hold| Hold { stuck: true, ..hold });
        }
        let reason = format!("{name} does not declare this peering yet ({half_path})");
        return context.hold(Hold::part(format!("peering {name}"), reason));
    };
    let peering = Peering { ours, mesh, theirs, facts: context.inputs.facts.get(name) };
    let jump = root_jump::find(context, &peering).or_else(|| probe::find(context.inputs, ours));
    match &jump {
        Some(reason) => {
            let keys = [
                kinds::key(kinds::CONFIG_MAP, &context.mesh.namespace, &kinds::roots_name(name)),
                kinds::key(kinds::PEER, &context.mesh.namespace, name),
            ];
            keys.iter().for_each(|key| context.hold(Hold::stuck(key, reason)));
        }
        None => peer_roots::derive(context, &peering),
    }
    if let Some(replaced) = context.inputs.observed.replaced.get(name) {
        let key = kinds::key(kinds::PEER, &context.mesh.namespace, name);
        let (why, stuck) = (replaced.why.clone(), replaced.stuck);
        context.hold(Hold { stuck, ..Hold::part(format!("{key} spec.gateways"), why) });
        if replaced.taking_down {
            return;
        }
    }
    if jump.is_none() {
        peer::derive(context, &peering);
    }
    exported_services::derive(context, &peering);
    imported_services::derive(context, &peering);
}

/// Why nothing of a suspended peer changes.
pub(super) fn suspended(ours: &Peer) -> String {
    format!("{} says `suspend: true`; what is there stays", ours.path)
}

fn hold_all(context: &mut Context, peer: &str, reason: &str, mark: impl Fn(Hold) -> Hold) {
    let namespace = &context.mesh.namespace;
    let roots = kinds::key(kinds::CONFIG_MAP, namespace, &kinds::roots_name(peer));
    let others = [kinds::PEER, kinds::EXPORTED, kinds::IMPORTED].map(|kind| kinds::key(kind, namespace, peer));
    for key in std::iter::once(roots).chain(others) {
        context.hold(mark(Hold::waiting(&key, reason)));
    }
}
