//! Child processes and scratch directories that cannot outlive the test, however it ends.
//!
//! Each child runs under a small shell that reads a pipe of which only this process holds the other end. When the end is closed (by `Drop`, or by the
//! kernel because this process was killed), the shell kills the child. A scratch directory has a shell of its own, and its pipe is held by this
//! process and by the shells of the children that work in it: the last of them to end lets it go, and only then is the directory removed.

use super::poll;
use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Arguments: log, file for the process id, command. Standard input: our pipe. Standard output: the pipe of the scratch directory.
///
/// A background job is given `/dev/null` as its input, so the pipe is moved to 3 first; the child must hold neither pipe.
const SUPERVISOR: &str = r#"
exec 3<&0 </dev/null
log=$1 pid=$2
shift 2
"$@" >>"$log" 2>&1 3<&- &
child=$!
echo $child >"$pid"
(cat <&3 >/dev/null; kill -KILL $child 2>/dev/null) >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait $child
code=$?
kill $watch 2>/dev/null
exit $code
"#;

/// Argument: the directory.
const REMOVER: &str = r#"cat >/dev/null; rm -rf "$1""#;

/// A directory of its own for a set of servers, removed when the last of them has ended.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    remover: Child,
    pipe: Option<OwnedFd>,
}

impl Scratch {
    /// Makes a directory whose name tells what it is for.
    pub fn new(purpose: &str) -> Self {
        let path = tempfile::Builder::new()
            .prefix(&format!("lab-{purpose}-"))
            .tempdir()
            .expect("a scratch directory can be made in the system's temporary directory")
            .keep();
        let mut remover = shell(REMOVER)
            .arg(&path)
            .stdout(Stdio::null())
            .spawn()
            .expect("sh can be started, which removes the scratch directory in the end");
        let pipe = remover.stdin.take().expect("standard input was asked for as a pipe");
        Self { path, remover, pipe: Some(pipe.into()) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file and tells its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.join(name);
        let mut file = fs::File::create(&path).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        file.write_all(content.as_bytes()).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }

    fn hold(&self) -> OwnedFd {
        let pipe = self.pipe.as_ref().expect("the pipe is there until the end");
        pipe.try_clone().expect("a file descriptor can be duplicated")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = self.remover.wait();
    }
}

/// A running child, its output going to a log file in its scratch directory.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid: PathBuf,
    supervisor: Child,
    pipe: Option<ChildStdin>,
}

impl Process {
    /// Starts `command` in `scratch` (its working directory, unless the command names another); `name` names the log.
    ///
    /// Only program, arguments, environment and working directory of the command count.
    pub fn spawn(name: &str, command: &Command, scratch: &Scratch) -> Self {
        let log = scratch.join(&format!("{name}.log"));
        let pid = scratch.join(&format!("{name}.pid"));
        let _ = fs::remove_file(&pid);
        let mut sh = shell(SUPERVISOR);
        sh.arg(&log).arg(&pid).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => sh.env(key, value),
                None => sh.env_remove(key),
            };
        }
        sh.current_dir(command.get_current_dir().unwrap_or(scratch.path())).stdout(Stdio::from(scratch.hold()));
        let mut supervisor = sh.spawn().unwrap_or_else(|e| panic!("cannot start sh for {name}: {e}"));
        let pipe = supervisor.stdin.take();
        Self { name: name.to_owned(), log, pid, supervisor, pipe }
    }

    /// The child's process id, also after its end.
    pub fn pid(&self) -> u32 {
        let pid = poll(Duration::from_secs(10), || fs::read_to_string(&self.pid).ok()?.trim().parse().ok());
        pid.unwrap_or_else(|| panic!("{} was not started: {}", self.name, self.log_tail()))
    }

    /// Sends a signal by its name, such as `TERM` or `STOP`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|s| s.success()), "{} cannot be sent SIG{signal}", self.name);
    }

    /// How the child ended, if it did; a child that was killed by signal N counts as exited with 128 + N.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().expect("a child can be waited for")
    }

    /// Waits for the child to end by itself; `None` when it did not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        poll(limit, || self.ended())
    }

    /// Kills the child and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        drop(self.pipe.take());
        self.supervisor.wait().unwrap_or(ExitStatus::from_raw(0))
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The last lines of it, for messages.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process with this id exists and is not merely waiting to be reaped.
pub fn is_alive(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X'])),
        Err(e) if e.kind() == io::ErrorKind::NotFound && Path::new("/proc/self").exists() => false,
        Err(_) => {
            let probe = Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status();
            probe.is_ok_and(|s| s.success())
        }
    }
}

/// In a process group of its own, so that Ctrl-C in the terminal ends us and not the supervisors, who then clean up.
fn shell(script: &str) -> Command {
    let mut sh = Command::new("sh");
    sh.args(["-c", script, "sh"]).stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    sh
}
