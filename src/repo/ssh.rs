//! SSH for libgit2: a connection to a host whose key is known, a login by key, and one command there.
//!
//! libgit2 has this too, but takes host keys only from `~/.ssh/known_hosts`, has one time limit for the whole process, and says
//! little when it fails. Files are read at each connection, so that each can be replaced at any time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use ssh_key::PublicKey;
use ssh2::{Channel, ErrorCode, MethodType, Session};

use super::error::{RepoError, host_words, one_line};
use super::known_hosts::{Known, Verdict, shown};
use super::options::SshKey;
use super::transport::{Trouble, read_file};

/// User name where an address has none, as every Git host wants it.
const DEFAULT_USER: &str = "git";

/// Where people's keys lie below their home: those that `ssh` tries first.
const USUAL_KEYS: [&str; 3] = [".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"];

/// Most bytes kept of what a server says when it refuses.
const MAX_WORDS: u64 = 4096;

/// Bytes of the shortest answer, an empty packet (gitprotocol-common). A host that refuses may send less: Gitea sends an empty line.
const SHORTEST_ANSWER: usize = 4;

/// Codes of libssh2 (libssh2.h): no key exchange or kind of key in common; a silent server.
const KEX_FAILURE: ErrorCode = ErrorCode::Session(-5);
const TIMEOUT: ErrorCode = ErrorCode::Session(-9);

/// The way to one repository.
pub(super) struct Ssh {
    /// The repository for people.
    pub(super) url: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    /// The repository's path on the host.
    pub(super) path: String,
    /// The key to log in with; without one, those of `ssh-agent`, then the usual ones.
    pub(super) key: Option<SshKey>,
    /// The file that knows the host's keys; without one, the usual ones.
    pub(super) known_hosts: Option<PathBuf>,
    /// Longest wait for a connection.
    pub(super) connect: Duration,
    /// Longest silence of the server.
    pub(super) silence: Duration,
    /// The connection of the conversation that goes on.
    pub(super) open: Mutex<Option<TcpStream>>,
}

