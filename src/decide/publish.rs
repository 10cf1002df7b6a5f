//! What to publish, and when: only what has changed, once it has stayed the same for a moment.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::memory::{Memory, Pending};
use super::report::Status;
use super::{Decision, World};
use crate::derive::Hold;
use crate::facts::Facts;
use crate::facts::published::{self, FACTS_PATH};
use crate::model::documents::API_VERSION;

/// Path of the status on a published branch.
pub const STATUS_PATH: &str = "status.yaml";

/// How long content must stay the same before it is published: long enough that a start or a flapping address makes one commit,
/// short enough that peers do not wait.
pub const SETTLE: SignedDuration = SignedDuration::from_millis(500);

/// Longest wait for content that keeps changing.
const MAX_WAIT: SignedDuration = SignedDuration::from_secs(5);

/// A commit to make on the mesh's own branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// All files of the branch, by path.
    pub files: BTreeMap<String, String>,
    /// Commit message for people.
    pub message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusDocument<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
    status: &'a Status,
}

pub(super) fn decide(world: &World, memory: &Memory, facts: &Facts, decision: &mut Decision) {
    let files = match write(world.me, facts, &decision.status) {
        Ok(files) => files,
        Err(error) => return decision.hold(Hold { stuck: true, ..Hold::part("publishing", error.to_string()) }),
    };
    if files == *world.published {
        return;
    }
    let pending = match &memory.pending {
        Some(pending) if pending.files == files => pending.clone(),
        other => Pending { files, since: world.now, first: other.as_ref().map_or(world.now, |pending| pending.first) },
    };
    let due = due(&pending);
    if due <= world.now {
        let message = message(world, facts, &decision.status);
        decision.publish = Some(Publication { files: pending.files.clone(), message });
    } else {
        decision.wake(due);
    }
    decision.pending = Some(pending);
}

fn due(pending: &Pending) -> Timestamp {
    let later = |time: Timestamp, wait| time.saturating_add(wait).unwrap_or(time);
    later(pending.since, SETTLE).min(later(pending.first, MAX_WAIT))
}

fn write(me: &str, facts: &Facts, status: &Status) -> Result<BTreeMap<String, String>, serde_saphyr::ser_error::Error> {
    let metadata = BTreeMap::from([("name", me)]);
    let status = serde_saphyr::to_string(&StatusDocument { api_version: API_VERSION, kind: "Status", metadata, status })?;
    Ok(BTreeMap::from([(FACTS_PATH.to_owned(), published::write(me, facts)?), (STATUS_PATH.to_owned(), status)]))
}

/// One line for people, about the most important thing that is new.
fn message(world: &World, facts: &Facts, status: &Status) -> String {
    let me = world.me;
    let before = world.own_facts;
    let mut news: Vec<String> = facts
        .roots
        .iter()
        .filter(|root| !before.roots.iter().any(|other| other.fingerprint == root.fingerprint))
        .map(|root| format!("CA root {}", &root.fingerprint[..11]))
        .collect();
    for (peer, endpoint) in &facts.ingress {
        if before.ingress.get(peer) != Some(endpoint) {
            news.push(format!("ingress for {peer} is now {}", endpoint.addresses.join(", ")));
        }
    }
    if facts.roots.len() < before.roots.len() {
        news.push("a CA root retires".into());
    }
    if news.is_empty() {
        let ready: Vec<&str> = status.peerings.iter().filter(|(_, p)| p.ready).map(|(name, _)| name.as_str()).collect();
        let commit = status.main.applied.get(..7).unwrap_or("nothing");
        news.push(format!(
            "applied {commit}; ready: {}",
            if ready.is_empty() { "no peering".to_owned() } else { ready.join(", ") }
        ));
    }
    format!("{me}: {}", news.join("; "))
}
