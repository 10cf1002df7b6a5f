//! What an agent publishes, and how it gets there: signed, without force, and never twice.

use std::process::Command;

use crate::lab::git_store::git;
use crate::lab::poll;
use crate::solo::{self, Solo};
use crate::stage::{Agent, eventually};

fn branch(solo: &Solo) -> String {
    format!("published/{}", solo.mesh)
}

/// Plays the control plane: gives the mesh a CA root, so that there is something new to publish.
fn give_root(solo: &Solo) -> String {
    let root = solo::root();
    let map = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio-ca-root-cert", "namespace": solo.mesh}, "data": {"root-cert.pem": root}});
    solo.wait_for("configmap", "meshfed");
    solo.kubectl_file(&["apply", "--server-side", "--field-manager=istiod"], &map.to_string());
    root
}

/// Waits until the branch holds a root; gives the whole file.
fn published(solo: &Solo, root: &str) -> String {
    let second_line = root.lines().nth(1).unwrap();
    eventually("the root is published", || match solo.git.show(&format!("{}:published.yaml", branch(solo))) {
        Some(text) if text.contains(second_line) => Ok(text),
        other => Err(format!("{other:?}")),
    })
}

/// Whether Git itself takes the signature of a commit as one of this key.
fn verifies(solo: &Solo, commit: &str, key: &str) -> bool {
    let signers = solo.scratch.write("signers", &format!("agent@example.com namespaces=\"git\" {key}\n"));
    let setting = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let mut command: Command = git(solo.scratch.path());
    command.arg("-C").arg(solo.git.path()).args(["-c", &setting, "verify-commit", commit]);
    command.output().expect("git can be run").status.success()
}

/// The public half of the key that the agent said it has made.
fn key(agent: &Agent) -> String {
    let said = agent.wait_for("made a signing key")["message"].as_str().unwrap().to_owned();
    said[said.find("ssh-ed25519").expect("the key is in the message")..].to_owned()
}

#[test]
fn the_branch_is_an_orphan_and_linear_and_every_commit_is_signed_by_the_agent() {
    let solo = Solo::new("publish-signed");
    let agent = solo.agent();
    published(&solo, &give_root(&solo));
    published(&solo, &give_root(&solo));
    let commits = solo.git.git(&["rev-list", "--parents", &branch(&solo)]);
    let commits: Vec<Vec<&str>> = commits.lines().map(|line| line.split(' ').collect()).collect();
    assert!(commits.len() >= 2, "{commits:?}");
    let parents: Vec<usize> = commits.iter().rev().map(|commit| commit.len() - 1).collect();
    assert_eq!(parents[0], 0, "its history does not begin in main");
    assert!(parents[1..].iter().all(|count| *count == 1), "{parents:?}");
    let key = key(&agent);
    for commit in &commits {
        assert!(verifies(&solo, commit[0], &key), "{}", solo.git.git(&["cat-file", "-p", commit[0]]));
    }
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9lJ9lJ9lJ9lJ9lJ9lJ9lJ9lJ9lJ9lJ9lJ9lJ9lJ9lJ";
    assert!(!verifies(&solo, commits[0][0], other), "a signature of one key is none of another");
    let files = solo.git.git(&["ls-tree", "--name-only", "-r", &branch(&solo)]);
    assert_eq!(files, "published.yaml\nstatus.yaml");
    assert!(solo.status().contains("verified: not verified (verification is off)"), "{}", solo.status());
    assert_eq!(solo.git.log("main").len(), 1, "nobody but people writes main");

    let before = solo.git.log(&branch(&solo)).len();
    let mut agent = agent;
    agent.process.kill();
    solo.git.commit("Something that changes no declaration", &[("README.md", Some("x"))]);
    let again = solo.agent();
    again.wait_for("Something that changes no declaration");
    let roots = published(&solo, &give_root(&solo));
    assert_eq!(roots.matches("BEGIN CERTIFICATE").count(), 3, "old roots stay while their certificates live");
    assert_eq!(again.process.log().matches("made a signing key").count(), 1, "the key is kept");
    assert!(solo.git.log(&branch(&solo)).len() > before);
    assert!(verifies(&solo, &solo.git.head(&branch(&solo)).unwrap(), &key));
}

