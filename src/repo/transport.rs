//! A conversation with the other side: what it goes over, how long it may take, and what an error in it means.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use git2::{ErrorClass, ErrorCode, RemoteCallbacks};
use jiff::SignedDuration;

use super::address::{Address, Way};
use super::error::{RepoError, one_line};
use super::options::{Options, Reached};
use super::ssh::Ssh;
use super::{http, ssh};

/// Largest key, certificate, password or list of hosts in bytes: a list of thousands of hosts is smaller.
const MAX_FILE: u64 = 4 << 20;

/// The way to one repository.
pub(super) struct Transport {
    address: Address,
    wire: Wire,
    /// The repository may be a clone of the one that is meant.
    pub(super) clone: bool,
    transfer_timeout: Duration,
    max_fetch: usize,
    started: Cell<Option<Instant>>,
    /// The conversation that was given up and has not ended yet.
    hung: RefCell<Weak<()>>,
    trouble: RefCell<Trouble>,
}

/// What bytes go over. Shared by conversations, so that a connection can serve several.
#[derive(Clone)]
enum Wire {
    Http(Arc<http::Http>),
    Ssh(Arc<Ssh>),
    /// What libgit2 does by itself, and the disk.
    Own,
}

/// Why a conversation failed, where more is known than an error of libgit2 can carry.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<RepoError>>>);

impl Trouble {
    /// Keeps the reason. What it gives only ends the conversation.
    pub(super) fn is(&self, error: RepoError) -> git2::Error {
        self.keep(error);
        git2::Error::new(ErrorCode::GenericError, ErrorClass::Net, "the conversation failed")
    }

    pub(super) fn is_of_io(&self, error: RepoError) -> io::Error {
        self.keep(error);
        io::Error::other("the conversation failed")
    }

