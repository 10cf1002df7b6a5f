//! The walk along `main`, from the last verified commit to the tip.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::commit::Links;
use super::object::{Id, Objects, Unreadable};
use super::policy::ROOT;
use super::refusal::{Fault, Refusal, Rule, Violation};
use super::rules::{Cache, Digest, FOLDER, Rules, folder};
use super::tree::changes;

/// Trailer of a commit by which a member of the role `root` takes an earlier bad commit as it is: its whole id.
pub const ACCEPT: &str = "Meshfed-Accept";

/// Most commits walked at once: more than any federation's history, so that a hostile one ends.
pub const MAX_STEPS: usize = 1_000_000;

/// Most bad commits that wait to be accepted. People look at each; who pushes more is answered by a reset of the branch, and does not
/// make every poll judge them all again.
pub const MAX_PENDING: usize = 100;

/// How far a branch is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The newest verified commit; `None` for a published branch of which nothing was ever verified.
    pub verified: Option<Id>,
    /// Why it is not the tip.
    pub refusal: Option<Refusal>,
}

/// Verifies `main`. Remembers its last answer, so that asking again about the same commits reads nothing.
#[derive(Debug, Default)]
pub struct Verifier {
    rules: Cache,
    last: Option<(Id, Id, Verdict)>,
}

/// What is to be said of one commit of `main`, whatever came before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Who signed it, where a listed key did.
    pub signer: Option<String>,
    /// The rule that it breaks.
    pub refusal: Option<Refusal>,
    /// Earlier commits that it accepts, and may.
    pub accepts: BTreeSet<Id>,
}

/// What a good commit may do beyond what it changes.
struct Good {
    signer: String,
    signer_is_root: bool,
    accepts: BTreeSet<Id>,
}

/// What is wrong with a commit.
struct Bad {
    refusal: Refusal,
    /// It leaves `trust/` as it was, so that the commits after it can be judged and it can be accepted.
    acceptable: bool,
}

impl Verifier {
    /// A verifier that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the anchor is the one that people meant: its `trust/` has this digest and can be read, and all its files keep to the
    /// rules of structure. Who signed the anchor is not asked: the digest vouches for it.
    pub fn introduce(&mut self, objects: &dyn Objects, anchor: Id, digest: Digest) -> Result<Result<(), Refusal>, Unreadable> {
        let mut check = || {
            let tree = Links::load(objects, anchor)?.tree;
            let found = Digest::of(objects, tree)?;
            if found != digest {
                let detail = format!("the digest of {FOLDER}/ in the anchor is {found}, not {digest}");
                return Err(Violation::at(Rule::WrongDigest, FOLDER, detail).into());
            }
            self.rules.rules(objects, tree)?;
            changes(objects, None, tree).map(|_| ())
        };
        check().map(Ok).or_else(|fault: Fault| Ok(Err(Refusal::new(anchor, None, fault.violation()?))))
    }

    /// The digest of `trust/` in a commit, for `--trust-digest`.
    pub fn digest(objects: &dyn Objects, commit: Id) -> Result<Digest, Fault> {
        Digest::of(objects, Links::load(objects, commit)?.tree)
    }

    /// The rules that a commit holds for those after it.
    pub(super) fn rules(&mut self, objects: &dyn Objects, commit: Id) -> Result<Arc<Rules>, Fault> {
        self.rules.rules(objects, Links::load(objects, commit)?.tree)
    }

    /// Verifies `main` from the last verified commit to its tip.
    pub fn main(&mut self, objects: &dyn Objects, verified: Id, tip: Id) -> Result<Verdict, Unreadable> {
        if let Some((_, _, verdict)) = self.last.as_ref().filter(|(from, to, _)| (*from, *to) == (verified, tip)) {
            return Ok(verdict.clone());
        }
        let verdict = match steps(objects, Some(verified), tip)? {
            Ok(steps) => self.walk(objects, verified, &steps)?,
            Err(refusal) => Verdict { verified: Some(verified), refusal: Some(refusal) },
        };
        self.last = Some((verified, tip, verdict.clone()));
        Ok(verdict)
    }

    /// Judges one commit by the rules of its parent alone, for a history of who did what: that commits before it may have been refused does
    /// not matter here.
    pub fn step(&mut self, objects: &dyn Objects, parent: Id, id: Id) -> Result<Step, Unreadable> {
        Ok(match self.judge(objects, parent, id)? {
            Ok(Good { signer, signer_is_root, accepts }) => {
                let accepts = if signer_is_root { accepts } else { BTreeSet::new() };
                Step { signer: Some(signer), refusal: None, accepts }
            }
            Err(Bad { refusal, .. }) => Step { signer: refusal.signer.clone(), refusal: Some(refusal), accepts: BTreeSet::new() },
        })
    }

    fn walk(&mut self, objects: &dyn Objects, mut verified: Id, steps: &[Id]) -> Result<Verdict, Unreadable> {
        // Bad commits that a later one may yet accept, oldest first.
        let mut pending: Vec<Refusal> = Vec::new();
        let mut parent = verified;
        for &step in steps {
            match self.judge(objects, parent, step)? {
                Ok(good) => pending.retain(|bad| !(good.signer_is_root && good.accepts.contains(&bad.commit))),
                Err(Bad { refusal, acceptable }) => {
                    pending.push(refusal);
                    if !acceptable || pending.len() > MAX_PENDING {
                        break;
                    }
                }
            }
            if pending.is_empty() {
                verified = step;
            }
            parent = step;
        }
        Ok(Verdict { verified: Some(verified), refusal: pending.into_iter().next() })
    }

