//! Three meshes change their CAs, one after the other, while handshakes are made on every peering in both directions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lab::standin::Prober;
use crate::stage::{Agent, EXAMPLE, Stage, eventually, example, example_under};

const ROSA: &str = "rosa-prod-mesh";
const ARO: &str = "aro-stg-mesh";
const GCP: &str = "gcp-dev-mesh";

/// Both directions of every peering of the example.
const LINKS: [(&str, &str); 4] = [(ROSA, ARO), (ARO, ROSA), (ROSA, GCP), (GCP, ROSA)];

/// Between two handshakes on one link.
const PACE: Duration = Duration::from_millis(100);

/// From a switch to the first certificate of the new root: the old one is in use until then.
const RENEWAL: Duration = Duration::from_secs(3);

/// What the documents declare; longer than `RENEWAL`, as it has to be.
const OVERLAP: &str = "12s";

/// What became of handshakes.
#[derive(Default)]
struct Seen {
    made: usize,
    /// When they began, between whom, and why they failed.
    failed: Vec<(Instant, &'static str, &'static str, String)>,
}

/// Makes handshakes until it is dropped.
struct Probe {
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Probe {
    fn start(stage: &Stage) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let link = |(from, to): (&'static str, &'static str)| {
            stage.spawn(knock(stage.site(from).standin.prober(), from, to, Arc::clone(&seen)))
        };
        let tasks = LINKS.into_iter().map(link).collect();
        Self { seen, tasks }
    }

    /// How many handshakes were made, and which of them failed.
    fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn knock(prober: Prober, from: &'static str, to: &'static str, seen: Arc<Mutex<Seen>>) {
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        let (prober, seen) = (prober.clone(), Arc::clone(&seen));
        // One that takes long must not delay the next.
        tokio::spawn(async move {
            let begun = Instant::now();
            let result = prober.handshake(to).await;
            let mut seen = seen.lock().unwrap();
            seen.made += 1;
            seen.failed.extend(result.err().map(|why| (begun, from, to, why)));
        });
    }
}

/// Writes the Mesh document of the example with more about its CA.
fn declare(stage: &Stage, mesh: &str, root: Option<&str>) {
    let path = format!("meshes/{mesh}/mesh.yaml");
    let roots = root.map(|pem| {
        let lines: String = pem.lines().flat_map(|line| ["      ", line, "\n"]).collect();
        format!("    roots:\n    - |\n{lines}")
    });
    let text = format!("{}  ca:\n    overlap: {OVERLAP}\n{}", example(&path), roots.unwrap_or_default());
    stage.git.commit(&format!("CA of {mesh}"), &[(&path, Some(&text))]);
}

fn wait_for_phase(stage: &Stage, mesh: &str, phase: &str) {
    eventually(&format!("the rotation of {mesh} is {phase}"), || match stage.published_line(mesh, "phase") {
        Some(now) if now == phase => Ok(()),
        other => Err(format!("{other:?}\n{}", stage.git.show(&format!("published/{mesh}:status.yaml")).unwrap_or_default())),
    });
}

/// The roots of a mesh that its peers were given.
fn given(stage: &Stage, mesh: &str) -> BTreeMap<&'static str, String> {
    let peers = LINKS.into_iter().filter(|(_, to)| *to == mesh).map(|(from, _)| from);
    let bundle = |peer: &'static str| {
        let map = stage.site(peer).get("configmap", peer, &format!("{mesh}-ca-root-cert")).unwrap_or_default();
        (peer, map["data"]["root-cert.pem"].as_str().unwrap_or_default().to_owned())
    };
    peers.map(bundle).collect()
}

/// Starts the example, and waits until every link takes handshakes.
fn federate(stage: &Stage) -> Vec<Agent> {
    let mut paths = vec!["federation.yaml".to_owned()];
    for (mesh, _) in EXAMPLE {
        paths.extend(example_under(&format!("meshes/{mesh}")));
    }
    stage.commit_example("The example", &paths.iter().map(String::as_str).collect::<Vec<_>>());
    EXAMPLE.iter().for_each(|(mesh, _)| declare(stage, mesh, None));
    let agents = EXAMPLE.iter().map(|(mesh, _)| stage.agent(mesh)).collect();
    let probe = Probe::start(stage);
    eventually("every link takes handshakes", || {
        std::thread::sleep(PACE * 5);
        let Seen { made, failed } = probe.take();
        if made > LINKS.len() && failed.is_empty() { Ok(()) } else { Err(format!("{failed:?}")) }
    });
    agents
}

