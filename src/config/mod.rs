//! The agent's configuration: raw flags, environment and file → resolved and valid.
//!
//! A flag wins over its environment variable, that over the file, that over the default. An empty value counts as none, so
//! that a deployment can leave a variable blank.

mod access;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::cluster::{ClusterOptions, LeaseOptions, LeaseTerms};
use crate::error::Error;
use crate::model::names;
use crate::repo::{Access, DEFAULT_BRANCH, Options};
use crate::trust::{Introduction, Verification};
pub use access::AccessArgs;

/// Time between two looks at the repository: hosts allow far more, and people wait for a commit about as long.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// Shortest interval: asking a host over the network takes about as long, so polls would run back to back.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// Longest interval: the published heartbeat is daily, and an agent that looks more rarely than hourly seems dead.
pub const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Largest configuration file in bytes; it has a dozen short lines.
const MAX_CONFIG_BYTES: u64 = 64 << 10;

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

/// Flags and environment as given.
#[derive(Args, Clone, Debug, Default)]
pub struct AgentArgs {
    /// Name of the mesh that this agent looks after: its folder under meshes/ in the repository
    #[arg(long, env = "MESHFED_MESH")]
    mesh: Option<String>,
    /// URL or path of the shared Git repository
    #[arg(long, env = "MESHFED_REPO", hide_env_values = true, value_name = "URL")]
    repo: Option<String>,
    /// Branch that people write [default: main]
    #[arg(long, env = "MESHFED_BRANCH")]
    branch: Option<String>,
    /// Kubeconfig of the mesh's cluster [default: the pod's service account, else kubectl's rules]
    #[arg(long, env = "MESHFED_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig [default: its current one]
    #[arg(long, env = "MESHFED_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// Private ed25519 key in OpenSSH format that signs what the agent publishes; made if absent [default:
    /// <state-dir>/signing-key]
    #[arg(long, env = "MESHFED_SIGNING_KEY", value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Directory for the mirror of the repository [default: $XDG_STATE_HOME/meshfed/<mesh>]
    #[arg(long, env = "MESHFED_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Time between two looks at the repository, as 30s or 2m [default: 30s]
    #[arg(long, env = "MESHFED_INTERVAL", value_name = "DURATION")]
    interval: Option<String>,
    /// Address for health, metrics and status, as 0.0.0.0:8080 [default: none]
    #[arg(long, env = "MESHFED_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address for push webhooks of the Git host, as 0.0.0.0:9090; needs --webhook-secret-file [default: none]
    #[arg(long, env = "MESHFED_WEBHOOK_LISTEN", value_name = "ADDRESS")]
    webhook_listen: Option<String>,
    /// File with the secret that the Git host shows with each webhook, read again for each
    #[arg(long, env = "MESHFED_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Work until there is nothing left to do, then exit: 0, or 1 with the reasons if something failed
    #[arg(long, env = "MESHFED_ONCE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    once: Option<bool>,
    /// Change nothing in the cluster: publish facts, status and what would be changed, for a look before the agent takes over
    #[arg(long, env = "MESHFED_OBSERVE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    observe: Option<bool>,
    /// Lease by which replicas choose the one that writes, as [NAMESPACE/]NAME; each replica of a mesh names the same one. Without it
    /// this agent takes itself for the only one [default: none; the namespace is the pod's]
    #[arg(long, env = "MESHFED_LEASE", value_name = "NAME")]
    lease: Option<String>,
    /// How long the others leave the Lease to a leader that renews it no more; after it, another one takes over [default: 15s]
    #[arg(long, env = "MESHFED_LEASE_DURATION", value_name = "DURATION")]
    lease_duration: Option<String>,
    /// How long a leader that cannot renew the Lease goes on; at least a second less than its duration [default: 10s]
    #[arg(long, env = "MESHFED_LEASE_RENEW_DEADLINE", value_name = "DURATION")]
    lease_renew_deadline: Option<String>,
    /// Time between two renewals of the Lease, and between two tries [default: 2s]
    #[arg(long, env = "MESHFED_LEASE_RETRY", value_name = "DURATION")]
    lease_retry: Option<String>,
    /// Name of this replica in the Lease [default: $HOSTNAME, which is the pod's name]
    #[arg(long, env = "MESHFED_IDENTITY", value_name = "NAME")]
    identity: Option<String>,
    /// Whether signatures decide what is applied: enforce takes nothing that is not verified, warn takes everything and tells, off
    /// does not look [default: enforce]
    #[arg(long, env = "MESHFED_VERIFICATION", value_name = "MODE")]
    verification: Option<String>,
    /// Commit of the branch that people write, from which on its history is verified: 40 digits; needs --trust-digest
    #[arg(long, env = "MESHFED_TRUST_ANCHOR", value_name = "COMMIT")]
    trust_anchor: Option<String>,
    /// Digest of trust/ in that commit, as `meshfed trust show --at COMMIT` prints it
    #[arg(long, env = "MESHFED_TRUST_DIGEST", value_name = "sha256:…")]
    trust_digest: Option<String>,
    /// YAML file with any of these settings (mesh, repo, branch, httpUser, httpPasswordFile, httpCaFile, httpCertFile,
    /// httpKeyFile, httpProxy, sshKey, sshKeyPassphraseFile, sshKnownHosts, kubeconfig, context, signingKey, stateDir,
    /// interval, listen, webhookListen, webhookSecretFile, once, observe, lease, leaseDuration, leaseRenewDeadline, leaseRetry,
    /// identity, verification, trustAnchor, trustDigest); relative paths in it start at its folder
    #[arg(long, env = "MESHFED_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
}

