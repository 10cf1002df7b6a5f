//! What to publish, and when: only what has changed, once it has stayed the same for a moment.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::memory::{Memory, Pending};
use super::report::Status;
use super::rotation::{Phase, RotationStatus};
use super::{Decision, World, weights};
use crate::derive::Hold;
use crate::facts::published::{self, FACTS_PATH};
use crate::facts::roots::short;
use crate::facts::{Facts, Root};
use crate::model::documents::API_VERSION;
use crate::model::{Diagnostic, yaml};

/// Path of the status on a published branch.
pub const STATUS_PATH: &str = "status.yaml";

/// How long facts must stay the same before they are published: long enough that a flapping address makes one commit, short
/// enough that peers do not wait.
pub const SETTLE: SignedDuration = SignedDuration::from_millis(500);

/// The same for the status, which nobody's control plane waits for: long enough that a start makes a few commits, not dozens.
pub const STATUS_SETTLE: SignedDuration = SignedDuration::from_secs(2);

/// Longest wait for content that keeps changing.
const MAX_WAIT: SignedDuration = SignedDuration::from_secs(10);

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

/// The file as agents write it; newer ones may write more.
#[derive(Deserialize)]
struct StatusFile {
    status: Status,
}

/// Reads a published status; `path` names the file in the finding.
pub fn read_status(path: &str, text: &str) -> Result<Status, Box<Diagnostic>> {
    yaml::document::<StatusFile>(path, text).map(|file| file.status)
}

pub(super) fn decide(world: &World, memory: &Memory, facts: &Facts, decision: &mut Decision) {
    let files = match write(world.me, facts, &decision.status) {
        Ok(files) => files,
        Err(error) => return decision.hold(Hold { stuck: true, ..Hold::part("publishing", error.to_string()) }),
    };
    if files == *world.published {
        return;
    }
    let pending = wait(world, memory, facts, files);
    let due = due(world, &pending);
    if due <= world.now {
        let message = message(world, facts, &decision.status);
        decision.publish = Some(Publication { files: pending.files.clone(), message });
    } else {
        decision.wake(due);
    }
    decision.pending = Some(pending);
}

/// Puts this cluster's claim into what another one published, and changes nothing else of it.
pub(super) fn claim(world: &World, decision: &mut Decision) {
    let mut facts = world.own_facts.clone();
    facts.claims.insert(world.cluster_uid.to_owned());
    match published::write(world.me, &facts) {
        Ok(text) => {
            let mut files = world.published.clone();
            files.insert(FACTS_PATH.to_owned(), text);
            let message = format!("{}: cluster {} claims this mesh", world.me, world.cluster_uid);
            decision.publish = Some(Publication { files, message });
        }
        Err(error) => decision.hold(Hold { stuck: true, ..Hold::part("publishing", error.to_string()) }),
    }
}

/// What waits, and since when each part of it is as it is.
fn wait(world: &World, memory: &Memory, facts: &Facts, files: BTreeMap<String, String>) -> Pending {
    let before = memory.pending.as_ref();
    let since = |path: &str, pick: fn(&Pending) -> Timestamp| {
        before.filter(|pending| pending.files.get(path) == files.get(path)).map_or(world.now, pick)
    };
    Pending {
        retiring: facts.retiring.clone(),
        facts_since: since(FACTS_PATH, |pending| pending.facts_since),
        status_since: since(STATUS_PATH, |pending| pending.status_since),
        first: before.map_or(world.now, |pending| pending.first),
        files,
    }
}

fn due(world: &World, pending: &Pending) -> Timestamp {
    let later = |time: Timestamp, wait| time.saturating_add(wait).unwrap_or(time);
    let status = later(pending.status_since, STATUS_SETTLE).min(later(pending.first, MAX_WAIT));
    if pending.files.get(FACTS_PATH) == world.published.get(FACTS_PATH) {
        return status;
    }
    status.min(later(pending.facts_since, SETTLE))
}

