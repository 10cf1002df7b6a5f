//! What an agent watches: the kinds that it derives or reads, in the namespaces of its mesh, and whatever is in its inventory.

use std::collections::BTreeSet;

use super::inventory::Inventory;
use crate::cluster::{Problem, Scope, Snapshot, Trouble};
use crate::decide::{Gap, Presence, Unseen};
use crate::derive::kinds;
use crate::model::Federation;
use crate::object::{Key, Kind};

/// The watches of an agent; of a mesh that leaves, those in which something of it is left.
pub fn scopes(federation: &Federation, presence: &Presence, inventory: &Inventory) -> BTreeSet<Scope> {
    let all = |of, namespace: &str| Scope::namespaced(kinds::kind(of), namespace);
    let mut scopes: BTreeSet<Scope> = match presence {
        Presence::Declared(mesh) => {
            mesh.namespaces().map(|name| Scope::single(kinds::kind(kinds::NAMESPACE), None, name)).collect()
        }
        _ => BTreeSet::new(),
    };
    for of in [kinds::CONTROL_PLANE, kinds::CONFIG_MAP, kinds::SERVICE, kinds::PEER, kinds::EXPORTED, kinds::IMPORTED] {
        scopes.extend(presence.control_plane().map(|(namespace, _)| all(of, namespace)));
    }
    for member in members(presence, inventory) {
        for of in [kinds::MEMBER, kinds::VIRTUAL_SERVICE, kinds::DESTINATION_RULE] {
            scopes.insert(all(of, member));
        }
    }
    let mut manifests = &[][..];
    if let Presence::Declared(mesh) = presence {
        scopes.extend(mesh.operators.iter().map(|operator| all(kinds::SUBSCRIPTION, &operator.namespace)));
        manifests = federation.meshes.get(&mesh.name).map(|folder| folder.manifests.as_slice()).unwrap_or_default();
    }
    let declared = manifests.iter().map(|manifest| (&manifest.object.kind, &manifest.object.key));
    let owned = inventory.iter().map(|(key, origin)| (origin.kind(), key));
    // Thousands of objects lie in a few places.
    let places: BTreeSet<(&Kind, Result<&str, &str>)> =
        declared.chain(owned).map(|(kind, key)| (kind, key.namespace.as_deref().ok_or(&*key.name))).collect();
    scopes.extend(places.into_iter().map(|(kind, place)| match place {
        Ok(namespace) => Scope::namespaced(kind.clone(), namespace),
        Err(name) => Scope::single(kind.clone(), None, name),
    }));
    scopes
}

/// The member namespaces, by the inventory where the mesh is declared no longer: somebody may route by hand to what is to go.
fn members<'a>(presence: &'a Presence, inventory: &'a Inventory) -> Vec<&'a str> {
    match presence {
        Presence::Declared(mesh) => mesh.members.iter().map(String::as_str).collect(),
        _ => {
            let memberships = inventory.keys().filter(|key| *key.kind == *kinds::MEMBER.1);
            memberships.filter_map(|key| key.namespace.as_deref()).collect()
        }
    }
}

/// One kind of each group and version that nearly every agent watches.
pub fn usual() -> [Kind; 5] {
    [kinds::CONFIG_MAP, kinds::CONTROL_PLANE, kinds::MEMBER, kinds::PEER, kinds::VIRTUAL_SERVICE].map(kinds::kind)
}

/// What the view does not show, or shows as it was before a watch got into trouble.
pub fn unseen(snapshot: &Snapshot) -> Unseen {
    let gap = |Problem { trouble, scope, message }: Problem| {
        let Scope { kind, namespace, name } = scope;
        let known = match &name {
            None => snapshot.is_watched(&kind, namespace.as_deref()),
            Some(name) => snapshot.knows_of(&Key::new(&kind, namespace.as_deref(), name)),
        };
        Gap { kind, namespace, name, blind: !known, stuck: trouble != Trouble::Interrupted, reason: message }
    };
    snapshot.problems().into_iter().map(gap).collect()
}
