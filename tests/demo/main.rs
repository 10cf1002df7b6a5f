//! `cargo demo`: three meshes federate through one Git repository, on real API servers, before your eyes.
//!
//! Exits with 0 only if every step was seen in the clusters. `--keep` leaves everything running until you press Ctrl-C.

#[path = "../lab/mod.rs"]
mod lab;
#[path = "../stage/mod.rs"]
mod stage;
mod steps;
mod timeline;

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use lab::poll;
use stage::{Agent, EXAMPLE, Stage, binary, example, example_under};
use steps::{ARO, GCP, ROSA, Step, addresses, imported, other_addresses, published, roots, split, weights};
use timeline::{Narrator, Timeline};

fn main() -> ExitCode {
    let keep = std::env::args().any(|argument| argument == "--keep");
    let timeline = Timeline::start();
    match play(&timeline, keep) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            timeline.plain(&format!("✗ {message}"));
            ExitCode::FAILURE
        }
    }
}

fn play(timeline: &Timeline, keep: bool) -> Step<()> {
    timeline.chapter("three clusters start: rosa-prod (a load balancer has a hostname, like AWS), aro-stg and gcp-dev (an ip)");
    let start = Instant::now();
    let stage = Stage::start(&EXAMPLE);
    timeline.seen(&format!("API servers ready in {:.1} s; they are empty", start.elapsed().as_secs_f64()));
    stage.introduce();
    timeline.person("commit \"Say who may sign\"  every commit is signed and verified from here on");
    let agents: Vec<Arc<Agent>> = EXAMPLE.iter().map(|(mesh, _)| Arc::new(stage.agent(mesh))).collect();
    let narrator = Narrator::follow(timeline, agents.clone());
    let result = federate(timeline, &stage).and_then(|()| live(timeline, &stage)).and_then(|()| finish(timeline, &stage));
    drop(narrator);
    if result.is_err() {
        for agent in &agents {
            timeline.plain(&format!("── the end of {}'s log", agent.mesh));
            timeline.plain(&agent.process.log_tail());
        }
    }
    if keep {
        hold(timeline, &stage);
    }
    result
}

fn commit(timeline: &Timeline, stage: &Stage, message: &str, paths: &[String]) {
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let lines: usize = paths.iter().map(|path| example(path).lines().count()).sum();
    let id = stage.commit_example(message, &paths);
    timeline.person(&format!("commit {} \"{message}\"  {} files, {lines} lines", &id[..7], paths.len()));
}

/// From nothing to a split over three meshes.
fn federate(timeline: &Timeline, stage: &Stage) -> Step<()> {
    timeline.chapter("commits are the only input");
    let mut paths = vec!["federation.yaml".to_owned()];
    for (mesh, _) in EXAMPLE {
        paths.push(format!("meshes/{mesh}/mesh.yaml"));
        paths.extend(example_under(&format!("meshes/{mesh}/manifests")));
    }
    commit(timeline, stage, "Three meshes with bookinfo's details", &paths);
    for (mesh, _) in EXAMPLE {
        published(stage, mesh)?;
    }
    timeline.seen("three control planes run, and have published their CA roots");

    let halves = |a: &str, b: &str| [format!("meshes/{a}/peers/{b}.yaml"), format!("meshes/{b}/peers/{a}.yaml")];
    commit(timeline, stage, "rosa and aro peer with each other", &halves(ROSA, ARO));
    imported(stage, ROSA, ARO, "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local")?;
    timeline.seen("rosa ⇄ aro connected; details of aro-stg-mesh is imported as details-v2");

    commit(timeline, stage, "rosa and gcp peer with each other", &halves(ROSA, GCP));
    commit(timeline, stage, "details: 60 % here, 20 % aro, 20 % gcp", &[format!("meshes/{ROSA}/traffic/details.yaml")]);
    imported(stage, ROSA, GCP, "details-v3.prod-bookinfo.svc.gcp-dev-mesh-imports.local")?;
    split(stage, &[60, 20, 20])?;
    for (host, weight) in weights(stage.site(ROSA)) {
        timeline.seen(&format!("{weight:>3} %  {host}"));
    }
    Ok(())
}

