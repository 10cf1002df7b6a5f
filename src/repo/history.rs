//! Commits as data, and walks along first parents: the line that `main` takes, whatever was merged into it.

use std::collections::HashSet;

use git2::{ErrorCode, FileMode};
use jiff::Timestamp;

use super::error::{RepoError, one_line};
use super::id::{BlobId, CommitId};
use super::local;
use super::mirror::Mirror;
use super::snapshot::MAX_FILES;

/// Longest walk that [`Mirror::distance`] makes, in commits: more than any federation's history, reached only by mistake.
const MAX_WALK: usize = 1_000_000;

/// Most commits looked through for what is new on a branch. An agent that was away while more were made holds deletions until a person
/// allows them.
const MAX_NEWS: usize = 10_000;

/// What is new on a line of first parents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Newest first, each with the values of the trailer that was asked for. Without those that were on the line of the known commit.
    pub commits: Vec<(CommitId, Vec<String>)>,
    /// The known commit lies on this line.
    pub descends: bool,
}

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

/// A regular file that differs between a commit and its first parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path from the root.
    pub path: String,
    /// Content in the parent; `None` where it is no regular file there.
    pub before: Option<BlobId>,
    /// Content in the commit; likewise.
    pub after: Option<BlobId>,
}

impl Mirror {
    /// Files that a commit changes, compared with its first parent, or with nothing for a root commit. Only folders that differ are
    /// read. At most [`MAX_FILES`]; names that are not printable text are left out, as are links and submodules.
    pub fn changed(&self, id: CommitId) -> Result<Vec<Change>, RepoError> {
        let commit = self.find_commit(id)?;
        let parent = commit.parent_ids().next().map(|parent| self.find_commit(CommitId::from_oid(parent))).transpose()?;
        let before = parent.map(|parent| parent.tree()).transpose().map_err(|error| self.damaged(&error))?;
        let after = commit.tree().map_err(|error| self.damaged(&error))?;
        let diff =
            self.repository().diff_tree_to_tree(before.as_ref(), Some(&after), None).map_err(|error| self.damaged(&error))?;
        let regular = |file: &git2::DiffFile<'_>| {
            matches!(file.mode(), FileMode::Blob | FileMode::BlobExecutable | FileMode::BlobGroupWritable)
                .then(|| BlobId::from_oid(file.id()))
        };
        let mut changes = Vec::new();
        for delta in diff.deltas() {
            let path = delta.new_file().path().or_else(|| delta.old_file().path()).and_then(|path| path.to_str());
            let Some(path) = path.filter(|path| !path.chars().any(char::is_control)) else { continue };
            if changes.len() == MAX_FILES {
                return Err(RepoError::TooManyFiles { id, limit: MAX_FILES });
            }
            changes.push(Change { path: path.to_owned(), before: regular(&delta.old_file()), after: regular(&delta.new_file()) });
        }
        changes.retain(|change| change.before != change.after);
        Ok(changes)
    }

    /// One commit. Fails with [`RepoError::NoCommit`] if the mirror does not have it.
    pub fn commit(&self, id: CommitId) -> Result<Commit, RepoError> {
        Ok(describe(&self.find_commit(id)?))
    }

    /// The commit that a revision names, as Git understands it. Of a repository on this disk also those of branches that are not fetched.
    pub fn resolve(&self, revision: &str) -> Result<CommitId, RepoError> {
        let find = |repo: &git2::Repository| {
            let names = [revision.to_owned(), format!("refs/remotes/origin/{revision}")];
            let commit = |name: &String| repo.revparse_single(name).ok()?.peel_to_commit().ok();
            names.iter().find_map(commit).map(|commit| CommitId::from_oid(commit.id()))
        };
        let unknown = || RepoError::NoRevision { url: self.url(), revision: one_line(revision) };
        let Some(path) = self.transport.local() else { return find(self.repository()).ok_or_else(unknown) };
        let there = local::open(&self.transport, path)?;
        let id = find(&there).ok_or_else(unknown)?;
        self.copy(&there, id)?;
        Ok(id)
    }

    /// Takes a commit, with all that it needs, from the mirror of another branch.
    pub fn take(&self, other: &Self, id: CommitId) -> Result<(), RepoError> {
        self.copy(other.repository(), id)
    }

    fn copy(&self, from: &git2::Repository, id: CommitId) -> Result<(), RepoError> {
        if self.repository().find_commit(id.oid()).is_ok() {
            return Ok(());
        }
        let have: Vec<_> = self.refs.main.iter().chain(self.refs.published.values()).map(|id| id.oid()).collect();
        local::copy(from, self.repository(), &[id.oid()], &have).map_err(|error| RepoError::git("copying a commit", &error))
    }

    /// The newest commit that both have in their history.
    pub fn merge_base(&self, one: CommitId, other: CommitId) -> Result<Option<CommitId>, RepoError> {
        match self.repository().merge_base(one.oid(), other.oid()) {
            Ok(id) => Ok(Some(CommitId::from_oid(id))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(RepoError::git("comparing two histories", &error)),
        }
    }

    /// Whether the mirror has this commit.
    pub fn has(&self, id: CommitId) -> bool {
        self.find_commit(id).is_ok()
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

    /// What is new on the line of `tip` for whoever knows `known`, with the values of a trailer in each commit. Where nothing is known, or
    /// the mirror does not have it, that is `tip` alone: an older commit may have been there long ago.
    pub fn since(&self, tip: CommitId, known: Option<CommitId>, trailer: &str) -> Result<News, RepoError> {
        let Some(known) = known.filter(|known| self.has(*known)) else {
            return Ok(News { commits: vec![(tip, self.trailers(tip, trailer)?)], descends: false });
        };
        let mut line = self.line(tip, |id| id == known)?;
        let descends = line.last() == Some(&known);
        if descends {
            line.pop();
        } else {
            // A branch that was reset: what stood there before is not new.
            let before: HashSet<CommitId> = self.line(known, |_| false)?.into_iter().collect();
            line.truncate(line.iter().position(|id| before.contains(id)).unwrap_or(line.len()));
        }
        let commits = line.into_iter().map(|id| Ok((id, self.trailers(id, trailer)?))).collect::<Result<_, RepoError>>()?;
        Ok(News { commits, descends })
    }

    /// From `tip` along first parents, newest first, up to and including the commit to stop at, and at most [`MAX_NEWS`].
    fn line(&self, tip: CommitId, stop: impl Fn(CommitId) -> bool) -> Result<Vec<CommitId>, RepoError> {
        let mut line = Vec::new();
        let mut next = Some(tip);
        while let Some(id) = next.filter(|_| line.len() < MAX_NEWS) {
            line.push(id);
            next = if stop(id) { None } else { self.find_commit(id)?.parent_id(0).ok().map(CommitId::from_oid) };
        }
        Ok(line)
    }

    /// Values of a trailer of a commit, by Git's rules for trailers (git-interpret-trailers); its name in any case.
    fn trailers(&self, id: CommitId, name: &str) -> Result<Vec<String>, RepoError> {
        let commit = self.find_commit(id)?;
        let Ok(trailers) = git2::message_trailers_bytes(commit.message_raw_bytes()) else { return Ok(Vec::new()) };
        let named = trailers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        Ok(named.map(|(_, value)| one_line(&String::from_utf8_lossy(value))).collect())
    }
}

pub(super) fn describe(commit: &git2::Commit<'_>) -> Commit {
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
