//! `meshfed trust accept`.

use crate::cli::clone::{Clone, CloneArgs, Judge};
use crate::cli::output;
use crate::error::{Error, Exit};
use crate::repo::{CommitId, Contribution};
use crate::trust::{ACCEPT, FOLDER, Id, Refusal, Rule, Verifier};
use crate::view::trust::bad_commit;

/// Take a bad commit as it is, so that agents go on: an empty commit of root with the trailer Meshfed-Accept
///
/// It shows what the bad commit changed: whoever accepts it answers for that. A commit that touches trust/ cannot be accepted, because it
/// would let its author decide who may change what. Example: meshfed trust accept 52fc9e1
#[derive(clap::Args, Debug)]
pub struct Accept {
    /// The bad commit
    #[arg(value_name = "SHA")]
    commit: String,
    #[command(flatten)]
    clone: CloneArgs,
}

impl Accept {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let clone = self.clone.open()?;
        let (head, _) = clone.rules()?;
        let bad = clone.checkout.resolve(&self.commit)?;
        let (parent, refusal) = refused(&clone, head, bad)?;
        let changes = clone.checkout.changes(bad)?;
        output::print(&bad_commit(&clone.checkout.commit(bad)?.summary, &refusal, &changes))?;
        let short = bad.short();
        if changes.iter().any(|(_, path)| path.split('/').next() == Some(FOLDER)) {
            let message = format!("{short} touches {FOLDER}/, so it cannot be accepted: it says itself who may change what");
            let hint = format!("reset the branch to before it and do again what was good in it: git reset --hard {parent}");
            return Err(Error::unavailable(message, hint));
        }
        let message = format!("Accept {short} as it is\n\n{ACCEPT}: {bad}");
        let contribution = Contribution { message, ..Contribution::default() };
        clone.commit(&contribution, Judge::Accepts { bad: bad.into(), parent: parent.into() })?;
        Ok(Exit::Fine)
    }
}

/// The parent of a commit on this branch, and why agents refuse the commit.
fn refused(clone: &Clone, head: Id, bad: CommitId) -> Result<(CommitId, Refusal), Error> {
    let short = bad.short();
    let ask = |from: Id, to: Id| Verifier::new().main(&clone.checkout, from, to).map_err(Error::other);
    let elsewhere =
        ask(bad.into(), head)?.refusal.is_some_and(|refusal| [Rule::SourceForked, Rule::SourceRewound].contains(&refusal.rule));
    if elsewhere {
        let hint = "accept the merge that brought it in, or switch to the branch that has it";
        return Err(Error::usage(format!("{short} is not on the line of first parents of this branch"), hint));
    }
    let parent = clone.checkout.commit(bad)?.parents.first().copied();
    let parent =
        parent.ok_or_else(|| Error::usage(format!("{short} is the first commit of all"), "agents start from an anchor"))?;
    match ask(parent.into(), bad.into())?.refusal {
        Some(refusal) => Ok((parent, refusal)),
        None => Err(Error::usage(format!("nothing is wrong with {short}"), "meshfed trust show says which commit is refused")),
    }
}
