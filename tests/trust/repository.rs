//! A person's repository, the keys of people and agents, and what the verifier says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use meshfed::repo::{Mirror, Options};
use meshfed::trust::{ACCEPT, Id, Refusal, Verdict, Verifier};
use tempfile::TempDir;

use crate::lab::git_store::{git, run};

/// Who may change what in each of these repositories.
pub const POLICY: &str = "apiVersion: meshfed.dev/v1alpha1
kind: TrustPolicy
spec:
  roles:
    root: [root@example.com]
    rosa: [rosa@example.com]
    aro: [aro@example.com]
  rules:
  - {paths: ['trust/**', federation.yaml, 'policies/**'], allow: [root]}
  - {paths: ['meshes/{mesh}/**'], allow: [root, '{mesh}']}
";

/// A work tree with a first commit, which is the anchor.
pub struct Work {
    temp: TempDir,
    pub anchor: Id,
}

impl Work {
    /// `root`, `rosa` and `aro` have keys that are listed; others get one when they first sign.
    pub fn new() -> Self {
        Self::begin(|work| {
            work.write("federation.yaml", "kind: Federation\n");
            for mesh in ["rosa", "aro"] {
                work.write(&format!("meshes/{mesh}/mesh.yaml"), "a: 1\n");
                work.write(&format!("meshes/{mesh}/peers/p.yaml"), "b: 1\n");
            }
        })
    }

    /// The same with other files besides `trust/`.
    pub fn begin(files: impl FnOnce(&Self)) -> Self {
        let mut work = Self { temp: tempfile::tempdir().unwrap(), anchor: Id([0; 20]) };
        run(git(work.temp.path()).args(["init", "--quiet", "-b", "main"]).arg(work.path()));
        let signers = ["root", "rosa", "aro"].map(|name| format!("{}\n", work.signer_line(name)));
        work.write("trust/allowed_signers", &signers.concat());
        work.write("trust/policy.yaml", POLICY);
        files(&work);
        work.anchor = work.commit(Some("root"), "Begin");
        work
    }

    /// Where agents find it.
    pub fn url(&self) -> String {
        format!("file://{}/.git", self.path().display())
    }

    pub fn path(&self) -> PathBuf {
        self.temp.path().join("work")
    }

    pub fn scratch(&self) -> &Path {
        self.temp.path()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        run(git(self.temp.path()).arg("-C").arg(self.path()).args(arguments))
    }

    /// Somebody's private key file.
    pub fn key(&self, name: &str) -> PathBuf {
        self.key_of_type(name, &["-t", "ed25519"])
    }

