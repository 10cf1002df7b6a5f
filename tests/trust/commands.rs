//! `meshfed trust …` as people run it, in a clone of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::repository::{Work, id};
use crate::golden::known;
use crate::lab::git_store::{git, run};
use crate::stage::binary;

/// What a command printed, and how it ended.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn command(home: &Path, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(directory).env_clear().env("HOME", home).env("COLUMNS", "100").stdin(Stdio::null());
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
    }
    command
}

fn meshfed(home: &Path, directory: &Path, arguments: &[&str]) -> Ran {
    let output = command(home, directory, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A clone without trust/, in a home with a key `k`.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        run(git(desk.0.path()).args(["init", "--quiet", "-b", "main"]).arg(desk.path()));
        fs::write(desk.path().join("federation.yaml"), "kind: Federation\n").unwrap();
        desk.git(&["add", "--all"]);
        desk.git(&["commit", "--quiet", "-m", "Begin"]);
        assert_eq!(desk.meshfed(&["trust", "keygen", "../k"]).code, Some(0));
        desk
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("work")
    }

    fn git(&self, arguments: &[&str]) -> String {
        run(git(self.0.path()).arg("-C").arg(self.path()).args(arguments))
    }

    fn meshfed(&self, arguments: &[&str]) -> Ran {
        meshfed(self.0.path(), &self.path(), arguments)
    }

    #[track_caller]
    fn fine(&self, arguments: &[&str]) -> Ran {
        let ran = self.meshfed(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}{}", ran.out, ran.err);
        ran
    }

    #[track_caller]
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.meshfed(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}{}", ran.out, ran.err);
        ran.err
    }
}

#[test]
fn a_key_is_for_its_owner_and_never_replaced() {
    let desk = Desk::new();
    let file = desk.0.path().join("k");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&file).unwrap();
    assert!(desk.fails(2, &["trust", "keygen", "../k"]).contains("k.pub is there already, and is not replaced"));
    fs::remove_file(file.with_extension("pub")).unwrap();
    assert!(desk.fails(3, &["trust", "keygen", "../k"]).contains("it is there already, and is not replaced"));
    assert_eq!(fs::read(&file).unwrap(), before);
    let public = desk.fine(&["trust", "keygen", "../agent", "--comment", "agent of rosa"]).out;
    assert!(public.starts_with("ssh-ed25519 AAAA") && public.ends_with(" agent of rosa\n"), "{public}");
    let derived = run(Command::new("ssh-keygen").arg("-y").arg("-f").arg(desk.0.path().join("agent")));
    assert_eq!(derived.split(' ').nth(1), public.split(' ').nth(1), "OpenSSH reads it");
}

#[test]
fn a_repository_is_introduced_and_each_change_is_one_that_agents_follow() {
    let desk = Desk::new();
    let ran = desk.fine(&["trust", "introduce", "--name", "ada@example.com", "--key", "../k"]);
    assert!(ran.err.contains("next: git remote add origin URL, then git push origin main"), "{}", ran.err);
    let anchor = desk.git(&["rev-parse", "HEAD"]);
    let digest = desk.git(&["log", "-1", "--format=%H"]);
    assert!(ran.out.starts_with(&format!("--trust-anchor {digest} --trust-digest sha256:")), "{}", ran.out);
    assert_eq!(desk.git(&["status", "--short"]), "", "work tree and index are as committed");

    // Plain Git agrees.
    desk.git(&["-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile=trust/allowed_signers", "verify-commit", "HEAD"]);

    let rob = desk.fine(&["trust", "keygen", "../rob"]).out;
    desk.fine(&["trust", "add", "rob@example.com", "../rob.pub", "--role", "rosa", "--key", "../k"]);
    let again = desk.fine(&["trust", "add", "rob@example.com", rob.trim(), "--role", "rosa", "--key", "../k"]);
    assert!(again.err.contains("nothing to do"), "{}", again.err);
    let stranger = desk.fine(&["trust", "keygen", "../stranger"]).out;
    let refused = desk.fails(3, &["trust", "add", "eve@example.com", stranger.trim(), "--role", "root", "--key", "../rob"]);
    assert!(
        refused.contains("no agent would follow this commit, so it was not made") && refused.contains("PathDenied: trust/"),
        "{refused}"
    );
    assert_eq!(desk.git(&["rev-list", "--count", "HEAD"]), "3");
    assert_eq!(desk.git(&["status", "--short"]), "", "nothing is left of what was not made");

    desk.fine(&["trust", "revoke", "rob@example.com", "--key", "../k"]);
    assert!(
        desk.fails(2, &["trust", "add", "rob2@example.com", rob.trim(), "--key", "../k"]).contains("what is revoked stays so")
    );
    assert!(desk.fails(3, &["trust", "revoke", "ada@example.com", "--key", "../k"]).contains("TrustBroken"), "the last root");
    let introduction: Vec<&str> = ran.out.split_whitespace().collect();
    let show = desk.fine(&[&["trust", "show"], &introduction[..]].concat());
    let fingerprints = |text: &str| regex_free(text, "SHA256:", 43);
    let commits = |text: &str| regex_free(text, "--trust-anchor ", 40);
    let shown = fingerprints(&commits(&show.out));
    let shown = regex_free(&shown, "sha256:", 64)
        .replace(&anchor[..7], "ANCHOR_")
        .replace(&desk.git(&["rev-parse", "--short=7", "HEAD"]), "COMMIT_");
    insta::assert_snapshot!(shown);
}

