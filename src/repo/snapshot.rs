//! One commit's files, read from the object store.

use std::collections::BTreeMap;

use git2::{ObjectType, Repository, TreeEntry};

use super::checkout::Checkout;
use super::error::{RepoError, one_line};
use super::history::{Commit, describe};
use super::id::{BlobId, CommitId};
use super::mirror::Mirror;
use crate::model::yaml::MAX_FILE_BYTES;
use crate::trust::Objects;

/// Most files that one snapshot takes: six per mesh (mesh, a few peers, traffic, manifests) for several thousand meshes.
pub const MAX_FILES: usize = 50_000;

/// Deepest folder looked into. Declarations are four deep; manifests may nest, a tree built to exhaust the stack may not.
pub const MAX_DEPTH: usize = 16;

/// The files of one commit that were asked for. Contents are read one by one with [`Mirror::read`].
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The commit.
    pub commit: Commit,
    /// Regular files by path from the root, `/` between names.
    pub entries: BTreeMap<String, BlobId>,
    /// Paths asked for that are not taken, each with the reason.
    pub refused: Vec<(String, String)>,
}

/// A repository whose commits can be read, whatever it is: a mirror, or a clone where it is.
pub trait Commits: Objects {
    /// As [`Mirror::snapshot`].
    fn snapshot(&self, id: CommitId, keep: &dyn Fn(&str) -> bool) -> Result<Snapshot, RepoError>;
    /// As [`Mirror::read`].
    fn blob(&self, id: BlobId) -> Result<Vec<u8>, RepoError>;
    /// One commit.
    fn commit(&self, id: CommitId) -> Result<Commit, RepoError>;
}

impl Commits for Mirror {
    fn snapshot(&self, id: CommitId, keep: &dyn Fn(&str) -> bool) -> Result<Snapshot, RepoError> {
        Self::snapshot(self, id, keep)
    }

    fn blob(&self, id: BlobId) -> Result<Vec<u8>, RepoError> {
        Self::read(self, id)
    }

    fn commit(&self, id: CommitId) -> Result<Commit, RepoError> {
        Self::commit(self, id)
    }
}

impl Commits for Checkout {
    fn snapshot(&self, id: CommitId, keep: &dyn Fn(&str) -> bool) -> Result<Snapshot, RepoError> {
        Self::snapshot(self, id, keep)
    }

    fn blob(&self, id: BlobId) -> Result<Vec<u8>, RepoError> {
        Self::read(self, id)
    }

    fn commit(&self, id: CommitId) -> Result<Commit, RepoError> {
        Self::commit(self, id)
    }
}

impl Mirror {
    /// The files of a commit for which `keep` says yes. It is asked for each folder with a `/` at the end
    /// (`meshes/rosa-prod-mesh/`; a no spares reading it) and for each file. Symbolic links, submodules and names that
    /// are not printable text are refused rather than followed or guessed at.
    pub fn snapshot(&self, id: CommitId, keep: &dyn Fn(&str) -> bool) -> Result<Snapshot, RepoError> {
        self.find_commit(id)?; // says what is wrong with a commit that cannot be read
        Store { repo: self.repository(), failed: &|error| self.damaged(error) }.snapshot(id, keep)
    }

    /// A file's content, at most [`MAX_FILE_BYTES`] bytes; a larger one is refused by its header, before it is read.
    pub fn read(&self, id: BlobId) -> Result<Vec<u8>, RepoError> {
        Store { repo: self.repository(), failed: &|error| self.damaged(error) }.read(id)
    }
}

/// A repository to read from, and what its errors mean there.
#[derive(Clone, Copy)]
pub(super) struct Store<'a> {
    pub repo: &'a Repository,
    pub failed: &'a dyn Fn(&git2::Error) -> RepoError,
}

impl Store<'_> {
    pub fn snapshot(self, id: CommitId, keep: &dyn Fn(&str) -> bool) -> Result<Snapshot, RepoError> {
        let commit = self.repo.find_commit(id.oid()).map_err(|error| (self.failed)(&error))?;
        let tree = commit.tree().map_err(|error| (self.failed)(&error))?;
        let mut walk = Walk { store: self, keep, id, entries: BTreeMap::new(), refused: Vec::new() };
        walk.folder(&tree, "", 0)?;
        let Walk { entries, refused, .. } = walk;
        Ok(Snapshot { commit: describe(&commit), entries, refused })
    }

    pub fn read(self, id: BlobId) -> Result<Vec<u8>, RepoError> {
        let odb = self.repo.odb().map_err(|error| (self.failed)(&error))?;
        let (size, kind) = odb.read_header(id.oid()).map_err(|error| (self.failed)(&error))?;
        if kind != ObjectType::Blob {
            return Err(RepoError::Git { doing: "reading a file", reason: format!("{id} is not a file") });
        }
        if size > MAX_FILE_BYTES {
            return Err(RepoError::TooLarge { id, size, limit: MAX_FILE_BYTES });
        }
        Ok(odb.read(id.oid()).map_err(|error| (self.failed)(&error))?.data().to_vec())
    }
}

struct Walk<'a> {
    store: Store<'a>,
    keep: &'a dyn Fn(&str) -> bool,
    id: CommitId,
    entries: BTreeMap<String, BlobId>,
    refused: Vec<(String, String)>,
}

impl Walk<'_> {
    fn folder(&mut self, tree: &git2::Tree<'_>, prefix: &str, depth: usize) -> Result<(), RepoError> {
        for entry in tree {
            let name = match entry.name() {
                Ok(name) if !name.chars().any(char::is_control) => name,
                _ => {
                    let path = format!("{prefix}{}", String::from_utf8_lossy(entry.name_bytes()));
                    if (self.keep)(&path) || (self.keep)(&format!("{path}/")) {
                        self.refuse(one_line(&path), "its name is not printable UTF-8: rename it")?;
                    }
                    continue;
                }
            };
            let path = format!("{prefix}{name}");
            match Mode::of(&entry) {
                Mode::File if (self.keep)(&path) => {
                    self.entries.insert(path, BlobId::from_oid(entry.id()));
                    self.count()?;
                }
                Mode::File => {}
                Mode::Folder => {
                    let path = path + "/";
                    if !(self.keep)(&path) {
                        continue;
                    }
                    if depth == MAX_DEPTH {
                        self.refuse(path, "it is nested too deep: move it up")?;
                        continue;
                    }
                    let tree = self.store.repo.find_tree(entry.id()).map_err(|error| (self.store.failed)(&error))?;
                    self.folder(&tree, &path, depth + 1)?;
                }
                Mode::Other(reason) => {
                    if (self.keep)(&path) || (self.keep)(&format!("{path}/")) {
                        self.refuse(path, reason)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, path: String, reason: &str) -> Result<(), RepoError> {
        self.refused.push((path, reason.to_owned()));
        self.count()
    }

    fn count(&self) -> Result<(), RepoError> {
        if self.entries.len() + self.refused.len() > MAX_FILES {
            return Err(RepoError::TooManyFiles { id: self.id, limit: MAX_FILES });
        }
        Ok(())
    }
}

/// What a tree entry is, by its mode (Git's `Documentation/gitformat-index.txt`; older Git also wrote 100664).
enum Mode {
    File,
    Folder,
    Other(&'static str),
}

impl Mode {
    fn of(entry: &TreeEntry<'_>) -> Self {
        match entry.filemode() & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Folder,
            0o120_000 => Self::Other("it is a symbolic link: commit the file itself"),
            0o160_000 => Self::Other("it is a submodule: commit the files themselves"),
            _ => Self::Other("it is not a regular file"),
        }
    }
}