impl Ssh {
    /// Ends the conversation that goes on, wherever libssh2 waits in it.
    pub(super) fn hang_up(&self) {
        if let Some(stream) = self.open.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = stream.shutdown(Shutdown::Both); // closed already, as a rule
        }
    }

    /// Starts a command of Git on the host.
    fn run(&self, command: &str) -> Result<Channel, RepoError> {
        let session = self.session()?;
        let mut channel = session.channel_session().map_err(|error| self.failed(&error))?;
        // As Git quotes it: the host's shell, or what stands in for one, takes it apart again.
        let path = self.path.replace('\'', r"'\''").replace('!', r"'\!'");
        channel.exec(&format!("{command} '{path}'")).map_err(|error| self.failed(&error))?;
        Ok(channel) // keeps its session
    }

    /// A connection to the right host, logged in.
    fn session(&self) -> Result<Session, RepoError> {
        let (known, file) = self.known()?;
        let wanted = known.preferences();
        let session = match self.greet(self.dial()?, &wanted) {
            // It has none of the kinds that are known. It is asked which it has, so that this can be told.
            Err(error) if error.code() == KEX_FAILURE && !wanted.is_empty() => self.greet(self.dial()?, ""),
            greeted => greeted,
        };
        let session = session.map_err(|error| self.failed(&error))?;
        self.check(&session, &known, &file)?;
        self.log_in(&session)?;
        Ok(session)
    }

    fn dial(&self) -> Result<TcpStream, RepoError> {
        let addresses =
            (self.host.as_str(), self.port).to_socket_addrs().map_err(|error| self.unreachable(&error.to_string()))?;
        let mut last = "the host has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.connect) {
                // Otherwise each small packet waits for the one before to be acknowledged, 40 ms each.
                Ok(stream) => match stream.set_nodelay(true).and_then(|()| stream.try_clone()) {
                    Ok(open) => {
                        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
                        return Ok(stream);
                    }
                    Err(error) => last = format!("{address}: {error}"),
                },
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(self.unreachable(&last))
    }

    fn greet(&self, stream: TcpStream, kinds: &str) -> Result<Session, ssh2::Error> {
        let mut session = Session::new()?;
        session.set_timeout(u32::try_from(self.silence.as_millis()).unwrap_or(u32::MAX));
        session.set_tcp_stream(stream);
        if !kinds.is_empty() {
            session.method_pref(MethodType::HostKey, kinds)?;
        }
        session.handshake()?;
        Ok(session)
    }

    /// What is known of the host, and by which files.
    fn known(&self) -> Result<(Known, String), RepoError> {
        let mut known = Known::default();
        let mut take = |text: Vec<u8>| known.read(&String::from_utf8_lossy(&text), &self.host, self.port);
        if let Some(file) = &self.known_hosts {
            take(read_file(file).map_err(|reason| self.untrusted(&format!("known hosts {reason}")))?);
            return Ok((known, file.display().to_string()));
        }
        let own = home().map(|home| home.join(".ssh/known_hosts"));
        for file in own.iter().map(PathBuf::as_path).chain([Path::new("/etc/ssh/ssh_known_hosts")]) {
            if let Ok(text) = read_file(file) {
                take(text);
            }
        }
        Ok((known, own.map_or_else(|| "/etc/ssh/ssh_known_hosts".to_owned(), |file| file.display().to_string())))
    }

    /// Only a key that is known is believed, however often the host is met.
    fn check(&self, session: &Session, known: &Known, file: &str) -> Result<(), RepoError> {
        let shown_key = session.host_key().and_then(|(key, _)| PublicKey::from_bytes(key).ok());
        let Some(key) = shown_key else { return Err(self.untrusted("it shows a host key of an unknown kind")) };
        let (host, what) = (&self.host, shown(&key));
        let port = if self.port == super::address::SSH_PORT { String::new() } else { format!("-p {} ", self.port) };
        let why = match known.judge(&key) {
            Verdict::Trusted => return Ok(()),
            Verdict::Unknown => format!(
                "it shows the host key {what}, and {file} has none for {host}; compare that with what the host's operator publishes, then \
                 add the line that `ssh-keyscan {port}{host}` prints to the file (--ssh-known-hosts names one)"
            ),
            Verdict::Changed => format!(
                "it shows the host key {what}, and {file} has {} for {host}: somebody may stand between; only if the host's operator \
                 publishes the new key, put its line into the file",
                known.shown()
            ),
            Verdict::Revoked => format!("it shows the host key {what}, which {file} lists as @revoked"),
        };
        Err(self.untrusted(&why))
    }

    fn log_in(&self, session: &Session) -> Result<(), RepoError> {
        let user = self.user.as_deref().unwrap_or(DEFAULT_USER);
        if let Some(SshKey { file, passphrase_file }) = &self.key {
            let denied = |reason: String| self.denied(&format!("SSH key {reason}"));
            let passphrase = passphrase_file.as_deref().map(read_file).transpose().map_err(denied)?;
            return self.log_in_with(session, user, file, passphrase.as_deref());
        }
        if from_agent(session, user) {
            return Ok(());
        }
        let usual = home().map(|home| USUAL_KEYS.map(|key| home.join(key))).into_iter().flatten();
        for file in usual.filter(|file| file.is_file()) {
            if self.log_in_with(session, user, &file, None).is_ok() {
                return Ok(());
            }
        }
        let reason = "no key of ssh-agent or in ~/.ssh lets user";
        Err(self.denied(&format!("{reason} {user} in; name one with --ssh-key")))
    }

    fn log_in_with(&self, session: &Session, user: &str, file: &Path, passphrase: Option<&[u8]>) -> Result<(), RepoError> {
        let denied = |reason: &str| self.denied(&format!("SSH key {}: {reason}", file.display()));
        let text = read_file(file).map_err(|reason| self.denied(&format!("SSH key {reason}")))?;
        let text = String::from_utf8(text).map_err(|_| denied("it is not a private key in OpenSSH or PEM format"))?;
        let passphrase = passphrase.map(String::from_utf8_lossy);
        match is_locked(&text) {
            None => return Err(denied("it is not a private key in OpenSSH or PEM format")),
            Some(true) if passphrase.is_none() => {
                return Err(denied("it needs a passphrase: name a file that holds it with --ssh-key-passphrase-file"));
            }
            Some(_) => {}
        }
        let tried = session.userauth_pubkey_memory(user, None, &text, passphrase.as_deref().map(str::trim_end));
        tried.map_err(|error| match error.code() {
            TIMEOUT => self.failed(&error),
            // libssh2 names a key that it cannot read and one that the host does not take by few codes: its words tell.
            _ => denied(&format!("user {user} is not let in with it: {}", one_line(error.message()))),
        })
    }

    fn failed(&self, error: &ssh2::Error) -> RepoError {
        match error.code() {
            TIMEOUT => self.unreachable(&format!("the server said nothing for {} s", self.silence.as_secs())),
            _ => self.unreachable(error.message()),
        }
    }

    fn unreachable(&self, reason: &str) -> RepoError {
        RepoError::Unreachable { url: self.url.clone(), reason: one_line(reason) }
    }

    fn untrusted(&self, reason: &str) -> RepoError {
        RepoError::Untrusted { url: self.url.clone(), reason: one_line(reason) }
    }

    fn denied(&self, reason: &str) -> RepoError {
        RepoError::Denied { url: self.url.clone(), reason: one_line(reason) }
    }

    /// Why there is no answer: the host refuses in words, beside what Git reads.
    fn unanswered(&self, channel: &mut Channel) -> RepoError {
        let mut words = Vec::new();
        let _ = channel.stderr().take(MAX_WORDS).read_to_end(&mut words); // what there is of them
        let words = host_words(&String::from_utf8_lossy(&words));
        if words.is_empty() {
            return self.unreachable("the server closed the connection without an answer");
        }
        self.denied(&format!("the host says: {words}"))
    }
}

