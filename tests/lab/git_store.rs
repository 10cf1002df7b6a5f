//! A bare Git repository and what a test does with it, all by the real `git`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

/// Where a commit lies until it is signed.
const UNSIGNED: &str = "refs/lab/unsigned";

/// A file of a commit: its path, and its content or `None` to delete it.
pub type Change<'a> = (&'a str, Option<&'a str>);

/// `git` that reads no configuration but the repository's, and never asks a person.
pub fn git(home: &Path) -> Command {
    let mut command = Command::new("git");
    // Set when the tests run from a Git hook: they would lead into the wrong repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(variable);
    }
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Platform team").env(format!("GIT_{role}_EMAIL"), "platform@example.com");
    }
    command
}

/// A bare repository in which `main` is the default branch, empty at first.
#[derive(Debug)]
pub struct GitStore {
    home: PathBuf,
    path: PathBuf,
    /// Private key that signs what is committed here.
    signer: OnceLock<PathBuf>,
}

impl GitStore {
    /// Makes it as `repo.git` in a directory.
    pub fn create(dir: &Path) -> Self {
        let store = Self { home: dir.to_owned(), path: dir.join("repo.git"), signer: OnceLock::new() };
        run(git(dir).args(["init", "--quiet", "--bare", "-b", "main"]).arg(&store.path));
        // Also without a password; Git's own default is to take pushes over HTTP only from users who gave one.
        store.configure("http.receivepack", "true");
        // It would go on in the background, also after the test.
        store.configure("gc.auto", "0");
        store
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, as a URL.
    pub fn file_url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Runs `git` in it and gives what it printed, without the last line's end.
    pub fn git(&self, arguments: &[&str]) -> String {
        run(git(&self.home).arg("-C").arg(&self.path).args(arguments))
    }

    /// Sets one option of the repository, such as `receive.denyNonFastForwards`.
    pub fn configure(&self, key: &str, value: &str) {
        self.git(&["config", key, value]);
    }

    /// Installs a hook, say `pre-receive`: a shell script without the first line.
    pub fn hook(&self, name: &str, script: &str) {
        let path = self.path.join("hooks").join(name);
        let written = fs::create_dir_all(self.path.join("hooks"))
            .and_then(|()| fs::write(&path, format!("#!/bin/sh\n{script}\n")))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        written.unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }

    /// Commits onto `main` and tells the commit's id. No hook sees it.
    pub fn commit(&self, message: &str, changes: &[Change]) -> String {
        self.commit_on("main", message, changes)
    }

    /// Commits onto a branch, which is made if there is none (without a parent then).
    pub fn commit_on(&self, branch: &str, message: &str, changes: &[Change]) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs();
        let reference = if self.signer.get().is_some() { UNSIGNED } else { &format!("refs/heads/{branch}") };
        let mut input = vec![
            format!("commit {reference}"),
            format!("committer Platform team <platform@example.com> {now} +0000"),
            data(message),
        ];
        if self.head(branch).is_some() {
            input.push(format!("from refs/heads/{branch}^0"));
        }
        for (path, content) in changes {
            match content {
                Some(content) => input.extend([format!("M 100644 inline {path}"), data(content)]),
                None => input.push(format!("D {path}")),
            }
        }
        input.push(String::new());
        self.fast_import(&input.join("\n"));
        if let Some(key) = self.signer.get() {
            self.sign(key, branch);
        }
        self.head(branch).expect("the branch has a commit now")
    }

    /// From now on each commit made here is signed with this OpenSSH key.
    pub fn sign_with(&self, key: &Path) {
        self.signer.set(key.to_owned()).expect("there is one signer");
    }

    /// Makes of the commit that waits for its signature the tip of a branch, so that nobody sees it without one.
    fn sign(&self, key: &Path, branch: &str) {
        let parents = self.git(&["log", "-1", "--format=%P", UNSIGNED]);
        let message = self.git(&["log", "-1", "--format=%B", UNSIGNED]);
        let mut command = git(&self.home);
        command.arg("-C").arg(&self.path).args(["-c", "gpg.format=ssh", "-c", &format!("user.signingkey={}", key.display())]);
        command.args(["commit-tree", "-S", "-m", &message, &format!("{UNSIGNED}^{{tree}}")]);
        let signed = run(command.args(parents.split_whitespace().flat_map(|parent| ["-p", parent])));
        self.git(&["update-ref", "-d", UNSIGNED]);
        self.git(&["update-ref", &format!("refs/heads/{branch}"), &signed]);
    }

    /// The commit that a branch is at, if there is such a branch.
    pub fn head(&self, branch: &str) -> Option<String> {
        let reference = format!("refs/heads/{branch}");
        let id = self.git(&["for-each-ref", "--format=%(objectname)", &reference]);
        (!id.is_empty()).then_some(id)
    }

    /// The subjects of a branch's commits, the newest first; nothing if there is no such branch.
    pub fn log(&self, branch: &str) -> Vec<String> {
        match self.head(branch) {
            Some(id) => self.git(&["log", "--format=%s", &id]).lines().map(str::to_owned).collect(),
            None => Vec::new(),
        }
    }

    /// The names of all branches.
    pub fn branches(&self) -> Vec<String> {
        self.git(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"]).lines().map(str::to_owned).collect()
    }

    /// What a revision holds, say `main:meshes/a/mesh.yaml`; `None` if there is nothing.
    pub fn show(&self, object: &str) -> Option<String> {
        let output = git(&self.home).arg("-C").arg(&self.path).args(["cat-file", "-p", object]).output();
        let output = output.expect("git can be run");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn fast_import(&self, input: &str) {
        let mut command = git(&self.home);
        command.arg("-C").arg(&self.path).args(["fast-import", "--quiet"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("git can be run");
        let mut stdin = child.stdin.take().expect("standard input was asked for as a pipe");
        // It closes its end when it refuses the input; then what it says is worth more than our error.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("git can be waited for");
        assert!(output.status.success(), "git fast-import: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let printed = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
    assert!(output.status.success(), "{command:?} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    printed
}

fn data(content: &str) -> String {
    format!("data {}\n{content}", content.len())
}