    /// One commit by the rules of its first parent.
    fn judge(&mut self, objects: &dyn Objects, parent: Id, id: Id) -> Result<Result<Good, Bad>, Unreadable> {
        let mut signer = None;
        let violation = match self.try_judge(objects, parent, id, &mut signer) {
            Ok(good) => return Ok(Ok(good)),
            Err(fault) => fault.violation()?,
        };
        let trust = |id| Links::load(objects, id).and_then(|links| folder(objects, links.tree));
        let same = trust(parent).and_then(|before| Ok(before.is_some() && before == trust(id)?));
        let acceptable = same.or_else(|fault| fault.violation().map(|_| false))?;
        Ok(Err(Bad { refusal: Refusal::new(id, signer, violation), acceptable }))
    }

    fn try_judge(&mut self, objects: &dyn Objects, parent: Id, id: Id, signer: &mut Option<String>) -> Result<Good, Fault> {
        let (before, links) = (Links::load(objects, parent)?.tree, Links::load(objects, id)?);
        let rules = self.rules.rules(objects, before)?;
        let commit = links.commit()?;
        let key = commit.key()?;
        let unknown =
            || Violation::new(Rule::UnknownSigner, format!("its key {} is not in {FOLDER}/allowed_signers", key.fingerprint()));
        let found = rules.signers.get(&key).ok_or_else(unknown)?;
        *signer = Some(found.name.clone());
        if rules.revoked.contains(&key) {
            return Err(Violation::new(Rule::RevokedKey, format!("its key {} was revoked before it", key.fingerprint())).into());
        }
        if !found.covers(commit.committed_at) {
            return Err(Violation::new(Rule::OutsideValidity, "its date is outside the validity of its key").into());
        }
        for change in changes(objects, Some(before), links.tree)? {
            if !rules.policy.allows(&found.name, &change.path) {
                return Err(Violation::at(Rule::PathDenied, &change.path, format!("{} may not change it", found.name)).into());
            }
        }
        if folder(objects, before)? != folder(objects, links.tree)? {
            keeps_revocations(&rules, &*self.rules.rules(objects, links.tree)?)?;
        }
        let accepts: BTreeSet<Id> = commit.trailers(ACCEPT).filter_map(|id| id.parse().ok()).collect();
        if !accepts.is_empty() {
            // What it accepts may have broken the rules of structure: it answers for the whole tree.
            changes(objects, None, links.tree)?;
        }
        Ok(Good { signer: found.name.clone(), signer_is_root: rules.policy.has_role(&found.name, ROOT), accepts })
    }
}

fn keeps_revocations(before: &Rules, after: &Rules) -> Result<(), Violation> {
    match after.revoked.missing_from(&before.revoked) {
        None => Ok(()),
        Some(key) => {
            let detail = format!("the key {} is no longer in it; it may only grow", key.fingerprint());
            Err(Violation::at(Rule::RevocationShrunk, &format!("{FOLDER}/revoked_keys"), detail))
        }
    }
}

/// The oldest commit with a `trust/` on the line of first parents: where the history introduces its own rules. What it says proves
/// nothing; an anchor that people were given does.
pub fn oldest(objects: &dyn Objects, tip: Id) -> Result<Option<Id>, Fault> {
    let (mut next, mut found) = (Some(tip), None);
    for _ in 0..MAX_STEPS {
        let Some(id) = next else { break };
        let links = Links::load(objects, id)?;
        if folder(objects, links.tree)?.is_some() {
            found = Some(id);
        }
        next = links.parents.first().copied();
    }
    Ok(found)
}

/// The commits after `verified` up to `tip` along first parents, oldest first; without `verified` the tip alone.
pub(super) fn steps(objects: &dyn Objects, verified: Option<Id>, tip: Id) -> Result<Result<Vec<Id>, Refusal>, Unreadable> {
    let Some(verified) = verified else { return Ok(Ok(vec![tip])) };
    let refused = |commit, rule, detail: String| Ok(Err(Refusal::new(commit, None, Violation::new(rule, detail))));
    let (mut steps, mut next) = (Vec::new(), Some(tip));
    while let Some(id) = next.filter(|id| *id != verified) {
        match Links::load(objects, id) {
            Ok(links) => next = links.parents.first().copied(),
            Err(fault) => return Ok(Err(Refusal::new(id, None, fault.violation()?))),
        }
        steps.push(id);
        if steps.len() > MAX_STEPS {
            return refused(id, Rule::TooLarge, format!("more than {MAX_STEPS} commits lie after {verified}"));
        }
    }
    if next.is_some() {
        steps.reverse();
        return Ok(Ok(steps));
    }
    if descends(objects, verified, tip) {
        return refused(tip, Rule::SourceRewound, format!("the branch went back from {verified}, which was verified"));
    }
    refused(tip, Rule::SourceForked, format!("{verified}, which was verified, is not on the branch's line of first parents"))
}

/// Whether `ancestor` can be reached from `from`, as far as the store still has what lies between: a host that rewinds need not show it.
fn descends(objects: &dyn Objects, from: Id, ancestor: Id) -> bool {
    let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(id) = next.pop().filter(|_| seen.len() <= MAX_STEPS) {
        if id == ancestor {
            return true;
        }
        let parents = Links::load(objects, id).map(|links| links.parents).unwrap_or_default();
        next.extend(parents.into_iter().filter(|parent| seen.insert(*parent)));
    }
    false
}
