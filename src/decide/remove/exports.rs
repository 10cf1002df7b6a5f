//! An ExportedServiceSet is emptied before it is deleted, so that its status shows when nothing is exported any more.

use std::sync::Arc;

use serde_json::json;

use super::annotation;
use crate::decide::memory::{Comparisons, Memory, Origin};
use crate::decide::observe::exported;
use crate::decide::{Apply, Decision, World, refused};
use crate::derive::{Hold, kinds};
use crate::object::{Live, Object, SOURCE_ANNOTATION, set_id};

/// Empties the set; `None` when nothing is exported any more.
pub(super) fn empty_first(
    world: &World,
    memory: &Memory,
    live: &Arc<Live>,
    origin: &Origin,
    known: &mut Comparisons,
    decision: &mut Decision,
) -> Option<Hold> {
    let value = live.value();
    let (Some(namespace), name) = (live.key.namespace.as_deref(), &*live.key.name) else { return None };
    let count = exported(&value).count();
    if count == 0 || !world.live.contains_key(&kinds::key(kinds::PEER, namespace, name)) {
        return None; // without its peer nobody updates the status
    }
    let document = json!({
        "apiVersion": origin.kind().api_version(), "kind": origin.kind().kind.as_ref(),
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"exportRules": []},
    });
    let object = Object::new(document, &set_id(namespace), &annotation(&value, SOURCE_ANNOTATION).unwrap_or_default()).ok()?;
    if !known.get(&object, live).changes.is_empty() {
        if let Some(hold) = refused(world, memory, &live.key, &object.digest, decision) {
            return Some(hold);
        }
        decision.apply.push(Apply { object: Arc::new(object), force: true });
    }
    let services = if count == 1 { "service" } else { "services" };
    Some(Hold::waiting(&live.key, format!("waits until the control plane has withdrawn {count} exported {services}")))
}
