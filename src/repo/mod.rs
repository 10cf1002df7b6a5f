//! The repository edge: the shared Git repository as the agent sees it. libgit2 lives here alone.
//!
//! ```text
//! mirror.rs     Mirror: a bare repository in the state directory; open, fetch, make anew when damaged
//! fetch.rs      what the other side has, what of it moved, getting just that
//! snapshot.rs   one commit's files as paths and blob ids, read from the object store; no checkout exists
//! history.rs    commits as data, first-parent log and distance
//! blame.rs      which commit a line comes from
//! objects.rs    raw objects for the verifier of histories
//! publish.rs    the agent's own branch: tree → signed commit → push without force, again when a race is lost
//! signing.rs    the agent's ed25519 key and SSH signatures over commits
//! ssh_keygen.rs signatures by keys that only OpenSSH can use: with a passphrase, in hardware, in ssh-agent
//! transport.rs  a conversation with the other side: its time limits, and what its errors mean
//! http.rs       over HTTP: credentials, certificates, proxies, redirects, hosts that have had enough
//! ssh.rs        over SSH: keys, and known_hosts.rs for those of the host
//! address.rs    addresses without secrets
//! local.rs      the same steps for a repository on this machine's disk, which libgit2's own transport does less well
//! checkout.rs   a person's clone, or a server's repository in its hook, read where it is
//! contribute.rs a signed commit in a person's clone
//! watch.rs      wakes the agent when the branches of a local repository move
//! id.rs, options.rs, error.rs   commit and blob ids; what a mirror needs to know; what can go wrong and what to do
//! ```
//!
//! Everything here blocks: the agent runs it on one thread of its own. Rules held here:
//! - Of the shared repository only `published/<mesh>` is ever written, one ref a push, and never by force: a push that lost a
//!   race is built again on what won it. A person's clone gets commits on its current branch, which nobody here pushes.
//! - Nothing is read without a limit on its size, and nothing waits without a limit on its time.
//! - Words that come from the repository or its server are cut to one line of printable text, and secrets never reach a message.
//! - What is found damaged on disk is fetched anew; a mirror holds nothing that the shared repository does not.

mod address;
mod blame;
mod checkout;
mod contribute;
mod error;
mod fetch;
mod history;
mod http;
mod id;
mod known_hosts;
mod local;
mod mirror;
mod objects;
mod options;
mod publish;
mod rehearse;
mod signing;
mod snapshot;
mod ssh;
mod ssh_keygen;
mod transport;
mod watch;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use checkout::{Checkout, Head};
pub use contribute::Contribution;
pub use error::RepoError;
pub use history::{Change, Commit, News};
pub use id::{BlobId, CommitId, ParseIdError};
pub use mirror::{Mirror, Refs};
pub use options::{
    Access, CONNECT_TIMEOUT, Credentials, DEFAULT_BRANCH, Identity, MAX_FETCH, Options, ProxyUrl, Reached, SERVER_TIMEOUT,
    SshKey, TRANSFER_TIMEOUT,
};
pub use publish::{Outcome, PUSH_TRIES, Publication};
pub use rehearse::Rehearsal;
pub use signing::{PersonKey, SigningKey};
pub use snapshot::{Commits, MAX_DEPTH, MAX_FILES, Snapshot};
pub use ssh_keygen::OpenSshKey;
pub use watch::{DEBOUNCE, Watch, watch};

/// Folder of the branches that agents write: `published/<mesh>`.
pub const PUBLISHED: &str = "published/";
