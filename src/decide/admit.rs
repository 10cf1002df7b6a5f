//! Applying an object that is there already: is it ours, and does somebody else claim a field of it?

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compare::{Change, Comparison, Owner, is_made_by_us, is_ours};
use super::memory::{Comparisons, Origin};
use super::spelling;
use super::{Apply, Decision, World};
use crate::derive::Hold;
use crate::model::Place;
use crate::object::{APPLIED_ANNOTATION, Key, Live, Object, PART_OF_LABEL};

/// Applies, unless somebody else claims a field.
pub(super) fn admit(world: &World, object: &Arc<Object>, comparisons: &mut Comparisons, decision: &mut Decision) {
    let Some(live) = world.live.get(&object.key) else {
        decision.inventory_mut().insert(object.key.clone(), Origin::Created(object.kind.clone()));
        return decision.apply.push(Apply { object: object.clone(), force: false });
    };
    let comparison = comparisons.get(object, live);
    if !is_ours(live)
        && let Some(origin) = decision.inventory_mut().get_mut(&object.key)
    {
        // Somebody made it, or made it anew, since we last looked: it is theirs, whatever the inventory says.
        *origin = Origin::Adopted(object.kind.clone());
    }
    if let Some(hold) = claimed(object, live, &comparison, &decision.inventory) {
        return decision.hold(hold);
    }
    decision.inventory_mut().entry(object.key.clone()).or_insert_with(|| found(object, live));
    decision.apply.push(Apply { object: spelled(object, live), force: is_forced(object) || comparison.has_owners() });
}

/// The object in the words of the live one, where they mean the same: what is taken over is not rewritten.
fn spelled(object: &Arc<Object>, live: &Live) -> Arc<Object> {
    let value = object.value();
    let mut spelled = value.clone();
    spelling::follow(&object.kind, &mut spelled, &live.value());
    if spelled == value { object.clone() } else { Arc::new(object.said(&spelled)) }
}

fn is_forced(object: &Object) -> bool {
    annotation(&object.value(), FORCE_ANNOTATION).is_some_and(|value| value == "true")
}

/// Holds an object of which somebody else claims a field.
pub(super) fn claimed(object: &Object, live: &Live, comparison: &Comparison, inventory: &BTreeMap<Key, Origin>) -> Option<Hold> {
    // A field that we had applied and somebody edited is drift; one that was never ours has an owner.
    let had = matches!(inventory.get(&object.key), Some(Origin::Created(_)))
        || annotation(&live.value(), APPLIED_ANNOTATION).is_some_and(|digest| *digest == *object.digest);
    let claim = comparison.claimed(had).filter(|_| !is_forced(object))?;
    Some(foreign(object, claim))
}

/// Where an object comes from that is there and that nobody remembers.
pub(super) fn found(object: &Object, live: &Live) -> Origin {
    let set =
        object.value().pointer("/metadata/labels").and_then(|labels| labels.get(PART_OF_LABEL)?.as_str().map(str::to_owned));
    if set.is_some_and(|set| is_made_by_us(live, &set)) {
        Origin::Created(object.kind.clone())
    } else {
        Origin::Adopted(object.kind.clone())
    }
}

/// A field that somebody else claims and wants otherwise.
fn foreign(object: &Object, (change, owner, count): (&Change, &Owner, usize)) -> Hold {
    let Change { path, from, to, .. } = change;
    let source = &object.source;
    // The other documents have no place for an annotation.
    let win = if matches!(Place::of(source), Place::Manifests { .. }) {
        format!("or let meshfed win with the annotation {FORCE_ANNOTATION}: \"true\"")
    } else {
        format!("or in {source}")
    };
    let secret = &*object.kind.kind == "Secret";
    let values = match from {
        Some(from) if !secret => format!(" ({} instead of {})", brief(from), brief(to)),
        _ => String::new(),
    };
    let more = if count > 1 { format!(", and of {} more fields", count - 1) } else { String::new() };
    let reason = format!("`{}` owns {path} and wants it otherwise{values}{more}; settle it there, {win}", owner.manager);
    Hold::stuck(&object.key, reason)
}

/// A value in one line.
fn brief(value: &serde_json::Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Longest value in a hold, in characters: enough for an address, a name, a number; certificates are looked at elsewhere.
const MAX_VALUE: usize = 80;

/// Annotation on a document in `manifests/`: fields that others own are overwritten.
pub const FORCE_ANNOTATION: &str = "meshfed.dev/force";

fn annotation(value: &serde_json::Value, name: &str) -> Option<String> {
    value.pointer("/metadata/annotations")?.get(name)?.as_str().map(str::to_owned)
}