/// Tries each key that `ssh-agent` holds, where one runs.
fn from_agent(session: &Session, user: &str) -> bool {
    let Ok(mut agent) = session.agent() else { return false };
    if agent.connect().is_err() || agent.list_identities().is_err() {
        return false;
    }
    agent.identities().is_ok_and(|keys| keys.iter().any(|key| agent.userauth(user, key).is_ok()))
}

/// Whether a private key needs a passphrase; `None` if it is no private key.
fn is_locked(text: &str) -> Option<bool> {
    if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return ssh_key::PrivateKey::from_openssh(text).ok().map(|key| key.is_encrypted());
    }
    // PEM of other programs: PKCS #8 says it in the label, the older ones in a header.
    text.contains("PRIVATE KEY-----").then(|| text.contains("ENCRYPTED"))
}

fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// One conversation.
pub(super) struct Subtransport {
    pub(super) ssh: Arc<Ssh>,
    pub(super) trouble: Trouble,
}

impl SmartSubtransport for Subtransport {
    fn action(&self, _: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let command = match service {
            Service::UploadPackLs | Service::UploadPack => "git-upload-pack",
            Service::ReceivePackLs | Service::ReceivePack => "git-receive-pack",
        };
        let channel = self.ssh.run(command).map_err(|error| self.trouble.is(error))?;
        Ok(Box::new(Stream { ssh: self.ssh.clone(), trouble: self.trouble.clone(), channel, received: 0 }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

struct Stream {
    ssh: Arc<Ssh>,
    trouble: Trouble,
    channel: Channel,
    /// Bytes that have come.
    received: usize,
}

impl Stream {
    fn broken(&self, error: &io::Error) -> io::Error {
        let reason = match error.kind() {
            io::ErrorKind::TimedOut => format!("the server said nothing for {} s", self.ssh.silence.as_secs()),
            _ => error.to_string(),
        };
        self.trouble.is_of_io(self.ssh.unreachable(&reason))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.channel.read(buffer).map_err(|error| self.broken(&error))?;
        if count == 0 && self.received < SHORTEST_ANSWER {
            let why = self.ssh.unanswered(&mut self.channel);
            return Err(self.trouble.is_of_io(why));
        }
        self.received += count;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.channel.write(bytes).map_err(|error| self.broken(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.channel.flush().map_err(|error| self.broken(&error))
    }
}
