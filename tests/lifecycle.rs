//! How an agent starts, ends, and lives through the absence of what it works with.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::cluster::Cluster;
use crate::lab::process::Process;
use crate::lab::standin::Cloud;
use crate::solo::{self, Solo};
use crate::stage::{Agent, DEADLINE, EXAMPLE, Stage, binary, eventually, example_under};

/// What the agent may take to end once it is told to: a second of work at hand, and the rest for a machine that is busy.
const END: Duration = Duration::from_secs(3);

/// The exit code of an agent that ends by itself.
fn exit_code(agent: &mut Agent) -> i32 {
    let status = agent.process.wait(DEADLINE).unwrap_or_else(|| panic!("it does not end: {}", agent.process.log_tail()));
    status.code().expect("it was not killed by a signal")
}

fn terminate(agent: &mut Agent) -> i32 {
    let start = Instant::now();
    agent.process.signal("TERM");
    let status = agent.process.wait(END).unwrap_or_else(|| panic!("still there after {END:?}: {}", agent.process.log_tail()));
    println!("ended after {:?}", start.elapsed());
    status.code().expect("it ends by itself")
}

#[test]
fn two_meshes_federate_by_running_once_in_turns_and_a_run_with_nothing_to_do_is_quiet() {
    let meshes = [("rosa-prod-mesh", Cloud::Hostname), ("aro-stg-mesh", Cloud::Ip)];
    assert!(meshes.iter().all(|mesh| EXAMPLE.contains(mesh)));
    let stage = Stage::start(&meshes);
    let mut paths = vec!["federation.yaml".to_owned()];
    for (mesh, peer) in [("rosa-prod-mesh", "aro-stg-mesh"), ("aro-stg-mesh", "rosa-prod-mesh")] {
        paths.extend([format!("meshes/{mesh}/mesh.yaml"), format!("meshes/{mesh}/peers/{peer}.yaml")]);
        paths.extend(example_under(&format!("meshes/{mesh}/manifests")));
    }
    stage.commit_example("Two meshes", &paths.iter().map(String::as_str).collect::<Vec<_>>());
    let once = |mesh: &str| {
        let mut agent = stage.agent_with(mesh, &stage.git.file_url(), &["--once"]);
        assert_eq!(exit_code(&mut agent), 0, "{}", agent.process.log_tail());
    };
    let connected = || {
        let status = stage.git.show("published/rosa-prod-mesh:status.yaml").unwrap_or_default();
        status.contains("ready: true")
    };
    let rounds = (1..=8).find(|_| {
        meshes.iter().for_each(|(mesh, _)| once(mesh));
        connected()
    });
    let rounds =
        rounds.unwrap_or_else(|| panic!("not connected after eight rounds: {:?}", stage.git.log("published/rosa-prod-mesh")));
    println!("connected after {rounds} rounds");
    once("aro-stg-mesh");
    let before = (stage.git.branches(), stage.git.git(&["rev-parse", "published/rosa-prod-mesh", "published/aro-stg-mesh"]));
    let writes = || stage.site("rosa-prod-mesh").cluster.requests_by("meshfed").iter().filter(|r| r.writes()).count();
    let written = writes();
    meshes.iter().for_each(|(mesh, _)| once(mesh));
    assert_eq!(writes(), written);
    assert_eq!(
        (stage.git.branches(), stage.git.git(&["rev-parse", "published/rosa-prod-mesh", "published/aro-stg-mesh"])),
        before
    );
}

#[test]
fn a_single_run_that_may_not_read_its_inventory_says_so_and_does_not_end_well() {
    let solo = Solo::new("life-denied");
    solo.make_namespaces();
    solo.kubectl(&["create", "clusterrole", "life-denied", "--verb=get,list,watch", "--resource=namespaces"]);
    solo.kubectl(&["create", "clusterrolebinding", "life-denied", "--clusterrole=life-denied", "--group=life-denied"]);
    let kubeconfig = Cluster::shared().kubeconfig_for("life-denied", &["life-denied"]);
    let mut agent = Agent::start("life-denied", &solo.git.file_url(), &kubeconfig, &solo.scratch, &["--once"]);
    assert_eq!(exit_code(&mut agent), 1, "{}", agent.process.log_tail());
    let log = agent.process.log();
    assert!(log.contains("error: ConfigMap/life-denied/meshfed: not permitted"), "{log}");
}

#[test]
fn a_single_run_that_fails_ends_with_one_and_the_reasons() {
    let solo = Solo::new("life-failed");
    let bad = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: shop, namespace: {}}}\nspec: {{ports: [{{port: 99999}}]}}\n---\n{}",
        solo.apps,
        solo.config_map("a", "one")
    );
    solo.commit("manifests/all.yaml", Some(&bad));
    solo.commit("peers/nobody.yaml", Some(&solo.peer_half("nobody")));
    let mut agent = solo.agent_with(&solo.git.file_url(), &["--once"]);
    assert_eq!(exit_code(&mut agent), 1, "{}", agent.process.log_tail());
    let log = agent.process.log();
    let reasons: Vec<&str> = log.lines().filter(|line| line.starts_with("error: ")).collect();
    let reason = |words: &[&str]| reasons.iter().any(|reason| words.iter().all(|word| reason.contains(word)));
    assert!(reason(&["meshes/life-failed/peers/nobody.yaml:3:", "there is no mesh `nobody`"]), "{log}");
    assert!(reason(&["Service/life-failed-apps/shop", "99999"]), "{log}");
    assert_eq!(solo.value("a").as_deref(), Some("one"), "the rest was applied");
    assert!(solo.status().contains("99999"), "and the status was published: {}", solo.status());

    solo.git.refuse();
    let mut agent = solo.agent_with(&solo.git.url(), &["--once"]);
    assert_ne!(exit_code(&mut agent), 0);
    assert!(agent.process.log().contains("cannot be reached"), "{}", agent.process.log_tail());
}

