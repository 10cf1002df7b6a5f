//! The hook of `repo-layout/` in a real bare repository, and what people see who push.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::git_store::{git, run};
use crate::solo::{federation, mesh_file};
use crate::stage::binary;
use crate::trust::repository::Work;

/// Begins like a key, and is none.
const SECRET: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACBX0wM/+0waF+kzxQjOalu8dVfXw0wfLQd6PH+oV6hR8AAAAJgAAAAAAAAA
-----END OPENSSH PRIVATE KEY-----
";

/// A server's repository with the hook, and a person's clone of it.
struct Server {
    work: Work,
    bare: PathBuf,
}

impl Server {
    fn new() -> Self {
        let work = Work::new();
        let bare = work.scratch().join("server.git");
        run(git(work.scratch()).args(["init", "--quiet", "--bare", "-b", "main"]).arg(&bare));
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("repo-layout/hooks/pre-receive");
        std::fs::create_dir_all(bare.join("hooks")).unwrap();
        std::fs::copy(hook, bare.join("hooks/pre-receive")).unwrap();
        work.write("federation.yaml", federation());
        for mesh in ["rosa", "aro"] {
            let agent = work.public(&format!("{mesh}-agent"));
            work.write(&format!("meshes/{mesh}/mesh.yaml"), &mesh_file(mesh, &format!("  agent: {{keys: [{agent}]}}\n")));
            std::fs::remove_dir_all(work.path().join(format!("meshes/{mesh}/peers"))).unwrap();
        }
        work.commit(Some("root"), "Say what there is");
        Self { work, bare }
    }