/// The same settings as the file has them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ConfigFile {
    mesh: Option<String>,
    repo: Option<String>,
    branch: Option<String>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    signing_key: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    #[serde(with = "humantime_serde")]
    interval: Option<Duration>,
    listen: Option<String>,
    webhook_listen: Option<String>,
    webhook_secret_file: Option<PathBuf>,
    once: Option<bool>,
    observe: Option<bool>,
    lease: Option<String>,
    #[serde(with = "humantime_serde")]
    lease_duration: Option<Duration>,
    #[serde(with = "humantime_serde")]
    lease_renew_deadline: Option<Duration>,
    #[serde(with = "humantime_serde")]
    lease_retry: Option<Duration>,
    identity: Option<String>,
    verification: Option<String>,
    trust_anchor: Option<String>,
    trust_digest: Option<String>,
    #[serde(flatten)]
    access: AccessArgs,
}

/// One setting by its three names, for messages.
#[derive(Clone, Copy)]
struct Setting {
    flag: &'static str,
    variable: &'static str,
    key: &'static str,
}

impl Setting {
    const fn new(flag: &'static str, variable: &'static str, key: &'static str) -> Self {
        Self { flag, variable, key }
    }

    fn missing(self, what: &str) -> Error {
        Error::usage(format!("{what} is not given"), format!("set {self}"))
    }

    fn bad(self, message: impl fmt::Display) -> Error {
        Error::usage(message.to_string(), format!("set {self} to another value"))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} or `{}:` in the configuration file", self.flag, self.variable, self.key)
    }
}

const MESH: Setting = Setting::new("--mesh", "MESHFED_MESH", "mesh");
const REPO: Setting = Setting::new("--repo", "MESHFED_REPO", "repo");
const STATE_DIR: Setting = Setting::new("--state-dir", "MESHFED_STATE_DIR", "stateDir");
const LISTEN: Setting = Setting::new("--listen", "MESHFED_LISTEN", "listen");
const WEBHOOK_LISTEN: Setting = Setting::new("--webhook-listen", "MESHFED_WEBHOOK_LISTEN", "webhookListen");
const WEBHOOK_SECRET_FILE: Setting = Setting::new("--webhook-secret-file", "MESHFED_WEBHOOK_SECRET_FILE", "webhookSecretFile");
const INTERVAL: Setting = Setting::new("--interval", "MESHFED_INTERVAL", "interval");
const LEASE: Setting = Setting::new("--lease", "MESHFED_LEASE", "lease");
const LEASE_DURATION: Setting = Setting::new("--lease-duration", "MESHFED_LEASE_DURATION", "leaseDuration");
const LEASE_RENEW_DEADLINE: Setting =
    Setting::new("--lease-renew-deadline", "MESHFED_LEASE_RENEW_DEADLINE", "leaseRenewDeadline");
