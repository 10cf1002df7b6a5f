//! How the other side is reached: addresses without secrets, credentials, time limits, and what errors of the network mean.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use git2::{Cred, CredentialType, ErrorClass, ErrorCode, ProxyOptions, RemoteCallbacks};

use super::error::{RepoError, one_line};
use super::options::{Credentials, Options};

/// An address split into what libgit2 and people may see, and what they may not.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// For libgit2: no user or password for HTTP, no password for SSH. Its messages hold what it was given.
    url: String,
    username: Option<String>,
    password: Option<String>,
    /// The repository on this machine's disk that the address means, if it does.
    local: Option<PathBuf>,
}

impl Address {
    pub(super) fn local(&self) -> Option<&std::path::Path> {
        self.local.as_deref()
    }

    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            // As git-clone(1) has it: `host:path` unless a slash comes before the colon.
            let is_path = text.split_once(':').is_none_or(|(host, _)| host.contains('/'));
            return Self { url: text.to_owned(), username: None, password: None, local: is_path.then(|| text.into()) };
        };
        if scheme.eq_ignore_ascii_case("file") {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            return Self { url: text.to_owned(), username: None, password: None, local: Some(decode(path).into()) };
        }
        let (authority, path) = split(rest);
        let (userinfo, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (username, password) = match userinfo.map(|info| info.split_once(':').map_or((info, None), |(u, p)| (u, Some(p)))) {
            None => (None, None),
            Some((user, password)) => (Some(decode(user)).filter(|user| !user.is_empty()), password.map(decode)),
        };
        let user = match &username {
            Some(user) if scheme.to_ascii_lowercase().contains("ssh") => format!("{user}@"),
            _ => String::new(),
        };
        Self { url: format!("{scheme}://{user}{host}{path}"), username, password, local: None }
    }

    /// The host, in lower case and without port; empty for a path.
    fn host(&self) -> String {
        let Some((_, rest)) = self.url.split_once("://") else {
            return String::new();
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let end = host.rfind(':').filter(|colon| !host[*colon..].contains(']')).unwrap_or(host.len());
        host[..end].to_ascii_lowercase()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.url))
    }
}

/// Authority and path. A `/` in a password should be written `%2F`; where it is not, what looks like a port is no number and an `@`
/// comes later, the authority goes on up to the host: better than a secret that shows in what counts as the path.
fn split(rest: &str) -> (&str, &str) {
    let slash = |from: usize| rest[from..].find('/').map_or(rest.len(), |at| from + at);
    let first = &rest[..slash(0)];
    let port = first.rsplit_once(':').map(|(_, port)| port).filter(|_| !first.contains(['@', ']']));
    let end = match (port, rest.rfind('@')) {
        (Some(port), Some(at)) if !port.bytes().all(|c| c.is_ascii_digit()) => slash(at),
        _ => first.len(),
    };
    rest.split_at(end)
}

/// `%41` to `A`; what is no such pair stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        match pair {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The way to one repository.
pub(super) struct Transport {
    address: Address,
    credentials: Option<Credentials>,
    /// The repository may be a clone of the one that is meant.
    pub(super) clone: bool,
    transfer_timeout: Duration,
    max_fetch: usize,
    started: Cell<Option<Instant>>,
    /// The conversation that was given up and has not ended yet.
    hung: RefCell<Weak<()>>,
}

impl Transport {
    pub(super) fn new(options: &Options) -> Self {
        limit_waiting(options.connect_timeout, options.server_timeout);
        let Options { url, credentials, clone, transfer_timeout, max_fetch, .. } = options;
        Self {
            address: Address::parse(url),
            credentials: credentials.clone(),
            clone: *clone,
            transfer_timeout: *transfer_timeout,
            max_fetch: *max_fetch,
            started: Cell::new(None),
            hung: RefCell::default(),
        }
    }

    /// The same way, for a thread of its own.
    fn again(&self) -> Self {
        let Self { address, credentials, clone, transfer_timeout, max_fetch, started: _, hung: _ } = self;
        Self {
            address: address.clone(),
            credentials: credentials.clone(),
            clone: *clone,
            transfer_timeout: *transfer_timeout,
            max_fetch: *max_fetch,
            started: Cell::new(None),
            hung: RefCell::default(),
        }
    }

