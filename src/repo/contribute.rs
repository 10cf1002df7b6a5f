//! A signed commit in a person's clone. Nothing that the person was doing there is lost or taken along.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use git2::build::{CheckoutBuilder, TreeUpdateBuilder};
use git2::{ErrorCode, FileMode, Oid, RepositoryState, Signature, Status};

use super::checkout::{Checkout, Head, failed};
use super::error::{RepoError, one_line};
use super::id::CommitId;
use super::signing::PersonKey;
use super::ssh_keygen::PROGRAM;
use crate::words::some;

/// What a commit is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contribution {
    /// Whole texts by path; everything else stays as it is.
    pub files: BTreeMap<String, String>,
    /// The commit's message: paragraphs, the first of one line.
    pub message: String,
}

/// Most paths that a message names.
const SHOWN: usize = 3;

impl Checkout {
    /// Whether a commit of these files can be made and would take nothing else along: nothing is staged, the files are as committed, and
    /// no merge or rebase is under way.
    pub fn is_ready(&self, head: &Head, contribution: &Contribution) -> Result<(), RepoError> {
        self.root()?;
        let refuse = |reason: String| Err(RepoError::Clone { reason });
        if self.repository().state() != RepositoryState::Clean {
            return refuse("a merge, rebase or the like is under way: finish it first".to_owned());
        }
        let staged = self.staged(head).map_err(|error| failed("reading the index", &error))?;
        if !staged.is_empty() {
            let paths: Vec<&str> = staged.iter().map(String::as_str).collect();
            return refuse(format!("changes are staged ({}): commit or unstage them first", some(&paths, SHOWN)));
        }
        for path in contribution.files.keys() {
            match self.repository().status_file(Path::new(path)) {
                Ok(Status::CURRENT) => {}
                Err(error) if error.code() == ErrorCode::NotFound => {}
                Ok(_) => return refuse(format!("{path} would be written, and has changes that are not committed")),
                Err(error) => return refuse(format!("{path} cannot be written: {}", one_line(error.message()))),
            }
        }
        Ok(())
    }

    /// Whether `git add` would take a file along: it lies in the work tree, and nothing has Git ignore it.
    pub fn would_take(&self, path: &Path) -> bool {
        let whole = |path: &Path| fs::canonicalize(path).ok();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let inside = self.root().ok().and_then(whole).zip(whole(folder)).and_then(|(root, folder)| {
            let inside = folder.strip_prefix(root).ok()?.join(path.file_name()?);
            Some(inside)
        });
        inside.is_some_and(|inside| !self.repository().is_path_ignored(inside).unwrap_or(false))
    }

    fn staged(&self, head: &Head) -> Result<Vec<String>, git2::Error> {
        let tree = head.commit.map(|id| self.repository().find_commit(id.oid())?.tree()).transpose()?;
        let diff = self.repository().diff_tree_to_index(tree.as_ref(), None, None)?;
        let path = |delta: git2::DiffDelta<'_>| delta.new_file().path().map(|path| one_line(&path.display().to_string()));
        Ok(diff.deltas().filter_map(path).collect())
    }

    /// Makes the commit as an object, signed if there is a key. No branch has it yet, so that it can be judged first. `name` is whoever signs,
    /// who is also its author where Git does not say who commits.
    pub fn draft(
        &self,
        head: &Head,
        contribution: &Contribution,
        key: Option<&PersonKey>,
        name: Option<&str>,
    ) -> Result<CommitId, RepoError> {
        let repo = self.repository();
        let nobody = |error: git2::Error| RepoError::Clone {
            reason: format!(
                "it does not say who commits ({}): set user.name and user.email with git config",
                one_line(error.message())
            ),
        };
        let person = |known: Result<Signature<'static>, git2::Error>| {
            known.or_else(|error| name.map_or(Err(error), |name| Signature::now(name, name))).map_err(nobody)
        };
        let (author, committer) = (person(repo.author_from_env())?, person(repo.committer_from_env())?);
        let writing = |error: git2::Error| failed("writing the commit", &error);
        let tree = repo.find_tree(self.tree(head, contribution)?).map_err(writing)?;
        let parent = head.commit.map(|id| self.find(id)).transpose()?;
        let parents: Vec<_> = parent.iter().collect();
        let message = format!("{}\n", contribution.message.trim_end());
        let Some(key) = key else {
            return repo.commit(None, &author, &committer, &message, &tree, &parents).map(CommitId::from_oid).map_err(writing);
        };
        let content = repo.commit_create_buffer(&author, &committer, &message, &tree, &parents).map_err(writing)?;
        let content =
            content.as_str().map_err(|error| RepoError::Invalid { reason: format!("the commit is not UTF-8: {error}") })?;
        let program = self.setting("gpg.ssh.program").unwrap_or_else(|| PROGRAM.to_owned());
        let signature = key.sign(content.as_bytes(), &program)?;
        repo.commit_signed(content, &signature, None).map(CommitId::from_oid).map_err(writing)
    }

    /// Puts a drafted commit on the branch, its files into the work tree and the index.
    pub fn take(&self, head: &Head, contribution: &Contribution, commit: CommitId) -> Result<(), RepoError> {
        self.stage(head, contribution)?;
        let (repo, name) = (self.repository(), format!("refs/heads/{}", head.branch));
        let log = format!("meshfed: {}", contribution.message.lines().next().unwrap_or_default());
        let set = match head.commit {
            Some(old) => repo.reference_matching(&name, commit.oid(), true, old.oid(), &log),
            None => repo.reference(&name, commit.oid(), false, &log),
        };
        set.map(drop).map_err(|error| failed("moving the branch", &error))
    }

    /// Writes the files into the work tree and stages them.
    fn stage(&self, head: &Head, contribution: &Contribution) -> Result<(), RepoError> {
        if contribution.files.is_empty() {
            return Ok(());
        }
        let mut options = CheckoutBuilder::new();
        options.safe().disable_pathspec_match(true);
        for path in contribution.files.keys() {
            options.path(path.as_str());
        }
        let tree = self.tree(head, contribution)?;
        let staged = self
            .repository()
            .find_tree(tree)
            .and_then(|tree| self.repository().checkout_tree(tree.as_object(), Some(&mut options)));
        staged.map_err(|error| failed("writing the files", &error))
    }

    fn tree(&self, head: &Head, contribution: &Contribution) -> Result<Oid, RepoError> {
        let repo = self.repository();
        let build = || -> Result<Oid, git2::Error> {
            let before = match head.commit {
                Some(id) => repo.find_commit(id.oid())?.tree()?,
                None => repo.find_tree(repo.treebuilder(None)?.write()?)?,
            };
            let mut update = TreeUpdateBuilder::new();
            for (path, text) in &contribution.files {
                update.upsert(path.as_str(), repo.blob(text.as_bytes())?, FileMode::Blob);
            }
            update.create_updated(repo, &before)
        };
        build().map_err(|error| failed("writing the files", &error))
    }
}
