//! When somebody undoes at once what is applied: that object rests, for longer each time, and the hold says who and what. All other
//! objects are looked after as ever. A declaration that changes is applied at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::later;
use super::{Comparisons, Decision, Event, Memory, World};
use crate::derive::Hold;
use crate::object::{Key, Object};

/// Writes of one object with the same content within [`WINDOW`] that mean a fight: people who edit by hand are slower, and so is a
/// control plane that starts.
const WRITES: usize = 5;

/// See [`WRITES`].
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// First and longest rest: the first outlives a rollout, the longest lets a person who ended the fight see it within minutes.
const REST: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(30), SignedDuration::from_mins(5));

/// What was written lately.
#[derive(Clone, Debug, Default)]
pub struct Fights(BTreeMap<Key, Bout>);

#[derive(Clone, Debug)]
struct Bout {
    digest: Arc<str>,
    /// Within the window, oldest first.
    writes: Vec<Timestamp>,
    rests: u32,
    /// Rests until then.
    until: Timestamp,
}

/// How long the rest of that number is.
fn rest(number: u32) -> SignedDuration {
    let (first, longest) = REST;
    first.saturating_mul(2_i32.saturating_pow(number.saturating_sub(1))).min(longest)
}

impl Fights {
    /// The API server took an object.
    pub fn wrote(&mut self, object: &Object, now: Timestamp) {
        let new = || Bout { digest: object.digest.clone(), writes: Vec::new(), rests: 0, until: now };
        let bout = self.0.entry(object.key.clone()).or_insert_with(new);
        if bout.digest != object.digest {
            *bout = new();
        }
        bout.writes.retain(|at| now.duration_since(*at) < WINDOW);
        bout.writes.push(now);
        if bout.rests > 0 || bout.writes.len() >= WRITES {
            bout.rests += 1;
            bout.until = later(now, rest(bout.rests));
        }
    }

    /// Forgets what was long ago: writes outside the window, and fights that have been over for as long as the last rest.
    pub fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, bout| {
            let written = bout.writes.last().is_some_and(|at| now.duration_since(*at) < WINDOW);
            written || (bout.rests > 0 && now < later(bout.until, rest(bout.rests)))
        });
    }

    /// Until when an object rests.
    fn rests(&self, object: &Object, now: Timestamp) -> Option<Timestamp> {
        let bout = self.0.get(&object.key).filter(|bout| bout.rests > 0 && bout.digest == object.digest)?;
        Some(bout.until).filter(|until| *until > now)
    }
}

/// Takes out what is to be applied and rests.
pub(super) fn rest_from(world: &World, memory: &Memory, comparisons: &mut Comparisons, decision: &mut Decision) {
    if memory.fights.0.is_empty() {
        return;
    }
    for apply in std::mem::take(&mut decision.apply) {
        let Some(until) = memory.fights.rests(&apply.object, world.now) else {
            decision.apply.push(apply);
            continue;
        };
        let hold = hold(world, &apply.object, comparisons);
        let told = memory.told.as_ref().unwrap_or(world.own_status);
        if !told.holds.contains(&hold.to_string()) {
            let (kind, about, note) = (apply.object.kind.clone(), apply.object.key.clone(), hold.reason.clone());
            decision.events.push(Event { kind, about, warning: true, reason: "Fighting", note });
        }
        decision.wake(until);
        decision.hold(hold);
    }
}

fn hold(world: &World, object: &Object, comparisons: &mut Comparisons) -> Hold {
    let what = match world.live.get(&object.key) {
        None => "somebody deletes it each time that it is made".to_owned(),
        Some(live) => {
            let comparison = comparisons.get(object, live);
            let owner = comparison.changes.iter().find_map(|change| Some((change.owners.first()?, &change.path)));
            match (owner, comparison.changes.first()) {
                (Some((owner, path)), _) => format!("`{}` sets {path} back each time that it is applied", owner.manager),
                (None, Some(change)) => format!("somebody takes {} out each time that it is applied", change.path),
                (None, None) => "somebody undoes it each time that it is applied".to_owned(),
            }
        }
    };
    let longest = REST.1.as_mins();
    let reason = format!(
        "{what}. It stays as it is for now and is tried again after pauses of up to {longest} minutes; stop the other one, or take what it \
         wants into {}",
        object.source
    );
    Hold::stuck(&object.key, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: &str) -> Object {
        let document =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {"k": value}});
        Object::new(document, "set", "path").unwrap()
    }

    /// Writes whenever it may, for some minutes, with what undoes it answering within a second; gives the times in seconds.
    fn fight(fights: &mut Fights, object: &Object, start: Timestamp, seconds: i64) -> Vec<i64> {
        let at = |second| start + SignedDuration::from_secs(second);
        let mut times = Vec::new();
        for second in 0..seconds {
            fights.forget(at(second));
            if fights.rests(object, at(second)).is_none() {
                fights.wrote(object, at(second));
                times.push(second);
            }
        }
        times
    }

    #[test]
    fn rests_grow_to_minutes_and_end_when_the_object_stays_as_it_is() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let (mut fights, a) = (Fights::default(), object("a"));
        assert_eq!(fight(&mut fights, &a, start, 1000), [0, 1, 2, 3, 4, 34, 94, 214, 454, 754]);
        let now = start + SignedDuration::from_secs(1000);
        assert!(fights.rests(&a, now).is_some());
        assert!(fights.rests(&object("b"), now).is_none(), "what people change is applied at once");
        fights.wrote(&object("b"), now);
        assert_eq!(fight(&mut fights, &object("b"), now, 30), [0, 1, 2, 3], "it counts anew: five in a minute, with the first");
        fights.forget(now + SignedDuration::from_secs(64));
        assert!(fights.0.is_empty(), "calm for as long as it rested");
    }

    #[test]
    fn a_few_edits_by_hand_are_no_fight() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let (mut fights, a) = (Fights::default(), object("a"));
        for minute in 0..10 {
            for second in [0, 20, 40] {
                let now = start + SignedDuration::from_secs(60 * minute + second);
                fights.forget(now);
                assert!(fights.rests(&a, now).is_none());
                fights.wrote(&a, now);
            }
        }
    }
}
