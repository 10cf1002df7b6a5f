//! A clone that a person works in, or a server's repository in one of its hooks: read where it is, without a mirror.

use std::collections::BTreeMap;
use std::path::Path;

use git2::{ErrorCode, Repository, RepositoryInitOptions, Sort};

use super::error::{RepoError, one_line};
use super::history::{Commit, describe};
use super::id::{BlobId, CommitId};
use super::options::DEFAULT_BRANCH;
use super::snapshot::{Snapshot, Store};
use super::{fetch, local};

/// A repository on this machine, as it is.
pub struct Checkout {
    repo: Repository,
}

/// The branch that a clone is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its name.
    pub branch: String,
    /// Its commit; `None` before the first.
    pub commit: Option<CommitId>,
    /// The remote that it is pushed to, by Git's configuration.
    pub remote: String,
}

impl Checkout {
    /// The repository that a folder is in.
    pub fn discover(path: &Path) -> Result<Self, RepoError> {
        let missing = |error: git2::Error| RepoError::NoRepository {
            url: path.display().to_string(),
            reason: match error.code() {
                ErrorCode::NotFound => "it is in no clone of a Git repository".to_owned(),
                _ => one_line(error.message()),
            },
        };
        Repository::discover(path).map(|repo| Self { repo }).map_err(missing)
    }

    /// The repository of the Git process that runs this one as a hook. What is being pushed lies beside its objects until the hook agrees
    /// (git-receive-pack(1), "Quarantine Environment"); the environment says where.
    pub fn of_hook() -> Result<Self, RepoError> {
        let failed = |error: git2::Error| RepoError::NoRepository {
            url: "the environment (GIT_DIR)".to_owned(),
            reason: one_line(error.message()),
        };
        Repository::open_from_env().map(|repo| Self { repo }).map_err(failed)
    }

    /// A new repository in a folder, on the branch `main`; one that is there already stays as it is.
    pub fn init(path: &Path) -> Result<Self, RepoError> {
        let mut options = RepositoryInitOptions::new();
        options.initial_head(DEFAULT_BRANCH).mkpath(true).external_template(false);
        Repository::init_opts(path, &options).map(|repo| Self { repo }).map_err(|error| failed("making the repository", &error))
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repo
    }

    /// The folder with the files.
    pub fn root(&self) -> Result<&Path, RepoError> {
        let bare = || RepoError::Clone { reason: "it is bare: files are changed in a clone of it".to_owned() };
        self.repo.workdir().ok_or_else(bare)
    }

    /// The branch that is checked out.
    pub fn head(&self) -> Result<Head, RepoError> {
        let reading = |error: git2::Error| failed("reading HEAD", &error);
        let head = self.repo.find_reference("HEAD").map_err(reading)?;
        let target = head.symbolic_target().map_err(reading)?.and_then(|name| name.strip_prefix("refs/heads/"));
        let detached = || RepoError::Clone { reason: "it is on no branch: git switch to one first".to_owned() };
        let branch = target.ok_or_else(detached)?.to_owned();
        let commit = match self.repo.refname_to_id(&format!("refs/heads/{branch}")) {
            Ok(id) => Some(CommitId::from_oid(id)),
            Err(error) if error.code() == ErrorCode::NotFound => None,
            Err(error) => return Err(reading(error)),
        };
        // An address in its place may hold a password, and is not shown.
        let named = |remote: &String| !remote.contains([':', '@']);
        let remote = self.setting(&format!("branch.{branch}.remote")).filter(named).unwrap_or_else(|| "origin".to_owned());
        Ok(Head { branch, commit, remote })
    }

    /// The commit that a person names: a branch, a tag, an id or the beginning of one.
    pub fn resolve(&self, revision: &str) -> Result<CommitId, RepoError> {
        let found = self.repo.revparse_single(revision).and_then(|object| object.peel_to_commit());
        found.map(|commit| CommitId::from_oid(commit.id())).map_err(|error| RepoError::Clone {
            reason: format!("{:?} names no commit: {}", one_line(revision), one_line(error.message())),
        })
    }

