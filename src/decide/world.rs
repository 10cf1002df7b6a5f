//! What goes into a decision.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Line, LiveObjects, Status, Trust, Unseen, Views};
use crate::facts::Facts;
use crate::facts::probe::Answers;
use crate::model::{Diagnostic, Federation};
use crate::policy::Policies;

/// Everything that a decision is made from.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Declarations.
    pub federation: &'a Federation,
    /// What is wrong with them.
    pub problems: &'a [Diagnostic],
    /// What must not be applied.
    pub policies: &'a Policies,
    /// The mesh that the agent looks after.
    pub me: &'a str,
    /// Facts of its peers.
    pub facts: &'a BTreeMap<String, Facts>,
    /// What its peers' agents last said of their meshes; none of a peer that has said nothing, or nothing readable.
    pub statuses: &'a BTreeMap<String, Status>,
    /// Live objects of every kind that matters.
    pub live: &'a LiveObjects,
    /// What is not known of them.
    pub unseen: &'a Unseen,
    /// UID of the cluster's `kube-system` Namespace.
    pub cluster_uid: &'a str,
    /// Commit of `main` that the declarations are from.
    pub commit: &'a str,
    /// What is new on `main` with it.
    pub line: &'a Line,
    /// Where our peers are on `main`, and when it last moved.
    pub views: &'a Views,
    /// What verification says of all this.
    pub trust: &'a Trust,
    /// Facts that our own branch has now.
    pub own_facts: &'a Facts,
    /// Status that our own branch has now; empty before the first.
    pub own_status: &'a Status,
    /// Files that our own branch has now.
    pub published: &'a BTreeMap<String, String>,
    /// How long a cluster waits for an answer before it takes the mesh over from another one, and for a commit that a peer has seen.
    pub patience: SignedDuration,
    /// A root (PEM) whose key nobody has; peers that leave are given it before they go.
    pub throwaway_root: &'a str,
    /// What peers' ingresses have shown, by peer.
    pub probes: &'a Answers,
    /// Nothing may be changed; what would be is told.
    pub observing: bool,
    /// Now.
    pub now: Timestamp,
}
