//! The branch `published/<mesh>`: written by one agent, forward only.

use std::collections::BTreeSet;

use super::commit::Links;
use super::history::{Verdict, steps};
use super::object::{Id, Objects, Unreadable};
use super::refusal::{Fault, Refusal, Rule, Violation};
use super::signers::Revoked;
use super::tree::changes;
use crate::model::{Mesh, PublicKey};

/// All that an agent publishes.
pub const PUBLISHED_FILES: [&str; 2] = ["published.yaml", "status.yaml"];

/// Who writes a published branch, by the `mesh.yaml` of its mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publisher {
    /// Keys that may sign there.
    pub keys: BTreeSet<PublicKey>,
    /// Commits there that somebody else made, and that are passed over.
    pub disowned: BTreeSet<Id>,
}

impl Publisher {
    /// The agent of a mesh, as people declare it.
    pub fn of(mesh: &Mesh) -> Self {
        let disowned = mesh.disowned.iter().filter_map(|id| id.parse().ok()).collect();
        Self { keys: mesh.keys.iter().cloned().collect(), disowned }
    }
}

/// Verifies a published branch from its last verified commit to its tip. `publisher` is who writes it, and `revoked` is
/// `trust/revoked_keys`, both at the verified `main`.
///
/// Each commit after the last verified one is signed by one of the keys, has one parent and changes only [`PUBLISHED_FILES`]. Of a
/// branch that was never verified the tip alone is asked, and that it holds nothing but those files: earlier commits may be signed
/// by keys that were replaced since, and say nothing that the tip does not.
///
/// Commits that the publisher has disowned are passed over, neither believed nor in the way. What follows them is held against the last
/// verified commit, so that nothing that they brought stays. This mends a branch without rewriting it. A last verified commit that is
/// disowned, and that the branch does not follow, is one that got lost: the branch is taken as one that was never verified.
///
/// A branch that does not follow its last verified commit is refused by the name of that one, not of its tip: agents tell each other in
/// their published branches what they refuse of them, and would never come to an end.
pub fn published(
    objects: &dyn Objects,
    publisher: &Publisher,
    revoked: &Revoked,
    verified: Option<Id>,
    tip: Id,
) -> Result<Verdict, Unreadable> {
    let Publisher { keys, disowned } = publisher;
    let mut last = verified;
    let steps = match (steps(objects, verified, tip)?, verified) {
        (Ok(steps), _) => steps,
        (Err(refusal), Some(floor)) if refusal.is_lost() => {
            if !disowned.contains(&floor) {
                return Ok(Verdict { verified, refusal: Some(Refusal { commit: floor, ..refusal }) });
            }
            last = None;
            vec![tip]
        }
        (Err(refusal), _) => return Ok(Verdict { verified, refusal: Some(refusal) }),
    };
    for step in steps.into_iter().filter(|step| !disowned.contains(step)) {
        if let Err(fault) = judge(objects, keys, revoked, last, step) {
            return Ok(Verdict { verified: last, refusal: Some(Refusal::new(step, None, fault.violation()?)) });
        }
        last = Some(step);
    }
    Ok(Verdict { verified: last, refusal: None })
}

fn judge(objects: &dyn Objects, keys: &BTreeSet<PublicKey>, revoked: &Revoked, parent: Option<Id>, id: Id) -> Result<(), Fault> {
    let links = Links::load(objects, id)?;
    let commit = links.commit()?;
    if links.parents.len() > 1 || (parent.is_some() && links.parents.len() != 1) {
        return Err(Violation::new(Rule::NotLinear, format!("it has {} parents", links.parents.len())).into());
    }
    let key = commit.key()?;
    if !keys.contains(&key) {
        return Err(Violation::new(Rule::UnknownSigner, format!("its key {} is none of the mesh's", key.fingerprint())).into());
    }
    if revoked.contains(&key) {
        return Err(Violation::new(Rule::RevokedKey, format!("its key {} was revoked", key.fingerprint())).into());
    }
    let before = parent.map(|parent| Links::load(objects, parent)).transpose()?.map(|links| links.tree);
    for change in changes(objects, before, links.tree)? {
        if !PUBLISHED_FILES.contains(&change.path.as_str()) {
            return Err(Violation::at(Rule::PathDenied, &change.path, "an agent publishes only its facts and its status").into());
        }
    }
    Ok(())
}
