//! The mirror: a bare repository of the agent's own, holding what was fetched. Everything in it can be fetched again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use git2::{ConfigLevel, ErrorCode, Repository, RepositoryInitOptions};
use jiff::SignedDuration;

use super::error::{RepoError, one_line};
use super::id::CommitId;
use super::options::{Options, Reached};
use super::transport::Transport;
use super::{PUBLISHED, fetch, local};

/// Where the mirror's configuration says what it mirrors.
const ORIGIN: &str = "meshfed.origin";

/// The mirror's own refs to what must stay in it, whatever the other side shows.
const KEPT: &str = "refs/meshfed/verified/";

/// Packs from which on the mirror is packed into one. Each fetch that brings something leaves a pack, libgit2 never joins
/// them and keeps each one it read from open: this stays far below the usual limit of 1,024 open files.
const MAX_PACKS: usize = 100;

/// Branches of the shared repository as of the last fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    /// The branch that people write; `None` if it is not there ([`Mirror::main`] says why).
    pub main: Option<CommitId>,
    /// `published/<mesh>` by mesh. Branches there whose name cannot be a mesh's are left out.
    pub published: BTreeMap<String, CommitId>,
    /// Names of other branches, the first few; they are not fetched.
    pub others: Vec<String>,
}

impl Refs {
    /// Fetched branches by name.
    pub(super) fn named(&self, branch: &str) -> Vec<(String, CommitId)> {
        let main = self.main.iter().map(|id| (branch.to_owned(), *id));
        main.chain(self.published.iter().map(|(mesh, id)| (format!("{PUBLISHED}{mesh}"), *id))).collect()
    }
}

/// The shared repository as this agent holds it. Calls block; it can move between threads and be used by one at a time.
pub struct Mirror {
    pub(super) transport: Transport,
    pub(super) refs: Refs,
    branch: String,
    path: PathBuf,
    repo: Repository,
    fetched: bool,
    damaged: Cell<bool>,
}

impl Mirror {
    /// Opens the mirror in the state directory, or makes it: also when the one there is damaged or is one of another
    /// repository. Asks nothing of the network; what an earlier run fetched is there at once.
    pub fn open(options: &Options) -> Result<Self, RepoError> {
        let Options { branch, state_dir, .. } = options;
        let transport = Transport::new(options);
        if branch.starts_with(PUBLISHED) || !git2::Reference::is_valid_name(&format!("refs/heads/{branch}")) {
            return Err(RepoError::BadBranch { branch: branch.clone() });
        }
        let path = state_dir.join("mirror.git");
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(|source| state(state_dir, source))?;
        for leftover in [path.with_extension("new"), path.with_extension("old")] {
            remove(&leftover)?;
        }
        let (repo, refs) = match reopen(&path, transport.url(), branch) {
            Ok(opened) => opened,
            Err(_) => (create(&path, transport.url())?, Refs::default()),
        };
        let fetched = refs.main.is_some();
        Ok(Self { transport, refs, branch: branch.clone(), path, repo, fetched, damaged: Cell::new(false) })
    }

    /// Asks the repository for its branches and gets what moved; branches that vanished go from the mirror. A mirror found
    /// damaged is fetched anew beside the old one, which serves until the new one is complete. A missing `main` is not an
    /// error here, so that an agent can say so in its own branch.
    pub fn fetch(&mut self) -> Result<Refs, RepoError> {
        let mut synced = if self.damaged.get() { self.remake() } else { self.sync() };
        if self.damaged.get() {
            synced = self.remake();
        }
        self.refs = synced?;
        self.fetched = true;
        Ok(self.refs.clone())
    }

    /// Branches as of the last fetch, or of the last run before the first.
    pub fn refs(&self) -> &Refs {
        &self.refs
    }

    /// The tip of the branch that people write, or why there is none: nothing fetched yet, an empty repository, or a
    /// branch of another name.
    pub fn main(&self) -> Result<CommitId, RepoError> {
        let (url, branch) = (self.transport.shown(), self.branch.clone());
        match self.refs.main {
            Some(id) => Ok(id),
            None if !self.fetched => Err(RepoError::NotFetched { url }),
            None if self.refs.others.is_empty() => Err(RepoError::Empty { url, branch }),
            None => Err(RepoError::NoBranch { url, branch, has: self.refs.others.clone() }),
        }
    }

    /// The repository's address without credentials.
    pub fn url(&self) -> String {
        self.transport.shown()
    }

    /// What leads to the repository.
    pub fn reached(&self) -> Reached {
        self.transport.reached()
    }

    /// Where the host says that the repository is now, for good; it is followed there meanwhile.
    pub fn moved(&self) -> Option<String> {
        self.transport.moved()
    }

    /// How far our clock is ahead of the host's, by its last answer; `None` where it does not tell its time, as over ssh.
    pub fn ahead(&self) -> Option<SignedDuration> {
        self.transport.ahead()
    }

    /// Whether something that must be there could not be read, so that the next fetch makes the mirror anew.
    pub fn is_damaged(&self) -> bool {
        self.damaged.get()
    }

    /// Keeps a commit of a branch, with all that it needs, also when the other side no longer shows it; in place of the one kept before.
    pub fn keep(&self, branch: &str, id: CommitId) -> Result<(), RepoError> {
        let name = format!("{KEPT}{branch}");
        if self.repo.find_reference(&name).is_ok_and(|kept| kept.target() == Some(id.oid())) {
            return Ok(());
        }
        self.repo.reference(&name, id.oid(), true, "meshfed: verified").map(drop).map_err(|error| self.damaged(&error))
    }

