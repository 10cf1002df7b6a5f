//! The flags of the agent, each with its environment variable.

use std::path::PathBuf;

use clap::Args;

use super::access::AccessArgs;

/// Flags and environment as given.
#[derive(Args, Clone, Debug, Default)]
pub struct AgentArgs {
    /// Name of the mesh that this agent looks after: its folder under meshes/ in the repository
    #[arg(long, env = "MESHFED_MESH")]
    pub(super) mesh: Option<String>,
    /// URL or path of the shared Git repository
    #[arg(long, env = "MESHFED_REPO", hide_env_values = true, value_name = "URL")]
    pub(super) repo: Option<String>,
    /// Branch that people write [default: main]
    #[arg(long, env = "MESHFED_BRANCH")]
    pub(super) branch: Option<String>,
    /// Kubeconfig of the mesh's cluster [default: the pod's service account, else kubectl's rules]
    #[arg(long, env = "MESHFED_KUBECONFIG", value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig [default: its current one]
    #[arg(long, env = "MESHFED_CONTEXT", value_name = "NAME")]
    pub(super) context: Option<String>,
    /// Private ed25519 key in OpenSSH format that signs what the agent publishes; made if absent [default:
    /// <state-dir>/signing-key]
    #[arg(long, env = "MESHFED_SIGNING_KEY", value_name = "FILE")]
    pub(super) signing_key: Option<PathBuf>,
    /// Directory for the mirror of the repository [default: $XDG_STATE_HOME/meshfed/<mesh>]
    #[arg(long, env = "MESHFED_STATE_DIR", value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Time between two looks at the repository, as 30s or 2m [default: 30s]
    #[arg(long, env = "MESHFED_INTERVAL", value_name = "DURATION")]
    pub(super) interval: Option<String>,
    /// Address for health, metrics and status, as 0.0.0.0:8080 [default: none]
    #[arg(long, env = "MESHFED_LISTEN", value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
    /// Address for push webhooks of the Git host, as 0.0.0.0:9090; needs --webhook-secret-file [default: none]
    #[arg(long, env = "MESHFED_WEBHOOK_LISTEN", value_name = "ADDRESS")]
    pub(super) webhook_listen: Option<String>,
    /// File with the secret that the Git host shows with each webhook, read again for each
    #[arg(long, env = "MESHFED_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub(super) webhook_secret_file: Option<PathBuf>,
    /// Work until there is nothing left to do, then exit: 0, or 1 with the reasons if something failed
    #[arg(long, env = "MESHFED_ONCE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(super) once: Option<bool>,
    /// Change nothing in the cluster: publish facts, status and what would be changed, for a look before the agent takes over
    #[arg(long, env = "MESHFED_OBSERVE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(super) observe: Option<bool>,
    /// Lease by which replicas choose the one that writes, as [NAMESPACE/]NAME; each replica of a mesh names the same one. Without it
    /// this agent takes itself for the only one [default: none; the namespace is the pod's]
    #[arg(long, env = "MESHFED_LEASE", value_name = "NAME")]
    pub(super) lease: Option<String>,
    /// How long the others leave the Lease to a leader that renews it no more; after it, another one takes over [default: 15s]
    #[arg(long, env = "MESHFED_LEASE_DURATION", value_name = "DURATION")]
    pub(super) lease_duration: Option<String>,
    /// How long a leader that cannot renew the Lease goes on; at least a second less than its duration [default: 10s]
    #[arg(long, env = "MESHFED_LEASE_RENEW_DEADLINE", value_name = "DURATION")]
    pub(super) lease_renew_deadline: Option<String>,
    /// Time between two renewals of the Lease, and between two tries [default: 2s]
    #[arg(long, env = "MESHFED_LEASE_RETRY", value_name = "DURATION")]
    pub(super) lease_retry: Option<String>,
    /// Name of this replica in the Lease [default: $HOSTNAME, which is the pod's name]
    #[arg(long, env = "MESHFED_IDENTITY", value_name = "NAME")]
    pub(super) identity: Option<String>,
    /// Whether signatures decide what is applied: enforce takes nothing that is not verified, warn takes everything and tells, off
    /// does not look [default: enforce]
    #[arg(long, env = "MESHFED_VERIFICATION", value_name = "MODE")]
    pub(super) verification: Option<String>,
    /// Commit of the branch that people write, from which on its history is verified: 40 digits; needs --trust-digest
    #[arg(long, env = "MESHFED_TRUST_ANCHOR", value_name = "COMMIT")]
    pub(super) trust_anchor: Option<String>,
    /// Digest of trust/ in that commit, as `meshfed trust show --at COMMIT` prints it
    #[arg(long, env = "MESHFED_TRUST_DIGEST", value_name = "sha256:…")]
    pub(super) trust_digest: Option<String>,
    /// YAML file with any of these settings (mesh, repo, branch, httpUser, httpPasswordFile, httpCaFile, httpCertFile,
    /// httpKeyFile, httpProxy, sshKey, sshKeyPassphraseFile, sshKnownHosts, kubeconfig, context, signingKey, stateDir,
    /// interval, listen, webhookListen, webhookSecretFile, once, observe, lease, leaseDuration, leaseRenewDeadline, leaseRetry,
    /// identity, verification, trustAnchor, trustDigest); relative paths in it start at its folder
    #[arg(long, env = "MESHFED_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) access: AccessArgs,
}
