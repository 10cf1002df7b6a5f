//! What a mirror needs to know, and the limits under which it works.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;

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
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest silence of the server.
    pub server_timeout: Duration,
    /// Longest conversation with the server altogether.
    pub transfer_timeout: Duration,
    /// Largest fetch in bytes.
    pub max_fetch: usize,
    /// What it takes to be let in, and whom to believe.
    pub access: Access,
    /// The repository may be somebody's clone on this machine, which has the published branches of its `origin` only as it
    /// fetched them. For looking; an agent needs the repository itself.
    pub clone: bool,
}

/// How a host lets in, and how it is known to be the right one. Files are read at each conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Name and password for HTTP, if the URL does not hold them.
    pub credentials: Option<Credentials>,
    /// PEM file of the certificate authorities that are believed, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// What is shown to a server that asks for a client certificate.
    pub identity: Option<Identity>,
    /// The HTTP proxy, in place of that of the environment.
    pub proxy: Option<ProxyUrl>,
    /// The key for SSH, in place of those of `ssh-agent`.
    pub ssh_key: Option<SshKey>,
    /// The file that knows the host keys of SSH servers, in place of the user's and the system's.
    pub known_hosts: Option<PathBuf>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM file of the certificate and those that it is signed with.
    pub cert_file: PathBuf,
    /// PEM file of its private key.
    pub key_file: PathBuf,
}

/// A private key for SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// File in OpenSSH or PEM format.
    pub file: PathBuf,
    /// File with the passphrase, if it needs one; white space at its end is dropped.
    pub passphrase_file: Option<PathBuf>,
}

/// The address of a proxy, as `http://user:password@proxy.example:3128`. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(pub String);

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({})", Address::parse(&self.0))
    }
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
            access: Access::default(),
            clone: false,
        }
    }
}

/// What leads to a repository, and with it who proves what to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Over HTTP with TLS.
    Https,
    /// Over SSH.
    Ssh,
    /// On this machine's disk.
    Here,
    /// In the clear: `http://`, `git://`.
    Clear,
}

impl Options {
    /// The repository's address without credentials.
    pub fn shown(&self) -> String {
        Address::parse(&self.url).to_string()
    }

    /// What leads to it.
    pub fn reached(&self) -> Reached {
        Address::parse(&self.url).reached()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, branch, state_dir, connect_timeout, server_timeout, transfer_timeout, max_fetch, access, clone } = self;
        f.debug_struct("Options")
            .field("url", &Address::parse(url).to_string())
            .field("branch", branch)
            .field("state_dir", state_dir)
            .field("connect_timeout", connect_timeout)
            .field("server_timeout", server_timeout)
            .field("transfer_timeout", transfer_timeout)
            .field("max_fetch", max_fetch)
            .field("access", access)
            .field("clone", clone)
            .finish()
    }
}
