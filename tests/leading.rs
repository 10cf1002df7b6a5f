//! Two replicas of one agent: one writes, the other takes over, and never do both.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::audit::Request;
use crate::lab::cluster::Cluster;
use crate::lab::free_port;
use crate::lab::process::Scratch;
use crate::solo::Solo;
use crate::stage::{Agent, DEADLINE, binary, eventually};

/// How long a Lease holds here: long enough for a busy machine to renew it, and a test waits for its end.
const LEASE: Duration = Duration::from_secs(8);

const SECRET: &str = "a secret of some length";

/// One replica, which the API server knows by its name.
struct Replica {
    name: String,
    agent: Agent,
    /// Where it takes webhooks.
    port: u16,
    _scratch: Scratch,
}

impl Replica {
    fn start(solo: &Solo, name: &str) -> Self {
        let name = format!("{}-{name}", solo.mesh);
        let scratch = Scratch::new(&name);
        let kubeconfig = Cluster::shared().kubeconfig_for(&name, &["system:masters"]);
        let lease = format!("{}s", LEASE.as_secs());
        let arguments = ["--lease", &solo.mesh, "--identity", &name, "--lease-duration", &lease];
        let terms = ["--lease-renew-deadline", "6s", "--lease-retry", "1s"];
        let (port, secret) = (free_port(), scratch.write("webhook-secret", SECRET).display().to_string());
        let address = format!("127.0.0.1:{port}");
        let webhook = ["--webhook-listen", &address, "--webhook-secret-file", &secret];
        let arguments = [&arguments[..], &terms, &webhook].concat();
        let agent = Agent::start(&solo.mesh, &solo.git.url(), &kubeconfig, &scratch, &arguments);
        Self { name, agent, port, _scratch: scratch }
    }

    /// Starts one beside another that leads, and waits until it is as ready as it will be.
    fn standby(solo: &Solo, name: &str) -> Self {
        let replica = Self::start(solo, name);
        replica.agent.wait_for("stands by");
        eventually("it watches", || {
            let watches = replica.requests().iter().filter(|request| request.verb == "watch").count();
            if watches > 5 { Ok(()) } else { Err(format!("{watches} watches\n{}", replica.agent.process.log_tail())) }
        });
        replica
    }

    /// Tells it of a push.
    fn hook(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let request = format!("POST / HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\nAuthorization: Bearer {SECRET}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }

    fn requests(&self) -> Vec<Request> {
        Cluster::shared().requests().into_iter().filter(|request| request.user == self.name).collect()
    }

    /// What it has changed in the cluster, but the Lease, which it renews until the moment in which it is paused.
    fn writes(&self) -> Vec<String> {
        let done = |request: &Request| request.writes() && request.code < 400 && request.resource != "leases";
        let writes = self.requests().into_iter().filter(done);
        writes.map(|request| format!("{} {}/{}", request.verb, request.resource, request.name)).collect()
    }
}

/// The commits on the mesh's branch.
fn commits(solo: &Solo) -> Vec<String> {
    solo.git.log(&format!("published/{}", solo.mesh))
}

/// What `status --live` says of the leader.
fn told(solo: &Solo) -> Value {
    let kubeconfig = Cluster::shared().kubeconfig_for(&format!("{}-reader", solo.mesh), &["system:masters"]);
    let mut command = Command::new(binary());
    command.args(["status", "--live", "-o", "json", "--mesh", &solo.mesh, "--repo", &solo.git.file_url(), "--kubeconfig"]);
    let output = command.arg(&kubeconfig).env_clear().env("HOME", solo.scratch.path()).output().expect("it can be run");
    let status = serde_json::from_slice::<Value>(&output.stdout);
    status.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))["live"]["leader"].clone()
}

/// A mesh with some objects, and a replica that has applied and published them.
fn led(mesh: &str, objects: usize) -> (Solo, Replica) {
    let solo = Solo::new(mesh);
    solo.commit("manifests/all.yaml", Some(&solo.config_maps(objects, "one")));
    let leader = Replica::start(&solo, "a");
    solo.wait_for_value(&format!("map-{}", objects - 1), Some("one"));
    leader.agent.wait_for("published");
    (solo, leader)
}

