//! A repository that is not there, or not as expected.

use crate::solo::{Solo, federation};

use super::said_once;

#[test]
fn a_repository_that_cannot_be_reached_is_tried_again_and_drift_is_repaired_meanwhile() {
    let solo = Solo::new("bad-network");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    solo.git.refuse();
    let agent = solo.agent_with(&solo.git.url(), &[]);
    let url = solo.git.url();
    said_once(&agent, "repository", &[&url, "cannot be reached", "will try again"]);
    solo.git.recover();
    solo.wait_for_value("a", Some("one"));
    agent.wait_for("the repository answers");

    solo.git.stall();
    for _ in 0..2 {
        solo.kubectl(&["delete", "configmap", "a", "-n", &solo.apps]);
        solo.wait_for_value("a", Some("one"));
    }
    solo.git.recover();
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "two")));
    solo.wait_for_value("a", Some("two"));

    let before = agent.events().len();
    solo.git.refuse();
    let again = |word: &str| {
        crate::stage::eventually(word, || {
            let found = agent.events().into_iter().skip(before).filter(|event| event["event"] == "repository").count();
            if found == 1 { Ok(()) } else { Err(agent.process.log_tail()) }
        });
    };
    again("it says so again");
    solo.kubectl(&["delete", "configmap", "a", "-n", &solo.apps]);
    solo.wait_for_value("a", Some("two"));
    solo.git.recover();
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "three")));
    solo.wait_for_value("a", Some("three"));
    again("and it has said so only once");
}

#[test]
fn an_empty_repository_is_waited_for_until_it_is_filled() {
    let solo = Solo::empty("bad-empty");
    let agent = solo.agent();
    said_once(&agent, "repository", &[&solo.git.file_url(), "is empty", "commit federation.yaml to main first"]);
    let mesh = solo.mesh_file();
    let map = solo.config_map("a", "one");
    let (mesh_path, map_path) = (solo.path("mesh.yaml"), solo.path("manifests/a.yaml"));
    let files = [("federation.yaml", Some(federation())), (&*mesh_path, Some(&*mesh)), (&*map_path, Some(&*map))];
    solo.git.commit("The first commit", &files);
    solo.wait_for_value("a", Some("one"));
}

#[test]
fn a_local_repository_that_is_made_after_the_start_is_found_at_a_poll() {
    let solo = Solo::new("bad-absent");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    let path = solo.git.file_url().replace("file://", "");
    let away = format!("{path}.away");
    std::fs::rename(&path, &away).unwrap();
    let agent = solo.agent();
    said_once(&agent, "repository", &["there is no repository at", &path]);
    std::fs::rename(&away, &path).unwrap();
    solo.wait_for_value("a", Some("one"));
}

#[test]
fn a_branch_that_does_not_exist_is_named_with_those_that_do() {
    let solo = Solo::new("bad-branch");
    let agent = solo.agent_with(&solo.git.file_url(), &["--branch", "release"]);
    said_once(&agent, "repository", &["branch release does not exist", &solo.git.file_url(), "the repository has: main"]);
    let map = solo.config_map("a", "one");
    let mesh = solo.mesh_file();
    let (mesh_path, map_path) = (solo.path("mesh.yaml"), solo.path("manifests/a.yaml"));
    let files = [("federation.yaml", Some(federation())), (&*mesh_path, Some(&*mesh)), (&*map_path, Some(&*map))];
    solo.git.commit_on("release", "Released", &files);
    solo.wait_for_value("a", Some("one"));
}

#[test]
fn a_mesh_that_the_repository_does_not_have_is_said_and_nothing_is_done() {
    let solo = Solo::empty("bad-name");
    solo.git.commit("A federation without this mesh", &[("federation.yaml", Some(federation()))]);
    let agent = solo.agent();
    said_once(&agent, "held", &["bad-name", "there is no meshes/bad-name/ and never was", "is --mesh right?"]);
    assert!(solo.requests().iter().all(|request| !request.writes()));
}