    /// A push as people make it: whether it went through, and what they see.
    fn push(&self, arguments: &[&str]) -> (bool, String) {
        let folder = Path::new(binary()).parent().unwrap().to_owned();
        let path = std::env::join_paths(
            std::iter::once(folder).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let mut command: Command = git(self.work.scratch());
        command
            .env("PATH", path.unwrap())
            .arg("-C")
            .arg(self.work.path())
            .args(["push", "--quiet"])
            .arg(&self.bare)
            .args(arguments);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[track_caller]
    fn accepts(&self, arguments: &[&str]) {
        let (went, seen) = self.push(arguments);
        assert!(went, "{seen}");
    }

    /// The push does not go through, nothing of it is there, and every text is seen. The clone goes back to where it was.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &[&str]) {
        let before = run(git(&self.bare).arg("-C").arg(&self.bare).args(["for-each-ref"]));
        let (went, seen) = self.push(arguments);
        assert!(!went, "it went through: {arguments:?}");
        for words in words {
            assert!(seen.contains(words), "{words:?} is not in {seen}");
        }
        for line in seen.lines().filter(|line| line.contains("meshfed: ")) {
            assert!(line.contains("refused: ") && line.starts_with("remote: meshfed: refs/"), "{line}");
        }
        assert_eq!(run(git(&self.bare).arg("-C").arg(&self.bare).args(["for-each-ref"])), before);
        if before.contains("refs/heads/main") {
            let at = run(git(&self.bare).arg("-C").arg(&self.bare).args(["rev-parse", "main"]));
            self.work.git(&["reset", "--quiet", "--hard", &at]);
        }
    }
}

#[test]
fn a_push_lands_when_it_keeps_to_the_rules_and_else_says_which_it_broke() {
    let server = Server::new();
    let work = &server.work;
    server.accepts(&["main"]);
    work.change(Some("aro"), "meshes/aro/mesh.yaml", &mesh_file("aro", "  members: [apps]\n"));
    server.accepts(&["main"]);

    let unsigned = work.change(None, "meshes/aro/mesh.yaml", &mesh_file("aro", ""));
    let words =
        format!("remote: meshfed: refs/heads/main refused: commit {unsigned} Unsigned: it is not signed; sign it with your key");
    server.refuses(&["main"], &[&words]);
    work.change(Some("aro"), "meshes/rosa/mesh.yaml", &mesh_file("rosa", "  members: [apps]\n"));
    server.refuses(&["main"], &[
        "PathDenied: meshes/rosa/mesh.yaml: aro@example.com may not change it (signed by aro@example.com); leave the path to those who may",
    ]);
    work.change(Some("eve"), "meshes/aro/mesh.yaml", &mesh_file("aro", ""));
    server.refuses(&["main"], &["UnknownSigner: its key SHA256:", "or let root add yours: meshfed trust add"]);
    work.change(Some("aro"), "meshes/aro/mesh.yaml", &mesh_file("aro", "  platfrom: aws\n"));
    server.refuses(&["main"], &["meshes/aro/mesh.yaml: [MF001] ", "did you mean `platform`?"]);

    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    server.refuses(&["--force", "main"], &["SourceRewound: the branch went back from ", "push without force"]);
    server.refuses(&["--delete", "main"], &["refs/heads/main refused: this branch is not deleted"]);
    work.git(&["commit", "--quiet", "--amend", "--no-edit", "--allow-empty", "--date", "2001-01-01T00:00:00"]);
    server.refuses(&["--force", "main"], &["SourceForked: "]);
}

#[test]
fn t13_a_secret_does_not_land_on_any_branch_whatever_takes_it_out_again() {
    let server = Server::new();
    let work = &server.work;
    server.accepts(&["main"]);
    let manifest = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\ndata: {password: c2VjcmV0}\n";
    for (path, content, words) in [
        ("notes/key.txt", SECRET, ":1: [MF014] this is a private key; take it out of every commit that is pushed"),
        ("meshes/aro/manifests/a.yaml", manifest, ":2: [MF014] a Secret with its data lies open in the repository"),
    ] {
        work.git(&["switch", "--quiet", "-c", "topic"]);
        let leak = work.change(Some("root"), path, content);
        work.git(&["rm", "--quiet", path]);
        let tip = work.commit(Some("root"), "Take it out");
        server.refuses(&["topic"], &[&format!("refs/heads/topic refused: commit {leak} {path}{words}")]);
        server.refuses(&[&format!("{tip}:main")], &["refs/heads/main refused: ", words]);
        assert!(
            run(git(&server.bare).arg("-C").arg(&server.bare).args(["cat-file", "--batch-all-objects", "--batch-check"]))
                .lines()
                .all(|line| !line.starts_with(&leak.to_string()))
        );
        work.git(&["switch", "--quiet", "main"]);
        work.git(&["branch", "--quiet", "-D", "topic"]);
    }
}

#[test]
fn an_agent_writes_its_own_branch_and_no_other() {
    let server = Server::new();
    let work = &server.work;
    server.accepts(&["main"]);
    work.publish("rosa", "rosa-agent", "a: 1\n");
    server.accepts(&["published/rosa"]);
    work.publish("rosa", "aro-agent", "a: 2\n");
    server
        .refuses(&["published/rosa"], &["refs/heads/published/rosa refused: commit ", "UnknownSigner", "is none of the mesh's"]);
    server.refuses(&["--delete", "published/rosa"], &["this branch is not deleted as long as meshes/rosa/ is on main"]);
    work.publish("nobody", "rosa-agent", "a: 1\n");
    server.refuses(&["published/nobody"], &["main does not know a mesh nobody; add meshes/nobody/mesh.yaml first"]);

    // The last words of a mesh that has left.
    std::fs::remove_dir_all(work.path().join("meshes/aro")).unwrap();
    work.commit(Some("root"), "aro leaves");
    server.accepts(&["main"]);
    work.publish("aro", "aro-agent", "mode: left\n");
    server.accepts(&["published/aro"]);
    server.accepts(&["--delete", "published/aro"]);
}

#[test]
fn without_trust_only_documents_and_secrets_are_looked_at() {
    let server = Server::new();
    let work = &server.work;
    std::fs::remove_dir_all(work.path().join("trust")).unwrap();
    work.git(&["switch", "--quiet", "--orphan", "plain"]);
    work.git(&["branch", "--quiet", "-D", "main"]);
    work.git(&["branch", "--quiet", "-m", "main"]);
    work.write("federation.yaml", federation());
    work.commit(None, "Begin");
    server.accepts(&["main"]);
    work.change(None, "federation.yaml", &federation().replace("Federation", "Federatoin"));
    server.refuses(&["main"], &["federation.yaml: [MF001]"]);
    work.change(None, "key", SECRET);
    server.refuses(&["main"], &["key:1: [MF014]"]);
    work.change(None, "federation.yaml", &format!("{}# more\n", federation()));
    server.accepts(&["main"]);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    server.refuses(&["--force", "main"], &["refused: it goes back, or to another history"]);
    // The repository is introduced in the middle of its life.
    work.append("trust/allowed_signers", &work.signer_line("root"));
    work.write("trust/policy.yaml", crate::trust::repository::POLICY);
    work.commit(Some("root"), "Introduce");
    server.accepts(&["main"]);
    work.change(None, "federation.yaml", federation());
    server.refuses(&["main"], &["Unsigned"]);
}

#[test]
fn a_merge_request_is_judged_commit_by_commit_and_by_its_documents() {
    let server = Server::new();
    let work = &server.work;
    let check = |range: &str| {
        let mut command = Command::new(binary());
        command.args(["check", "--range", range]).current_dir(work.path()).env_clear().env("HOME", work.scratch());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    work.git(&["switch", "--quiet", "-c", "topic"]);
    work.change(Some("aro"), "meshes/aro/mesh.yaml", &mesh_file("aro", "  members: [apps]\n"));
    let (code, out, err) = check("main..topic");
    assert_eq!((code, &*out), (Some(0), ""), "{err}");
    assert!(err.contains("no findings in 3 files, 1 commit verified"), "{err}");

    let unsigned = work.change(None, "meshes/aro/mesh.yaml", &mesh_file("aro", "  members: [shop]\n"));
    let denied = work.change(Some("aro"), "meshes/rosa/mesh.yaml", &mesh_file("rosa", "  platfrom: aws\n"));
    let (code, out, err) = check("main..");
    assert_eq!(code, Some(1), "{out}{err}");
    for words in [
        "error[MF022]: a commit of the branch is refused: it is not signed",
        &format!("commit {}, 20", &unsigned.to_string()[..7]),
        "error[MF025]: aro@example.com may not change meshes/rosa/mesh.yaml",
        &format!("commit {}, 20", &denied.to_string()[..7]),
        "note: trust/policy.yaml:10 gives that path to root, rosa",
        "MF001",
        "meshes/rosa/mesh.yaml:6:3",
    ] {
        assert!(out.contains(words), "{words:?} is not in {out}");
    }
    assert!(err.contains("3 errors in 3 files, 1 of 3 commits verified"), "{err}");

    // What was merged into it hides whose commits they are.
    work.git(&["switch", "--quiet", "main"]);
    work.change(Some("root"), "federation.yaml", &format!("{}# more\n", federation()));
    work.git(&["switch", "--quiet", "topic"]);
    work.git(&["merge", "--quiet", "--no-edit", "main"]);
    let (code, out, _) = check("main..topic");
    assert_eq!(code, Some(1));
    assert!(
        out.contains("error[MF026]: the branch is refused: ") && out.contains("help: fetch, rebase onto the branch"),
        "{out}"
    );
    assert_eq!(check("main").0, Some(2));
}
