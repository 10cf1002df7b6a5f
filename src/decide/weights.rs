//! Weights in effect: what they are, where they are not as declared, and what has moved between two looks.

use super::World;
use super::report::{MatchStatus, ShareStatus, TrafficStatus};
use crate::derive::{Inputs, Share, kinds, live_weight, shares};
use crate::model::{Destination, Rule, Traffic};
use crate::object::Key;

/// Why an object stays as it is in this pass, or did so far; `None` where it becomes what is wanted.
pub(super) type Stays<'a> = dyn Fn(&Key) -> Option<String> + 'a;

/// Declared and effective weights of a Traffic. Where its VirtualService stays as it is, the live one says what is in effect.
pub(super) fn status(world: &World, traffic: &Traffic, inputs: Inputs, stays: &Stays) -> TrafficStatus {
    let key = kinds::key(kinds::VIRTUAL_SERVICE, &traffic.service.namespace, &traffic.name);
    let stays = stays(&key).and_then(|why| Some((world.live.get(&key)?.value(), why)));
    let mut status = TrafficStatus { service: traffic.service.to_string(), ..TrafficStatus::default() };
    for rule in &traffic.rules {
        let mut routes: Vec<ShareStatus> = shares(traffic, rule, inputs).into_iter().map(share).collect();
        if let Some((live, why)) = &stays {
            for (share, route) in routes.iter_mut().zip(&rule.routes) {
                share.effective = live_weight(traffic, rule, &route.to, inputs, live);
                if share.effective != share.declared && share.why.is_empty() {
                    share.why.clone_from(why);
                }
            }
        }
        put(&mut status, rule, routes);
    }
    status
}

fn put(status: &mut TrafficStatus, rule: &Rule, routes: Vec<ShareStatus>) {
    match &rule.when {
        Some(when) => status.matches.push(MatchStatus { when: when.to_string(), routes }),
        None => status.routes = routes,
    }
}

fn share(Share { route, weight, why_not }: Share) -> ShareStatus {
    let (to, service) = match &route.to {
        Destination::Local { subset: None } => ("local".to_owned(), String::new()),
        Destination::Local { subset: Some(subset) } => (format!("local {subset}"), String::new()),
        Destination::Imported { peer, service } => (peer.clone(), service.to_string()),
    };
    ShareStatus { to, service, declared: route.weight, effective: weight, why: why_not.unwrap_or_default() }
}

/// Every list of weights with the requests that it is about, in words that follow the destination.
fn lists(status: &TrafficStatus) -> impl Iterator<Item = (String, &[ShareStatus])> {
    let matches = status.matches.iter().map(|item| (format!(" where {}", item.when), item.routes.as_slice()));
    matches.chain(std::iter::once((String::new(), status.routes.as_slice())))
}

/// Weights that are not as declared, with the cause; empty where all are.
pub(super) fn lacking(status: &TrafficStatus) -> String {
    let lacks = lists(status).flat_map(|(when, shares)| {
        let short = shares.iter().filter(|share| share.effective < share.declared || !share.why.is_empty());
        short
            .map(move |ShareStatus { to, declared, effective, why, .. }| format!("{to} {declared} → {effective} %{when} ({why})"))
    });
    lacks.collect::<Vec<_>>().join(", ")
}

/// What has moved in effect, with the cause: `aro-stg-mesh 20 → 0 % (aro-stg-mesh answers 503 Service Unavailable)`. What the others take
/// over follows from it and is not named.
pub fn moves(before: &TrafficStatus, now: &TrafficStatus) -> Vec<String> {
    let nothing = ShareStatus::default();
    let find = |list: &'_ [ShareStatus], share: &ShareStatus| {
        list.iter().position(|other| (&other.to, &other.service) == (&share.to, &share.service))
    };
    let mut moves = Vec::new();
    for (when, shares) in lists(now) {
        let known = lists(before).find(|(other, _)| *other == when).map(|(_, shares)| shares).unwrap_or_default();
        let (mut caused, mut following) = (Vec::new(), Vec::new());
        for share in shares {
            let other = find(known, share).map_or(&nothing, |at| &known[at]);
            if other.effective == share.effective {
                continue;
            }
            let text = format!("{} {} → {} %{when}", share.to, other.effective, share.effective);
            match cause(other, share) {
                Some(cause) => caused.push(format!("{text} ({cause})")),
                None => following.push(text),
            }
        }
        for gone in known.iter().filter(|gone| gone.effective > 0 && find(shares, gone).is_none()) {
            caused.push(format!("{} {} → 0 %{when} (no longer declared)", gone.to, gone.effective));
        }
        moves.extend(if caused.is_empty() { following } else { caused });
    }
    moves
}

/// Why a weight has moved, where it has a cause of its own.
fn cause<'a>(before: &ShareStatus, now: &'a ShareStatus) -> Option<&'a str> {
    if !now.why.is_empty() {
        return Some(&now.why);
    }
    if before.declared != now.declared {
        return Some("declared");
    }
    (!before.why.is_empty()).then_some("as declared")
}
