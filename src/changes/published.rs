//! What an agent wrote to its branch.

use super::traffic::mentions;
use super::{Change, Topic, differing, moved};
use crate::decide::{Mode, Phase, Status, moves};
use crate::facts::roots::short;
use crate::facts::{Facts, Root};

/// What a published branch said at one commit.
#[derive(Clone, Debug, Default)]
pub struct Word {
    /// Facts.
    pub facts: Facts,
    /// Status.
    pub status: Status,
}

/// What is new on the published branch of `me`.
pub fn published(me: &str, before: &Word, after: &Word) -> Vec<Change> {
    let mut changes = roots(me, &before.facts, &after.facts);
    changes.extend(rotation(me, &before.status, &after.status));
    changes.extend(ingress(me, &before.facts, &after.facts));
    changes.extend(traffic(me, &before.status, &after.status));
    changes.extend(peerings(me, &before.status, &after.status));
    changes.extend(agent(me, before, after));
    changes
}

fn roots(me: &str, before: &Facts, after: &Facts) -> Vec<Change> {
    let known = |of: &Facts, root: &Root| of.roots.iter().any(|other| other.fingerprint == root.fingerprint);
    let others: Vec<&str> = before.roots.iter().filter(|root| known(after, root)).map(Root::short).collect();
    let new = after.roots.iter().filter(|root| !known(before, root)).map(|root| {
        let new = if before.roots.is_empty() { "" } else { "new " };
        let beside = if others.is_empty() { String::new() } else { format!(" beside {}", others.join(", ")) };
        let announced = if after.announced.contains(&root.fingerprint) { ", announced" } else { "" };
        format!("{me}: {new}CA root {}{beside}{announced}", root.short())
    });
    let gone = before.roots.iter().filter(|root| !after.roots.is_empty() && !known(after, root));
    let gone = gone.map(|root| format!("{me}: CA root {} has left", root.short()));
    let was_announced =
        |root: &&Root| before.announced.contains(&root.fingerprint) && !after.announced.contains(&root.fingerprint);
    let used = after.roots.iter().filter(was_announced).map(|root| format!("{me}: CA root {} in use", root.short()));
    let retires = after.retiring.keys().filter(|root| !before.retiring.contains_key(*root));
    let retires = retires.map(|root| format!("{me}: CA root {} retires", short(root)));
    let all: Vec<String> = new.chain(used).chain(retires).chain(gone).collect();
    all.into_iter().map(|words| Change::new(Topic::Ca, words).of(me)).collect()
}

fn rotation(me: &str, before: &Status, after: &Status) -> Option<Change> {
    let (was, is) = (&before.rotation, &after.rotation);
    let to = short(&is.to);
    let words = match is.phase {
        Phase::Ready if was.phase != Phase::Ready => format!("every peer trusts CA root {to}"),
        Phase::Exposed if was.exposed != is.exposed => format!("CA root {to} is not trusted by {}", is.exposed.join(", ")),
        Phase::Overlap if was.phase == Phase::Exposed => format!("every peer trusts CA root {to}"),
        _ => return None,
    };
    Some(Change::new(Topic::Ca, format!("{me}: {words}")).of(me))
}

fn ingress(me: &str, before: &Facts, after: &Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    for (peer, was, is) in super::both(&before.ingress, &after.ingress) {
        let words = match (was, is) {
            (None, Some(is)) => format!("new ingress address for {peer}: {}", is.addresses.join(", ")),
            (Some(was), None) => format!("no ingress for {peer} any more (was {})", was.addresses.join(", ")),
            (Some(was), Some(is)) if was.addresses != is.addresses => {
                format!("new ingress address for {peer}: {} → {}", was.addresses.join(", "), is.addresses.join(", "))
            }
            (Some(was), Some(is)) if was != is => {
                format!("other ingress ports for {peer}: {}, {}", is.discovery_port, is.service_port)
            }
            _ => continue,
        };
        changes.push(Change::new(Topic::Ingress, format!("{me}: {words}")).of(me).with(peer));
    }
    changes
}

/// Weights that moved in effect, with the cause.
fn traffic(me: &str, before: &Status, after: &Status) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, now) in &after.traffic {
        let Some(then) = before.traffic.get(name) else { continue };
        let moves = moves(then, now);
        if !moves.is_empty() {
            let words = format!("{me}: {name} in effect: {}", moves.join(", "));
            let peer = now.routes.iter().map(|share| &share.to).find(|to| mentions(&words, to)).cloned();
            changes.push(Change { peer, ..Change::new(Topic::Traffic, words).of(me).about(&now.service) });
        }
    }
    changes
}

fn peerings(me: &str, before: &Status, after: &Status) -> Vec<Change> {
    let mut changes = Vec::new();
    for (peer, was, is) in super::both(&before.peerings, &after.peerings) {
        let ready = |status: Option<&crate::decide::PeeringStatus>| status.is_some_and(|status| status.ready);
        let words = match (ready(was), ready(is)) {
            (false, true) => format!("peering with {peer} is ready"),
            (true, false) => match is.map(|is| is.why.as_str()).unwrap_or_default() {
                "" => format!("peering with {peer} is no longer ready"),
                why => format!("peering with {peer} is no longer ready: {why}"),
            },
            _ => continue,
        };
        changes.push(Change::new(Topic::Agent, format!("{me}: {words}")).of(me).with(peer));
    }
    changes
}

fn agent(me: &str, before: &Word, after: &Word) -> Vec<Change> {
    let (was, is) = (&before.status, &after.status);
    let (claims, _) = differing(&before.facts.claims, &after.facts.claims);
    let claims = claims.into_iter().map(|uid| format!("cluster {uid} claims this mesh"));
    let mode = (was.mode != is.mode).then(|| doing(is.mode).to_owned());
    let version = moved("agent", &was.agent.version, &is.agent.version);
    claims.chain(mode).chain(version).map(|words| Change::new(Topic::Agent, format!("{me}: {words}")).of(me)).collect()
}

fn doing(mode: Mode) -> &'static str {
    match mode {
        Mode::Active => "its agent works again",
        Mode::Suspended => "its agent changes nothing: suspended",
        Mode::Observing => "its agent changes nothing: it only observes",
        Mode::Leaving => "its agent takes everything away: the mesh leaves",
        Mode::Left => "everything is taken away: the mesh has left",
    }
}
