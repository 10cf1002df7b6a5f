//! What commands ask on a terminal, and that they ask nothing elsewhere.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rexpect::session::spawn_command;

use crate::lab::git_store::{git, run};
use crate::solo::{federation, mesh_file};
use crate::stage::binary;

/// Longest wait for a question, in milliseconds: far more than a loaded machine takes.
const PATIENCE: Option<u64> = Some(60_000);

/// A clone with two meshes, of which `aro` has Services in its manifests.
fn mk_clone(home: &Path) {
    let folder = home.join("work");
    run(git(home).args(["init", "--quiet", "-b", "main"]).arg(&folder));
    let service = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: apps}}\nspec: {{ports: [{{port: 80}}]}}\n---\n"
        )
    };
    let files = [
        ("federation.yaml", federation().to_owned()),
        ("meshes/rosa/mesh.yaml", mesh_file("rosa", "  members: [shop]\n")),
        ("meshes/aro/mesh.yaml", mesh_file("aro", "  members: [apps]\n")),
        ("meshes/aro/manifests/services.yaml", ["details", "ratings", "reviews"].map(service).concat()),
    ];
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    run(git(home).arg("-C").arg(&folder).args(["add", "--all"]));
    run(git(home).arg("-C").arg(&folder).args(["commit", "--quiet", "-m", "Begin"]));
    run(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(home.join("key")));
}

fn peer(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(["peer", "rosa", "aro", "--key", "../key"]).current_dir(home.join("work"));
    command.env_clear().env("HOME", home).env("TERM", "xterm");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.com");
    }
    command
}

fn halves(home: &Path) -> [String; 2] {
    ["rosa/peers/aro", "aro/peers/rosa"].map(|path| fs::read_to_string(home.join(format!("work/meshes/{path}.yaml"))).unwrap())
}

#[test]
fn services_are_chosen_on_a_terminal() {
    let home = tempfile::tempdir().unwrap();
    mk_clone(home.path());
    let mut terminal = spawn_command(peer(home.path()), PATIENCE).unwrap();
    terminal.exp_string("rosa shares with aro").unwrap();
    terminal.send_line("").unwrap(); // nothing
    terminal.exp_string("What does aro share with rosa?").unwrap();
    terminal.exp_string("apps/reviews").unwrap();
    terminal.send(" \u{1b}[B\u{1b}[B \r").unwrap(); // the first and the third
    terminal.flush().unwrap();
    terminal.exp_string("Name under which rosa sees apps/details").unwrap();
    terminal.send("\r").unwrap();
    terminal.flush().unwrap();
    terminal.exp_string("Name under which rosa sees apps/reviews").unwrap();
    terminal.send_line("shop/reviews").unwrap();
    terminal.exp_string("committed ").unwrap();
    terminal.exp_eof().unwrap();
    let mut again = spawn_command(peer(home.path()), PATIENCE).unwrap();
    let said = again.exp_eof().unwrap();
    assert!(said.contains("is there already") && !said.contains("share"), "nothing is asked in vain: {said}");
    let [rosa, aro] = halves(home.path());
    assert_eq!(spec(&rosa), "spec:\n  imports:\n  - service: apps/details\n  - service: shop/reviews\n");
    assert_eq!(spec(&aro), "spec:\n  exports:\n  - service: apps/details\n  - service: apps/reviews\n    as: shop/reviews\n");
}

#[test]
fn a_status_is_shown_again_when_a_branch_moves() {
    let home = tempfile::tempdir().unwrap();
    mk_clone(home.path());
    let mut command = Command::new(binary());
    command.args(["status", "--repo", "work", "--watch"]).current_dir(home.path());
    command.env_clear().env("HOME", home.path()).env("TERM", "xterm").env("COLUMNS", "100").env("NO_COLOR", "1");
    let mut terminal = spawn_command(command, PATIENCE).unwrap();
    terminal.exp_string("2 meshes").unwrap();
    terminal.exp_string("the agent of rosa never published").unwrap();
    let work = home.path().join("work");
    fs::create_dir(work.join("meshes/gcp")).unwrap();
    fs::write(work.join("meshes/gcp/mesh.yaml"), mesh_file("gcp", "")).unwrap();
    run(git(home.path()).arg("-C").arg(&work).args(["add", "--all"]));
    run(git(home.path()).arg("-C").arg(&work).args(["commit", "--quiet", "-m", "Another"]));
    terminal.exp_string("\u{1b}[H\u{1b}[J").unwrap(); // in place of what was there
    terminal.exp_string("3 meshes").unwrap();
    terminal.exp_string("gcp ").unwrap();
    terminal.send_control('c').unwrap();
    terminal.exp_eof().unwrap();
}

fn spec(half: &str) -> &str {
    &half[half.find("spec:").unwrap()..]
}

#[test]
fn nothing_is_asked_where_nobody_sits() {
    let home = tempfile::tempdir().unwrap();
    mk_clone(home.path());
    let output = peer(home.path()).stdin(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("share"), "{said}");
    for half in halves(home.path()) {
        assert!(!half.contains("service:"), "{half}");
    }
}