    /// The commit of a branch that is kept, if it is there.
    pub(super) fn kept(&self, branch: &str) -> Option<CommitId> {
        let kept = self.repo.find_reference(&format!("{KEPT}{branch}")).ok()?.target()?;
        self.repo.find_commit(kept).ok().map(|commit| CommitId::from_oid(commit.id()))
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repo
    }

    pub(super) fn find_commit(&self, id: CommitId) -> Result<git2::Commit<'_>, RepoError> {
        self.repo.find_commit(id.oid()).map_err(|error| match error.code() {
            ErrorCode::NotFound => RepoError::NoCommit { id },
            _ => self.damaged(&error),
        })
    }

    /// An object that must be there cannot be read: the next fetch makes the mirror anew.
    pub(super) fn damaged(&self, error: &git2::Error) -> RepoError {
        self.damaged.set(true);
        RepoError::Corrupt { path: self.path.clone(), reason: one_line(error.message()) }
    }

    fn sync(&mut self) -> Result<Refs, RepoError> {
        let refs = fetch::sync(&self.repo, &self.transport, &self.branch, &self.refs).inspect_err(|error| {
            // Failed on this side: a record that cannot be written (as a killed agent's lock file does), or an earlier one
            // that cannot be read.
            let ours = matches!(error, RepoError::Git { .. }) || fetch::recorded(&self.repo, &self.branch).is_err();
            self.damaged.set(ours);
        })?;
        // A tip that is known and cannot be read: its pack went or broke since.
        for (_, id) in refs.named(&self.branch) {
            self.repo.find_commit(id.oid()).map_err(|error| self.damaged(&error))?;
        }
        if refs != self.refs && self.packs() > MAX_PACKS {
            self.pack(&refs)?;
        }
        Ok(refs)
    }

    fn packs(&self) -> usize {
        let files = fs::read_dir(self.path.join("objects/pack")).into_iter().flatten().flatten();
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "pack")).count()
    }

    /// A new mirror with everything from the network.
    fn remake(&mut self) -> Result<Refs, RepoError> {
        let fresh = create(&self.path.with_extension("new"), self.transport.url())?;
        let refs = fetch::sync(&fresh, &self.transport, &self.branch, &Refs::default())?;
        // As far as it can still be read; what the other side shows is there already.
        let _ = take_along(&self.repo, &fresh);
        self.replace(fresh)?;
        Ok(refs)
    }

    /// A new mirror with everything that `refs` need from this one, in one pack.
    fn pack(&mut self, refs: &Refs) -> Result<(), RepoError> {
        let fresh = create(&self.path.with_extension("new"), self.transport.url())?;
        let tips: Vec<_> = refs.named(&self.branch).into_iter().map(|(_, id)| id.oid()).collect();
        local::copy(&self.repo, &fresh, &tips, &[]).map_err(|error| self.damaged(&error))?;
        take_along(&self.repo, &fresh).map_err(|error| self.damaged(&error))?;
        for (name, id) in refs.named(&self.branch) {
            fetch::record_one(&fresh, &name, id).map_err(|error| RepoError::git("packing the mirror", &error))?;
        }
        self.replace(fresh)
    }

    /// Puts a complete new mirror in the place of this one. Ended half-way, [`Mirror::open`] starts from an empty one.
    fn replace(&mut self, fresh: Repository) -> Result<(), RepoError> {
        let (new, old) = (self.path.with_extension("new"), self.path.with_extension("old"));
        drop(fresh);
        remove(&old)?;
        match fs::rename(&self.path, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(state(&self.path, error)),
            _ => fs::rename(&new, &self.path).map_err(|source| state(&self.path, source))?,
        }
        self.repo = Repository::open_bare(&self.path).map_err(|error| RepoError::git("opening the mirror", &error))?;
        self.damaged.set(false);
        remove(&old)
    }
}

/// Copies what is [kept](Mirror::keep).
fn take_along(from: &Repository, to: &Repository) -> Result<(), git2::Error> {
    for reference in from.references_glob(&format!("{KEPT}*"))? {
        let reference = reference?;
        let (name, Some(id)) = (reference.name()?, reference.target()) else { continue };
        if to.find_commit(id).is_err() {
            local::copy(from, to, &[id], &[])?;
        }
        to.reference(name, id, true, "meshfed: verified")?;
    }
    Ok(())
}

/// The mirror of an earlier run, if it is whole and mirrors this address.
fn reopen(path: &Path, url: &str, branch: &str) -> Result<(Repository, Refs), git2::Error> {
    let repo = Repository::open_bare(path)?;
    if repo.config()?.open_level(ConfigLevel::Local)?.get_string(ORIGIN)? != url {
        return Err(git2::Error::from_str("the mirror is one of another repository"));
    }
    let refs = fetch::recorded(&repo, branch)?;
    Ok((repo, refs))
}

fn create(path: &Path, url: &str) -> Result<Repository, RepoError> {
    remove(path)?;
    let made = Repository::init_opts(path, RepositoryInitOptions::new().bare(true).external_template(false)).and_then(|repo| {
        repo.config()?.open_level(ConfigLevel::Local)?.set_str(ORIGIN, url)?;
        Ok(repo)
    });
    made.map_err(|error| state(path, io::Error::other(one_line(error.message()))))
}

fn remove(path: &Path) -> Result<(), RepoError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(state(path, error)),
        _ => Ok(()),
    }
}

fn state(path: &Path, source: io::Error) -> RepoError {
    RepoError::State { path: path.to_owned(), source }
}
