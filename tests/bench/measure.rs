//! What is measured once the objects are there.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Handle;

use crate::clients;
use crate::lab::cluster::Cluster;
use crate::lab::process::Scratch;
use crate::lab::ssh_server::SshServer;
use crate::objects::{config_map_name, config_maps};
use crate::observer::Observer;
use crate::process::{cpu, memory as kilobytes, precise_cpu};
use crate::results::{Goal, Results, median};
use crate::scene::Scene;

/// The agent's interval in the scene.
const INTERVAL: Duration = Duration::from_secs(1);

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn float(count: usize) -> f64 {
    count as f64
}

/// Memory with everything applied.
pub fn memory(scene: &Scene, results: &mut Results) {
    let pid = scene.pid();
    results.add("rss_mib", kilobytes(pid, "VmRSS"), "MiB", Goal::Below(40.0), "resident, after the first apply");
    results.add("rss_peak_mib", kilobytes(pid, "VmHWM"), "MiB", Goal::None, "its peak until then");
}

/// Polls with nothing to do.
pub fn quiet(scene: &Scene, time: Duration, results: &mut Results) {
    let (requests, cpu) = (scene.requests(), precise_cpu(scene.pid()));
    sleep(time);
    let polls = time.as_secs_f64() / INTERVAL.as_secs_f64();
    let cpu = millis(precise_cpu(scene.pid()).saturating_sub(cpu)) / polls;
    results.add(
        "quiet_requests",
        float(scene.requests() - requests),
        "",
        Goal::Below(0.0),
        &format!("in {polls:.0} quiet polls"),
    );
    results.add("quiet_cpu_ms", cpu, "ms", Goal::Below(5.0), "CPU for one of them");
}

/// Polls with nothing to do over SSH, each with a connection of its own.
pub fn ssh(cluster: &Cluster, scratch: &Scratch, objects: usize, time: Duration, results: &mut Results) {
    let server = SshServer::start(scratch, &["ed25519"]);
    let known = scratch.write("known_hosts", &server.known_hosts(&["ed25519"])).display().to_string();
    let key = server.client_key("agent", "ed25519", "").display().to_string();
    let arguments = ["--ssh-key", &key, "--ssh-known-hosts", &known].map(str::to_owned).to_vec();
    let scene = Scene::start_over(cluster, scratch, "over-ssh", objects, |git| (server.url_of(git), arguments));
    let (before, logins) = (cpu(scene.pid()), server.logins());
    sleep(time);
    // Each conversation has a thread of its own, which has ended: only the process has its time.
    let (used, polls) = (millis(cpu(scene.pid()).saturating_sub(before)), server.logins() - logins);
    let one = used / float(polls);
    results.add(
        "ssh_poll_cpu_ms",
        one,
        "ms",
        Goal::Below(60.0),
        &format!("CPU for a poll over SSH, of {polls}; 60 ms in 30 s are 0.2 %"),
    );
    results.add(
        "ssh_rss_mib",
        kilobytes(scene.pid(), "VmRSS"),
        "MiB",
        Goal::Below(30.0),
        &format!("resident, with {objects} objects"),
    );
}

/// Whole passes with nothing to do: an object that the agent looks at, and does not own, changes.
pub fn unrelated_events(scene: &Scene, rounds: usize, results: &mut Results) {
    let system = format!("{}-system", scene.namespace);
    let touch = |round: usize| {
        let patch = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-somebody-else"},
            "data": {"round": round.to_string()}});
        let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::namespaced(scene.client.clone(), &system);
        let parameters = kube::api::PatchParams::apply("somebody");
        let patch = kube::api::Patch::Apply(patch);
        Handle::current().block_on(api.patch("of-somebody-else", &parameters, &patch)).expect("an apply");
    };
    let requests = scene.requests();
    let one = |round| {
        let cpu = precise_cpu(scene.pid());
        touch(round);
        sleep(Duration::from_millis(300));
        millis(precise_cpu(scene.pid()).saturating_sub(cpu))
    };
    let cpu = median((0..rounds).map(one).collect());
    results.add("idle_pass_cpu_ms", cpu, "ms", Goal::Below(5.0), "CPU for a pass that an unrelated event starts");
    results.add("idle_pass_requests", float(scene.requests() - requests), "", Goal::Below(0.0), "requests in all these passes");
}

/// From before a commit until the change is seen by somebody else's watch.
pub fn one_change(scene: &Scene, rounds: usize, results: Option<&mut Results>) -> f64 {
    let observer = Handle::current().block_on(Observer::start(scene.client.clone(), &scene.namespace));
    let mut requests = 0;
    let mut one = |(round, number): (usize, usize)| {
        scene.settle(); // the change before was published too
        let before = scene.requests();
        let start = Instant::now();
        scene.commit(number, round + 1);
        let seen = observer.wait(&config_map_name(number), Some(&(round + 1).to_string()));
        sleep(Duration::from_millis(100));
        requests = requests.max(scene.requests() - before);
        millis(seen - start)
    };
    let middle = median(config_maps(scene.objects).enumerate().take(rounds).map(&mut one).collect());
    if let Some(results) = results {
        results.add("one_change_requests", float(requests), "", Goal::Below(1.0), "requests for one changed object");
    }
    middle
}

/// From the event of an edit or a deletion until the event of its repair.
pub fn drift(scene: &Scene, rounds: usize, results: &mut Results) {
    let observer = Handle::current().block_on(Observer::start(scene.client.clone(), &scene.namespace));
    let numbers: Vec<usize> = config_maps(scene.objects).skip(rounds).take(rounds).collect();
    let one = |(round, number): (usize, &usize)| {
        scene.settle();
        let name = config_map_name(*number);
        let start = if round % 2 == 0 {
            Handle::current().block_on(clients::edit(&scene.client, &scene.namespace, &name));
            observer.wait(&name, Some("edited"))
        } else {
            Handle::current().block_on(clients::delete(&scene.client, &scene.namespace, &name));
            observer.wait(&name, None)
        };
        millis(observer.wait(&name, Some("0")) - start)
    };
    let times: Vec<f64> = numbers.iter().enumerate().map(one).collect();
    let longest = times.iter().copied().fold(0.0, f64::max);
    results.add("drift_ms", median(times), "ms", Goal::Below(100.0), "an edit or deletion → repaired");
    results.add("drift_longest_ms", longest, "ms", Goal::None, "the longest of them");
}