/// What changes in the life of a federation.
fn live(timeline: &Timeline, stage: &Stage) -> Step<()> {
    timeline.chapter("somebody edits the split by hand, and deletes the imports");
    let rosa = stage.site(ROSA);
    let hundred = json!({"spec": {"http": [{"route": [{"destination": {"host": "details"}, "weight": 100}]}]}});
    rosa.patch("virtualservice", "prod-bookinfo", "details", &hundred);
    let start = Instant::now();
    split(stage, &[60, 20, 20])?;
    timeline.seen(&format!("the split is back after {} ms", start.elapsed().as_millis()));
    let output = rosa.cluster.kubectl(&["delete", "importedserviceset", ARO, "-n", ROSA]);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    imported(stage, ROSA, ARO, "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local")?;
    split(stage, &[60, 20, 20])?;
    timeline.seen("the imports are back");

    timeline.chapter("the load balancer of aro's ingress gets a new address");
    let before = addresses(rosa, ROSA, ARO);
    stage.site(ARO).standin.new_address("rosa-prod-mesh-ingress");
    let now = other_addresses(stage, ROSA, ARO, &before)?;
    steps::connected(stage, ROSA, ARO)?;
    timeline.seen(&format!("rosa uses {} instead of {}, and is connected", now.join(", "), before.join(", ")));

    timeline.chapter("gcp's CA is replaced by one with another key");
    stage.replace_ca(GCP);
    roots(stage, ROSA, GCP, 2)?;
    steps::connected(stage, ROSA, GCP)?;
    timeline.seen("rosa trusts both roots while certificates from the old one live, and is connected");

    timeline.chapter("a commit moves traffic");
    let path = format!("meshes/{ROSA}/traffic/details.yaml");
    let moved =
        example(&path).replace("subset: v1}, weight: 60", "subset: v1}, weight: 40").replacen("weight: 20", "weight: 40", 1);
    let id = stage.git.commit("details: 40 % here, 40 % aro", &[(&path, Some(&moved))]);
    timeline.person(&format!("commit {} \"details: 40 % here, 40 % aro\"", &id[..7]));
    let start = Instant::now();
    split(stage, &[40, 40, 20])?;
    timeline.seen(&format!("applied after {} ms", start.elapsed().as_millis()));
    Ok(())
}

fn finish(timeline: &Timeline, stage: &Stage) -> Step<()> {
    let url = stage.git.file_url();
    let status = || {
        let mut command = Command::new(binary());
        command.args(["status", "--repo", &url]).env("HOME", stage.scratch.path()).output()
    };
    // The agents publish a moment after they have applied.
    let fine = poll(Duration::from_secs(30), || status().ok().filter(|output| output.status.success()));
    timeline.chapter("what Git alone tells: meshfed status, and the history");
    let output = fine.map_or_else(status, Ok).map_err(|error| error.to_string())?;
    timeline.plain(&String::from_utf8_lossy(&output.stdout));
    timeline.plain(&String::from_utf8_lossy(&output.stderr));
    for (branch, title) in [("main", "people")].into_iter().chain(EXAMPLE.iter().map(|(mesh, _)| (*mesh, "agent"))) {
        let name = if title == "agent" { format!("published/{branch}") } else { branch.to_owned() };
        timeline.plain(&format!("{name} ({title})"));
        for subject in stage.git.log(&name) {
            timeline.plain(&format!("  {subject}"));
        }
    }
    if output.status.success() { Ok(()) } else { Err("meshfed status finds the federation degraded".into()) }
}

fn hold(timeline: &Timeline, stage: &Stage) {
    timeline.chapter("everything keeps running; Ctrl-C ends it");
    timeline.plain(&format!("repository  {}", stage.git.file_url()));
    timeline.plain(&format!("            {}", stage.git.url()));
    for (mesh, site) in &stage.sites {
        timeline.plain(&format!("{mesh:<15} export KUBECONFIG={}", site.cluster.kubeconfig().display()));
    }
    loop {
        std::thread::park();
    }
}
