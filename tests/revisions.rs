//! `check` of what a commit says, and of the commits themselves.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::lab::git_store::{git, run};
use crate::solo::{federation, mesh_file};
use crate::stage::binary;
use crate::trust::repository::Work;

/// A federation of two meshes whose agents have keys.
fn mk_work() -> Work {
    Work::begin(|work| {
        work.write("federation.yaml", federation());
        for mesh in ["rosa", "aro"] {
            let agent = work.public(&format!("{mesh}-agent"));
            work.write(&format!("meshes/{mesh}/mesh.yaml"), &mesh_file(mesh, &format!("  agent: {{keys: [{agent}]}}\n")));
        }
    })
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn check(work: &Work, folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(binary());
    command.arg("check").args(arguments).current_dir(folder).env_clear().env("HOME", work.scratch());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The numbers that are found, with the paths.
fn codes(ran: &Ran) -> Vec<(String, String)> {
    let found: Vec<Value> = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found.iter().map(|finding| (text(&finding["code"]), text(&finding["path"]))).collect()
}

#[test]
fn a_revision_is_checked_here_and_elsewhere_without_its_files() {
    let work = mk_work();
    work.git(&["switch", "--quiet", "-c", "topic"]);
    let broken = mesh_file("aro", "  platfrom: aws\n");
    let bad = work.change(Some("aro"), "meshes/aro/mesh.yaml", &broken).to_string();
    work.git(&["switch", "--quiet", "main"]);
    let path = "meshes/aro/mesh.yaml".to_owned();
    let found = |arguments: &[&str], folder: &Path| {
        let ran = check(&work, folder, &[&["-o", "json"], arguments].concat());
        (ran.code, codes(&ran))
    };
    let (here, elsewhere, url) = (work.path(), work.scratch(), work.url());
    let wrong = (Some(1), vec![("MF001".to_owned(), path)]);
    assert_eq!(found(&[], &here), (Some(0), Vec::new()));
    for revision in ["topic", &bad, &bad[..10]] {
        assert_eq!(found(&["--rev", revision], &here), wrong);
        assert_eq!(found(&["--repo", &url, "--rev", revision], elsewhere), wrong);
    }
    assert_eq!(found(&["--rev", "HEAD", "meshes/aro"], &here), (Some(0), Vec::new()), "a folder in the clone names it too");
    assert_eq!(found(&["--repo", &url], elsewhere), (Some(0), Vec::new()));
    let ran = check(&work, &here, &["--rev", "nowhere"]);
    assert!(ran.code == Some(3) && ran.err.contains("nowhere"), "{}", ran.err);
}

#[test]
fn commits_are_verified_as_agents_do_it() {
    let work = mk_work();
    work.change(
        Some("rosa"),
        "meshes/rosa/mesh.yaml",
        &mesh_file("rosa", &format!("  agent: {{keys: [{}]}}\n", work.public("rosa-agent"))),
    );
    work.publish("aro", "aro-agent", "a: 1\n");
    work.publish("aro", "aro-agent", "a: 2\n");
    let says = |arguments: &[&str], words: &str, code: i32| {
        let ran = check(&work, &work.path(), arguments);
        assert!(ran.code == Some(code) && ran.err.contains(words), "{}{}", ran.out, ran.err);
        ran.out
    };
    let short = &work.anchor.to_string()[..7];
    // The status is none, which is another finding.
    let count = |ran: &str| ran.matches("error[").count();
    let before = count(&says(&[], &format!("4 commits verified from {short} on ("), 1));

    let shown = work.git(&["archive", &work.anchor.to_string(), "trust"]);
    assert!(!shown.is_empty());
    let mut show = Command::new(binary());
    show.args(["trust", "show", "--at", &work.anchor.to_string(), "-o", "json"]).current_dir(work.path());
    let digest: Value = serde_json::from_slice(&show.output().unwrap().stdout).unwrap();
    let anchor =
        ["--trust-anchor", &work.anchor.to_string(), "--trust-digest", digest["digest"].as_str().unwrap()].map(str::to_owned);
    let anchor: Vec<&str> = anchor.iter().map(String::as_str).collect();
    says(&anchor, "4 commits verified (", 1);

    work.change(Some("aro"), "meshes/rosa/mesh.yaml", &mesh_file("rosa", ""));
    work.publish("aro", "rosa-agent", "a: 3\n");
    let out = says(&anchor, ", 4 of ", 1);
    assert_eq!(count(&out), before + 2, "{out}");
    for words in [
        "error[MF025]: aro@example.com may not change meshes/rosa/mesh.yaml",
        " = note: trust/policy.yaml:10 gives that path to root, rosa",
        "error[MF023]: a commit of published/aro is refused: its key",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    for format in ["json", "github", "sarif"] {
        let out = says(&[&anchor[..], &["-o", format]].concat(), ", 4 of ", 1);
        assert!(out.contains("MF025") && out.contains("meshes/rosa/mesh.yaml"), "{format}: {out}");
        let range = says(&["--range", "HEAD~1..HEAD", "-o", format], "0 of 1 commit verified", 1);
        assert!(range.contains("MF025") && !range.contains("MF023"), "{format}: {range}");
    }
    work.accept("root", &[work.head()]);
    assert_eq!(count(&says(&anchor, "6 of 7 commits verified", 1)), before + 1, "what root takes as it is, is no finding");
}

#[test]
fn a_clone_without_its_history_is_checked_all_the_same() {
    let work = mk_work();
    work.change(Some("aro"), "meshes/aro/mesh.yaml", &mesh_file("aro", "  members: [apps]\n"));
    let shallow = work.scratch().join("shallow");
    run(git(work.scratch()).args(["clone", "--quiet", "--depth", "1", &work.url()]).arg(&shallow));
    let ran = check(&work, &shallow, &[]);
    assert!(
        ran.code == Some(0)
            && ran.err.contains("no commit verified: ")
            && ran.err.contains(" (git fetch --unshallow gets older ones)"),
        "{}{}",
        ran.out,
        ran.err
    );
}
