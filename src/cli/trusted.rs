//! Whether `main` is verified, for commands that look for themselves.

use super::remote::TrustArgs;
use crate::error::Error;
use crate::repo::Mirror;
use crate::trust::{Fault, Gate, Id, Introduction, Objects, Passage, Refusal, Revoked, Verification, Verifier, oldest};

/// What a verification found.
pub(super) struct Verified {
    /// Where it began.
    pub(super) anchor: Id,
    /// The newest commit that agents follow; `None` where the anchor is not the one that is meant.
    pub(super) newest: Option<Id>,
    /// Why that is not the tip.
    pub(super) refusal: Option<Refusal>,
    /// Keys that may sign no more; `None` where nothing is verified.
    pub(super) revoked: Option<Revoked>,
}

/// Verifies a branch that people write, as an agent does that knows nothing but its introduction.
pub(super) fn verify(objects: &dyn Objects, introduction: Introduction, tip: Id) -> Result<Verified, Error> {
    let mut gate = Gate::new(Verification::Enforce(introduction));
    let passage = gate.main(objects, tip).map_err(Error::other)?;
    let revoked = gate.revoked(objects, &passage).map_err(Error::other)?;
    let Passage { verified: newest, refusal, .. } = passage;
    Ok(Verified { anchor: introduction.anchor, newest, refusal, revoked })
}

/// The introduction that the history itself holds, at the oldest commit with `trust/`. It proves nothing.
pub(super) fn found(objects: &dyn Objects, tip: Id) -> Result<Option<Introduction>, Fault> {
    let Some(anchor) = oldest(objects, tip)? else { return Ok(None) };
    Ok(Some(Introduction { anchor, digest: Verifier::digest(objects, anchor)? }))
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
        let Some(introduction) = self.introduction() else { return Ok(None) };
        verify(mirror, introduction, mirror.main()?.into()).map(Some)
    }
}
