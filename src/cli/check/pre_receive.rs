//! `meshfed check --pre-receive`: a push, judged on the server before it lands (githooks(5)).

use std::collections::BTreeSet;
use std::io::Read as _;

use crate::cli::clone::fault;
use crate::cli::{committed, offline};
use crate::error::{Error, Exit};
use crate::model::{Diagnostic, Severity, secrets};
use crate::repo::{Checkout, CommitId, PUBLISHED, RepoError};
use crate::trust::{Id, Publisher, Refusal, Rules, Verifier, oldest, published};
use crate::words::one_line;

/// Most bytes that Git says of one push: ten thousand references.
const MAX_INPUT: u64 = 2 << 20;

/// Most commits looked back through for the last `mesh.yaml` of a mesh that has left.
const MAX_BACK: usize = 10_000;

/// Most refusals shown for one branch; more are no help to whoever pushes.
const MAX_SHOWN: usize = 20;

/// One reference of the push; `None` where it is not there before or after.
struct Update {
    old: Option<CommitId>,
    new: Option<CommitId>,
    name: String,
}

struct Push<'a> {
    checkout: Checkout,
    branch: &'a str,
    updates: Vec<Update>,
}

/// Reads what is pushed from standard input, and says on stderr what is refused, one line each.
pub(super) fn run(branch: &str) -> Result<Exit, Error> {
    let mut input = String::new();
    let read = std::io::stdin().lock().take(MAX_INPUT).read_to_string(&mut input);
    read.map_err(|error| Error::unavailable(format!("standard input cannot be read: {error}"), "run it as a pre-receive hook"))?;
    let updates = input.lines().map(update).collect::<Option<Vec<_>>>();
    let updates = updates.filter(|_| (input.len() as u64) < MAX_INPUT).ok_or_else(|| {
        Error::usage("standard input is not what Git gives to a pre-receive hook", "lines are: old new reference (githooks(5))")
    })?;
    let push = Push { checkout: Checkout::of_hook()?, branch, updates };
    let mut any = false;
    for update in &push.updates {
        let refusals = push.judge(update)?;
        for refusal in refusals.iter().take(MAX_SHOWN) {
            tell!("meshfed: {} refused: {}", one_line(&update.name), one_line(refusal));
        }
        if refusals.len() > MAX_SHOWN {
            tell!("meshfed: and {} more", refusals.len() - MAX_SHOWN);
        }
        any |= !refusals.is_empty();
    }
    Ok(Exit::findings(any))
}

/// `old new reference`; zeros stand for nothing.
fn update(line: &str) -> Option<Update> {
    let mut words = line.splitn(3, ' ');
    let mut id = || {
        let word = words.next()?;
        let id: CommitId = word.parse().ok()?;
        Some((id.bytes() != [0; 20]).then_some(id))
    };
    let (old, new) = (id()?, id()?);
    Some(Update { old, new, name: words.next()?.to_owned() })
}

