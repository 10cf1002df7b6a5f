//! What a mirror needs to know, and the limits under which it works.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::transport::Address;

/// The branch that people write.
pub const DEFAULT_BRANCH: &str = "main";

/// Longest wait for a TCP connection. A reachable host answers within a second; retransmissions of a lost SYN come after 1 s
/// and 3 s, so this allows for two of them.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest silence of a server in the middle of a conversation. Hosts take several seconds to prepare a first pack.
pub const SERVER_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest transfer altogether, so that a server that sends a byte now and then cannot hold the agent for ever.
pub const TRANSFER_TIMEOUT: Duration = Duration::from_secs(300);

/// Largest fetch in bytes. Declarations of a thousand meshes are a few MiB; this leaves room for other things people keep in
/// the same repository, and still fits the disk of a small pod.
pub const MAX_FETCH: usize = 256 << 20;

/// Where the shared repository is, where its mirror is kept, and how long anything may take.
#[derive(Clone)]
pub struct Options {
    /// URL or path of the shared repository, as Git takes it. Credentials in it work, and are never shown.
    pub url: String,
    /// The branch that people write.
    pub branch: String,
    /// Directory of this agent; the mirror is `mirror.git` in it. Created with mode 0700 if absent.
    pub state_dir: PathBuf,
    /// Longest wait for a connection. libgit2 keeps one value per process: that of the first mirror opened.
    pub connect_timeout: Duration,
    /// Longest silence of the server. One value per process as well.
    pub server_timeout: Duration,
    /// Longest conversation with the server altogether.
    pub transfer_timeout: Duration,
    /// Largest fetch in bytes.
    pub max_fetch: usize,
    /// Name and password for HTTP, if the URL does not hold them.
    pub credentials: Option<Credentials>,
    /// The repository may be somebody's clone on this machine, which has the published branches of its `origin` only as it
    /// fetched them. For looking; an agent needs the repository itself.
    pub clone: bool,
}

/// HTTP basic authentication from a file, read at each connection so that a rotated token is used at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name. Hosts that take tokens ignore it or document it (`x-access-token` for a GitHub App).
    pub username: String,
    /// File that holds the password or token; white space around it is dropped.
    pub password_file: PathBuf,
}

impl Options {
    /// Options with every default.
    pub fn new(url: impl Into<String>, state_dir: impl Into<PathBuf>) -> Self {
        Self {
            url: url.into(),
            branch: DEFAULT_BRANCH.to_owned(),
            state_dir: state_dir.into(),
            connect_timeout: CONNECT_TIMEOUT,
            server_timeout: SERVER_TIMEOUT,
            transfer_timeout: TRANSFER_TIMEOUT,
            max_fetch: MAX_FETCH,
            credentials: None,
            clone: false,
        }
    }
}

impl Options {
    /// The repository's address without credentials.
    pub fn shown(&self) -> String {
        Address::parse(&self.url).to_string()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, branch, state_dir, connect_timeout, server_timeout, transfer_timeout, max_fetch, credentials, clone } =
            self;
        f.debug_struct("Options")
            .field("url", &Address::parse(url).to_string())
            .field("branch", branch)
            .field("state_dir", state_dir)
            .field("connect_timeout", connect_timeout)
            .field("server_timeout", server_timeout)
            .field("transfer_timeout", transfer_timeout)
            .field("max_fetch", max_fetch)
            .field("credentials", credentials)
            .field("clone", clone)
            .finish()
    }
}