fn edit(solo: &Solo, name: &str) {
    solo.kubectl(&["patch", "configmap", name, "-n", &solo.apps, "--type=merge", "-p", r#"{"data":{"key":"edited"}}"#]);
}

#[test]
fn a_standby_writes_nothing_and_takes_over_from_a_leader_that_is_killed() {
    let (solo, mut leader) = led("lead-killed", 3);
    let standby = Replica::standby(&solo, "b");
    solo.commit("manifests/all.yaml", Some(&solo.config_maps(3, "two")));
    solo.wait_for_value("map-2", Some("two"));
    standby.agent.wait_for("Change manifests/all.yaml");
    assert_eq!(standby.writes(), [""; 0]);

    standby.hook();
    eventually("the leader answers what a webhook has told the other", || {
        let map = solo.get("configmap", "meshfed").unwrap_or_default();
        let [asked, answered] = ["requested", "handled"]
            .map(|what| map.pointer(&format!("/metadata/annotations/meshfed.dev~1reconcile-{what}-at")).cloned());
        if asked.is_some() && asked == answered { Ok(()) } else { Err(format!("{map}")) }
    });
    assert_eq!(standby.writes(), ["patch configmaps/meshfed"], "it asks, and writes nothing else");
    let passed_on = standby.writes().len();

    let leads = told(&solo);
    assert!(leads["holder"].as_str().is_some_and(|holder| holder.starts_with(&format!("{}_", leader.name))), "{leads}");
    assert!(
        leads["current"] == true && leads["since"].is_string() && leads["lease"] == format!("default/{}", solo.mesh),
        "{leads}"
    );
    let start = Instant::now();
    leader.agent.process.kill();
    edit(&solo, "map-1");
    solo.wait_for_value("map-1", Some("two"));
    println!("killed: repaired by the other after {:?} (Lease {LEASE:?})", start.elapsed());
    let writes = standby.writes().split_off(passed_on);
    let first = writes.iter().position(|write| write.starts_with("patch configmaps/"));
    assert_eq!(first.map(|at| writes[at].as_str()), Some("patch configmaps/meshfed"), "the state first: {writes:?}");
    let state = solo.get("configmap", "meshfed").unwrap();
    let epoch = state.pointer("/metadata/annotations/meshfed.dev~1leader").and_then(Value::as_str).unwrap();
    assert!(epoch.contains(&standby.name), "{epoch}");
    eventually("an event says who leads", || {
        let events = solo.kubectl(&["describe", "lease", &solo.mesh, "-n", "default"]);
        if events.contains(&format!("{}_", standby.name)) && events.contains("Leading") { Ok(()) } else { Err(events) }
    });
    solo.commit("manifests/all.yaml", Some(&solo.config_maps(3, "three")));
    eventually("it publishes", || {
        let status = solo.status();
        let tip = solo.git.git(&["rev-parse", "main"]);
        if status.contains(tip.trim()) { Ok(()) } else { Err(status) }
    });
}

#[test]
fn a_leader_that_was_paused_writes_nothing_more() {
    let (solo, old) = led("lead-paused", 3);
    let new = Replica::standby(&solo, "b");
    let (written, published) = (old.writes().len(), commits(&solo).len());
    old.agent.process.signal("STOP");
    let start = Instant::now();
    new.agent.wait_for("leads: holds");
    println!("paused: the other leads after {:?} (Lease {LEASE:?})", start.elapsed());
    solo.commit("manifests/all.yaml", Some(&solo.config_maps(3, "two")));
    solo.wait_for_value("map-2", Some("two"));
    edit(&solo, "map-0");
    solo.wait_for_value("map-0", Some("two"));

    // It wakes up in the belief that it leads, with a commit to apply, drift to repair and a status to publish.
    edit(&solo, "map-1");
    old.agent.process.signal("CONT");
    old.agent.wait_for(&format!("stands by: {}_", new.name));
    old.agent.wait_for("Change manifests/all.yaml");
    solo.wait_for_value("map-1", Some("two"));
    solo.commit("manifests/all.yaml", Some(&solo.config_maps(3, "three")));
    solo.wait_for_value("map-2", Some("three"));
    eventually("the new one publishes", || match commits(&solo).len() {
        now if now > published => Ok(()),
        now => Err(format!("{now} commits\n{}", new.agent.process.log_tail())),
    });
    assert_eq!(old.writes()[written..], [""; 0], "{}", old.agent.process.log_tail());
    let pushed = new.agent.process.log().matches("\"published ").count();
    eventually("every commit since is the new one's", || match commits(&solo).len() - published {
        number if number <= pushed => Ok(()),
        number => Err(format!("{number} commits, {pushed} by the new one")),
    });
}

#[test]
fn in_a_rolling_restart_every_drift_is_repaired() {
    const OBJECTS: usize = 40;
    let (solo, mut leader) = led("lead-rolling", OBJECTS);
    let mut next = Replica::standby(&solo, "b");
    std::thread::scope(|scope| {
        let solo = &solo;
        let drift = scope.spawn(move || {
            for number in 0..OBJECTS {
                edit(solo, &format!("map-{number}"));
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        for name in ["c", "d"] {
            let mut fresh = Replica::standby(solo, name);
            let start = Instant::now();
            leader.agent.process.signal("TERM");
            eventually("one of the others leads", || {
                let leads = |replica: &Replica| replica.agent.process.log().contains("leads: holds");
                if leads(&fresh) {
                    std::mem::swap(&mut next, &mut fresh);
                }
                if leads(&next) { Ok(()) } else { Err(next.agent.process.log_tail()) }
            });
            println!("told to stop: another leads after {:?}", start.elapsed());
            let status = leader.agent.process.wait(DEADLINE).expect("it ends");
            assert_eq!(status.code(), Some(0));
            assert!(leader.agent.process.log().contains("gave Lease/"), "{}", leader.agent.process.log_tail());
            leader = std::mem::replace(&mut next, fresh);
        }
        drift.join().expect("the edits were made");
    });
    for number in 0..OBJECTS {
        solo.wait_for_value(&format!("map-{number}"), Some("one"));
    }
}
