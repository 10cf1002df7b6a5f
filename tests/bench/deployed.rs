//! An agent as it is deployed: it polls over SSH every 30 seconds, renews a Lease every two, and another replica stands by.

use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::Handle;

use crate::clients;
use crate::lab::cluster::Cluster;
use crate::lab::process::Scratch;
use crate::lab::ssh_server::SshServer;
use crate::objects::{config_map_name, config_maps};
use crate::observer::Observer;
use crate::process::{cpu, memory};
use crate::results::{Goal, Results};
use crate::scene::Scene;
use crate::stage::Agent;

/// Objects that it looks after.
const OBJECTS: usize = 200;

/// Name of mesh and Lease.
const NAME: &str = "deployed";

/// Memory, CPU, a cold start, and a leader that is killed.
pub fn all(cluster: &Cluster, scratch: &Scratch, idle: Duration, results: &mut Results) {
    let server = SshServer::start(scratch, &["ed25519"]);
    let known = scratch.write("deployed-hosts", &server.known_hosts(&["ed25519"])).display().to_string();
    let key = server.client_key("deployed", "ed25519", "").display().to_string();
    let settings = ["--ssh-key", &key, "--ssh-known-hosts", &known, "--interval", "30s", "--lease", NAME, "--identity"];
    let named = |name: &str| settings.iter().copied().chain([name]).map(str::to_owned).collect::<Vec<_>>();
    let mut url = String::new();
    let mut scene = Scene::start_over(cluster, scratch, NAME, OBJECTS, |git| {
        url = server.url_of(git);
        (url.clone(), named("first"))
    });
    cold_start(&scene.agent, results);
    used(&scene, idle, results);

    let other = Scratch::new(NAME);
    let arguments = named("second");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let standby = Agent::start(NAME, &url, cluster.kubeconfig(), &other, &arguments);
    standby.wait_for("stands by");
    let observer = Handle::current().block_on(Observer::start(scene.client.clone(), NAME));
    let name = config_map_name(config_maps(OBJECTS).next().expect("there are some"));
    let start = Instant::now();
    scene.agent.process.kill();
    Handle::current().block_on(clients::edit(&scene.client, NAME, &name));
    let took = observer.wait(&name, Some("0")) - start;
    let goal = Goal::Below(17.0);
    results.add(
        "takeover_s",
        took.as_secs_f64(),
        "s",
        goal,
        "a leader is killed → its standby has repaired drift; the Lease is 15 s",
    );
}

/// From the first line of the log to the first object in the cluster.
fn cold_start(agent: &Agent, results: &mut Results) {
    let events = agent.events();
    let at = |event: &str| {
        let line = events.iter().find(|line| line["event"] == event).expect("it has started and applied");
        line["timestamp"].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect("each line has its time")
    };
    let took = at("applied").duration_since(at("start")).as_secs_f64();
    results.add("cold_start_s", took, "s", Goal::Below(2.0), "start of the agent → first object applied, over SSH, with a Lease");
}

fn used(scene: &Scene, idle: Duration, results: &mut Results) {
    let before = cpu(scene.pid());
    sleep(idle);
    let percent = cpu(scene.pid()).saturating_sub(before).as_secs_f64() / idle.as_secs_f64() * 100.0;
    let what = format!("of a core, idle for {} s with {OBJECTS} objects", idle.as_secs());
    results.add("idle_cpu_percent", percent, "%", Goal::Below(0.2), &what);
    results.add("idle_rss_mib", memory(scene.pid(), "VmRSS"), "MiB", Goal::Below(30.0), "resident after that");
}