#[test]
fn each_command_says_what_it_did_and_what_is_next() {
    let desk = Desk::new();
    let mut transcript = String::new();
    let mut talk = |arguments: &[&str], code: i32| {
        let ran = desk.meshfed(arguments);
        assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
        transcript += &["$ meshfed ", &arguments.join(" "), "\n", &ran.out, &ran.err].concat();
    };
    talk(&["trust", "introduce", "--name", "ada@example.com", "--key", "../k"], 0);
    talk(&["trust", "keygen", "../rob"], 0);
    talk(&["trust", "add", "rob@example.com", "../rob.pub", "--role", "rosa", "--key", "../k"], 0);
    talk(&["trust", "add", "rob@example.com", "../rob.pub", "--role", "rosa", "--key", "../k"], 0);
    talk(&["trust", "revoke", "rob@example.com", "--key", "../k"], 0);
    talk(&["trust", "add", "rob@example.com", "../rob.pub", "--key", "../k"], 2);
    talk(&["trust", "show"], 0);
    fs::write(desk.path().join("federation.yaml"), "kind: Federation # unsigned\n").unwrap();
    desk.git(&["commit", "--quiet", "--all", "-m", "Not signed"]);
    let bad = desk.git(&["rev-parse", "HEAD"]);
    talk(&["trust", "accept", &bad, "--key", "../k"], 0);
    insta::assert_snapshot!(known(&transcript));
}

/// The text with what follows each `mark` replaced by as many dots.
fn regex_free(text: &str, mark: &str, length: usize) -> String {
    let mut parts = text.split(mark);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + mark + &".".repeat(length) + part.get(length..).unwrap_or_default())
}

#[test]
fn nothing_of_what_a_person_does_in_the_clone_is_taken_along() {
    let desk = Desk::new();
    fs::write(desk.path().join("notes"), "x").unwrap();
    desk.git(&["add", "notes"]);
    let introduce = ["trust", "introduce", "--key", "../k", "--name", "ada@example.com"];
    assert!(desk.fails(3, &introduce).contains("changes are staged (notes): commit or unstage them first"));
    desk.git(&["reset", "--quiet"]);
    fs::create_dir(desk.path().join("trust")).unwrap();
    fs::write(desk.path().join("trust/policy.yaml"), "mine").unwrap();
    assert!(desk.fails(3, &introduce).contains("trust/policy.yaml would be written, and has changes that are not committed"));
    assert_eq!(fs::read_to_string(desk.path().join("trust/policy.yaml")).unwrap(), "mine");
    fs::remove_dir_all(desk.path().join("trust")).unwrap();
    desk.fine(&introduce);
    assert_eq!(desk.git(&["status", "--short"]), "?? notes", "what was not staged stays so");
    desk.git(&["switch", "--quiet", "--detach"]);
    assert!(desk.fails(3, &["trust", "revoke", "x"]).contains("it is on no branch"));
}

/// An ssh-agent of our own, which ends with us.
struct Agent(Child);

