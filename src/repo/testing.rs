//! Real repositories for the tests: made and moved with the `git` command, served from disk or over smart HTTP.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use tempfile::TempDir;

use super::{CommitId, Mirror, Options, Publication, Snapshot};

/// A bare shared repository, a person's clone of it, and a place for an agent's state.
pub struct Lab {
    pub temp: TempDir,
    pub shared: PathBuf,
    pub person: PathBuf,
}

impl Lab {
    /// With nothing committed.
    pub fn empty() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (shared, person) = (temp.path().join("shared.git"), temp.path().join("person"));
        git(temp.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "shared.git"]);
        git(temp.path(), &["init", "--quiet", "--initial-branch=main", "person"]);
        git(&person, &["remote", "add", "origin", shared.to_str().unwrap()]);
        git(&shared, &["config", "http.receivepack", "true"]);
        Self { temp, shared, person }
    }

    /// With one commit on `main`.
    pub fn new() -> Self {
        let lab = Self::empty();
        lab.commit("Start the federation", &[("federation.yaml", "name: f\n"), ("meshes/rosa/mesh.yaml", "a: 1\n")]);
        lab
    }

    /// A person writes files, commits and pushes `main`.
    pub fn commit(&self, message: &str, files: &[(&str, &str)]) -> CommitId {
        for (path, content) in files {
            let path = self.person.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.push_all(message)
    }

    /// Commits whatever the work tree holds and pushes `main`.
    pub fn push_all(&self, message: &str) -> CommitId {
        git(&self.person, &["add", "--all"]);
        git(&self.person, &["commit", "--quiet", "--allow-empty", "-m", message]);
        git(&self.person, &["push", "--quiet", "origin", "main"]);
        git(&self.person, &["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub fn tip(&self, branch: &str) -> CommitId {
        git(&self.shared, &["rev-parse", &format!("refs/heads/{branch}")]).parse().unwrap()
    }

    /// A commit made by somebody else on a branch of the shared repository, with one file.
    pub fn intrude(&self, branch: &str) {
        let work = self.temp.path().join("intruder");
        if !work.exists() {
            git(self.temp.path(), &["clone", "--quiet", self.shared.to_str().unwrap(), "intruder"]);
        }
        git(&work, &["fetch", "--quiet", "origin"]);
        git(&work, &["checkout", "--quiet", "--detach", &format!("origin/{branch}")]);
        fs::write(work.join("published.yaml"), format!("by: someone else, after {}\n", self.tip(branch))).unwrap();
        git(&work, &["commit", "--quiet", "--all", "-m", "meddle"]);
        git(&work, &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
    }

    pub fn hook(&self, name: &str, script: &str) {
        let path = self.shared.join("hooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn options(&self, url: &str) -> Options {
        let mut options = Options::new(url, self.temp.path().join("state"));
        options.connect_timeout = Duration::from_secs(2);
        options.server_timeout = Duration::from_secs(2);
        options
    }

    pub fn file_url(&self) -> String {
        format!("file://{}", self.shared.display())
    }

    /// A mirror over `file://`, not fetched yet.
    pub fn mirror(&self) -> Mirror {
        Mirror::open(&self.options(&self.file_url())).unwrap()
    }

    /// Serves the folder over smart HTTP until the process ends, and returns the shared repository's URL.
    pub fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, root) = (listener.local_addr().unwrap().port(), self.temp.path().to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let root = root.clone();
                std::thread::spawn(move || backend(stream, &root));
            }
        });
        format!("http://127.0.0.1:{port}/shared.git")
    }
}

/// Two files to publish, made different by `fact`.
pub fn publication(fact: &str) -> Publication {
    let files = [("published.yaml", format!("fact: {fact}\n")), ("status.yaml", "applied: []\n".to_owned())];
    Publication {
        mesh: "rosa".to_owned(),
        files: files.into_iter().map(|(name, content)| (name.to_owned(), content.into_bytes())).collect(),
        message: format!("rosa: fact is now {fact}"),
        at: Timestamp::from_second(1_700_000_000).unwrap(),
        until: None,
    }
}

pub fn yaml(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.entries.keys().map(String::as_str).collect()
}

/// Runs git with nothing of this machine's configuration and returns what it prints.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let output = hermetic(Command::new("git").args(args).current_dir(folder)).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn hermetic(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GIT_")) {
        command.env_remove(name);
    }
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.com")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com")
}

/// One HTTP request through `git http-backend` (RFC 3875), then the connection closes.
fn backend(mut stream: TcpStream, root: &Path) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let (mut kind, mut length, mut chunked, mut given) = (String::new(), 0, false, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-type" => value.clone_into(&mut kind),
            "content-length" => length = value.parse().unwrap(),
            "transfer-encoding" => chunked = true,
            "authorization" => value.clone_into(&mut given),
            "expect" => stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap(),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).unwrap();
            if size == 0 {
                break;
            }
            body.extend(&chunk[..size]);
        }
    } else {
        body.resize(length, 0);
        reader.read_exact(&mut body).unwrap();
    }
    // A file named `password` in the folder makes the server ask for it, from user bob.
    if let Ok(password) = fs::read_to_string(root.join("password"))
        && given != format!("Basic {}", BASE64_STANDARD.encode(format!("bob:{}", password.trim())))
    {
        let refusal =
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(refusal.as_bytes());
        return;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut child = hermetic(Command::new("git").arg("http-backend"))
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", kind)
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&body).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let (head, body) = (String::from_utf8_lossy(&output[..end]).into_owned(), &output[end + 4..]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").trim().to_owned();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{head}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