#[test]
fn over_http_the_password_comes_from_a_file_and_is_never_shown() {
    let solo = Solo::new("publish-http");
    solo.git.require_password("agent", "correct-horse");
    let password = solo.scratch.write("password", "wrong-horse\n");
    let file = password.display().to_string();
    let agent = solo.agent_with(&solo.git.url(), &["--http-user", "agent", "--http-password-file", &file]);
    agent.wait_for("refuses access");
    solo.scratch.write("password", "correct-horse\n");
    let root = give_root(&solo);
    published(&solo, &root);
    assert!(!agent.process.log().contains("horse"), "{}", agent.process.log());
}

#[test]
fn a_hook_that_declines_is_quoted_and_the_cluster_is_looked_after_all_the_same() {
    let solo = Solo::new("publish-declined");
    solo.git.hook("pre-receive", "echo 'only robots with a badge may push' >&2; exit 1");
    let mut agent = solo.agent_with(&solo.git.url(), &[]);
    let words = agent.wait_for("only robots with a badge may push")["message"].as_str().unwrap().to_owned();
    assert!(words.contains("published/publish-declined") && words.contains("let this agent write that branch"), "{words}");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    solo.wait_for_value("a", Some("one"));
    assert_eq!(solo.git.head(&branch(&solo)), None);
    let said = agent.process.log().matches("with a badge").count();
    assert_eq!(said, 1, "{}", agent.process.log());

    solo.git.hook("pre-receive", "exit 0");
    agent.process.kill();
    let _agent = solo.agent_with(&solo.git.url(), &[]);
    eventually("it publishes", || solo.git.head(&branch(&solo)).ok_or_else(|| "nothing".to_owned()));
}

#[test]
fn a_branch_that_somebody_else_moved_is_built_upon_and_never_forced() {
    let solo = Solo::new("publish-moved");
    solo.git.configure("receive.denyNonFastForwards", "true");
    // It looks so seldom that it does not know of the other's commit when it pushes.
    let agent = solo.agent_with(&solo.git.url(), &["--interval", "1h"]);
    published(&solo, &give_root(&solo));
    let theirs = solo.git.commit_on(&branch(&solo), "Not the agent", &[("published.yaml", Some("kind: Nonsense\n"))]);
    let root = give_root(&solo);
    published(&solo, &root);
    let history = solo.git.git(&["rev-list", &branch(&solo)]);
    assert!(history.lines().any(|commit| commit == theirs), "the other's commit stays in the history");
    assert!(solo.git.show(&format!("{}:status.yaml", branch(&solo))).is_some());
    assert!(verifies(&solo, &solo.git.head(&branch(&solo)).unwrap(), &key(&agent)));
}

#[test]
fn what_somebody_else_wrote_to_the_branch_is_set_right_without_a_reason_of_its_own() {
    let solo = Solo::new("publish-edited");
    let _agent = solo.agent();
    let root = give_root(&solo);
    let ours = published(&solo, &root);
    let theirs = solo.git.commit_on(&branch(&solo), "Not the agent", &[("published.yaml", Some("kind: Nonsense\n"))]);
    assert_eq!(published(&solo, &root), ours);
    let history = solo.git.git(&["rev-list", &branch(&solo)]);
    assert!(history.lines().any(|commit| commit == theirs));
    let quiet = solo.git.log(&branch(&solo)).len();
    let more = poll(std::time::Duration::from_secs(4), || (solo.git.log(&branch(&solo)).len() > quiet + 1).then_some(()));
    assert!(more.is_none(), "it does not publish again and again: {:?}", solo.git.log(&branch(&solo)));
}
