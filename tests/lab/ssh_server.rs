//! A Git server over SSH: OpenSSH's own, with keys of its own, for the user who runs the tests.

use super::git_store::{GitStore, run};
use super::process::{Process, Scratch};
use super::{debian, free_port};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Kinds of host keys that the server has unless told otherwise.
pub const HOST_KEYS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

/// Where a system has the server.
const INSTALLED: &str = "/usr/sbin/sshd";

/// Debian's packages: the server, the library of it that no system has without, and what gives it a user of its own.
const PACKAGES: [&str; 3] = ["openssh-server", "libwrap0", "libnss-wrapper"];

/// A running server of one repository; dropping it ends it. What can be done with the repository itself, [`GitStore`] does.
pub struct SshServer {
    store: GitStore,
    process: Process,
    dir: PathBuf,
    port: u16,
    user: String,
}

impl SshServer {
    /// Makes an empty repository below `scratch` and serves it on a port of 127.0.0.1, with host keys of these kinds.
    pub fn start(scratch: &Scratch, host_keys: &[&str]) -> Self {
        let dir = scratch.join("sshd");
        fs::create_dir(&dir).expect("a scratch directory takes a folder");
        let store = GitStore::create(&dir.join("git"));
        for kind in host_keys {
            make_key(&dir.join(kind), kind, "");
        }
        fs::write(dir.join("authorized_keys"), "").expect("a scratch directory takes a file");
        let root = unpacked();
        // Where it leaves its privileges behind for those who are not let in yet; a system that has it started has this.
        let _ = fs::create_dir_all("/run/sshd");
        let port = free_port();
        let config = config(&dir, port, host_keys);
        let config = scratch.write("sshd.conf", &config).display().to_string();
        let mut command = Command::new(root.as_ref().map_or(INSTALLED.into(), |root| root.join("usr/sbin/sshd")));
        command.args(["-D", "-e", "-f", &config]);
        if let Some(root) = &root {
            private_users(&mut command, root, scratch);
        }
        let process = Process::spawn("sshd", &command, scratch);
        let up = super::poll(Duration::from_secs(20), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        assert!(up.is_some(), "sshd does not answer: {}", process.log_tail());
        let user = run(Command::new("id").arg("-un")).trim().to_owned();
        Self { store, process, dir, port, user }
    }

    /// The repository's address.
    pub fn url(&self) -> String {
        self.url_of(&self.store)
    }

    /// The address of another repository on this machine: a user who is let in reaches them all.
    pub fn url_of(&self, store: &GitStore) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, store.path().display())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a key of this kind for a client and lets it in; `passphrase` may be empty.
    pub fn client_key(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        let path = self.dir.join(format!("client-{name}"));
        make_key(&path, kind, passphrase);
        let authorized = self.dir.join("authorized_keys");
        let lines = fs::read_to_string(&authorized).unwrap_or_default() + &public(&path);
        fs::write(&authorized, lines).expect("the list of keys can be written");
        path
    }

    /// From now on lets nobody in.
    pub fn let_nobody_in(&self) {
        fs::write(self.dir.join("authorized_keys"), "").expect("the list of keys can be written");
    }

    /// From now on answers every command by what this script of a shell says.
    pub fn answer(&self, script: &str) {
        fs::write(self.dir.join("answer"), script).expect("a scratch directory takes a file");
    }

    /// Lines of a `known_hosts` file for its host keys of these kinds.
    pub fn known_hosts(&self, kinds: &[&str]) -> String {
        kinds.iter().fold(String::new(), |mut lines, kind| {
            let key = public(&self.dir.join(kind));
            let _ = write!(lines, "[127.0.0.1]:{} {key}", self.port); // writing to a String cannot fail
            lines
        })
    }

    /// What the server has written so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// How often a client was let in so far.
    pub fn logins(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("Accepted publickey")).count()
    }
}

impl Deref for SshServer {
    type Target = GitStore;

    fn deref(&self) -> &GitStore {
        &self.store
    }
}

/// Where the packages are unpacked, if the server is not installed.
fn unpacked() -> Option<PathBuf> {
    (!Path::new(INSTALLED).is_file()).then(|| debian::packages(&PACKAGES))
}

/// Makes a key pair beside which its public half lies in `<path>.pub`.
pub fn make_key(path: &Path, kind: &str, passphrase: &str) {
    let bits: &[&str] = if kind == "rsa" { &["-b", "2048"] } else { &[] };
    run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-C", "lab"]).args(bits).arg("-f").arg(path));
}

fn public(path: &Path) -> String {
    let path = path.with_extension("pub");
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

fn config(dir: &Path, port: u16, host_keys: &[&str]) -> String {
    let mut config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nMaxStartups 100\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nUseDNS no\nLogLevel VERBOSE\n\
         AuthorizedKeysFile {0}/authorized_keys\n\
         ForceCommand test -f {0}/answer && exec sh {0}/answer; env HOME={0} GIT_CONFIG_NOSYSTEM=1 git shell -c \"$SSH_ORIGINAL_COMMAND\"\n",
        dir.display()
    );
    for kind in host_keys {
        let _ = writeln!(config, "HostKey {}/{kind}", dir.display()); // as above
    }
    config
}

/// A server that is not installed lacks libraries and a user of its own: it is given both without touching the system.
fn private_users(command: &mut Command, root: &Path, scratch: &Scratch) {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    let users = scratch.write("passwd", &format!("{users}sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"));
    let libraries: Vec<_> = ["usr/lib", "lib"].iter().map(|below| root.join(below)).collect();
    let machine = |dir: &PathBuf| {
        let inner = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
        inner.chain([dir.clone()]).collect::<Vec<_>>()
    };
    let path = std::env::join_paths(libraries.iter().flat_map(machine)).expect("no path has a colon");
    command.env("LD_LIBRARY_PATH", path);
    command.env("LD_PRELOAD", "libnss_wrapper.so").env("NSS_WRAPPER_PASSWD", users).env("NSS_WRAPPER_GROUP", "/etc/group");
}