impl Agent {
    fn start(socket: &Path) -> Self {
        let agent = Self(Command::new("ssh-agent").arg("-D").arg("-a").arg(socket).stdout(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while !socket.exists() {
            assert!(Instant::now() < deadline, "ssh-agent does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_key_that_only_openssh_can_use_signs_by_its_program() {
    let desk = Desk::new();
    let key = |name: &str, options: &[&str]| {
        let file = desk.0.path().join(name);
        run(Command::new("ssh-keygen").args(["-q", "-C", ""]).args(options).arg("-f").arg(&file));
        file
    };
    // Nobody is there to type a passphrase, and nothing is asked.
    key("protected", &["-t", "ed25519", "-N", "passphrase"]);
    let introduce = ["trust", "introduce", "--name", "ada@example.com", "--key"];
    let refused = desk.fails(3, &[&introduce[..], &["../protected"]].concat());
    assert!(refused.contains("ssh-keygen has not signed with ../protected: the key has a passphrase"), "{refused}");
    assert_eq!((desk.git(&["status", "--short"]), desk.git(&["rev-list", "--count", "HEAD"])), (String::new(), "1".to_owned()));

    key("rsa", &["-t", "rsa", "-b", "3072", "-N", ""]);
    desk.fine(&[&introduce[..], &["../rsa"]].concat());
    desk.git(&["-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile=trust/allowed_signers", "verify-commit", "HEAD"]);
    assert!(desk.fine(&["trust", "show"]).out.contains("verified from"));

    // Git's own settings are enough: a public key, whose private half lies beside it.
    desk.git(&["config", "gpg.format", "ssh"]);
    desk.git(&["config", "user.signingkey", &format!("{}/rsa.pub", desk.0.path().display())]);
    let held = key("held", &["-t", "ed25519", "-N", ""]);
    desk.fine(&["trust", "add", "rob@example.com", "../held.pub", "--role", "root"]);

    // In ssh-agent there is no file at all.
    let line = fs::read_to_string(held.with_extension("pub")).unwrap();
    desk.git(&["config", "user.signingkey", &format!("key::{}", line.trim())]);
    desk.fine(&["trust", "keygen", "../third"]);
    let add = ["trust", "add", "eve@example.com", "../third.pub"];
    let refused = desk.fails(3, &add);
    assert!(refused.contains("ssh-agent has to have it: ssh-add"), "{refused}");
    let socket = desk.0.path().join("agent");
    let _agent = Agent::start(&socket);
    run(Command::new("ssh-add").arg("-q").arg(&held).env("SSH_AUTH_SOCK", &socket));
    fs::remove_file(&held).unwrap();
    let mut with_agent = command(desk.0.path(), &desk.path(), &add);
    assert!(with_agent.env("SSH_AUTH_SOCK", &socket).status().unwrap().success());
    desk.git(&["-c", "gpg.ssh.allowedSignersFile=trust/allowed_signers", "verify-commit", "HEAD"]);
}

#[test]
fn a_key_that_others_may_read_or_that_is_not_public_is_refused() {
    let desk = Desk::new();
    desk.fine(&["trust", "introduce", "--name", "ada@example.com", "--key", "../k"]);
    let add = desk.fails(2, &["trust", "add", "rob@example.com", "../k", "--key", "../k"]);
    assert!(add.contains("this is a private key, which nobody else should have"), "{add}");
    fs::set_permissions(desk.0.path().join("k"), fs::Permissions::from_mode(0o644)).unwrap();
    let modes = desk.fails(3, &["trust", "revoke", "ada@example.com", "--key", "../k"]);
    assert!(modes.contains("others may read it (mode 0644): run chmod 600 on it"), "{modes}");
}

#[test]
fn a_bad_commit_is_shown_and_accepted_by_root_alone() {
    let work = Work::new();
    let ada = |arguments: &[&str]| meshfed(work.scratch(), &work.path(), arguments);
    let key = work.key("root").display().to_string();
    let bad = work.change(Some("aro"), "meshes/rosa/mesh.yaml", "a: 2\n").to_string();
    let worse = work.change(None, "federation.yaml", "b: 1\n").to_string();

    let show = ada(&["trust", "show"]);
    assert_eq!(show.code, Some(1));
    let line = format!(
        "! refused: {bad} PathDenied: meshes/rosa/mesh.yaml: aro@example.com may not change it (signed by aro@example.com)\n"
    );
    assert!(
        show.out.contains(&line) && show.out.contains(&format!("root runs `meshfed trust accept {bad}`; if not, reset main to ")),
        "{}",
        show.out
    );

    let not_root = work.key("aro").display().to_string();
    let refused = ada(&["trust", "accept", &bad, "--key", &not_root]);
    assert_eq!(refused.code, Some(3), "{}", refused.err);
    let good = work.anchor.to_string();
    assert_eq!(ada(&["trust", "accept", &good, "--key", &key]).code, Some(2), "nothing is wrong with it");
    for commit in [&worse, &bad] {
        let ran = ada(&["trust", "accept", &commit[..10], "--key", &key]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    }
    work.assert_verified();

    work.append("trust/allowed_signers", &work.signer_line("eve"));
    let stolen = work.commit(Some("aro"), "Help myself").to_string();
    let ran = ada(&["trust", "accept", &stolen, "--key", &key]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.out.contains("  M trust/allowed_signers\n"), "it is shown first: {}", ran.out);
    assert!(ran.err.contains("touches trust/, so it cannot be accepted") && ran.err.contains("git reset --hard"), "{}", ran.err);
    assert_eq!(work.head(), id(&stolen));
}