    pub fn key_of_type(&self, name: &str, options: &[&str]) -> PathBuf {
        let file = self.temp.path().join(format!("{name}.key"));
        if !file.exists() {
            run(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", name]).args(options).arg("-f").arg(&file));
        }
        file
    }

    /// `type base64`
    pub fn public(&self, name: &str) -> String {
        let text = fs::read_to_string(self.key(name).with_extension("key.pub")).unwrap();
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// As it stands in `allowed_signers`.
    pub fn signer_line(&self, name: &str) -> String {
        format!("{name}@example.com namespaces=\"git\" {}", self.public(name))
    }

    pub fn write(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn append(&self, path: &str, line: &str) {
        let before = fs::read_to_string(self.path().join(path)).unwrap_or_default();
        self.write(path, &format!("{before}{line}\n"));
    }

    /// Commits whatever the work tree holds.
    pub fn commit(&self, signer: Option<&str>, message: &str) -> Id {
        self.commit_with(signer, message, &[])
    }

    pub fn commit_with(&self, signer: Option<&str>, message: &str, environment: &[(&str, &str)]) -> Id {
        self.git(&["add", "--all"]);
        self.signed(signer, &["commit", "--quiet", "--allow-empty", "-m", message], environment)
    }

    /// Runs a command of Git that makes a commit, and gives the commit.
    pub fn signed(&self, signer: Option<&str>, arguments: &[&str], environment: &[(&str, &str)]) -> Id {
        let mut command = git(self.temp.path());
        command.arg("-C").arg(self.path()).envs(environment.iter().copied()).args(["-c", "gpg.format=ssh"]);
        if let Some(name) = signer {
            command.arg("-c").arg(format!("user.signingkey={}", self.key(name).display())).args(["-c", "commit.gpgsign=true"]);
        }
        run(command.args(arguments));
        self.head()
    }

    pub fn head(&self) -> Id {
        id(&self.git(&["rev-parse", "HEAD"]))
    }

    /// Changes a file and commits it.
    pub fn change(&self, signer: Option<&str>, path: &str, content: &str) -> Id {
        self.write(path, content);
        self.commit(signer, &format!("Change {path}"))
    }

    /// A commit that accepts others.
    pub fn accept(&self, signer: &str, commits: &[Id]) -> Id {
        let trailers: Vec<String> = commits.iter().map(|id| format!("{ACCEPT}: {id}")).collect();
        self.commit(Some(signer), &format!("Take them as they are\n\n{}", trailers.join("\n")))
    }

    /// Signed by an agent, on its own branch, which is a root commit at first.
    pub fn publish(&self, mesh: &str, signer: &str, content: &str) {
        let branch = format!("published/{mesh}");
        let exists = !self.git(&["for-each-ref", &format!("refs/heads/{branch}")]).is_empty();
        if exists {
            self.git(&["switch", "--quiet", &branch]);
        } else {
            self.git(&["switch", "--quiet", "--orphan", &branch]);
        }
        self.write("status.yaml", content);
        self.commit(Some(signer), "Publish");
        self.git(&["switch", "--quiet", "main"]);
    }

    pub fn reset(&self, to: Id) {
        self.git(&["reset", "--quiet", "--hard", &to.to_string()]);
    }

    /// Stores an object whose content Git need not like, and gives its id.
    pub fn object(&self, kind: &str, content: &[u8]) -> Id {
        let file = self.temp.path().join("object");
        fs::write(&file, content).unwrap();
        id(&self.git(&["hash-object", "-t", kind, "-w", "--literally", file.to_str().unwrap()]))
    }

    /// A signed commit of a tree that no work tree can hold.
    pub fn commit_tree(&self, signer: &str, tree: Id, parent: Id) -> Id {
        let arguments = ["commit-tree", "-S", &tree.to_string(), "-p", &parent.to_string(), "-m", "Odd"];
        let mut command = git(self.temp.path());
        command.arg("-C").arg(self.path()).args(["-c", "gpg.format=ssh"]);
        command.arg("-c").arg(format!("user.signingkey={}", self.key(signer).display()));
        let made = id(&run(command.args(arguments)));
        self.git(&["update-ref", "refs/heads/main", &made.to_string()]);
        made
    }

    /// The agent's mirror, fetched.
    pub fn mirror(&self) -> Mirror {
        let mut mirror = Mirror::open(&Options::new(self.url(), self.temp.path().join("state"))).unwrap();
        mirror.fetch().unwrap();
        mirror
    }

    /// What the verifier says of `main`, having verified it up to a commit.
    pub fn verdict(&self, verified: Id) -> Verdict {
        let mirror = self.mirror();
        let tip = mirror.main().unwrap().into();
        Verifier::new().main(&mirror, verified, tip).unwrap()
    }

    pub fn assert_verified(&self) {
        let verdict = self.verdict(self.anchor);
        assert_eq!(verdict, Verdict { verified: Some(id(&self.git(&["rev-parse", "main"]))), refusal: None });
    }

    /// `main` is refused at a commit, and what is before it is served.
    #[track_caller]
    pub fn refusal(&self, verified: Id, good: Id, bad: Id) -> Refusal {
        let verdict = self.verdict(verified);
        let refusal = verdict.refusal.unwrap_or_else(|| panic!("{bad} is not refused"));
        assert_eq!((verdict.verified, refusal.commit), (Some(good), bad), "{refusal}");
        refusal
    }
}

pub fn id(text: &str) -> Id {
    text.parse().unwrap_or_else(|()| panic!("{text:?} is no commit"))
}

/// Each on a line of its own.
pub fn lines(items: impl Iterator<Item: std::fmt::Display>) -> String {
    items.map(|item| item.to_string() + "\n").collect()
}

/// Runs a command with something on its standard input; whether it succeeded, and what it printed.
pub fn feed(command: &mut Command, input: &[u8]) -> (bool, String) {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // It may stop reading early; its exit code says why.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}
