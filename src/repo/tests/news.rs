//! What is new on `main` for whoever knows an earlier commit.

use crate::repo::testing::{Lab, git};
use crate::repo::{Change, News};

const ALLOW: &str = "Meshfed-Allow-Delete";

#[test]
fn commits_after_the_known_one_are_new_with_their_trailers() {
    let lab = Lab::new();
    let known = lab.tip("main");
    let first = lab.commit("Retire it\n\nNobody calls it.\n\nmeshfed-allow-delete: rosa, aro\nSigned-off-by: x", &[("a", "1")]);
    let second = lab.commit("Meshfed-Allow-Delete: rosa", &[("a", "2")]);
    let third = lab.commit("Say\n\nMeshfed-Allow-Delete: rosa\n\nis no trailer, as it is not at the end", &[("a", "3")]);
    let mut mirror = lab.mirror();
    mirror.fetch().unwrap();
    let expected =
        News { commits: vec![(third, vec![]), (second, vec![]), (first, vec!["rosa, aro".to_owned()])], descends: true };
    assert_eq!(mirror.since(third, Some(known), ALLOW).unwrap(), expected);
    assert_eq!(mirror.since(third, Some(third), ALLOW).unwrap(), News { commits: vec![], descends: true });
    let only_the_tip = News { commits: vec![(first, vec!["rosa, aro".to_owned()])], descends: false };
    assert_eq!(mirror.since(first, None, ALLOW).unwrap(), only_the_tip);
    let elsewhere = "0123456789012345678901234567890123456789".parse().unwrap();
    assert_eq!(mirror.since(first, Some(elsewhere), ALLOW).unwrap(), only_the_tip);
}

#[test]
fn after_a_reset_only_what_was_never_there_is_new() {
    let lab = Lab::new();
    let old = lab.commit("Old\n\nMeshfed-Allow-Delete: rosa", &[("a", "1")]);
    let applied = lab.commit("Applied", &[("a", "2")]);
    let mut mirror = lab.mirror();
    mirror.fetch().unwrap();
    git(&lab.person, &["reset", "--quiet", "--hard", &old.to_string()]);
    git(&lab.person, &["push", "--quiet", "--force", "origin", "main"]);
    mirror.fetch().unwrap();
    assert_eq!(mirror.since(old, Some(applied), ALLOW).unwrap(), News { commits: vec![], descends: false });
    let new = lab.commit("New\n\nMeshfed-Allow-Delete: rosa", &[("a", "3")]);
    mirror.fetch().unwrap();
    let news = News { commits: vec![(new, vec!["rosa".to_owned()])], descends: false };
    assert_eq!(mirror.since(new, Some(applied), ALLOW).unwrap(), news);
}

#[test]
fn a_commit_changes_what_differs_from_its_first_parent() {
    let lab = Lab::new();
    let first = lab.tip("main");
    lab.commit("Two files", &[("meshes/a", "1"), ("meshes/b", "1")]);
    git(&lab.person, &["rm", "--quiet", "meshes/b"]);
    std::os::unix::fs::symlink("a", lab.person.join("meshes/link")).unwrap();
    let last = lab.commit("One changes, one goes", &[("meshes/a", "2")]);
    let mut mirror = lab.mirror();
    mirror.fetch().unwrap();
    let told = |commit| -> Vec<(String, bool, bool)> {
        let changes = mirror.changed(commit).unwrap();
        changes.into_iter().map(|Change { path, before, after }| (path, before.is_some(), after.is_some())).collect()
    };
    let expected = [("federation.yaml".to_owned(), false, true), ("meshes/rosa/mesh.yaml".to_owned(), false, true)];
    assert_eq!(told(first), expected, "all is new in the first");
    assert_eq!(told(last), [("meshes/a".to_owned(), true, true), ("meshes/b".to_owned(), true, false)], "a link is no file");
}
