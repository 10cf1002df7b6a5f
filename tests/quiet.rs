//! An agent with nothing to do does nothing, and one that has one thing to do does one thing.

use std::time::Duration;

use crate::solo::Solo;
use crate::stage::{Agent, eventually};

/// Objects in the declaration, so that doing too much shows.
const OBJECTS: usize = 50;

/// Polls of an agent that asks every second.
const SEVERAL_POLLS: Duration = Duration::from_secs(4);

/// Longer than the agent waits before it publishes a changed status.
const QUIET_FOR: Duration = Duration::from_secs(3);

/// What an agent has done so far, outside its process: requests, log lines, commits.
#[derive(Debug, PartialEq)]
pub struct Done {
    requests: Vec<String>,
    lines: usize,
    commits: usize,
}

fn done(solo: &Solo, agent: &Agent) -> Done {
    let requests = solo.requests().iter().map(|request| format!("{} {}", request.verb, request.uri)).collect();
    Done {
        requests,
        lines: agent.process.log().lines().count(),
        commits: solo.git.log(&format!("published/{}", solo.mesh)).len(),
    }
}

/// Waits until an agent has applied and published everything: nothing has happened for a while.
pub fn settled(solo: &Solo, agent: &Agent) -> Done {
    let mut last = done(solo, agent);
    let mut since = std::time::Instant::now();
    eventually("the agent has settled", || {
        let now = done(solo, agent);
        if now != last {
            (last, since) = (now, std::time::Instant::now());
        }
        if since.elapsed() > QUIET_FOR { Ok(()) } else { Err(agent.process.log_tail()) }
    });
    last
}

/// What an agent has logged since its last start.
fn this_run(agent: &Agent) -> String {
    let log = agent.process.log();
    log[log.rfind("looks after").unwrap_or(log.len())..].to_owned()
}

fn writes(solo: &Solo) -> Vec<String> {
    let writes = solo.requests().into_iter().filter(crate::lab::audit::Request::writes);
    writes.map(|request| format!("{} {}/{}", request.verb, request.resource, request.name)).collect()
}

#[test]
fn polls_without_news_send_no_request_and_log_no_line_and_make_no_commit() {
    let solo = Solo::new("quiet");
    solo.commit_peer("partner", &crate::solo::root());
    solo.commit("manifests/all.yaml", Some(&solo.config_maps(OBJECTS, "one")));
    let mut agent = solo.agent_with(&solo.git.url(), &[]);
    solo.wait_for_value(&format!("map-{}", OBJECTS - 1), Some("one"));
    let before = settled(&solo, &agent);
    let polls = solo.git.requests().len();
    std::thread::sleep(SEVERAL_POLLS);
    assert!(solo.git.requests().len() >= polls + 3, "it has looked at the repository");
    assert_eq!(done(&solo, &agent), before);

    // One changed declaration is one PATCH.
    let written = writes(&solo).len();
    let changed = solo.config_maps(OBJECTS, "one").replace("map-7, ", "map-7, labels: {changed: \"yes\"}, ");
    solo.commit("manifests/all.yaml", Some(&changed));
    eventually("the change", || match solo.get_app("configmap", "map-7") {
        Some(map) if map["metadata"]["labels"]["changed"] == "yes" => Ok(()),
        map => Err(format!("{map:?}")),
    });
    let after = settled(&solo, &agent);
    assert_eq!(writes(&solo)[written..], ["patch configmaps/map-7"]);
    assert_eq!(after.commits, before.commits + 1, "the status says which commit is applied\n{}", agent.process.log_tail());

    // A start with nothing changed reads, and writes nothing.
    let written = writes(&solo).len();
    agent.process.kill();
    let agent = solo.agent_with(&solo.git.url(), &[]);
    eventually("it reads the cluster again", || {
        let found = solo.requests().iter().filter(|request| request.verb == "watch").count();
        if this_run(&agent).contains("Change manifests/all.yaml") { Ok(()) } else { Err(format!("{found} watches")) }
    });
    let restarted = settled(&solo, &agent);
    assert_eq!(writes(&solo)[written..], [""; 0]);
    assert_eq!(restarted.commits, after.commits);
    assert!(!this_run(&agent).contains("applying"), "{}", this_run(&agent));
}