#[test]
fn all_three_meshes_rotate_their_cas_and_no_handshake_fails_and_without_notice_it_heals_by_itself() {
    let stage = Stage::start_with(&EXAMPLE, |options| options.leaf_renewal = RENEWAL);
    let _agents = federate(&stage);
    let probe = Probe::start(&stage);
    for (mesh, _) in EXAMPLE {
        rotate(&stage, mesh);
        let Seen { made, failed } = probe.take();
        println!("{mesh}: {made} handshakes, {} failed", failed.len());
        assert!(failed.is_empty() && made > 100, "{mesh}: {} of {made}: {:?}", failed.len(), failed.first());
    }
    switch_without_notice(&stage, &probe);
}

/// A rotation as people do it, step by step.
fn rotate(stage: &Stage, mesh: &str) {
    let next = stage.site(mesh).standin.prepare_ca();
    declare(stage, mesh, Some(&next));
    wait_for_phase(stage, mesh, "ready");
    let both = given(stage, mesh);
    assert!(both.values().all(|bundle| bundle.matches("BEGIN").count() == 2), "{both:?}");
    stage.replace_ca(mesh);
    wait_for_phase(stage, mesh, "overlap");
    declare(stage, mesh, None);
    wait_for_phase(stage, mesh, "steady");
    let line = next.lines().nth(2).expect("a certificate has lines");
    eventually("the old root is gone everywhere", || match given(stage, mesh) {
        given if given.values().all(|bundle| bundle.contains(line) && bundle.matches("BEGIN").count() == 1) => Ok(()),
        given => Err(format!("{given:?}")),
    });
    std::thread::sleep(PACE * 10); // handshakes that only the new root verifies
    let said = stage.git.log(&format!("published/{mesh}")).join("\n");
    for words in ["announced", "every peer trusts CA root", "in use", "retires", "has left"] {
        assert!(said.contains(words), "no commit says `{words}`:\n{said}");
    }
}

/// The control plane switches before anybody was told, and its gateways at once.
fn switch_without_notice(stage: &Stage, probe: &Probe) {
    let branch = format!("published/{ARO}");
    let before = stage.git.head(&branch).expect("it has published");
    stage.replace_ca(ARO);
    eventually("the new root is shown", || {
        std::thread::sleep(PACE);
        stage.site(ARO).standin.renew_certificates();
        let failed = probe.seen.lock().unwrap().failed.len();
        if failed > 0 { Ok(()) } else { Err("every handshake still succeeds".into()) }
    });
    eventually("the peer's agent has applied both", || match given(stage, ARO) {
        given if given.values().all(|bundle| bundle.matches("BEGIN").count() == 2) => Ok(()),
        given => Err(format!("{given:?}")),
    });
    wait_for_phase(stage, ARO, "exposed"); // its agent says so until proxies have had their time
    let healed = Instant::now() + PACE * 20;
    std::thread::sleep(PACE * 40);
    let Seen { made, failed } = probe.take();
    let longest = failed.last().expect("some failed").0 - failed[0].0;
    println!("without notice: {} of {made} handshakes failed within {longest:?}", failed.len());
    assert!(failed.iter().all(|(_, from, to, _)| [from, to].contains(&&ARO)), "only those of the mesh: {failed:?}");
    assert!(failed.iter().all(|(at, ..)| *at < healed), "none once the peer's control plane had taken it up");
    let range = format!("{before}..{branch}");
    let history = stage.git.git(&["log", "--format=%s", "-p", &range, "--", "status.yaml"]);
    assert!(history.contains("phase: exposed") && history.contains("is not trusted by rosa-prod-mesh"), "{history}");
    wait_for_phase(stage, ARO, "steady");
    assert!(probe.take().failed.is_empty(), "the old root left in time");
}
