//! What answers requests goes after the routes that may lead to it: in one commit people move the requests away and remove the old
//! side, and neither a refused VirtualService nor one that keeps its last split may then lead to nothing.

use std::collections::BTreeSet;

use super::{Decision, World};
use crate::derive::{Derived, kinds};
use crate::object::Key;

/// Live VirtualServices of ours that are not yet, or not for now, as the declarations want them.
pub(super) fn unsettled_routes(world: &World, derived: &Derived, held: &BTreeSet<Key>, decision: &Decision) -> BTreeSet<Key> {
    let applied: BTreeSet<&Key> = decision.apply.iter().map(|apply| &apply.object.key).collect();
    let unsettled = |key: &&Key| held.contains(*key) || applied.contains(key) || !derived.wanted.contains_key(*key);
    let routes = decision.inventory.keys().filter(|key| is_route(key) && world.live.contains_key(*key));
    routes.filter(unsettled).cloned().collect()
}

/// Why an object that nothing declares any more stays for now.
pub(super) fn routed(unsettled: &BTreeSet<Key>, key: &Key) -> Option<String> {
    let answers = matches!((&*key.group, &*key.kind), ("apps" | "apps.openshift.io", _) | ("", "Pod" | "Service"));
    let route = unsettled.iter().find(|route| answers && route.namespace == key.namespace)?;
    Some(format!("waits until {route} is as declared, because it may lead there"))
}

fn is_route(key: &Key) -> bool {
    let kind = kinds::kind(kinds::VIRTUAL_SERVICE);
    key.group == kind.group && key.kind == kind.kind
}