impl Push<'_> {
    fn judge(&self, update: &Update) -> Result<Vec<String>, Error> {
        let mut refusals = match update.name.strip_prefix("refs/heads/") {
            Some(name) if name == self.branch => self.main(update)?,
            Some(name) => match name.strip_prefix(PUBLISHED) {
                Some(mesh) => self.published(update, mesh)?,
                None => Vec::new(),
            },
            None => Vec::new(),
        };
        if let Some(new) = update.new {
            refusals.extend(self.secrets(new, update.old)?);
        }
        Ok(refusals)
    }

    /// The branch that people write: verified by the rules of `trust/`, where there is one, and without new errors in its documents.
    fn main(&self, update: &Update) -> Result<Vec<String>, Error> {
        let Some(new) = update.new else { return Ok(vec!["this branch is not deleted".to_owned()]) };
        let mut refusals = Vec::new();
        refusals.extend(self.history(update.old, new)?.map(|refusal| told(&refusal)));
        if refusals.is_empty() && self.rewinds(update.old, new)? {
            refusals
                .push("it goes back, or to another history; fetch, rebase onto the branch, and push without force".to_owned());
        }
        let before = update.old.map(|old| self.errors(old)).transpose()?.unwrap_or_default();
        refusals.extend(self.errors(new)?.difference(&before).cloned());
        Ok(refusals)
    }

    fn history(&self, old: Option<CommitId>, new: CommitId) -> Result<Option<Refusal>, Error> {
        let mut verifier = Verifier::new();
        let trusted = |commit: CommitId| Ok::<_, Error>(Rules::of(&self.checkout, commit.into()).map_err(fault)?.is_some());
        let from = match old {
            Some(old) if trusted(old)? => Id::from(old),
            // Whoever pushes first introduces the rules. Agents ask for an anchor of their own.
            _ => match oldest(&self.checkout, new.into()).map_err(fault)? {
                None => return Ok(None),
                Some(anchor) => {
                    let digest = Verifier::digest(&self.checkout, anchor).map_err(fault)?;
                    if let Err(refusal) = verifier.introduce(&self.checkout, anchor, digest).map_err(Error::other)? {
                        return Ok(Some(refusal));
                    }
                    anchor
                }
            },
        };
        Ok(verifier.main(&self.checkout, from, new.into()).map_err(Error::other)?.refusal)
    }

    fn rewinds(&self, old: Option<CommitId>, new: CommitId) -> Result<bool, Error> {
        let Some(old) = old else { return Ok(false) };
        Ok(self.checkout.merge_base(old, new)? != Some(old))
    }

    /// Errors in the documents of a commit, each in one line.
    fn errors(&self, commit: CommitId) -> Result<BTreeSet<String>, Error> {
        let loaded = committed::load(&self.checkout, commit)?;
        let violations = offline::violations(&loaded.federation, &loaded.policies);
        let errors = loaded.problems.into_iter().chain(violations).filter(|finding| finding.severity == Severity::Error);
        Ok(errors.map(|finding| without_place(&finding)).collect())
    }

    /// What an agent writes: signed by a key in its `mesh.yaml`. Without `trust/` nobody knows whose key it is.
    fn published(&self, update: &Update, mesh: &str) -> Result<Vec<String>, Error> {
        let pushed = self.updates.iter().find(|update| update.name == format!("refs/heads/{}", self.branch));
        let main = match pushed {
            Some(update) => update.new,
            None => self.checkout.branch(self.branch)?,
        };
        let Some(main) = main else { return Ok(Vec::new()) };
        let Some(rules) = Rules::of(&self.checkout, main.into()).map_err(fault)? else { return Ok(Vec::new()) };
        let Some((publisher, is_member)) = self.publisher(main, mesh)? else {
            return Ok(vec![format!("{} does not know a mesh {mesh}; add meshes/{mesh}/mesh.yaml first", self.branch)]);
        };
        let Some(new) = update.new else {
            let refusal = format!("this branch is not deleted as long as meshes/{mesh}/ is on {}", self.branch);
            return Ok(if is_member { vec![refusal] } else { Vec::new() });
        };
        if publisher.keys.is_empty() {
            return Ok(vec![format!("meshes/{mesh}/mesh.yaml lists no key of its agent; add agent.keys")]);
        }
        let verdict =
            published(&self.checkout, &publisher, &rules.revoked, update.old.map(Id::from), new.into()).map_err(Error::other)?;
        Ok(verdict.refusal.iter().map(told).collect())
    }

    /// Who writes for a mesh, and whether the mesh is still there. The last words of a mesh that has left are its own.
    fn publisher(&self, main: CommitId, mesh: &str) -> Result<Option<(Publisher, bool)>, Error> {
        let mut next = Some(main);
        for _ in 0..MAX_BACK {
            let Some(commit) = next else { break };
            if self.checkout.text(commit, &format!("meshes/{mesh}/mesh.yaml"))?.is_some() {
                let folder = committed::load(&self.checkout, commit)?.federation.meshes.remove(mesh);
                let publisher = folder.and_then(|folder| folder.mesh).as_ref().map(Publisher::of).unwrap_or_default();
                return Ok(Some((publisher, commit == main)));
            }
            next = self.checkout.commit(commit)?.parents.first().copied();
        }
        Ok(None)
    }

    /// Secrets in all that comes with a push, also where a later commit takes them out: history keeps them.
    fn secrets(&self, new: CommitId, old: Option<CommitId>) -> Result<Vec<String>, Error> {
        let known: Vec<CommitId> = old.into_iter().collect();
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for commit in self.checkout.new_commits(&[new], &known)? {
            for (path, blob) in self.checkout.added(commit)? {
                if !seen.insert((path.clone(), blob)) {
                    continue;
                }
                let content = match self.checkout.read(blob) {
                    Err(RepoError::TooLarge { .. }) => continue, // no document, and no secret either
                    content => content?,
                };
                let leaks = secrets::in_file(&path, &content);
                found.extend(leaks.iter().map(|finding| format!("commit {commit} {}", without_help(finding))));
            }
        }
        Ok(found)
    }
}

fn told(refusal: &Refusal) -> String {
    format!("{refusal}; {} ({})", refusal.rule.mend(), refusal.rule.code().number())
}

/// The same finding is the same words, wherever lines have moved it.
fn without_place(finding: &Diagnostic) -> String {
    let Diagnostic { path, code, message, help, .. } = finding;
    let help = if help.is_empty() { String::new() } else { format!(" ({help})") };
    format!("{path}: [{}] {message}{help}", code.number())
}

fn without_help(finding: &Diagnostic) -> String {
    format!(
        "{}:{}: [{}] {}; take it out of every commit that is pushed",
        finding.path,
        finding.span.line,
        finding.code.number(),
        finding.message
    )
}
