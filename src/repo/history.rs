//! Commits as data, and walks along first parents: the line that `main` takes, whatever was merged into it.

use jiff::Timestamp;

use super::error::{RepoError, one_line};
use super::id::CommitId;
use super::mirror::Mirror;

/// Longest walk that [`Mirror::distance`] makes, in commits: more than any federation's history, reached only by mistake.
const MAX_WALK: usize = 1_000_000;

/// What people want to know of a commit. Texts are printable and one line each, whatever the commit holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The commit.
    pub id: CommitId,
    /// Who wrote the change, as Git has it; says nothing about who signed it.
    pub author_name: String,
    /// The author's address.
    pub author_email: String,
    /// When it was committed, by the clock of whoever did.
    pub committed_at: Timestamp,
    /// First paragraph of the message.
    pub summary: String,
    /// Parents in order; empty for a root commit.
    pub parents: Vec<CommitId>,
}

impl Mirror {
    /// One commit. Fails with [`RepoError::NoCommit`] if the mirror does not have it.
    pub fn commit(&self, id: CommitId) -> Result<Commit, RepoError> {
        Ok(describe(&self.find_commit(id)?))
    }

    /// At most `limit` commits from `tip` along first parents, newest first.
    pub fn log(&self, tip: CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        let mut commits = Vec::new();
        let mut next = Some(tip);
        while let Some(id) = next.filter(|_| commits.len() < limit) {
            let commit = self.commit(id)?;
            next = commit.parents.first().copied();
            commits.push(commit);
        }
        Ok(commits)
    }

    /// How many commits `to` is ahead of `from` along first parents: 0 for the same commit, `None` when `from` is not on
    /// that line (a rewound or forked branch, or an unrelated one).
    pub fn distance(&self, from: CommitId, to: CommitId) -> Result<Option<usize>, RepoError> {
        let mut next = Some(to);
        for steps in 0..MAX_WALK {
            match next {
                None => return Ok(None),
                Some(id) if id == from => return Ok(Some(steps)),
                Some(id) => next = self.find_commit(id)?.parent_id(0).ok().map(CommitId::from_oid),
            }
        }
        Ok(None)
    }
}

fn describe(commit: &git2::Commit<'_>) -> Commit {
    let author = commit.author();
    let text = |bytes: &[u8]| one_line(&String::from_utf8_lossy(bytes));
    Commit {
        id: CommitId::from_oid(commit.id()),
        author_name: text(author.name_bytes()),
        author_email: text(author.email_bytes()),
        committed_at: Timestamp::from_second(commit.time().seconds()).unwrap_or(Timestamp::UNIX_EPOCH),
        summary: text(commit.summary_bytes().unwrap_or_default()),
        parents: commit.parent_ids().map(CommitId::from_oid).collect(),
    }
}
