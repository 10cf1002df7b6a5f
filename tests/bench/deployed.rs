//! An agent as it is deployed: it polls over SSH every 30 seconds, renews a Lease every two, and another replica stands by.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::Handle;

use crate::clients;
use crate::lab::cluster::Cluster;
use crate::lab::free_port;
use crate::lab::process::Scratch;
use crate::lab::ssh_server::SshServer;
use crate::objects::{config_map_name, config_maps};
use crate::observer::Observer;
use crate::process::{cpu, memory};
use crate::results::{Goal, Results, median};
use crate::scene::Scene;
use crate::stage::Agent;

/// Objects that it looks after.
const OBJECTS: usize = 200;

/// Name of mesh and Lease.
const NAME: &str = "deployed";

/// What the Git host shows with each webhook.
const SECRET: &str = "a secret of some length";

/// Commits that a webhook tells of, of which the median counts.
const PUSHES: usize = 5;

/// Memory, CPU, a cold start, commits told by a webhook, and a leader that is killed.
pub fn all(cluster: &Cluster, scratch: &Scratch, idle: Duration, results: &mut Results) {
    let server = SshServer::start(scratch, &["ed25519"]);
    let known = scratch.write("deployed-hosts", &server.known_hosts(&["ed25519"])).display().to_string();
    let key = server.client_key("deployed", "ed25519", "").display().to_string();
    let settings = ["--ssh-key", &key, "--ssh-known-hosts", &known, "--interval", "30s", "--lease", NAME, "--identity"];
    let named = |name: &str| settings.iter().copied().chain([name]).map(str::to_owned).collect::<Vec<_>>();
    let hook = format!("127.0.0.1:{}", free_port());
    let secret = scratch.write("deployed-webhook", SECRET).display().to_string();
    let hooked = ["--webhook-listen", &hook, "--webhook-secret-file", &secret].map(str::to_owned);
    let mut url = String::new();
    let mut scene = Scene::start_over(cluster, scratch, NAME, OBJECTS, |git| {
        url = server.url_of(git);
        (url.clone(), [named("first"), hooked.to_vec()].concat())
    });
    cold_start(&scene.agent, results);
    used(&scene, idle, results);
    pushed(&scene, &hook, results);

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

/// From a commit, which the host tells at once, until it is applied.
fn pushed(scene: &Scene, hook: &str, results: &mut Results) {
    let observer = Handle::current().block_on(Observer::start(scene.client.clone(), NAME));
    let one = |(round, number): (usize, usize)| {
        scene.settle(); // the change before was published too
        let start = Instant::now();
        scene.commit(number, round + 1);
        tell(hook);
        (observer.wait(&config_map_name(number), Some(&(round + 1).to_string())) - start).as_secs_f64()
    };
    let took = median(config_maps(OBJECTS).skip(1).enumerate().take(PUSHES).map(one).collect());
    results.add("webhook_s", took, "s", Goal::Below(2.0), "commit → applied, told by a webhook, over SSH");
}

fn tell(hook: &str) {
    let mut stream = TcpStream::connect(hook).expect("the agent listens");
    let head = format!("POST / HTTP/1.1\r\nHost: {hook}\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}