    fn keep(&self, error: RepoError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn take(&self) -> Option<RepoError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

thread_local! {
    /// What the conversation of this thread goes over: libgit2 asks for a transport by its name alone.
    static HERE: RefCell<Option<(Wire, Trouble)>> = const { RefCell::new(None) };
}

impl Transport {
    pub(super) fn new(options: &Options) -> Self {
        register();
        let Options { url, clone, transfer_timeout, max_fetch, connect_timeout, server_timeout, access, .. } = options;
        let address = Address::parse(url);
        let wire = match &address.way {
            Way::Http => Wire::Http(Arc::new(http::Http::new(address.clone(), options))),
            Way::Ssh { host, port, path } => Wire::Ssh(Arc::new(Ssh {
                url: address.to_string(),
                host: host.clone(),
                port: *port,
                user: address.username.clone(),
                path: path.clone(),
                key: access.ssh_key.clone(),
                known_hosts: access.known_hosts.clone(),
                connect: *connect_timeout,
                silence: *server_timeout,
                open: Mutex::default(),
            })),
            Way::Disk(_) | Way::Other => Wire::Own,
        };
        Self::over(address, wire, *clone, *transfer_timeout, *max_fetch)
    }

    fn over(address: Address, wire: Wire, clone: bool, transfer_timeout: Duration, max_fetch: usize) -> Self {
        let (started, hung, trouble) = Default::default();
        Self { address, wire, clone, transfer_timeout, max_fetch, started, hung, trouble }
    }

    /// The same way, for a thread of its own.
    fn again(&self) -> Self {
        Self::over(self.address.clone(), self.wire.clone(), self.clone, self.transfer_timeout, self.max_fetch)
    }

    /// Talks to the server, and gives that up when it takes too long: silence is limited otherwise, but a server that sends a byte
    /// a second could hold us for ever. A call into libgit2 cannot be ended. Its thread is left to itself until the connection
    /// under it ends, and there is never a second one.
    pub(super) fn talk<T: Send + 'static>(
        &self,
        talk: impl FnOnce(&Self) -> Result<T, git2::Error> + Send + 'static,
    ) -> Result<T, git2::Error> {
        if self.hung.borrow().upgrade().is_some() {
            return Err(git2::Error::from_str("the server still holds an earlier conversation, which took too long"));
        }
        let trouble = Trouble::default();
        *self.trouble.borrow_mut() = trouble.clone();
        if let Wire::Http(http) = &self.wire
            && let Some(pause) = http.pause()
        {
            return Err(trouble.is(pause));
        }
        self.started.set(Some(Instant::now()));
        let alive = Arc::new(());
        *self.hung.borrow_mut() = Arc::downgrade(&alive);
        let (give, take) = mpsc::sync_channel(1);
        let (transport, wire) = (self.again(), self.wire.clone());
        let spawned = thread::Builder::new().name("git".to_owned()).spawn(move || {
            HERE.set(Some((wire, trouble)));
            let result = talk(&transport);
            drop(alive);
            let _ = give.send(result); // nobody waits any more
        });
        spawned.map_err(|error| git2::Error::from_str(&format!("a thread cannot be started: {error}")))?;
        let taken = take.recv_timeout(self.transfer_timeout);
        if let Wire::Ssh(ssh) = &self.wire {
            ssh.hang_up();
        }
        match taken {
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

    /// What leads to the repository.
    pub(super) fn reached(&self) -> Reached {
        self.address.reached()
    }

    pub(super) fn local(&self) -> Option<&Path> {
        self.address.local()
    }

    /// Where the host says that the repository is now, for good.
    pub(super) fn moved(&self) -> Option<String> {
        match &self.wire {
            Wire::Http(http) => http.moved(),
            Wire::Ssh(_) | Wire::Own => None,
        }
    }

    /// How far our clock is ahead of the host's; `None` where the host does not tell its time.
    pub(super) fn ahead(&self) -> Option<SignedDuration> {
        match &self.wire {
            Wire::Http(http) => http.ahead(),
            Wire::Ssh(_) | Wire::Own => None,
        }
    }

    /// Callbacks for one connection: the limits on what comes back.
    pub(super) fn callbacks(&self) -> RemoteCallbacks<'_> {
        let (started, transfer_timeout, max_fetch) = (Instant::now(), self.transfer_timeout, self.max_fetch);
        let mut callbacks = RemoteCallbacks::new();
        callbacks
            .transfer_progress(move |progress| progress.received_bytes() <= max_fetch && started.elapsed() <= transfer_timeout);
        callbacks
    }

    /// What an error of a conversation with the server means for the reader.
    pub(super) fn error(&self, error: &git2::Error) -> RepoError {
        let url = self.shown();
        let late = self.started.get().is_some_and(|started| started.elapsed() >= self.transfer_timeout);
        let message = error.message();
        let reason = match error.code() {
            ErrorCode::User if late => format!("the transfer took more than {} s", self.transfer_timeout.as_secs()),
            ErrorCode::User => format!("a fetch has more than {} MiB, the limit", self.max_fetch >> 20),
            _ => match self.trouble.borrow().take() {
                Some(trouble) => return trouble,
                None => one_line(message),
            },
        };
        match error.code() {
            _ if message.starts_with("unsupported URL") || message.contains("malformed URL") => {
                RepoError::NoRepository { url, reason }
            }
            _ => RepoError::Unreachable { url, reason },
        }
    }
}

/// A file that a person or the cluster may replace at any time. What went wrong begins with its path.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        let mut content = Vec::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_FILE {
            return Err(io::Error::other(format!("it has more than {MAX_FILE} bytes")));
        }
        Ok(content)
    };
    read().map_err(|error| format!("{}: {error}", path.display()))
}

/// Makes libgit2 use our transports in place of its own, once in a process.
#[allow(unsafe_code)]
fn register() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        for scheme in ["http", "https", "ssh", "ssh+git", "git+ssh"] {
            // SAFETY: this writes a list of libgit2 without synchronisation, so it must not run beside its network code. That
            // runs only through a `Transport`, whose constructor comes through here, and `OnceLock` lets nobody past before
            // the writes are done and visible. A failure (of memory) leaves libgit2 without a transport for the scheme.
            let _ = unsafe { git2::transport::register(scheme, transport) };
        }
    });
}

/// The transport for a conversation of this thread.
fn transport(remote: &git2::Remote<'_>) -> Result<git2::transport::Transport, git2::Error> {
    let here = HERE.with_borrow(Clone::clone);
    match here {
        Some((Wire::Http(http), trouble)) => {
            let subtransport = http::Subtransport { http, trouble, place: Mutex::default() };
            git2::transport::Transport::smart(remote, true, subtransport)
        }
        Some((Wire::Ssh(ssh), trouble)) => git2::transport::Transport::smart(remote, false, ssh::Subtransport { ssh, trouble }),
        Some((Wire::Own, _)) | None => Err(git2::Error::from_str("there is no conversation on this thread")),
    }
}
