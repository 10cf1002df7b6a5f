//! What a slip in the repository would delete stays, and what two clusters or two controllers dispute is said.

use crate::solo::Solo;
use crate::stage::{Agent, eventually};

/// Waits until the agent holds something with all of these words.
fn held(agent: &Agent, words: &[&str]) -> String {
    eventually(&format!("held with {words:?}"), || {
        let held = agent.events().into_iter().filter(|event| event["event"] == "held");
        let mut messages = held.filter_map(|event| Some(event["message"].as_str()?.to_owned()));
        messages.find(|message| words.iter().all(|word| message.contains(word))).ok_or_else(|| agent.process.log_tail())
    })
}

#[test]
fn t12_many_deletions_wait_for_a_commit_that_allows_them_also_in_the_agent_that_starts_next() {
    let solo = Solo::new("guard-trailer");
    solo.commit("manifests/all.yaml", Some(&solo.config_maps(12, "one")));
    let mut agent = solo.agent();
    solo.wait_for_value("map-11", Some("one"));
    eventually("the status says what is applied", || match solo.status() {
        status if status.contains("federation: test") => Ok(()),
        status => Err(status),
    });
    solo.commit("manifests/all.yaml", Some(&solo.config_map("new", "one")));
    solo.wait_for_value("new", Some("one"));
    held(&agent, &["deletions: held", "12 of ", "`Meshfed-Allow-Delete: guard-trailer`"]);
    assert_eq!(solo.value("map-0").as_deref(), Some("one"));

    agent.process.kill();
    let agent = solo.agent();
    held(&agent, &["deletions: held"]);
    assert_eq!(solo.value("map-0").as_deref(), Some("one"));
    solo.git.commit("We mean it\n\nMeshfed-Allow-Delete: other, guard-trailer", &[("README.md", Some("x"))]);
    solo.wait_for_value("map-0", None);
    solo.wait_for_value("map-11", None);
    eventually("the inventory names only what is there", || {
        let data = solo.get("configmap", "meshfed").unwrap_or_default()["data"].clone();
        let done = data["removing"].is_null() && !data["core.ConfigMap"].to_string().contains("map-");
        if done { Ok(()) } else { Err(data.to_string()) }
    });
    assert_eq!(solo.value("new").as_deref(), Some("one"));
}

#[test]
fn t12_a_branch_that_was_reset_deletes_nothing_and_says_from_where_to_where() {
    let solo = Solo::new("guard-reset");
    let old = solo.git.head("main").unwrap();
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    let agent = solo.agent();
    solo.wait_for_value("a", Some("one"));
    let new = solo.git.head("main").unwrap();
    eventually("it is applied", || match solo.status() {
        status if status.contains(&format!("applied: {new}")) => Ok(()),
        status => Err(status),
    });
    solo.git.git(&["update-ref", "refs/heads/main", &old]);
    held(&agent, &[&format!("main is at {}, which does not follow {}", &old[..7], &new[..7]), "ConfigMap/guard-reset-apps/a"]);
    assert_eq!(solo.value("a").as_deref(), Some("one"));
    solo.git.git(&["update-ref", "refs/heads/main", &new]);
    solo.commit("manifests/all.yaml", Some(&solo.config_map("b", "one")));
    solo.wait_for_value("a", None);
}
