//! A look at a peer's ingress: the certificates that it shows have to end in the roots that the peer publishes, before these take the place
//! of those in use. What is asked and what came of it; the edge that dials is the agent's.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// When a look that failed is taken again: an ingress that comes up, or a name that is known only later, is no matter of seconds.
pub const RETRY: SignedDuration = SignedDuration::from_mins(1);

/// What to look at, and what it has to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Bare addresses and names, of which the first that answers is asked.
    pub addresses: Vec<String>,
    /// The port of discovery there, behind which TLS ends in the mesh's own gateway.
    pub port: u16,
    /// The name in the handshake (SNI).
    pub server_name: String,
    /// Roots (PEM) that the certificates have to end in.
    pub roots: String,
    /// The identity that the ingress has to prove (SPIFFE).
    pub identity: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question.
    pub question: Question,
    /// Why the roots are not believed, one line.
    pub outcome: Result<(), String>,
    /// When.
    pub at: Timestamp,
}

/// Answers by peer.
pub type Answers = BTreeMap<String, Answer>;
