//! A rotation as people see it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::derive::Hold;
use crate::model::root;

/// How far a rotation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// One set of roots, and nothing about to change.
    #[default]
    Steady,
    /// A new root is published beside the old one; not every peer trusts it yet.
    Announced,
    /// Every peer trusts the new root: people may switch.
    Ready,
    /// The control plane uses the new root; the old one stays while certificates from it live.
    Overlap,
    /// The control plane uses a root that some peers do not trust yet: connections with them fail.
    Exposed,
}

impl Phase {
    /// As the status writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Announced => "announced",
            Self::Ready => "ready",
            Self::Overlap => "overlap",
            Self::Exposed => "exposed",
        }
    }
}

/// A rotation as the mesh's status tells it. Roots are SHA-256 fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RotationStatus {
    /// How far it is.
    pub phase: Phase,
    /// The root that is, or was, in use; empty while steady.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The root that takes its place; empty while steady.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Peers that trust the new root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reported: Vec<String>,
    /// Peers that have not said so yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Those among them that are known to trust only roots that are not in use: they cannot connect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// When the control plane was first seen to use the new root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when the old root stays at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl RotationStatus {
    /// What of it people must know now.
    pub(super) fn hold(&self) -> Option<Hold> {
        let Self { phase, from, to, reported: _, missing, exposed, since, until: _ } = self;
        let since = since.unwrap_or_default();
        let (root, reason) = match phase {
            Phase::Announced => (to, format!("is announced; not yet trusted by {}: do not switch to it", missing.join(", "))),
            Phase::Exposed => {
                (to, format!("is in use since {since} but not yet trusted by {}: connections with them fail", exposed.join(", ")))
            }
            Phase::Overlap if !missing.is_empty() => {
                (from, format!("was replaced at {since}; it stays until {} trust {}", missing.join(", "), root::short(to)))
            }
            Phase::Steady | Phase::Ready | Phase::Overlap => return None,
        };
        Some(Hold::part(subject(root), reason))
    }
}

/// What a hold about a root is about.
pub(super) fn subject(fingerprint: &str) -> String {
    format!("CA root {}", root::short(fingerprint))
}
