//! `traffic/*.yaml`: where requests go.

use std::collections::BTreeMap;

use humantime::format_duration;

use super::{Change, Topic, moved, text};
use crate::model::documents::WhenUnavailable;
use crate::model::{Destination, Rule, ServiceName, Traffic};

/// What a Traffic says.
pub(super) fn traffic(me: &str, before: Option<&Traffic>, after: Option<&Traffic>) -> Vec<Change> {
    let Some(either) = after.or(before) else { return Vec::new() };
    let words = match (before, after) {
        (None, Some(now)) => first(now),
        (Some(_), None) => vec!["no longer routed: all requests stay here".to_owned()],
        (Some(was), Some(is)) => changed(was, is),
        (None, None) => Vec::new(),
    };
    let service = &*either.service;
    let say = |words: String| {
        let peer = either.destinations().find_map(|(to, ..)| match to {
            Destination::Imported { peer, .. } if mentions(&words, peer) => Some(peer.clone()),
            _ => None,
        });
        Change { peer, ..Change::new(Topic::Traffic, format!("{me}: {}: {words}", service.name)).of(me).about(service) }
    };
    words.into_iter().map(say).collect()
}

/// Whether a mesh is named in words.
pub(super) fn mentions(words: &str, peer: &str) -> bool {
    words.split([' ', ',']).any(|word| word == peer)
}

/// All that a new Traffic says.
fn first(now: &Traffic) -> Vec<String> {
    let list = |rule: &Rule| {
        let shares = rule.routes.iter().map(|route| format!("{} {} %", destination(&route.to), route.weight));
        format!("{}{}", shares.collect::<Vec<_>>().join(", "), condition(rule))
    };
    now.rules.iter().map(list).chain(others(None, now)).collect()
}

fn changed(was: &Traffic, is: &Traffic) -> Vec<String> {
    let mut words: Vec<String> = moved("service", &was.service.to_string(), &is.service.to_string()).into_iter().collect();
    let rules = |of: &'_ Traffic| -> BTreeMap<String, BTreeMap<String, u32>> {
        of.rules.iter().map(|rule| (condition(rule), weights(rule))).collect()
    };
    let (before, after) = (rules(was), rules(is));
    for (condition, shares) in &after {
        let known = before.get(condition).cloned().unwrap_or_default();
        let moves = moves(&known, shares);
        if !moves.is_empty() {
            words.push(format!("{}{condition}", moves.join(", ")));
        }
    }
    words.extend(before.keys().filter(|condition| !after.contains_key(*condition)).map(|condition| {
        if condition.is_empty() { "no routes any more".to_owned() } else { format!("no routes of their own any more{condition}") }
    }));
    words.extend(others(Some(was), is));
    words
}

/// The share of each destination.
fn weights(rule: &Rule) -> BTreeMap<String, u32> {
    let mut shares = BTreeMap::new();
    for route in &rule.routes {
        *shares.entry(destination(&route.to)).or_insert(0) += route.weight;
    }
    shares
}

/// `aro-stg-mesh 20 → 40 %`. What stays here is named only where no peer's share moves: it follows.
fn moves(before: &BTreeMap<String, u32>, after: &BTreeMap<String, u32>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let share = |of: &BTreeMap<String, u32>, name: &String| of.get(name).copied().unwrap_or_default();
    let moved = names.into_iter().filter(|name| share(before, name) != share(after, name));
    let all: Vec<(bool, String)> = moved
        .map(|name| (name.starts_with(LOCAL), format!("{name} {} → {} %", share(before, name), share(after, name))))
        .collect();
    let abroad = all.iter().any(|(local, _)| !local);
    all.into_iter().filter(|(local, _)| !abroad || !local).map(|(_, words)| words).collect()
}

/// Everything besides routes: `mirror`, `failover` and so on.
fn others(was: Option<&Traffic>, is: &Traffic) -> Vec<String> {
    let say = |label: &str, of: fn(&Traffic) -> String| moved(label, &was.map(of).unwrap_or_default(), &of(is));
    let settings = [
        say("mirrored to", |of| {
            text(of.mirror.as_ref().map(|mirror| format!("{} {} %", destination(&mirror.to), mirror.percentage)))
        }),
        say("failover to", |of| of.failover.iter().map(|peer| peer.value.as_str()).collect::<Vec<_>>().join(", ")),
        say("timeout", |of| text(of.timeout.map(format_duration))),
        say("retries", |of| {
            text(of.retries.as_ref().map(|retries| {
                let each = retries.per_try_timeout.map(|time| format!(" of {}", format_duration(time))).unwrap_or_default();
                let on = retries.retry_on.as_ref().map(|on| format!(" on {on}")).unwrap_or_default();
                format!("{}{each}{on}", retries.attempts)
            }))
        }),
        say("outlier detection", |of| {
            text(of.outlier_detection.as_ref().map(|outlier| {
                let (interval, ejection) = (format_duration(outlier.interval), format_duration(outlier.base_ejection_time));
                let percent = outlier.max_ejection_percent;
                format!("{} errors in {interval} for {ejection}, {percent} % at most", outlier.consecutive_5xx_errors)
            }))
        }),
        say("subsets", |of| {
            let subset = |(name, labels): (&String, &BTreeMap<String, String>)| {
                let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("{name} ({})", labels.join(", "))
            };
            of.subsets.iter().map(subset).collect::<Vec<_>>().join(", ")
        }),
        say("weight of a peer that is away", |of| match of.when_unavailable {
            WhenUnavailable::Redistribute => String::new(),
            WhenUnavailable::Keep => "kept".to_owned(),
        }),
    ];
    settings.into_iter().flatten().collect()
}

const LOCAL: &str = "local";

fn destination(to: &Destination) -> String {
    match to {
        Destination::Local { subset: None } => LOCAL.to_owned(),
        Destination::Local { subset: Some(subset) } => format!("{LOCAL} {subset}"),
        Destination::Imported { peer, service: ServiceName { .. } } => peer.clone(),
    }
}

fn condition(rule: &Rule) -> String {
    let when = rule.when();
    if when.is_empty() { String::new() } else { format!(" where {when}") }
}