    /// Talks to the server, and gives that up when it takes too long. libgit2 limits only silence and asks nobody in the midst of a
    /// packet, so that a server which sends a byte a second could hold us for ever. Its call cannot be ended: its thread is left
    /// to itself, and there is never a second one.
    pub(super) fn talk<T: Send + 'static>(
        &self,
        talk: impl FnOnce(&Self) -> Result<T, git2::Error> + Send + 'static,
    ) -> Result<T, git2::Error> {
        if self.hung.borrow().upgrade().is_some() {
            return Err(git2::Error::from_str("the server still holds an earlier conversation, which took too long"));
        }
        self.started.set(Some(Instant::now()));
        let alive = Arc::new(());
        *self.hung.borrow_mut() = Arc::downgrade(&alive);
        let (give, take) = mpsc::sync_channel(1);
        let transport = self.again();
        let spawned = thread::Builder::new().name("git".to_owned()).spawn(move || {
            let result = talk(&transport);
            drop(alive);
            let _ = give.send(result); // nobody waits any more
        });
        spawned.map_err(|error| git2::Error::from_str(&format!("a thread cannot be started: {error}")))?;
        match take.recv_timeout(self.transfer_timeout) {
            Ok(result) => result,
            Err(_) => Err(git2::Error::new(ErrorCode::User, ErrorClass::Net, "too long")),
        }
    }

    /// The repository for people, without secrets.
    pub(super) fn shown(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn url(&self) -> &str {
        &self.address.url
    }

    pub(super) fn local(&self) -> Option<&PathBuf> {
        self.address.local.as_ref()
    }

    /// Callbacks for one connection: credentials and the limits on what comes back.
    pub(super) fn callbacks(&self) -> RemoteCallbacks<'_> {
        let (started, transfer_timeout, max_fetch) = (Instant::now(), self.transfer_timeout, self.max_fetch);
        let mut callbacks = RemoteCallbacks::new();
        let mut asked = 0;
        callbacks.credentials(move |url, user, allowed| {
            if !allowed.contains(CredentialType::USERNAME) {
                asked += 1;
            }
            // libgit2 asks again after each refusal; there is only one answer.
            if asked > 1 {
                return Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, "the user name or password was refused"));
            }
            self.credential(url, user, allowed)
        });
        callbacks
            .transfer_progress(move |progress| progress.received_bytes() <= max_fetch && started.elapsed() <= transfer_timeout);
        callbacks
    }

    /// A proxy as Git's configuration and the environment name it.
    pub(super) fn proxy<'a>() -> ProxyOptions<'a> {
        let mut proxy = ProxyOptions::new();
        proxy.auto();
        proxy
    }

    fn credential(&self, url: &str, user: Option<&str>, allowed: CredentialType) -> Result<Cred, git2::Error> {
        let refuse = |reason: String| git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, reason);
        // A redirect must not take the password elsewhere. (SSH has no redirects, and `host:path` no host to compare.)
        let asked_by = Address::parse(url).host();
        if asked_by != self.address.host() {
            return Err(refuse(format!("the server redirects to {asked_by}, which gets no credentials: use that address")));
        }
        let user = user.map(str::to_owned).or_else(|| self.address.username.clone());
        if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
            if let Some(Credentials { username, password_file }) = &self.credentials {
                let password = fs::read_to_string(password_file)
                    .map_err(|error| refuse(format!("password file {}: {error}", password_file.display())))?;
                return Cred::userpass_plaintext(username, password.trim());
            }
            if user.is_some() || self.address.password.is_some() {
                let password = self.address.password.as_deref().unwrap_or_default();
                return Cred::userpass_plaintext(&user.unwrap_or_default(), password);
            }
            return Err(refuse("it asks for a user name and password, and none are configured".to_owned()));
        }
        let user = user.unwrap_or_else(|| "git".to_owned());
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(&user);
        }
        if allowed.contains(CredentialType::SSH_KEY) {
            return Cred::ssh_key_from_agent(&user);
        }
        Err(refuse("it asks for a kind of credentials that is not supported".to_owned()))
    }

    /// What an error of a conversation with the server means for the reader.
    pub(super) fn error(&self, error: &git2::Error) -> RepoError {
        let url = self.shown();
        let late = self.started.get().is_some_and(|started| started.elapsed() >= self.transfer_timeout);
        let message = error.message();
        let status = message.rsplit_once("http status code: ").and_then(|(_, code)| code.trim().parse::<u16>().ok());
        let reason = match (error.code(), status) {
            (ErrorCode::User, _) if late => format!("the transfer took more than {} s", self.transfer_timeout.as_secs()),
            (ErrorCode::User, _) => format!("a fetch has more than {} MiB, the limit", self.max_fetch >> 20),
            (_, Some(404)) => "the server knows no such repository, or hides it from these credentials (http 404)".to_owned(),
            _ => one_line(message),
        };
        match (error.code(), error.class(), status) {
            (ErrorCode::Auth, ..) | (_, _, Some(401 | 403)) => RepoError::Denied { url, reason },
            (ErrorCode::Certificate, ..) => RepoError::Untrusted { url, reason },
            (_, ErrorClass::Ssh, _) if message.contains("hostkey") => RepoError::Untrusted { url, reason },
            _ if message.starts_with("unsupported URL") || message.contains("malformed URL") => {
                RepoError::NoRepository { url, reason }
            }
            _ => RepoError::Unreachable { url, reason },
        }
    }
}

