//! What an agent that only observes would do.

use super::guard::Ruling;
use super::memory::{Comparisons, Memory, Origin};
use super::{Decision, World, claimed};
use crate::derive::Derived;
use crate::object::{APPLIED_ANNOTATION, Key, PART_OF_LABEL, SOURCE_ANNOTATION};

/// Most changed fields named for one object.
const FIELDS_SHOWN: usize = 5;

/// Takes out of a decision all that changes the cluster, and tells it instead.
pub(super) fn tell(
    world: &World,
    memory: &Memory,
    derived: &Derived,
    ruling: &Ruling,
    comparisons: &mut Comparisons,
    decision: &mut Decision,
) {
    // A step that waits for one before it would be done too.
    decision.holds.retain(|hold| hold.stuck || !hold.key.as_ref().is_some_and(|key| derived.wanted.contains_key(key)));
    for (key, wanted) in &derived.wanted {
        let Some(live) = world.live.get(key) else { continue };
        let comparison = comparisons.get(&wanted.object, live);
        decision.holds.extend(claimed(&wanted.object, live, &comparison, &memory.inventory));
    }
    let waits_for_people = |key: &Key| decision.holds.iter().any(|hold| hold.stuck && hold.key.as_ref() == Some(key));
    let mut lines = Vec::new();
    for (key, wanted) in derived.wanted.iter().filter(|(key, _)| !waits_for_people(key)) {
        let Some(live) = world.live.get(key) else {
            lines.push(format!("create {key}"));
            continue;
        };
        let comparison = comparisons.get(&wanted.object, live);
        let fields: Vec<&str> = comparison.changes.iter().map(|change| &*change.path).filter(|path| !is_mark(path)).collect();
        if !fields.is_empty() {
            let more = fields.len().saturating_sub(FIELDS_SHOWN);
            let shown = fields[..fields.len() - more].join(", ");
            lines.push(format!("change {key} {shown}{}", if more > 0 { format!(" and {more} more") } else { String::new() }));
        } else if !comparison.changes.is_empty() {
            lines.push(format!("adopt {key}"));
        }
    }
    let kept = |key: &Key| derived.wanted.contains_key(key) || derived.holds.iter().any(|hold| hold.key.as_ref() == Some(key));
    let orphans = memory.inventory.iter().filter(|(key, _)| world.live.contains_key(*key) && !kept(key));
    for (key, origin) in orphans.filter(|(key, _)| !waits_for_people(key) && !ruling.waiting.contains(*key)) {
        let verb = if matches!(origin, Origin::Created(_)) && !super::remove::lasts(key) { "delete" } else { "give back" };
        lines.push(format!("{verb} {key}"));
    }
    decision.apply.clear();
    decision.delete.clear();
    decision.release.clear();
    decision.inventory.clone_from(&memory.inventory);
    decision.would_do = lines;
}

/// Fields that mark an object as ours and say nothing else.
fn is_mark(path: &str) -> bool {
    [PART_OF_LABEL, SOURCE_ANNOTATION, APPLIED_ANNOTATION, crate::derive::ROOTS_ANNOTATION].iter().any(|mark| path.contains(mark))
        || matches!(path, "metadata.labels" | "metadata.annotations")
}
