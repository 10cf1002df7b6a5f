//! Where a load balancer says that it is, and when to believe it: at once while it is calm, ever more slowly when it changes back
//! and forth, and never that it is nowhere.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::later;
use super::observe::LiveObjects;
use crate::derive::kinds;
use crate::facts::address;
use crate::model::Mesh;

/// How long an address must stay the same once the load balancer has gone back to one that it had before; twice as long with each
/// further time, up to the second. A cloud that repairs a load balancer takes seconds, and peers can wait a minute for one that
/// does not know what it wants.
const WAITS: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_mins(1));

/// How long the published address may be another than that of a load balancer that does not settle; twice as long with each one
/// that was published since it was calm, so that it is believed ever more slowly, but not never.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// After as long without a change it is believed at once again.
const CALM: SignedDuration = SignedDuration::from_mins(10);

/// Most answers that are remembered: it goes back and forth between a few.
const MAX_SEEN: usize = 8;

/// What a load balancer that has changed lately said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settling {
    /// Now; empty where it is nowhere.
    answer: Vec<String>,
    since: Timestamp,
    /// All that it said since it was calm.
    seen: BTreeSet<Vec<String>>,
    /// How often it went back to one of them.
    returns: u32,
    /// Since when its answer is not the published one.
    unlike: Option<Timestamp>,
    /// What was published when it answered last, and how often that changed.
    published: Vec<String>,
    moves: u32,
}

/// Which addresses to publish.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Those; empty where none was ever known.
    pub addresses: Vec<String>,
    /// What is remembered for the next time.
    pub memory: Option<Settling>,
    /// Why it is not what the load balancer says now, or may not be.
    pub why: Option<&'static str>,
    /// When time alone changes something.
    pub wake_at: Option<Timestamp>,
}

/// Judges an answer of a load balancer, given the addresses that are published.
pub(super) fn settle(before: Option<&Settling>, published: &[String], answer: Vec<String>, now: Timestamp) -> Settled {
    let plain = |addresses: Vec<String>, why| Settled { addresses, memory: None, why, wake_at: None };
    if published.is_empty() {
        let why = answer.is_empty().then_some("has no load-balancer address yet");
        return plain(answer, why);
    }
    let mut memory = match before {
        Some(before) => before.clone(),
        None if answer == published => return plain(answer, None),
        None => Settling {
            answer: published.to_vec(),
            since: now,
            seen: BTreeSet::from([published.to_vec()]),
            returns: 0,
            unlike: None,
            published: published.to_vec(),
            moves: 0,
        },
    };
    memory.hear(answer, published, now);
    if memory.unlike.is_none() && later(memory.since, CALM) <= now {
        return plain(memory.answer, None);
    }
    memory.judge(published, now)
}

impl Settling {
    fn hear(&mut self, answer: Vec<String>, published: &[String], now: Timestamp) {
        if self.published != published {
            self.published = published.to_vec();
            self.moves += 1;
        }
        if self.answer != answer {
            if !self.seen.insert(answer.clone()) {
                self.returns += 1;
            } else if self.seen.len() > MAX_SEEN {
                self.seen.pop_first();
            }
            self.answer = answer;
            self.since = now;
        }
        self.unlike = if self.answer == published { None } else { self.unlike.or(Some(now)) };
    }

    /// How long the answer must stay the same.
    fn wait(&self) -> SignedDuration {
        let (first, longest) = WAITS;
        match self.returns {
            0 => SignedDuration::ZERO,
            returns => doubled(first, returns - 1).min(longest),
        }
    }

    /// When it is believed although it does not settle.
    fn given_up(&self) -> Option<Timestamp> {
        self.unlike.map(|unlike| later(unlike, doubled(PATIENCE, self.moves).min(CALM)))
    }

    fn judge(self, published: &[String], now: Timestamp) -> Settled {
        let due = later(self.since, self.wait());
        let patience = self.given_up();
        let restless = due > now;
        let given_up = patience.is_some_and(|at| at <= now);
        let addresses = match &self.answer {
            answer if !restless && !answer.is_empty() => answer.clone(),
            // It never stays: one that it has is better than one that it has not. The first, so that it is the same next time.
            _ if restless && given_up => {
                self.seen.iter().find(|seen| !seen.is_empty() && *seen != published).map_or(published, Vec::as_slice).to_vec()
            }
            _ => published.to_vec(),
        };
        let why = if restless {
            Some("changes its address back and forth; the one published last stays until it settles")
        } else if self.answer.is_empty() {
            Some("has lost its address; the one published last stays")
        } else {
            None
        };
        let wake_at = restless.then(|| patience.filter(|at| *at > now).map_or(due, |at| at.min(due)));
        Settled { addresses, memory: Some(self), why, wake_at }
    }
}

fn doubled(wait: SignedDuration, times: u32) -> SignedDuration {
    wait.saturating_mul(2_i32.saturating_pow(times))
}

/// Every entry of a Service's load balancer: the ip if there is one, else the hostname as it is, sorted. A name is never resolved:
/// the cloud changes the addresses behind it.
pub(super) fn of_service(live: &LiveObjects, mesh: &Mesh, gateway: &str) -> Vec<String> {
    let Some(service) = live.get(&kinds::key(kinds::SERVICE, &mesh.namespace, gateway)).map(|live| live.value()) else {
        return Vec::new();
    };
    let entries = service.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let text = |entry: &Value, field| entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let mut addresses: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| text(entry, "ip").or_else(|| text(entry, "hostname")))
        .filter_map(|text| address::parse(&text).ok())
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}
