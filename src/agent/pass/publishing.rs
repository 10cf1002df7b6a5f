//! What has become of the last publication, and when it may be sent again.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::retry::{REFUSED_RETRY, backoff, later};
use crate::agent::traces::Parent;
use crate::repo::RepoError;

/// What has become of the last publication.
#[derive(Default)]
pub(super) struct Publishing {
    /// Sent, and not yet answered.
    pub(super) sent: Option<Files>,
    /// What the repository did not take.
    pub(super) failure: Option<Unpublished>,
    /// Trace of the pass that sent it.
    pub(super) trace: Option<Parent>,
}

pub(super) type Files = BTreeMap<String, String>;

pub(super) struct Unpublished {
    files: Files,
    pub(super) message: String,
    retry_at: Timestamp,
    attempts: u32,
}

impl Publishing {
    /// When these files may be sent again. `None`: at once, or when what was sent last is answered.
    pub(super) fn retry_at(&self, files: &Files) -> Option<Timestamp> {
        let failure = self.failure.as_ref().filter(|failure| self.sent.is_none() && failure.files == *files);
        failure.map(|failure| failure.retry_at)
    }

    pub(super) fn may_send(&self, files: &Files) -> bool {
        self.sent.is_none() && self.retry_at(files).is_none_or(|at| at <= Timestamp::now())
    }

    pub(super) fn failed(&mut self, error: &RepoError) {
        let files = self.sent.take().unwrap_or_default();
        let before = self.failure.take().filter(|failure| failure.files == files);
        let attempts = before.map_or(1, |failure| failure.attempts + 1);
        let wait = if error.is_transient() { backoff(attempts) } else { REFUSED_RETRY };
        let retry_at = later(Timestamp::now(), wait);
        self.failure = Some(Unpublished { files, message: error.to_string(), retry_at, attempts });
    }
}
