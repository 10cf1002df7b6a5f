//! Where trust begins, for commands that verify by themselves.

use clap::Args;

use crate::error::Error;
use crate::repo::{CommitId, Mirror};
use crate::trust::{Digest, Id, Refusal, Verifier};

/// From which commit on signatures are verified.
#[derive(Args, Debug)]
pub(super) struct TrustArgs {
    /// Commit of main from which on signatures are verified
    #[arg(long, env = "MESHFED_TRUST_ANCHOR", value_name = "COMMIT", requires = "trust_digest")]
    trust_anchor: Option<CommitId>,
    /// Digest of trust/ in that commit, as `sha256:…`
    #[arg(long, env = "MESHFED_TRUST_DIGEST", value_name = "DIGEST", requires = "trust_anchor")]
    trust_digest: Option<Digest>,
}

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
    /// Anchor and digest, where they are given.
    pub(super) fn introduction(&self) -> Option<(CommitId, Digest)> {
        self.trust_anchor.zip(self.trust_digest)
    }

    /// Verifies `main` up to its tip; `None` where no anchor is given.
    pub(super) fn verify(&self, mirror: &Mirror) -> Result<Option<Verified>, Error> {
        let Some((anchor, digest)) = self.introduction() else { return Ok(None) };
        let mut verifier = Verifier::new();
        let introduced = verifier.introduce(mirror, Id::from(anchor), digest).map_err(Error::other)?;
        let refusal = match introduced {
            Err(refusal) => Some(refusal),
            Ok(()) => verifier.main(mirror, Id::from(anchor), mirror.main()?.into()).map_err(Error::other)?.refusal,
        };
        Ok(Some(Verified { anchor, refusal }))
    }
}
