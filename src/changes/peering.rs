//! `peers/*.yaml`: one mesh's half of a peering.

use std::collections::BTreeMap;

use super::settings::{ca_policy, locality, suspension};
use super::{Change, Topic, both, differing, moved, text};
use crate::facts::roots::short;
use crate::model::{Export, Import, Peer};

/// What a Peer says.
pub(super) fn peer(me: &str, peer: &str, before: Option<&Peer>, after: Option<&Peer>) -> Vec<Change> {
    let whole = match (before, after) {
        (None, Some(_)) => Some(format!("{me} declares a peering with {peer}")),
        (Some(_), None) => Some(format!("{me} ends the peering with {peer}")),
        _ => None,
    };
    let mut changes: Vec<Change> = whole.into_iter().map(|words| Change::new(Topic::Peering, words).of(me).with(peer)).collect();
    if let (Some(was), Some(is)) = (before, after) {
        changes.extend(settings(was, is).into_iter().map(|(topic, words)| {
            let words = format!("{me}: peering with {peer}: {words}");
            Change::new(topic, words).of(me).with(peer)
        }));
    }
    let states = [before, after];
    for (what, words) in crossing(me, ["export", "to"], peer, states.map(exported)) {
        changes.push(Change::new(Topic::Export, words).of(me).with(peer).about(what));
    }
    let names = names(states);
    for (what, words) in crossing(me, ["import", "from"], peer, states.map(imported)) {
        let service = names.get(&what).unwrap_or(&what);
        changes.push(Change::new(Topic::Import, words).of(me).with(peer).about(service));
    }
    changes
}

fn settings(was: &Peer, is: &Peer) -> Vec<(Topic, String)> {
    let policy = |of: &Peer| of.ca_policy.map(ca_policy).unwrap_or_default();
    let (accepted, refused) = differing(&was.accept_roots, &is.accept_roots);
    let peering = [
        suspension(was.suspend, is.suspend),
        moved("ingress gateway", &was.ingress, &is.ingress),
        moved("egress gateway", &was.egress, &is.egress),
        moved("its services run in", &locality(was.locality.as_ref()), &locality(is.locality.as_ref())),
    ];
    let ca = std::iter::once(moved("CA policy", policy(was), policy(is)))
        .chain(accepted.into_iter().map(|root| Some(format!("CA root {} accepted", short(root)))))
        .chain(refused.into_iter().map(|root| Some(format!("CA root {} no longer accepted", short(root)))));
    let peering = peering.into_iter().flatten().map(|words| (Topic::Peering, words));
    peering.chain(ca.flatten().map(|words| (Topic::Ca, words))).collect()
}

/// By what is exported: how.
fn exported(peer: Option<&Peer>) -> BTreeMap<String, String> {
    let rules = peer.map(|peer| peer.exports.as_slice()).unwrap_or_default();
    let rule = |export: &Export| match export {
        Export::Service { service, alias } => (service.to_string(), renamed(alias.as_deref())),
        Export::Selector { namespace, match_labels, match_expressions, aliases } => {
            let labels = match_labels.iter().map(|(key, value)| format!("{key}={value}"));
            let expressions = match_expressions
                .iter()
                .map(|expression| format!("{} {:?} {}", expression.key, expression.operator, expression.values.join(",")));
            let all: Vec<String> = labels.chain(expressions).collect();
            let selected = if all.is_empty() { "any labels".to_owned() } else { all.join(", ") };
            let aliases: Vec<String> = aliases.iter().map(|(from, to)| format!("{} as {}", **from, **to)).collect();
            let renamed = if aliases.is_empty() { String::new() } else { format!(", {}", aliases.join(", ")) };
            (format!("all services of {} with {selected}", **namespace), renamed)
        }
    };
    rules.iter().map(rule).collect()
}

/// By what is imported: how.
fn imported(peer: Option<&Peer>) -> BTreeMap<String, String> {
    let rules = peer.map(|peer| peer.imports.as_slice()).unwrap_or_default();
    let rule = |import: &Import| {
        let Import { service, alias, as_local, domain_suffix, tcp_ports } = import;
        let ports: Vec<String> = tcp_ports.iter().map(|port| port.value.to_string()).collect();
        let how = [
            renamed(alias.as_deref()),
            if *as_local { ", joining the local service".to_owned() } else { String::new() },
            domain_suffix.as_ref().map(|suffix| format!(", in the domain {suffix}")).unwrap_or_default(),
            if ports.is_empty() { String::new() } else { format!(", TCP on {}", ports.join(", ")) },
        ];
        let how = how.concat();
        let what = if service.is_none() { "everything".to_owned() } else { text(service.as_ref()) };
        (what, how)
    };
    rules.iter().map(rule).collect()
}

/// What changed of a mesh's exports or imports: `verb` is the one or the other, `to` what stands before the peer.
fn crossing(
    me: &str,
    [verb, to]: [&str; 2],
    peer: &str,
    [before, after]: [BTreeMap<String, String>; 2],
) -> Vec<(String, String)> {
    let words = |(what, was, is): (&String, Option<&String>, Option<&String>)| {
        let words = match (was, is) {
            (None, Some(how)) => format!("{me} {verb}s {what} {to} {peer}{how}"),
            (Some(_), None) => format!("{me} no longer {verb}s {what} {to} {peer}"),
            (Some(was), Some(is)) if was != is => {
                format!("{me} {verb}s {what} {to} {peer}{} (before:{})", plain(is), plain(was))
            }
            _ => return None,
        };
        Some((what.clone(), words))
    };
    both(&before, &after).filter_map(words).collect()
}

/// By what is imported: the name that it has here.
fn names(peers: [Option<&Peer>; 2]) -> BTreeMap<String, String> {
    let imports = peers.into_iter().flatten().flat_map(|peer| &peer.imports);
    imports.filter_map(|import| Some((import.service.as_ref()?.to_string(), import.imported_as()?.to_string()))).collect()
}

fn renamed(alias: Option<&crate::model::ServiceName>) -> String {
    alias.map(|alias| format!(" as {alias}")).unwrap_or_default()
}

/// How something is given or taken, in words also where nothing is special about it.
fn plain(how: &str) -> &str {
    if how.is_empty() { " under its own name" } else { how }
}
