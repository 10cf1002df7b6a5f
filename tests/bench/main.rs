//! `cargo bench`: how fast the agent is, against a real API server, beside a bare client and kubectl in the same run.
//!
//! Prints a table and writes `bench.json` into the target directory. A missed goal is shown and is no failure: a busy machine
//! misses some. `cargo bench -- --quick` takes a tenth of the objects, to try it out.

mod clients;
mod measure;
mod objects;
mod observer;
mod process;
mod results;
mod scene;

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../stage/mod.rs"]
mod stage;

use std::time::Duration;

use lab::cluster::Cluster;
use lab::process::Scratch;
use results::{Goal, Results};
use scene::Scene;

/// How much is measured.
struct Plan {
    /// Objects in the main scene.
    objects: usize,
    /// Objects of the smaller and the larger scene for one change.
    others: [usize; 2],
    /// First applies, each beside a bare client.
    firsts: usize,
    /// Changes and edits, of which the median counts.
    rounds: usize,
    /// How long to watch the agent do nothing.
    quiet: Duration,
}

const FULL: Plan = Plan { objects: 1000, others: [100, 3000], firsts: 3, rounds: 9, quiet: Duration::from_secs(20) };
const QUICK: Plan = Plan { objects: 100, others: [10, 300], firsts: 1, rounds: 3, quiet: Duration::from_secs(3) };

fn main() {
    let plan = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let cluster = Cluster::builder("bench").audit().durable().start();
    let scratch = Scratch::new("bench");
    let mut results = Results::default();
    let scene = firsts(&plan, &cluster, &scratch, &mut results);
    measure::memory(&scene, &mut results);
    measure::quiet(&scene, plan.quiet, &mut results);
    measure::unrelated_events(&scene, plan.rounds, &mut results);
    let millis = measure::one_change(&scene, plan.rounds, Some(&mut results));
    results.add("one_change_ms", millis, "ms", Goal::Below(250.0), &format!("commit → applied, one of {} objects", plan.objects));
    measure::drift(&scene, plan.rounds, &mut results);
    drop(scene);
    for (size, name) in plan.others.into_iter().zip(["one_change_ms_100", "one_change_ms_3000"]) {
        let scene = Scene::start(&cluster, &scratch, &format!("other-{size}"), size);
        let millis = measure::one_change(&scene, plan.rounds, None);
        results.add(name, millis, "ms", Goal::Below(250.0), &format!("the same, one of {size} objects"));
    }
    measure::ssh(&cluster, &scratch, plan.objects / 5, plan.quiet, &mut results);
    results.print();
    let path = results.write("bench.json");
    println!("\nwritten to {}", path.display());
}

/// First applies by turns with a bare client, then kubectl; gives the last scene, with its agent running.
fn firsts<'a>(plan: &Plan, cluster: &'a Cluster, scratch: &Scratch, results: &mut Results) -> Scene<'a> {
    clients::bare(cluster, "warm-up", plan.objects / 10); // the API server's first requests of each kind are slow
    // The best of each counts: whatever else the machine does only adds.
    let (mut bare, mut ours, mut cpu) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let mut last: Option<Scene> = None;
    for round in 0..plan.firsts {
        drop(last.take()); // its agent ends
        let other = clients::bare(cluster, &format!("bare-{round}"), plan.objects);
        let scene = Scene::start(cluster, scratch, &format!("ours-{round}"), plan.objects);
        eprintln!("round {round}: bare client {other:.2?}, agent {:.2?}", scene.first);
        (bare, ours, cpu) = (bare.min(other), ours.min(scene.first), cpu.min(scene.first_cpu));
        last = Some(scene);
    }
    let scene = last.expect("at least one round");
    let (bare, ours, cpu) = (bare.as_secs_f64(), ours.as_secs_f64(), cpu.as_secs_f64());
    let kubectl = clients::kubectl(cluster, scratch, "kubectl", plan.objects).as_secs_f64();
    results.add("bare_client_s", bare, "s", Goal::None, &format!("a bare client, 32 in flight; the best of {}", plan.firsts));
    results.add("kubectl_s", kubectl, "s", Goal::None, "kubectl apply --server-side -f DIR");
    results.add(
        "first_apply_s",
        ours,
        "s",
        Goal::None,
        &format!("start of the agent → all applied; the best of {}", plan.firsts),
    );
    results.add("first_apply_vs_bare_client", ours / bare, "×", Goal::Below(1.5), "as long as a bare client");
    results.add("kubectl_vs_first_apply", kubectl / ours, "×", Goal::Above(5.0), "kubectl takes as long");
    results.add("cpu_first_apply_s", cpu, "s", Goal::None, "CPU of the agent for that");
    scene
}
