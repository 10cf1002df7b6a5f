//! What a slip in the repository would delete stays, and what two clusters or two controllers dispute is said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::lab::cluster::Cluster;
use crate::lab::poll;
use crate::solo::{self, Solo};
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

#[test]
fn t23_of_two_clusters_under_one_name_neither_publishes_and_both_say_so_until_one_is_pinned() {
    let solo = Solo::new("guard-claims");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    let first = solo.agent();
    solo.wait_for_value("a", Some("one"));
    let branch = "published/guard-claims";
    eventually("it is published", || solo.git.head(branch).ok_or_else(|| "nothing".to_owned()));

    let other = Cluster::builder("guard-claims").start();
    let scratch = crate::lab::process::Scratch::new("guard-claims-other");
    let second = Agent::start(&solo.mesh, &solo.git.file_url(), other.kubeconfig(), &scratch, &[]);
    let uid = |cluster: &Cluster| solo::kubectl(cluster, &["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"]);
    let (one, two) = (uid(Cluster::shared()), uid(&other));
    for agent in [&first, &second] {
        held(agent, &["two clusters claim this mesh", &one, &two, "neither publishes any more"]);
    }
    assert!(solo::get(&other, "configmap", &solo.apps, "a").is_none(), "the second one touches nothing");
    let before = solo.git.head(branch);
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "two")));
    solo.wait_for_value("a", Some("two"));
    let more = poll(Duration::from_secs(5), || (solo.git.head(branch) != before).then_some(()));
    assert!(more.is_none(), "{:?}", solo.git.log(branch));

    solo.commit("mesh.yaml", Some(&format!("{}  clusterUID: {two}\n", solo.mesh_file())));
    eventually("the second cluster has the mesh", || match solo.git.show(&format!("{branch}:published.yaml")) {
        Some(facts) if facts.contains(&format!("clusterUID: {two}")) && !facts.contains("claims:") => Ok(()),
        facts => Err(format!("{facts:?}\n{}", second.process.log_tail())),
    });
    eventually("and builds it", || solo::get(&other, "configmap", &solo.apps, "a").ok_or_else(|| second.process.log_tail()));
    held(&first, &["pins clusterUID", &two]);
}

#[test]
fn a_controller_that_undoes_what_is_applied_is_named_and_not_fought() {
    let solo = Solo::new("guard-fight");
    let both = |value| format!("{}{}", solo.config_map("a", value), solo.config_map("b", value));
    solo.commit("manifests/all.yaml", Some(&both("ours")));
    let agent = solo.agent();
    solo.wait_for_value("b", Some("ours"));
    let ended = AtomicBool::new(false);
    let writes = || {
        let writes = solo.requests().into_iter().filter(|request| request.writes() && request.resource == "configmaps");
        writes.filter(|request| request.name == "a").count()
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let patch = r#"{"data":{"key":"theirs"}}"#;
            let arguments = ["patch", "configmap", "a", "-n", &solo.apps, "--type=merge", "-p", patch, "--field-manager=echo"];
            while !ended.load(Ordering::Relaxed) {
                if solo.value("a").as_deref() != Some("theirs") {
                    solo.kubectl(&arguments);
                }
            }
        });
        held(&agent, &["ConfigMap/guard-fight-apps/a", "`echo` sets data.key back each time that it is applied"]);
        let before = writes();
        assert!(before <= 6, "one that made it and five: {before}");
        solo.kubectl(&["delete", "configmap", "b", "-n", &solo.apps]);
        solo.wait_for_value("b", Some("ours"));
        assert!(writes() <= before + 1, "it rests, and others are looked after");
        ended.store(true, Ordering::Relaxed);
    });
    solo.wait_for_value("a", Some("ours"));
    eventually("the status does not hold it any more", || match solo.status() {
        status if !status.contains("echo") => Ok(()),
        status => Err(status),
    });
}
