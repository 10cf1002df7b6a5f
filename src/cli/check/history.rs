//! What verification says of the commits that are checked: the same words as an agent that follows them.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::clone::fault;
use crate::cli::trusted::{found, verify};
use crate::error::Error;
use crate::model::{Code, Diagnostic, Federation};
use crate::repo::{CommitId, Commits, PUBLISHED};
use crate::trust::{Fault, Id, Introduction, Objects, Publisher, Refusal, Revoked, Rule, Rules, Verifier, finding, published};
use crate::words::count;

/// Most refusals shown of one branch: whoever pushed more has one cause for all.
const MAX_SHOWN: usize = 20;

/// Most commits of one published branch that are looked at: years of an agent's life.
const MAX_BACK: usize = 10_000;

/// What is said of histories.
#[derive(Debug, Default)]
pub(super) struct History {
    pub found: Vec<Diagnostic>,
    /// What was verified, for the last line; empty where there is nothing to verify.
    pub words: String,
    verified: usize,
    all: usize,
}

/// A branch that people write from its introduction on, and what the meshes publish. Without an introduction it begins at the oldest
/// commit with `trust/`, which shows mistakes and proves nothing.
pub(super) fn whole(
    commits: &dyn Commits,
    tip: CommitId,
    given: Option<Introduction>,
    federation: &Federation,
    published: &BTreeMap<String, CommitId>,
) -> Result<History, Error> {
    let mut history = History::default();
    let Some(introduction) =
        given.map_or_else(|| found(commits, tip.into()), |given| Ok(Some(given))).or_else(|why| match why {
            Fault::Unreadable(why) => {
                history.words = format!("no commit verified: {why} (git fetch --unshallow gets older ones)");
                Ok(None)
            }
            broken @ Fault::Violation(_) => Err(fault(broken)),
        })?
    else {
        return Ok(history);
    };
    let main = verify(commits, introduction, tip.into())?;
    let mut line = line(commits, introduction.anchor, tip.into())?;
    line.insert(0, introduction.anchor);
    history.add(commits, "main", &line, main.newest, main.refusal.as_ref())?;
    if let Some(revoked) = main.revoked {
        for (mesh, tip) in published {
            if let Some(mesh) = federation.mesh(mesh).filter(|mesh| !mesh.keys.is_empty()) {
                history.published(commits, &mesh.name, &Publisher::of(mesh), &revoked, (*tip).into())?;
            }
        }
    }
    let from = if given.is_some() { String::new() } else { format!(" from {} on", introduction.anchor.short()) };
    history.words = format!("{}{from}", history.number());
    Ok(history)
}

/// The commits that `tip` has beyond `from`, for a merge request.
pub(super) fn range(commits: &dyn Commits, from: CommitId, tip: CommitId) -> Result<History, Error> {
    let mut history = History::default();
    if Rules::of(commits, from.into()).map_err(fault)?.is_none() {
        return Ok(History { words: "no commit verified, as there is no trust/".to_owned(), ..history });
    }
    let verdict = Verifier::new().main(commits, from.into(), tip.into()).map_err(Error::other)?;
    let line = line(commits, from.into(), tip.into())?;
    history.add(commits, "the branch", &line, verdict.verified, verdict.refusal.as_ref())?;
    history.words = history.number();
    Ok(history)
}

impl History {
    /// `3 commits verified`, or `2 of 3 commits verified`.
    fn number(&self) -> String {
        let all = count(self.all, "commit");
        if self.verified == self.all { format!("{all} verified") } else { format!("{} of {all} verified", self.verified) }
    }

    /// Takes in a line of commits of which the one `verified` is the newest that agents follow.
    fn add(
        &mut self,
        commits: &dyn Commits,
        branch: &str,
        line: &[Id],
        verified: Option<Id>,
        refusal: Option<&Refusal>,
    ) -> Result<(), Error> {
        let good = line.iter().position(|id| Some(*id) == verified).map_or(0, |place| place + 1);
        self.all += line.len();
        self.verified += if refusal.is_some() { good } else { line.len() };
        let Some(first) = refusal else { return Ok(()) };
        let mut refused = match verified {
            Some(verified) if first.rule.code() != Code::OtherHistory => refused(commits, verified, &line[good..])?,
            _ => Vec::new(),
        };
        if refused.is_empty() {
            refused.push(first.clone());
        }
        self.found.extend(refused.iter().take(MAX_SHOWN).map(|refusal| finding(commits, branch, refusal)));
        Ok(())
    }

    /// A published branch: the newest commit as an agent sees it that knows nothing yet, then the older ones as far as the mesh's keys reach.
    fn published(
        &mut self,
        commits: &dyn Commits,
        mesh: &str,
        publisher: &Publisher,
        revoked: &Revoked,
        tip: Id,
    ) -> Result<(), Error> {
        let branch = format!("{PUBLISHED}{mesh}");
        let mut next = Some(tip);
        for _ in 0..MAX_BACK {
            let Some(id) = next else { break };
            let parent = parent(commits, id)?;
            let before = parent.filter(|_| id != tip);
            let refusal = published(commits, publisher, revoked, before, id).map_err(Error::other)?.refusal;
            // Older ones may be signed by a key that was replaced since.
            let replaced = |refusal: &Refusal| id != tip && [Rule::UnknownSigner, Rule::RevokedKey].contains(&refusal.rule);
            if refusal.as_ref().is_some_and(replaced) {
                break;
            }
            self.all += 1;
            self.verified += usize::from(refusal.is_none());
            self.found.extend(refusal.iter().map(|refusal| finding(commits, &branch, refusal)));
            if self.found.len() >= MAX_SHOWN {
                break;
            }
            next = parent;
        }
        Ok(())
    }
}

/// Each commit of a line that breaks a rule, but those that a later one accepts.
fn refused(objects: &dyn Objects, verified: Id, line: &[Id]) -> Result<Vec<Refusal>, Error> {
    let (mut all, mut accepted) = (Vec::new(), BTreeSet::new());
    let mut judge = Verifier::new();
    let mut before = verified;
    for id in line {
        let step = judge.step(objects, before, *id).map_err(Error::other)?;
        accepted.extend(step.accepts);
        all.extend(step.refusal);
        before = *id;
    }
    all.retain(|refusal: &Refusal| !accepted.contains(&refusal.commit));
    Ok(all)
}

/// The commits after one along first parents, oldest first; all where it is not among them.
fn line(commits: &dyn Commits, from: Id, tip: Id) -> Result<Vec<Id>, Error> {
    let (mut line, mut next) = (Vec::new(), Some(tip));
    while let Some(id) = next.filter(|id| *id != from) {
        line.push(id);
        next = parent(commits, id)?;
    }
    line.reverse();
    Ok(line)
}

fn parent(commits: &dyn Commits, id: Id) -> Result<Option<Id>, Error> {
    Ok(commits.commit(id.into())?.parents.first().copied().map(Id::from))
}
