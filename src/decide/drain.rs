//! A service is withdrawn only after its users have turned away from it: a request that is on its way to a service which is not there
//! any more answers 503. The importer moves its weight as soon as the declarations no longer give it the service, keeps the import
//! until no route leads there, and says in its status which withdrawn services it still uses; the exporter waits for that word.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::Value;

use super::observe::LiveObjects;
use super::{Decision, Memory, Withdrawal, World};
use crate::derive::{Inputs, KeptExport, Observed, kinds, service, withdrawn_exports, withdrawn_imports};
use crate::model::ServiceName;

/// How long an export outlives its declaration for a user that does not say that it has turned away. Such a user has polled `main`
/// (30 s by default), moved its weights and published its status within a minute; two allow for one failed try.
pub const WITHDRAWAL_GRACE: SignedDuration = SignedDuration::from_mins(2);

/// Finds what is withdrawn and still in use, on both sides.
pub(super) fn drain(world: &World, memory: &Memory, namespace: &str, observed: &mut Observed, decision: &mut Decision) {
    let inputs = Inputs { federation: world.federation, me: world.me, facts: world.facts, observed };
    let imports = withdrawn_imports(inputs);
    let exports = withdrawn_exports(inputs);
    for host in imports {
        if let Some(route) = route_to(world.live, &[format!("\"{host}\"")]) {
            observed.routed.insert(host, route);
        }
    }
    for (peer, names) in exports {
        for name in names {
            let mut withdrawal = memory
                .withdrawals
                .get(&(peer.clone(), name.clone()))
                .cloned()
                .unwrap_or(Withdrawal { since: world.now, commits: BTreeSet::new() });
            withdrawal.commits.insert(world.commit.to_owned());
            if let Some(reason) = used_by(world, observed, &peer, &name, &withdrawal) {
                let service = exported_service(world, namespace, &peer, &name);
                let kept = KeptExport { service, name: name.clone(), reason };
                observed.kept_exports.entry(peer.clone()).or_default().push(kept);
                decision.wake(withdrawal.since.saturating_add(WITHDRAWAL_GRACE).unwrap_or(world.now));
            }
            decision.withdrawals.insert((peer.clone(), name), withdrawal);
        }
    }
}

/// The VirtualService that contains one of these texts.
pub(super) fn route_to(live: &LiveObjects, texts: &[String]) -> Option<String> {
    let first = kinds::key(kinds::VIRTUAL_SERVICE, "", "");
    let routes = live.range(first.clone()..).take_while(|(key, _)| (&key.group, &key.kind) == (&first.group, &first.kind));
    let mut found = routes.filter(|(_, object)| texts.iter().any(|text| object.mentions(text)));
    found.next().map(|(key, _)| key.to_string())
}

/// Why a withdrawn export must stay; `None` where its user has turned away from it, or has had its time.
fn used_by(world: &World, observed: &Observed, peer: &str, name: &ServiceName, withdrawal: &Withdrawal) -> Option<String> {
    if world.now.duration_since(withdrawal.since) >= WITHDRAWAL_GRACE {
        return None;
    }
    let uses = match world.statuses.get(peer) {
        Some(status) if !withdrawal.commits.contains(&status.main.applied) => {
            format!("{peer} has not applied yet what withdraws it")
        }
        Some(status) => {
            let used = status.draining.get(world.me).is_some_and(|names| names.contains(&name.to_string()));
            used.then(|| format!("{peer} still routes to it"))?
        }
        // Nobody who never said a word can have taken it up, unless the control plane says otherwise.
        None if !observed.peers.get(peer).is_some_and(|state| state.remote_connected) => return None,
        None => format!("{peer} is connected and says nothing"),
    };
    let end = withdrawal.since.saturating_add(WITHDRAWAL_GRACE).unwrap_or(world.now);
    Some(format!("{uses}; it ends at {} UTC at the latest", end.strftime("%H:%M:%S")))
}

/// The Service behind an exported name, as the set's status tells it.
fn exported_service(world: &World, namespace: &str, peer: &str, name: &ServiceName) -> ServiceName {
    let set = world.live.get(&kinds::key(kinds::EXPORTED, namespace, peer));
    let value = set.map(|set| set.value()).unwrap_or_default();
    let services = value.pointer("/status/exportedServices").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_it = |entry: &&Value| {
        let exported = entry.get("exportedName").and_then(Value::as_str).unwrap_or_default();
        service(&super::observe::short(exported)).as_ref() == Some(name)
    };
    let text = |entry: &Value, field: &str| Some(entry.pointer(&format!("/localService/{field}"))?.as_str()?.to_owned());
    let found = services
        .iter()
        .find(is_it)
        .and_then(|entry| Some(ServiceName { namespace: text(entry, "namespace")?, name: text(entry, "name")? }));
    found.unwrap_or_else(|| name.clone())
}