#[test]
fn a_signal_ends_an_agent_at_once_also_while_a_fetch_hangs() {
    let solo = Solo::new("life-signal");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    let mut agent = solo.agent_with(&solo.git.url(), &[]);
    solo.wait_for_value("a", Some("one"));
    assert_eq!(terminate(&mut agent), 0, "{}", agent.process.log_tail());

    solo.git.stall();
    let mut agent = solo.agent_with(&solo.git.url(), &[]);
    eventually("the fetch has begun", || if solo.git.stalled() > 0 { Ok(()) } else { Err(String::new()) });
    assert_eq!(terminate(&mut agent), 0, "{}", agent.process.log_tail());
    solo.git.recover();
}

/// Starts the binary with nothing but an environment.
fn spawn(solo: &Solo, name: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> Process {
    let mut command = Command::new(binary());
    command.env_clear().env("HOME", solo.scratch.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(arguments).envs(environment.iter().copied());
    Process::spawn(name, &command, &solo.scratch)
}

#[test]
fn environment_and_configuration_file_say_the_same_as_flags() {
    let solo = Solo::new("life-settings");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    let kubeconfig = Cluster::shared().kubeconfig_for(&solo.mesh, &["system:masters"]);
    let url = solo.git.file_url();
    let mut by_environment = spawn(
        &solo,
        "by-environment",
        &["agent"],
        &[
            ("MESHFED_MESH", Path::new("life-settings")),
            ("MESHFED_REPO", Path::new(&url)),
            ("MESHFED_KUBECONFIG", &kubeconfig),
            ("MESHFED_INTERVAL", Path::new("1s")),
            ("MESHFED_ONCE", Path::new("true")),
            ("MESHFED_VERIFICATION", Path::new("off")),
        ],
    );
    let status = by_environment.wait(DEADLINE).unwrap_or_else(|| panic!("{}", by_environment.log_tail()));
    assert_eq!((status.code(), solo.value("a").as_deref()), (Some(0), Some("one")), "{}", by_environment.log_tail());
    let state = solo.scratch.join(".local/state/meshfed/life-settings");
    assert!(state.join("signing-key").is_file() && state.join("mirror.git").is_dir(), "its files are where programs keep state");

    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "two")));
    let file = format!(
        "mesh: life-settings\nrepo: {url}\nkubeconfig: {}\nstateDir: state\ninterval: 1s\nonce: true\nverification: off\n",
        kubeconfig.display()
    );
    let config = solo.scratch.write("meshfed.yaml", &file).display().to_string();
    let mut by_file = spawn(&solo, "by-file", &["agent", "--config", &config], &[]);
    let status = by_file.wait(DEADLINE).unwrap_or_else(|| panic!("{}", by_file.log_tail()));
    assert_eq!((status.code(), solo.value("a").as_deref()), (Some(0), Some("two")), "{}", by_file.log_tail());
    assert!(solo.scratch.join("state/signing-key").is_file(), "a relative path starts at the file's folder");

    for process in [&by_environment, &by_file] {
        let log = process.log();
        let parsed = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")));
        let events: Vec<Value> = parsed.collect();
        let complete = |event: &Value| ["timestamp", "level", "message", "event"].iter().all(|key| event[key].is_string());
        assert!(!events.is_empty() && events.iter().all(complete), "{log}");
    }

    let mut without = spawn(&solo, "without", &["agent"], &[]);
    let status = without.wait(DEADLINE).unwrap_or_else(|| panic!("{}", without.log_tail()));
    assert_eq!(status.code(), Some(2), "{}", without.log());
    assert!(without.log().contains("--mesh, MESHFED_MESH or `mesh:` in the configuration file"), "{}", without.log());
}

#[test]
fn an_api_server_that_is_not_there_is_waited_for_at_the_start_and_later() {
    let mut cluster = Cluster::builder("life-outage").controllers().start();
    let solo = Solo::new("life-outage");
    let value = |cluster: &Cluster| {
        let map = solo::get(cluster, "configmap", &solo.apps, "a")?;
        Some(map.pointer("/data/key")?.as_str()?.to_owned())
    };
    let wait = |cluster: &Cluster, agent: &Agent, wanted: &str| {
        eventually(&format!("the value {wanted}"), || match value(cluster) {
            Some(found) if found == wanted => Ok(()),
            found => Err(format!("{found:?}\n{}", agent.process.log_tail())),
        });
    };
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "one")));
    cluster.stop();
    let agent = Agent::start(&solo.mesh, &solo.git.file_url(), cluster.kubeconfig(), &solo.scratch, &[]);
    let said = agent.wait_for("cannot reach the API server at")["message"].as_str().unwrap().to_owned();
    assert!(said.contains(&cluster.url()), "{said}");
    cluster.start_again();
    wait(&cluster, &agent, "one");
    agent.wait_for("the API server answers");

    cluster.stop();
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "two")));
    agent.wait_for("for the moment not possible, will be tried again");
    cluster.start_again();
    wait(&cluster, &agent, "two");
    solo::kubectl(&cluster, &["delete", "configmap", "a", "-n", &solo.apps]);
    wait(&cluster, &agent, "two");
    let log = agent.process.log();
    let said = log.lines().filter(|line| line.contains("cannot reach")).count();
    assert_eq!(said, 1, "it says so once, not at each try:\n{log}");
}