fn write(me: &str, facts: &Facts, status: &Status) -> Result<BTreeMap<String, String>, serde_saphyr::ser_error::Error> {
    let metadata = BTreeMap::from([("name", me)]);
    let status = serde_saphyr::to_string(&StatusDocument { api_version: API_VERSION, kind: "Status", metadata, status })?;
    Ok(BTreeMap::from([(FACTS_PATH.to_owned(), published::write(me, facts)?), (STATUS_PATH.to_owned(), status)]))
}

/// What is new about the CA, root by root and as a whole.
fn news_of_roots(world: &World, facts: &Facts, rotation: &RotationStatus) -> Vec<String> {
    let before = world.own_facts;
    let had = |root: &Root| before.roots.iter().any(|other| other.fingerprint == root.fingerprint);
    let has = |root: &Root| facts.roots.iter().any(|other| other.fingerprint == root.fingerprint);
    let about = |root: &Root| {
        let now =
            |of: &BTreeSet<String>, then: &BTreeSet<String>| (of.contains(&root.fingerprint), then.contains(&root.fingerprint));
        let short = root.short();
        let retires = facts.retiring.contains_key(&root.fingerprint) && !before.retiring.contains_key(&root.fingerprint);
        match (had(root), now(&facts.announced, &before.announced)) {
            (false, (true, _)) => Some(format!("CA root {short} announced")),
            (false, (false, _)) if before.roots.is_empty() => Some(format!("CA root {short}")),
            (false, (false, _)) | (true, (false, true)) => Some(format!("CA root {short} in use")),
            _ if retires => Some(format!("CA root {short} retires")),
            _ => None,
        }
    };
    let gone = before.roots.iter().filter(|root| !has(root)).map(|root| format!("CA root {} has left", root.short()));
    let mut news: Vec<String> = facts.roots.iter().filter_map(about).chain(gone).collect();
    let RotationStatus { phase, to, exposed, .. } = rotation;
    let (was, to) = (&world.own_status.rotation, short(to));
    match phase {
        Phase::Ready if was.phase != Phase::Ready => news.push(format!("every peer trusts CA root {to}")),
        Phase::Exposed if was.exposed != *exposed => news.push(format!("CA root {to} is not trusted by {}", exposed.join(", "))),
        Phase::Overlap if was.phase == Phase::Exposed => news.push(format!("every peer trusts CA root {to}")),
        _ => {}
    }
    news
}

/// `main` froze, or goes on.
fn news_of_main(world: &World, status: &Status) -> Vec<String> {
    match (world.own_status.main.frozen.as_str(), status.main.frozen.as_str()) {
        (before, now) if before == now => Vec::new(),
        (_, "") => vec!["main is verified again".to_owned()],
        (_, why) => vec![format!("main is frozen: {why}")],
    }
}

/// One line for people, about the most important thing that is new.
fn message(world: &World, facts: &Facts, status: &Status) -> String {
    let me = world.me;
    let before = world.own_facts;
    if !facts.claims.is_empty() && facts.claims != before.claims {
        return format!("{me}: cluster {} has this mesh, and another one claims it", world.cluster_uid);
    }
    let mut news = news_of_main(world, status);
    news.extend(news_of_roots(world, facts, &status.rotation));
    for (peer, endpoint) in &facts.ingress {
        if before.ingress.get(peer) != Some(endpoint) {
            news.push(format!("ingress for {peer} is now {}", endpoint.addresses.join(", ")));
        }
    }
    for (name, now) in &status.traffic {
        let moves = world.own_status.traffic.get(name).map(|before| weights::moves(before, now)).unwrap_or_default();
        if !moves.is_empty() {
            news.push(format!("{name}: {}", moves.join(", ")));
        }
    }
    if news.is_empty() {
        let ready: Vec<&str> = status.peerings.iter().filter(|(_, p)| p.ready).map(|(name, _)| name.as_str()).collect();
        let applied = match status.main.applied.get(..7) {
            Some(commit) => format!("applied {commit}"),
            None => "nothing is applied yet".to_owned(),
        };
        news.push(if ready.is_empty() { applied } else { format!("{applied}; ready: {}", ready.join(", ")) });
    }
    format!("{me}: {}", news.join("; "))
}
