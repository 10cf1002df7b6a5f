//! Whether `main` is verified, for commands that look for themselves.

use super::remote::TrustArgs;
use crate::error::Error;
use crate::repo::{CommitId, Mirror};
use crate::trust::{Introduction, Refusal, Verifier};

/// What a verification found.
pub(super) struct Verified {
    /// The anchor.
    pub(super) anchor: CommitId,
    /// Why the tip is not verified; `None` where it is.
    pub(super) refusal: Option<Refusal>,
}

impl Verified {
    /// For people, and whether it is well.
    pub(super) fn words(&self) -> (String, bool) {
        match &self.refusal {
            None => (format!("verified here from {} on", self.anchor.short()), true),
            Some(refusal) => (format!("refused here: {refusal}"), false),
        }
    }
}

impl TrustArgs {
    /// Verifies `main` up to its tip; `None` where no anchor is given.
    pub(super) fn verify(&self, mirror: &Mirror) -> Result<Option<Verified>, Error> {
        let Some(Introduction { anchor, digest }) = self.introduction() else { return Ok(None) };
        let mut verifier = Verifier::new();
        let introduced = verifier.introduce(mirror, anchor, digest).map_err(Error::other)?;
        let refusal = match introduced {
            Err(refusal) => Some(refusal),
            Ok(()) => verifier.main(mirror, anchor, mirror.main()?.into()).map_err(Error::other)?.refusal,
        };
        Ok(Some(Verified { anchor: anchor.into(), refusal }))
    }
}
