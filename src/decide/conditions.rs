//! Conditions: what people and alerts watch, in the manner of Kubernetes API conventions. A transition of one is worth a log line.

use std::collections::BTreeSet;

use super::report::{self, PeeringStatus, Status};
use super::rotation::RotationStatus;
use super::{World, views, weights};
use crate::derive::Hold;
use crate::model::root::short;

/// A fact about the mesh that is either so or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// What it is about: the mesh, a peer or a Traffic, by name.
    pub subject: String,
    /// Which fact.
    pub kind: ConditionKind,
    /// Whether it is so.
    pub status: bool,
    /// Why not, one line; empty where it is so.
    pub message: String,
}

/// The facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionKind {
    /// Of the mesh: everything that can be applied is.
    Applied,
    /// Of the mesh: no document that concerns it has an error.
    Valid,
    /// Of the mesh: all of `main` is verified.
    Verified,
    /// Of the mesh: no other cluster has its name.
    Unique,
    /// Of the mesh: every peer that trusts it trusts the CA roots that it uses now.
    RootsTrusted,
    /// Of the mesh: news come from the repository.
    Fresh,
    /// Of a peer: its agent sees the `main` that we see.
    SameMain,
    /// Of a peer: our control plane watches its.
    Connected,
    /// Of a peer: all that is declared works.
    Ready,
    /// Of a Traffic: the weights that people declared are in effect.
    AsDeclared,
}

impl ConditionKind {
    /// Its name, as in a Kubernetes condition's `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "Applied",
            Self::Valid => "Valid",
            Self::Verified => "Verified",
            Self::Unique => "Unique",
            Self::RootsTrusted => "RootsTrusted",
            Self::Fresh => "Fresh",
            Self::SameMain => "SameMain",
            Self::Connected => "Connected",
            Self::Ready => "Ready",
            Self::AsDeclared => "AsDeclared",
        }
    }

    /// Whether it is taken to be so from the start: a word is worth it only after it was not.
    pub fn is_usual(self) -> bool {
        matches!(self, Self::RootsTrusted | Self::Fresh | Self::SameMain)
    }

    /// What it is about, as the beginning of a line for people.
    pub fn about(self, subject: &str) -> String {
        match self {
            Self::Verified => "main".to_owned(),
            Self::Applied | Self::Valid | Self::Unique | Self::RootsTrusted | Self::Fresh | Self::SameMain => subject.to_owned(),
            Self::Connected | Self::Ready => format!("peering with {subject}"),
            Self::AsDeclared => format!("traffic {subject}"),
        }
    }

    /// How people read it, so or not.
    pub fn words(self, status: bool) -> &'static str {
        match (self, status) {
            (Self::Applied, true) => "applied",
            (Self::Applied, false) => "being applied",
            (Self::Valid, true) => "valid",
            (Self::Valid, false) => "has errors",
            (Self::Verified, true) => "verified",
            (Self::Verified, false) => "frozen",
            (Self::Unique, true) => "in one cluster",
            (Self::Unique, false) => "claimed by another cluster",
            (Self::RootsTrusted, true) => "uses a CA that its peers trust",
            (Self::RootsTrusted, false) => "uses a CA that not all peers trust",
            (Self::Fresh, true) => "hears news from the repository",
            (Self::Fresh, false) => "stale",
            (Self::SameMain, true) => "sees the main that we see",
            (Self::SameMain, false) => "forked view suspected",
            (Self::Connected, true) => "connected",
            (Self::Connected, false) => "disconnected",
            (Self::Ready, true) => "ready",
            (Self::Ready, false) => "not ready",
            (Self::AsDeclared, true) => "weights are as declared",
            (Self::AsDeclared, false) => "weights are not as declared",
        }
    }
}

/// The conditions of a mesh and, where its document says what to look at, of its peers and Traffics.
pub(super) fn conditions(world: &World, known: bool, settled: bool, dispute: Option<&Hold>, status: &Status) -> Vec<Condition> {
    let World { me, trust, .. } = *world;
    let condition = |subject: &str, kind, status: bool, message: &str| Condition {
        subject: subject.to_owned(),
        kind,
        status,
        message: if status { String::new() } else { message.to_owned() },
    };
    let peering = |(name, peering): (&String, &PeeringStatus)| {
        let why = report::disconnected(name, &peering.last_disconnect);
        let connected = condition(name, ConditionKind::Connected, peering.connected, &why);
        [connected, condition(name, ConditionKind::Ready, peering.ready, &peering.why)]
    };
    let RotationStatus { to, exposed, .. } = &status.rotation;
    let distrust = format!("{} do not trust CA root {} yet", exposed.join(", "), short(to));
    let problem = status.problems.first().map(String::as_str).unwrap_or_default();
    let mut all = vec![
        condition(me, ConditionKind::Applied, settled, "objects differ from what is declared"),
        condition(me, ConditionKind::Valid, status.problems.is_empty(), problem),
        condition(me, ConditionKind::Unique, dispute.is_none(), dispute.map(|hold| &*hold.reason).unwrap_or_default()),
    ];
    if !trust.verification.is_off() {
        all.push(condition(me, ConditionKind::Verified, status.main.frozen.is_empty(), &status.main.frozen));
    }
    if known && !status.ca_roots.is_empty() {
        all.push(condition(me, ConditionKind::RootsTrusted, exposed.is_empty(), &distrust));
    }
    let stale = status.views.stale_since.map(views::stale_words);
    all.push(condition(me, ConditionKind::Fresh, stale.is_none(), &stale.unwrap_or_default()));
    let (peers, forked) = (status.peerings.keys(), &status.views.forked);
    let peers: BTreeSet<&String> = peers.chain(forked.keys()).filter(|_| known).collect();
    all.extend(peers.into_iter().map(|peer| {
        let words = forked.get(peer).map(|fork| fork.words(peer)).unwrap_or_default();
        condition(peer, ConditionKind::SameMain, !forked.contains_key(peer), &words)
    }));
    all.extend(status.peerings.iter().filter(|_| known).flat_map(peering));
    all.extend(status.traffic.iter().filter(|_| known).map(|(name, traffic)| {
        let lacking = weights::lacking(traffic);
        condition(name, ConditionKind::AsDeclared, lacking.is_empty(), &lacking)
    }));
    all
}