const LEASE_RETRY: Setting = Setting::new("--lease-retry", "MESHFED_LEASE_RETRY", "leaseRetry");
const IDENTITY: Setting = Setting::new("--identity", "MESHFED_IDENTITY", "identity");
const VERIFICATION: Setting = Setting::new("--verification", "MESHFED_VERIFICATION", "verification");
const TRUST_ANCHOR: Setting = Setting::new("--trust-anchor", "MESHFED_TRUST_ANCHOR", "trustAnchor");
const TRUST_DIGEST: Setting = Setting::new("--trust-digest", "MESHFED_TRUST_DIGEST", "trustDigest");

/// Gives an environment variable.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

impl AgentArgs {
    /// Reads the configuration file, if one is named, and settles every value.
    pub fn resolve(self) -> Result<AgentConfig, Error> {
        let file = match self.config.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => read(path)?,
            None => ConfigFile::default(),
        };
        let config = settle(self, file, &|name| std::env::var_os(name))?;
        apart(&config)?;
        Ok(config)
    }
}

fn read(path: &Path) -> Result<ConfigFile, Error> {
    let fail = |reason: &dyn fmt::Display| {
        let message = format!("configuration file {}: {reason}", path.display());
        Error::usage(message, "it is named by --config or MESHFED_CONFIG")
    };
    let size = std::fs::metadata(path).map_err(|error| fail(&error))?.len();
    if size > MAX_CONFIG_BYTES {
        return Err(fail(&format!("{size} bytes; the limit is {MAX_CONFIG_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
    let file: ConfigFile = parse(&text).map_err(|message| fail(&message))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = |path: Option<PathBuf>| path.map(|path| folder.join(path));
    Ok(ConfigFile {
        access: file.access.in_folder(folder),
        kubeconfig: beside(file.kubeconfig),
        signing_key: beside(file.signing_key),
        state_dir: beside(file.state_dir),
        webhook_secret_file: beside(file.webhook_secret_file),
        ..file
    })
}

fn parse(text: &str) -> Result<ConfigFile, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(ConfigFile::default());
    }
    serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
}

fn settle(args: AgentArgs, file: ConfigFile, environment: &Environment) -> Result<AgentConfig, Error> {
    let AgentArgs {
        mesh,
        repo,
        branch,
        kubeconfig,
        context,
        signing_key,
        state_dir,
        interval,
        listen,
        webhook_listen,
        webhook_secret_file,
        once,
        observe,
        lease,
        lease_duration,
        lease_renew_deadline,
        lease_retry,
        identity,
        verification,
        trust_anchor,
        trust_digest,
        config: _,
        access,
    } = args;
    let mesh = text(mesh, file.mesh).ok_or_else(|| MESH.missing("the mesh"))?;
    names::mesh(&mesh).map_err(|message| MESH.bad(message))?;
    let repo = text(repo, file.repo).ok_or_else(|| REPO.missing("the repository"))?;
    let access = access.or(file.access).resolve()?;
    let interval = duration(INTERVAL, interval, file.interval)?.unwrap_or(DEFAULT_INTERVAL);
    if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
        let show = humantime::format_duration;
        let (min, max) = (show(MIN_INTERVAL), show(MAX_INTERVAL));
        return Err(INTERVAL.bad(format!("an interval of {} is not between {min} and {max}", show(interval))));
    }
    let state_dir = match path(state_dir, file.state_dir) {
        Some(dir) => dir,
        None => state_home(environment).ok_or_else(|| STATE_DIR.missing("HOME is not set, and a state directory"))?.join(&mesh),
    };
    let listen = text(listen, file.listen).map(|text| address(LISTEN, &text)).transpose()?;
    let webhook_listen = text(webhook_listen, file.webhook_listen).map(|text| address(WEBHOOK_LISTEN, &text)).transpose()?;
    let webhook = match (webhook_listen, path(webhook_secret_file, file.webhook_secret_file)) {
        (Some(address), Some(secret)) => Some((address, secret)),
        (Some(_), None) => return Err(WEBHOOK_SECRET_FILE.missing("the file with the secret of the webhook")),
        (None, _) => None, // a mounted secret alone opens nothing
    };
    Ok(AgentConfig {
        listen,
        webhook,
        signing_key: path(signing_key, file.signing_key).unwrap_or_else(|| state_dir.join("signing-key")),
        branch: text(branch, file.branch).unwrap_or_else(|| DEFAULT_BRANCH.to_owned()),
        kubeconfig: path(kubeconfig, file.kubeconfig),
        context: text(context, file.context),
        once: once.or(file.once).unwrap_or(false),
        observe: observe.or(file.observe).unwrap_or(false),
        lease: match text(lease, file.lease) {
            Some(lease) => {
                let host = || environment("HOSTNAME").and_then(|name| name.into_string().ok()).filter(|name| !name.is_empty());
                let identity = text(identity, file.identity).or_else(host);
                let identity = identity.ok_or_else(|| IDENTITY.missing("HOSTNAME is not set, and the name of this replica"))?;
                let defaults = LeaseTerms::default();
                let length = duration(LEASE_DURATION, lease_duration, file.lease_duration)?;
                let deadline = duration(LEASE_RENEW_DEADLINE, lease_renew_deadline, file.lease_renew_deadline)?;
                let terms = LeaseTerms {
                    duration: length.unwrap_or(defaults.duration),
                    renew_deadline: deadline.unwrap_or(defaults.renew_deadline),
                    retry: duration(LEASE_RETRY, lease_retry, file.lease_retry)?.unwrap_or(defaults.retry),
                };
                Some(settle_lease(&lease, identity, terms)?)
            }
            None => None, // its terms alone choose nobody
        },
        verification: settle_verification(
            text(verification, file.verification).as_deref(),
            text(trust_anchor, file.trust_anchor).as_deref(),
            text(trust_digest, file.trust_digest).as_deref(),
        )?,
        mesh,
        repo,
        access,
        state_dir,
        interval,
    })
}

fn settle_lease(lease: &str, identity: String, terms: LeaseTerms) -> Result<LeaseOptions, Error> {
    let place = lease.parse().map_err(|message: String| LEASE.bad(message))?;
    match terms.fault() {
        Some(fault) => {
            Err(LEASE_DURATION.bad(format!("{fault}; see also {} and {}", LEASE_RENEW_DEADLINE.flag, LEASE_RETRY.flag)))
        }
        None => Ok(LeaseOptions { place, identity, terms }),
    }
}

/// There is no trust on first use: who verifies is introduced, and who does not says so.
fn settle_verification(mode: Option<&str>, anchor: Option<&str>, digest: Option<&str>) -> Result<Verification, Error> {
    let how: fn(Introduction) -> Verification = match mode {
        None | Some("enforce") => Verification::Enforce,
        Some("warn") => Verification::Warn,
        Some("off") => return Ok(Verification::Off),
        Some(other) => {
            return Err(VERIFICATION.bad(format!("`{}` is not enforce, warn or off", other.escape_debug())));
        }
    };
    let missing = match (anchor, digest) {
        (Some(anchor), Some(digest)) => {
            let anchor = anchor.parse().map_err(|()| {
                TRUST_ANCHOR.bad(format!("`{}` is not a whole commit id of 40 lower-case digits", anchor.escape_debug()))
            })?;
            let digest = digest.parse().map_err(|message: String| TRUST_DIGEST.bad(message))?;
            return Ok(how(Introduction { anchor, digest }));
        }
        (None, None) => format!("{TRUST_ANCHOR}, and {TRUST_DIGEST}"),
        (None, Some(_)) => TRUST_ANCHOR.to_string(),
        (Some(_), None) => TRUST_DIGEST.to_string(),
    };
    let hint = format!(
        "set {missing}; `meshfed trust show --at COMMIT` prints both, in a clone that you trust. Or say that whoever can push to the repository \
         is believed: --verification off"
    );
    Err(Error::usage("signatures on main are to be verified, and the commit from which on to do so is not given", hint))
}

fn address(setting: Setting, text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| setting.bad(format!("`{}` is not an address as 0.0.0.0:8080 or [::]:8080", text.escape_debug())))
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

fn duration(setting: Setting, given: Option<String>, file: Option<Duration>) -> Result<Option<Duration>, Error> {
    let Some(text) = text(given, None) else { return Ok(file) };
    let parsed = humantime::parse_duration(&text);
    let bad = |error| setting.bad(format!("`{}` is not a duration as 30s or 2m: {error}", text.escape_debug()));
    parsed.map(Some).map_err(bad)
}

fn text(given: Option<String>, file: Option<String>) -> Option<String> {
    given.filter(|text| !text.is_empty()).or(file.filter(|text| !text.is_empty()))
}

fn path(given: Option<PathBuf>, file: Option<PathBuf>) -> Option<PathBuf> {
    given.filter(|path| !path.as_os_str().is_empty()).or(file)
}

/// Where programs keep their state (XDG Base Directory Specification).
fn state_home(environment: &Environment) -> Option<PathBuf> {
    xdg(environment, "XDG_STATE_HOME", ".local/state")
}

/// Where programs keep what they can make again.
pub fn cache_home(environment: &Environment) -> Option<PathBuf> {
    xdg(environment, "XDG_CACHE_HOME", ".cache")
}

fn xdg(environment: &Environment, variable: &str, below_home: &str) -> Option<PathBuf> {
    // The specification: a relative path in the variable is to be ignored.
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))?;
    Some(base.join("meshfed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::LeasePlace;

    fn mk_args() -> AgentArgs {
        let verification = Some("off".into());
        AgentArgs { mesh: Some("a".into()), repo: Some("r".into()), verification, ..AgentArgs::default() }
    }

    fn home(name: &str) -> Option<OsString> {
        (name == "HOME").then(|| "/home/x".into())
    }

    fn settled(args: AgentArgs, file: &str) -> Result<AgentConfig, String> {
        settle(args, parse(file)?, &home).map_err(|error| error.message().unwrap())
    }

    #[test]
    fn defaults_fill_what_nobody_says() {
        let config = settled(mk_args(), "").unwrap();
        assert_eq!(config.state_dir, Path::new("/home/x/.local/state/meshfed/a"));
        assert_eq!(config.signing_key, Path::new("/home/x/.local/state/meshfed/a/signing-key"));
        assert_eq!((&*config.branch, config.interval, config.once), ("main", DEFAULT_INTERVAL, false));
    }

    #[test]
    fn what_is_given_wins_over_the_file_and_that_over_the_default() {
        let file = "mesh: b\ninterval: 2m\nonce: true\nobserve: true\nstateDir: /s\n";
        let config = settled(AgentArgs { once: Some(false), ..mk_args() }, file).unwrap();
        assert_eq!((&*config.mesh, config.interval, config.once), ("a", Duration::from_secs(120), false));
        assert_eq!((config.signing_key.as_path(), config.observe), (Path::new("/s/signing-key"), true));
        let config = settled(AgentArgs { mesh: Some(String::new()), ..mk_args() }, file).unwrap();
        assert_eq!(config.mesh, "b", "empty counts as not given");
    }

    #[test]
    fn the_signing_key_is_no_credential() {
        let temp = tempfile::tempdir().unwrap();
        let (key, link) = (temp.path().join("key"), temp.path().join("link"));
        let resolved = |password: &Path| {
            let args = AgentArgs {
                signing_key: Some(key.clone()),
                state_dir: Some(temp.path().join("state")),
                access: AccessArgs { http_password_file: Some(password.to_owned()), ..AccessArgs::default() },
                ..mk_args()
            };
            args.resolve().map_err(|error| error.message().unwrap())
        };
        assert!(resolved(&key).unwrap_err().contains("is the signing key, which is for nothing else"));
        std::fs::write(&key, "x").unwrap();
        std::os::unix::fs::symlink(&key, &link).unwrap();
        assert!(resolved(&link).unwrap_err().contains("--http-password-file"));
        assert!(resolved(&temp.path().join("other")).is_ok());
    }

    #[test]
    fn each_error_names_flag_variable_and_key() {
        let bad = [
            (AgentArgs { mesh: None, ..mk_args() }, "mesh"),
            (AgentArgs { mesh: Some("A b".into()), ..mk_args() }, "mesh"),
            (AgentArgs { repo: None, ..mk_args() }, "repo"),
            (AgentArgs { listen: Some("8080".into()), ..mk_args() }, "listen"),
            (AgentArgs { interval: Some("5x".into()), ..mk_args() }, "interval"),
            (AgentArgs { interval: Some("1ms".into()), ..mk_args() }, "interval"),
            (AgentArgs { interval: Some("2h".into()), ..mk_args() }, "interval"),
        ];
        for (args, key) in bad {
            let message = settled(args, "").unwrap_err();
            let (flag, variable) = (format!("--{key}"), format!("MESHFED_{}", key.to_uppercase()));
            for name in [flag, variable, format!("`{key}:`")] {
                assert!(message.contains(&name), "{message}");
            }
        }
        let webhook = AgentArgs { webhook_listen: Some("127.0.0.1:9".into()), ..mk_args() };
        assert!(settled(webhook, "").unwrap_err().contains("--webhook-secret-file"), "nothing is taken without a secret");
    }

    #[test]
    fn verification_needs_an_introduction_or_an_open_word() {
        let (anchor, digest) = ("1".repeat(40), format!("sha256:{}", "2".repeat(64)));
        let settled = |verification: &str, anchor: &str, digest: &str| {
            let [verification, trust_anchor, trust_digest] = [verification, anchor, digest].map(|text| Some(text.to_owned()));
            settled(AgentArgs { verification, trust_anchor, trust_digest, ..mk_args() }, "").map(|config| config.verification)
        };
        let introduction = Introduction { anchor: anchor.parse().unwrap(), digest: digest.parse().unwrap() };
        assert_eq!(settled("", &anchor, &digest), Ok(Verification::Enforce(introduction)));
        assert_eq!(settled("warn", &anchor, &digest), Ok(Verification::Warn(introduction)));
        assert_eq!(settled("off", &anchor, ""), Ok(Verification::Off));
        let neither = settled("", "", "").unwrap_err();
        for way in [
            "--trust-anchor",
            "--trust-digest",
            "MESHFED_TRUST_ANCHOR",
            "`trustDigest:`",
            "meshfed trust show",
            "--verification off",
        ] {
            assert!(neither.contains(way), "{neither}");
        }
        assert!(settled("enforce", &anchor, "").unwrap_err().contains("set --trust-digest"));
        for (verification, anchor, digest) in [("on", &*anchor, &*digest), ("warn", "main", &digest), ("warn", &anchor, "12")] {
            assert!(settled(verification, anchor, digest).is_err());
        }
    }

    #[test]
    fn a_lease_has_a_name_and_terms_that_fit() {
        let named = |lease: &str| AgentArgs { lease: Some(lease.into()), identity: Some("pod".into()), ..mk_args() };
        let place = |lease: &str| settled(named(lease), "").map(|config| config.lease.map(|lease| lease.place));
        let expected = |namespace: Option<&str>| LeasePlace { namespace: namespace.map(str::to_owned), name: "a".into() };
        assert_eq!((place("a"), place("n/a")), (Ok(Some(expected(None))), Ok(Some(expected(Some("n"))))));
        assert_eq!(place(""), Ok(None), "alone");
        assert!(place("n/a/b").unwrap_err().contains("is not a DNS label"));
        let terms = settled(named("a"), "leaseDuration: 30s\nleaseRetry: 3s\n").unwrap().lease.unwrap().terms;
        assert_eq!((terms.duration.as_secs(), terms.renew_deadline.as_secs(), terms.retry.as_secs()), (30, 10, 3));
        let short = AgentArgs { lease_duration: Some("10s".into()), ..named("a") };
        assert!(settled(short, "").unwrap_err().contains("does not outlast the deadline of 10s by 1s"));
        let nameless = AgentArgs { identity: None, ..named("a") };
        assert!(settled(nameless.clone(), "").unwrap_err().contains("--identity"));
        let host =
            settle(nameless, ConfigFile::default(), &|name| (name == "HOSTNAME").then(|| "pod-1".into()).or_else(|| home(name)));
        assert_eq!(host.unwrap().lease.unwrap().identity, "pod-1");
    }

    #[test]
    fn a_file_with_an_unknown_key_is_refused() {
        assert!(parse("mesh: a\nintervall: 3s\n").unwrap_err().contains("intervall"));
        assert!(parse("interval: soon\n").is_err());
        assert_eq!(parse("# nothing yet\n").unwrap().mesh, None);
    }

    #[test]
    fn without_a_home_the_state_directory_must_be_given() {
        let error = settle(mk_args(), ConfigFile::default(), &|_| None).unwrap_err();
        assert!(error.message().unwrap().contains("--state-dir"));
        assert_eq!(cache_home(&|name| (name == "XDG_CACHE_HOME").then(|| "relative".into())), None);
    }

    #[test]
    fn credentials_in_the_address_are_not_shown() {
        let config = AgentConfig { repo: "https://me:secret@git.example.com/x".into(), ..settled(mk_args(), "").unwrap() };
        assert!(!format!("{config:?}").contains("secret"));
    }
}