    /// The commit that a branch is at.
    pub fn branch(&self, name: &str) -> Result<Option<CommitId>, RepoError> {
        match self.repo.refname_to_id(&format!("refs/heads/{name}")) {
            Ok(id) => Ok(Some(CommitId::from_oid(id))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(failed("reading a branch", &error)),
        }
    }

    /// What the meshes publish, by mesh; of a clone also as its origin had it last.
    pub fn published(&self) -> Result<BTreeMap<String, CommitId>, RepoError> {
        let heads = local::heads(&self.repo, true).map_err(|error| failed("reading the branches", &error))?;
        Ok(fetch::choose(&heads, DEFAULT_BRANCH).published)
    }

    /// One commit.
    pub fn commit(&self, id: CommitId) -> Result<Commit, RepoError> {
        self.find(id).map(|commit| describe(&commit))
    }

    /// The newest commit that both have in their history.
    pub fn merge_base(&self, one: CommitId, other: CommitId) -> Result<Option<CommitId>, RepoError> {
        match self.repo.merge_base(one.oid(), other.oid()) {
            Ok(id) => Ok(Some(CommitId::from_oid(id))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(failed("comparing two histories", &error)),
        }
    }

    /// All that comes with these commits and was not there before: not in the history of `known`, nor in that of any branch or tag.
    pub fn new_commits(&self, tips: &[CommitId], known: &[CommitId]) -> Result<Vec<CommitId>, RepoError> {
        let walk = || -> Result<Vec<CommitId>, git2::Error> {
            let mut walk = self.repo.revwalk()?;
            walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
            tips.iter().try_for_each(|tip| walk.push(tip.oid()))?;
            known.iter().try_for_each(|id| walk.hide(id.oid()))?;
            for reference in self.repo.references()? {
                // A tag may name something other than a commit, which hides nothing.
                let _ = reference?.peel_to_commit().and_then(|commit| walk.hide(commit.id()));
            }
            walk.map(|id| id.map(CommitId::from_oid)).collect()
        };
        walk().map_err(|error| failed("walking through the history", &error))
    }

    /// Paths that differ between a commit and its first parent, each with what became of it: `A`, `D` or `M`.
    pub fn changes(&self, id: CommitId) -> Result<Vec<(char, String)>, RepoError> {
        let commit = self.find(id)?;
        let compare = || -> Result<Vec<(char, String)>, git2::Error> {
            let before = commit.parents().next().map(|parent| parent.tree()).transpose()?;
            let diff = self.repo.diff_tree_to_tree(before.as_ref(), Some(&commit.tree()?), None)?;
            let change = |delta: git2::DiffDelta<'_>| {
                let letter = match delta.status() {
                    git2::Delta::Added => 'A',
                    git2::Delta::Deleted => 'D',
                    _ => 'M',
                };
                let path = delta.new_file().path_bytes().or_else(|| delta.old_file().path_bytes()).unwrap_or_default();
                (letter, one_line(&String::from_utf8_lossy(path)))
            };
            Ok(diff.deltas().map(change).collect())
        };
        compare().map_err(|error| failed("comparing a commit with its parent", &error))
    }

    /// Files that a commit adds or changes, compared with its first parent.
    pub fn added(&self, id: CommitId) -> Result<Vec<(String, BlobId)>, RepoError> {
        let commit = self.find(id)?;
        let compare = || -> Result<Vec<(String, BlobId)>, git2::Error> {
            let before = commit.parents().next().map(|parent| parent.tree()).transpose()?;
            let diff = self.repo.diff_tree_to_tree(before.as_ref(), Some(&commit.tree()?), None)?;
            let files = diff.deltas().map(|delta| delta.new_file()).filter(|file| file.mode() != git2::FileMode::Commit);
            let files = files.filter(|file| !file.id().is_zero());
            let path = |file: &git2::DiffFile<'_>| one_line(&String::from_utf8_lossy(file.path_bytes().unwrap_or_default()));
            Ok(files.map(|file| (path(&file), BlobId::from_oid(file.id()))).collect())
        };
        compare().map_err(|error| failed("comparing a commit with its parent", &error))
    }

    /// A text file of a commit; `None` where there is none, or something else.
    pub fn text(&self, id: CommitId, path: &str) -> Result<Option<String>, RepoError> {
        let folders: Vec<String> = path.match_indices('/').map(|(at, _)| path[..=at].to_owned()).collect();
        let snapshot = self.snapshot(id, &|entry| entry == path || folders.iter().any(|folder| folder == entry))?;
        let content = snapshot.entries.get(path).map(|blob| self.read(*blob)).transpose()?;
        Ok(content.and_then(|content| String::from_utf8(content).ok()))
    }

    /// The files of a commit for which `keep` says yes, as [`Mirror::snapshot`](super::Mirror::snapshot) takes them.
    pub fn snapshot(&self, id: CommitId, keep: &dyn Fn(&str) -> bool) -> Result<Snapshot, RepoError> {
        self.find(id)?;
        self.store().snapshot(id, keep)
    }

    /// A file's content, with the limit of [`Mirror::read`](super::Mirror::read).
    pub fn read(&self, id: BlobId) -> Result<Vec<u8>, RepoError> {
        self.store().read(id)
    }

    /// A value of Git's configuration that is not empty.
    pub fn setting(&self, name: &str) -> Option<String> {
        let config = self.repo.config().and_then(|mut config| config.snapshot()).ok()?;
        config.get_string(name).ok().filter(|value| !value.trim().is_empty())
    }

    pub(super) fn find(&self, id: CommitId) -> Result<git2::Commit<'_>, RepoError> {
        self.repo.find_commit(id.oid()).map_err(|error| match error.code() {
            ErrorCode::NotFound => RepoError::NoCommit { id },
            _ => failed("reading a commit", &error),
        })
    }

    fn store(&self) -> Store<'_> {
        Store { repo: &self.repo, failed: &|error| failed("reading the repository", error) }
    }
}

pub(super) fn failed(doing: &'static str, error: &git2::Error) -> RepoError {
    RepoError::git(doing, error)
}
