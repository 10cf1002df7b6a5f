//! The shared repository as commands see it: through a mirror in the user's cache, so that a second look is quick. And the cluster.

use std::fs::{self, File};
use std::future::Future;
use std::path::{Path, PathBuf};

use clap::Args;
use sha2::{Digest, Sha256};

use super::tree;
use crate::cluster::ClusterOptions;
use crate::config::{self, AccessArgs};
use crate::error::Error;
use crate::object::hex16;
use crate::repo::{CommitId, DEFAULT_BRANCH, Mirror, Options, RepoError};
use crate::trust::{self, Introduction};

/// Commands that may look at one repository at the same moment; further ones wait.
const MIRRORS: usize = 4;

/// Where the shared repository is.
#[derive(Args, Debug)]
pub(super) struct RepoArgs {
    /// URL or path of the shared Git repository [default: the clone that we are in]
    #[arg(long, env = "MESHFED_REPO", hide_env_values = true, value_name = "URL", default_value = "", hide_default_value = true)]
    pub(super) repo: String,
    /// Branch that people write
    #[arg(long, env = "MESHFED_BRANCH", default_value = DEFAULT_BRANCH)]
    pub(super) branch: String,
    #[command(flatten)]
    access: AccessArgs,
}

/// Which cluster.
#[derive(Args, Clone, Debug)]
pub(super) struct ClusterArgs {
    /// Kubeconfig of the mesh's cluster
    #[arg(long, env = "MESHFED_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig
    #[arg(long, env = "MESHFED_CONTEXT", value_name = "NAME")]
    context: Option<String>,
}

impl ClusterArgs {
    pub(super) fn options(&self) -> ClusterOptions {
        ClusterOptions { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }
}

/// Runs what asks the network: a command does one thing at a time, and needs one thread for it.
pub(super) fn block_on<T>(asking: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::other)?;
    Ok(runtime.block_on(asking))
}

/// Where trust begins.
#[derive(Args, Debug)]
pub(super) struct TrustArgs {
    /// Commit of main from which on signatures are verified
    #[arg(long, env = "MESHFED_TRUST_ANCHOR", value_name = "COMMIT", requires = "trust_digest")]
    trust_anchor: Option<CommitId>,
    /// Digest of trust/ in that commit, as `sha256:…`
    #[arg(long, env = "MESHFED_TRUST_DIGEST", value_name = "DIGEST", requires = "trust_anchor")]
    trust_digest: Option<trust::Digest>,
}

impl TrustArgs {
    /// How we are introduced to the repository, if we are.
    pub(super) fn introduction(&self) -> Option<Introduction> {
        let (anchor, digest) = self.trust_anchor.zip(self.trust_digest)?;
        Some(Introduction { anchor: anchor.into(), digest })
    }
}

/// A mirror that is ours alone for the moment.
pub(super) struct Remote {
    pub(super) mirror: Mirror,
    _lock: File,
}

impl RepoArgs {
    /// The repository that is named, or else the one around us: a clone of the shared repository, or a bare one; and where `files` will do,
    /// a folder that is not committed yet.
    pub(super) fn here(&self, files: bool) -> Result<String, Error> {
        let clone = tree::root(Path::new("."));
        if self.given() {
            Ok(self.repo.clone())
        } else if clone.join("federation.yaml").is_file() && (clone.join(".git").exists() || files) {
            Ok(clone.display().to_string())
        } else if Path::new("HEAD").is_file() && Path::new("objects").is_dir() {
            Ok(".".to_owned())
        } else {
            Err(Error::usage("the repository is not given", "set --repo or MESHFED_REPO, or change to a clone of it"))
        }
    }

    /// Whether a repository is named.
    pub(super) fn given(&self) -> bool {
        !self.repo.is_empty()
    }

    /// The same with another branch.
    fn on(&self, branch: &str) -> Self {
        let Self { repo, branch: _, access } = self;
        Self { repo: repo.clone(), branch: branch.to_owned(), access: access.clone() }
    }

    /// Fetches what the repository has now.
    pub(super) fn fetch(&self) -> Result<Remote, Error> {
        Ok(self.try_fetch()??)
    }

    /// The same; the inner error is one of the repository, not of what was asked for.
    pub(super) fn try_fetch(&self) -> Result<Result<Remote, RepoError>, Error> {
        let repo = self.here(false)?;
        let (state_dir, lock) = place(&repo)?;
        let options = Options {
            branch: self.branch.clone(),
            access: self.access.clone().resolve()?,
            clone: true,
            ..Options::new(repo, state_dir)
        };
        let fetched = Mirror::open(&options).and_then(|mut mirror| mirror.fetch().map(|_| mirror));
        Ok(fetched.map(|mirror| {
            if let Some(place) = mirror.moved() {
                tell!("the repository has moved to {place}: use that address");
            }
            Remote { mirror, _lock: lock }
        }))
    }

    /// The commit that a revision names: one that is fetched already, or the tip of a branch that is fetched for it.
    pub(super) fn find(&self, remote: &Remote, revision: &str) -> Result<CommitId, Error> {
        let unknown = match remote.mirror.resolve(revision) {
            Ok(commit) => return Ok(commit),
            Err(unknown) => unknown,
        };
        let Ok(other) = self.on(revision).fetch() else { return Err(unknown.into()) };
        let tip = other.mirror.main()?;
        remote.mirror.take(&other.mirror, tip)?;
        Ok(tip)
    }
}

/// A folder for the mirror that no other process uses.
fn place(repo: &str) -> Result<(PathBuf, File), Error> {
    // In the agent's pod nothing else can be written.
    let state = std::env::var_os("MESHFED_STATE_DIR").filter(|dir| !dir.is_empty()).map(|dir| Path::new(&dir).join("cache"));
    let cache = state
        .or_else(|| config::cache_home(&|name| std::env::var_os(name)))
        .ok_or_else(|| Error::unavailable("there is no folder for the mirror of the repository", "set HOME or XDG_CACHE_HOME"))?;
    // A path counts from here, so that two places never share a mirror.
    let here = Path::new(repo).exists().then(|| fs::canonicalize(repo).ok()).flatten();
    let name = hex16(&Sha256::digest(here.map_or(repo.to_owned(), |path| path.display().to_string())));
    let fail = |error: std::io::Error| Error::unavailable(format!("{} cannot be used: {error}", cache.display()), "");
    let mut first = None;
    for slot in 0..MIRRORS {
        let dir = cache.join(format!("{name}-{slot}"));
        fs::create_dir_all(&dir).map_err(fail)?;
        let lock = File::create(dir.join("lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => return Ok((dir, lock)),
            Err(_) if first.is_none() => first = Some((dir, lock)),
            Err(_) => {}
        }
    }
    let (dir, lock) = first.ok_or_else(|| Error::unavailable("no mirror is free", ""))?;
    lock.lock().map_err(fail)?;
    Ok((dir, lock))
}