/// The limits in force: connection, silence. libgit2 has none by default and keeps them in globals of the process.
static WAITING: OnceLock<(Duration, Duration)> = OnceLock::new();

/// Sets libgit2's time limits, once: the first caller's values stay, since libgit2 has one place for them, and later callers
/// get those back.
#[allow(unsafe_code)]
pub(super) fn limit_waiting(connect: Duration, server: Duration) -> (Duration, Duration) {
    let millis = |time: Duration| i32::try_from(time.as_millis().max(1)).unwrap_or(i32::MAX);
    *WAITING.get_or_init(|| {
        // SAFETY: the setters write globals of libgit2 without synchronisation, so they must not run beside its network code.
        // Network code runs only through a `Transport`, whose constructor comes through here, and `OnceLock` lets nobody
        // past before the writes are done and visible. A failure leaves libgit2's default, no limit.
        unsafe {
            let _ = git2::opts::set_server_connect_timeout_in_milliseconds(millis(connect));
            let _ = git2::opts::set_server_timeout_in_milliseconds(millis(server));
        }
        (connect, server)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_address_are_kept_apart() {
        let address = Address::parse("https://bob:p%40ss@git.example:8443/fed.git");
        assert_eq!(address.to_string(), "https://git.example:8443/fed.git");
        assert_eq!((address.username.as_deref(), address.password.as_deref()), (Some("bob"), Some("p@ss")));
        assert_eq!(address.host(), "git.example");
        let options = Options::new("https://token@git.example/fed.git", "state");
        assert!(!format!("{options:?}").contains("token"), "{options:?}");
        let slash = Address::parse("https://bob:pa/ss@git.example/fed.git");
        assert_eq!((slash.to_string().as_str(), slash.password.as_deref()), ("https://git.example/fed.git", Some("pa/ss")));
        assert_eq!(Address::parse("https://h:8443/a@b").to_string(), "https://h:8443/a@b");
        assert_eq!(Address::parse("ssh://git:x@h:22/p").to_string(), "ssh://git@h:22/p");
        assert_eq!(Address::parse("https://[::1]:8443/p").host(), "[::1]");
    }

    #[test]
    fn local_addresses_are_paths() {
        for (text, path) in [
            ("file:///srv/a%20b.git", "/srv/a b.git"),
            ("file://localhost/x", "/x"),
            ("./x:y", "./x:y"),
            ("/x", "/x"),
            ("x", "x"),
        ] {
            assert_eq!(Address::parse(text).local, Some(PathBuf::from(path)), "{text}");
        }
        for text in ["git@host:fed.git", "https://host/x", "ssh://host/x"] {
            assert_eq!(Address::parse(text).local, None, "{text}");
        }
    }

    #[test]
    fn another_host_gets_no_credentials() {
        let options = Options::new("https://bob:secret@git.example/fed.git", "state");
        let transport = Transport::new(&options);
        let ask = |url| transport.credential(url, None, CredentialType::USER_PASS_PLAINTEXT);
        assert!(ask("https://git.example/fed.git").is_ok());
        let error = ask("https://evil.example/fed.git").err().unwrap();
        assert!(error.message().contains("evil.example"), "{error}");
    }
}
