//! The agent's configuration: raw flags, environment and file → resolved and valid.
//!
//! A flag wins over its environment variable, that over the file, that over the default. An empty value counts as none, so
//! that a deployment can leave a variable blank.

mod access;
mod args;
mod file;
mod folders;
mod setting;
mod settle;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::{ClusterOptions, LeaseOptions};
use crate::error::Error;
use crate::repo::{Access, Options};
use crate::trust::Verification;
pub use access::AccessArgs;
pub use args::AgentArgs;
use file::ConfigFile;
pub use folders::cache_home;
use setting::WEBHOOK_SECRET_FILE;

/// Time between two looks at the repository: hosts allow far more, and people wait for a commit about as long.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// Shortest interval: asking a host over the network takes about as long, so polls would run back to back.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// Longest interval: the published heartbeat is daily, and an agent that looks more rarely than hourly seems dead.
pub const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// What the agent works with.
#[derive(Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// The mesh that it looks after.
    pub mesh: String,
    /// URL or path of the shared repository; may hold credentials.
    pub repo: String,
    /// The branch that people write.
    pub branch: String,
    /// What it takes to reach the repository.
    pub access: Access,
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context in it.
    pub context: Option<String>,
    /// The agent's private key; made at the first start.
    pub signing_key: PathBuf,
    /// Where the mirror of the repository is kept.
    pub state_dir: PathBuf,
    /// Time between two looks at the repository.
    pub interval: Duration,
    /// Address for health, metrics and status.
    pub listen: Option<SocketAddr>,
    /// Address for the Git host's webhook, and the file with the secret shared with it.
    pub webhook: Option<(SocketAddr, PathBuf)>,
    /// End when there is nothing to do.
    pub once: bool,
    /// Change nothing in the cluster, and publish what would be changed.
    pub observe: bool,
    /// How replicas choose the one that writes; `None` where there is one.
    pub lease: Option<LeaseOptions>,
    /// Whether signatures decide what is applied, and from where on.
    pub verification: Verification,
}

impl AgentConfig {
    /// What the repository edge needs of it.
    pub fn repo_options(&self) -> Options {
        let options = Options::new(self.repo.clone(), self.state_dir.clone());
        Options { branch: self.branch.clone(), access: self.access.clone(), ..options }
    }

    /// What the cluster's edge needs of it.
    pub fn cluster_options(&self) -> ClusterOptions {
        ClusterOptions { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }
}

/// Without the credentials that the repository's address may hold.
impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mesh, kubeconfig, context, signing_key, interval, once, observe, verification, .. } = self;
        f.debug_struct("AgentConfig")
            .field("mesh", mesh)
            .field("repo", &self.repo_options())
            .field("kubeconfig", kubeconfig)
            .field("context", context)
            .field("signing_key", signing_key)
            .field("interval", interval)
            .field("once", once)
            .field("observe", observe)
            .field("verification", verification)
            .finish()
    }
}

/// Gives an environment variable.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

impl AgentArgs {
    /// Reads the configuration file, if one is named, and settles every value.
    pub fn resolve(self) -> Result<AgentConfig, Error> {
        let file = match self.config.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => file::read(path)?,
            None => ConfigFile::default(),
        };
        let config = settle::settle(self, file, &|name| std::env::var_os(name))?;
        apart(&config)?;
        Ok(config)
    }
}

/// The credential opens the host, the signing key speaks for the mesh: whoever gets hold of one must not have the other.
fn apart(config: &AgentConfig) -> Result<(), Error> {
    let webhook = config.webhook.iter().map(|(_, secret)| (WEBHOOK_SECRET_FILE, secret.as_path()));
    // The same file is so by any path; one that is not there yet only by its own.
    let place = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let key = place(&config.signing_key);
    match access::secrets(&config.access).into_iter().chain(webhook).find(|(_, path)| place(path) == key) {
        Some((setting, _)) => Err(setting.bad(format!("{} is the signing key, which is for nothing else", key.display()))),
        None => Ok(()),
    }
}
