//! The lab itself does what the other tests rely on.

use crate::lab::cluster::Cluster;
use crate::lab::git_server::GitServer;
use crate::lab::git_store::{git, run};
use crate::lab::process::{Process, Scratch, is_alive};
use crate::lab::{crds, kubeconfig, poll};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn namespace(name: &str) -> Namespace {
    serde_json::from_value(json!({ "metadata": { "name": name } })).expect("a namespace")
}

#[tokio::test]
async fn a_cluster_serves_both_meshes_and_obeys_its_roles() {
    let cluster = Cluster::shared();
    let names = "servicemeshpeers,exportedservicesets,importedservicesets,smcp,smmr,smm,virtualservices,subscriptions";
    let served = cluster.kubectl(&["get", names, "-A"]);
    assert!(served.status.success(), "{}", String::from_utf8_lossy(&served.stderr));

    let stranger = kubeconfig::client(&cluster.kubeconfig_for("stranger", &["strangers"])).await;
    let denied = Api::<ConfigMap>::namespaced(stranger, "default").list(&kube::api::ListParams::default()).await;
    assert!(matches!(&denied, Err(kube::Error::Api(status)) if status.code == 403), "{denied:?}");
    let namesake = kubeconfig::client(&cluster.kubeconfig_for("somebody", &["strangers", "system:masters"])).await;
    Api::<ConfigMap>::namespaced(namesake, "default").list(&kube::api::ListParams::default()).await.expect("both groups count");
}

#[tokio::test]
async fn a_deleted_namespace_goes_away() {
    let api: Api<Namespace> = Api::all(Cluster::shared().client().await);
    api.create(&PostParams::default(), &namespace("short-lived")).await.expect("a namespace can be made");
    api.delete("short-lived", &DeleteParams::default()).await.expect("and deleted");
    for _ in 0..200 {
        if api.get_opt("short-lived").await.expect("namespaces can be read").is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the namespace is still there after 20 s");
}

#[tokio::test]
async fn an_api_server_goes_and_comes_back_and_tells_who_asked() {
    let mut cluster = Cluster::builder("outage").without_crds().audit().start();
    let api: Api<Namespace> = Api::all(cluster.client().await);
    api.create(&PostParams::default(), &namespace("kept")).await.expect("a namespace can be made");
    let created =
        |r: &crate::lab::audit::Request| r.writes() && r.resource == "namespaces" && r.name == "kept" && r.user == "lab-admin";
    assert_eq!(cluster.requests().iter().filter(|r| created(r)).count(), 1);
    assert!(cluster.requests_by("no-such-program").is_empty());

    cluster.stop();
    assert!(api.get("kept").await.is_err(), "the API server answers although it was stopped");
    cluster.start_again();
    api.get("kept").await.expect("the old client finds the old object at the old address");

    let (pids, files) = (cluster.pids(), cluster.scratch().path().to_owned());
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)));
    drop(cluster);
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "a server outlived its cluster");
    assert!(!files.exists(), "files were left in {}", files.display());
}

/// The test plays two parts: it starts itself again, and kills that with a signal that cannot be caught.
#[test]
fn a_killed_test_leaves_nothing_behind() {
    const PART: &str = "LAB_TELL_AND_WAIT";
    if let Some(told) = std::env::var_os(PART) {
        let scratch = Scratch::new("killed");
        let process = Process::spawn("sleeper", Command::new("sleep").arg("600"), &scratch);
        fs::write(Path::new(&told).with_extension("new"), format!("{}\n{}", process.pid(), scratch.path().display()))
            .expect("told");
        fs::rename(Path::new(&told).with_extension("new"), told).expect("told");
        std::thread::sleep(Duration::from_secs(600));
    }
    let scratch = Scratch::new("killer");
    let told = scratch.join("told");
    let mut victim = Command::new(std::env::current_exe().expect("a test has a file"))
        .args(["--exact", "lab_works::a_killed_test_leaves_nothing_behind"])
        .env(PART, &told)
        .stdout(Stdio::null())
        .spawn()
        .expect("a test can be started");
    let answer = poll(SOON, || fs::read_to_string(&told).ok()).expect("the victim starts its child");
    let (pid, files) = answer.split_once('\n').expect("two lines");
    let pid = pid.parse().expect("a process id");
    assert!(is_alive(pid) && Path::new(files).exists());
    victim.kill().expect("it can be killed");
    victim.wait().expect("it ends");
    poll(SOON, || (!is_alive(pid) && !Path::new(files).exists()).then_some(())).expect("child or files are left");
}

#[test]
fn a_server_that_dies_is_noticed() {
    let scratch = Scratch::new("dies");
    let mut process = Process::spawn("dies", Command::new("sh").args(["-c", "echo last words >&2; exit 3"]), &scratch);
    let status = process.wait(SOON).expect("it ends");
    assert_eq!((status.code(), process.log_tail().as_str()), (Some(3), "last words"));
}

#[test]
fn a_git_server_is_cloned_from_and_pushed_to() {
    let scratch = Scratch::new("git");
    let server = GitServer::start(scratch.path());
    assert_eq!((server.head("main"), server.log("main")), (None, Vec::new()));
    // A push larger than Git's buffer is sent in chunks.
    let large: Vec<String> = (0..40_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    let large = large.join("\n");
    let first = server.commit("First", &[("a/b.yaml", Some("one: 1\n")), ("gone", Some("x")), ("large", Some(&large))]);
    server.commit("Second\n\nWith a reason.", &[("gone", None), ("a/c.yaml", Some(""))]);
    assert_eq!(server.log("main"), ["Second", "First"]);
    assert_eq!(server.show("main:a/b.yaml").as_deref(), Some("one: 1\n"));
    assert_eq!(server.show("main:gone"), None);
    assert_eq!(server.show(&format!("{first}:gone")).as_deref(), Some("x"));

    // A question as long as what a clone of so many branches asks is sent compressed.
    for number in 0..25 {
        server.commit_on(&format!("branch{number}"), &format!("Branch {number}"), &[("a", Some("1"))]);
    }

    let urls = [server.url(), server.file_url(), server.path().display().to_string(), server.url_with("agent", "secret")];
    for (number, url) in urls.iter().enumerate() {
        if url.contains('@') {
            server.require_password("agent", "secret");
            let refused = git(scratch.path()).args(["ls-remote", &server.url()]).output().expect("git can be run");
            assert!(!refused.status.success(), "let in without a password");
        }
        let work = scratch.join(&format!("clone{number}"));
        let in_work = |arguments: &[&str]| run(git(scratch.path()).arg("-C").arg(&work).args(arguments));
        run(git(scratch.path()).args(["clone", "--quiet", url]).arg(&work));
        assert_eq!(fs::read_to_string(work.join("large")).expect("it was cloned").len(), large.len());
        let branch = format!("pushed{number}");
        fs::write(work.join("large"), format!("{number}\n{large}")).expect("a file can be written");
        in_work(&["commit", "--quiet", "--all", "--message", "Pushed"]);
        in_work(&["-c", "http.postBuffer=65536", "push", "--quiet", "origin", &format!("HEAD:{branch}")]);
        assert_eq!(server.log(&branch), ["Pushed", "Second", "First"], "over {url}");
    }
    assert_eq!(server.branches().len(), 1 + 25 + urls.len());

    server.hook("pre-receive", "echo not today >&2; exit 1");
    let refused = git(scratch.path()).arg("-C").arg(scratch.join("clone3")).args(["push", "origin", "HEAD:new"]).output();
    assert!(String::from_utf8_lossy(&refused.expect("git can be run").stderr).contains("not today"));
}

#[test]
fn a_git_server_can_misbehave() {
    let scratch = Scratch::new("git-faults");
    let server = GitServer::start(scratch.path());
    server.commit("First", &[("a", Some("1"))]);
    let ask = || Process::spawn("ask", git(scratch.path()).args(["ls-remote", &server.url()]), &scratch);

    server.stall();
    let mut waiting = ask();
    assert!(waiting.wait(Duration::from_secs(1)).is_none(), "an answer came: {}", waiting.log_tail());
    server.recover();
    assert!(waiting.wait(SOON).is_some_and(|status| !status.success()), "the stalled connection is dropped in the end");

    server.refuse();
    assert!(ask().wait(SOON).is_some_and(|status| !status.success()));
    server.recover();
    let before = server.requests().len();
    assert!(ask().wait(SOON).is_some_and(|status| status.success()));
    assert!(server.requests().len() > before);
}

#[test]
fn ours_agree_with_the_real_crds() {
    let Some(dir) = crds::real_directory() else {
        eprintln!("no definitions of a real cluster here: nothing to compare with");
        return;
    };
    let real = crds::real(&dir);
    let mut differences = Vec::new();
    for (name, ours) in crds::ours() {
        // The mesh operator's directory does not hold those of the package manager.
        let Some(real) = real.get(&name) else {
            assert!(name.ends_with("operators.coreos.com"), "{name} is not among the real ones");
            continue;
        };
        assert_eq!(ours.pointer("/spec/scope"), real.pointer("/spec/scope"), "{name}");
        assert_eq!(ours.pointer("/spec/names/shortNames"), real.pointer("/spec/names/shortNames"), "{name}");
        for version in ours["spec"]["versions"].as_array().expect("versions") {
            let same = |v: &&Value| v["name"] == version["name"];
            let real =
                real["spec"]["versions"].as_array().and_then(|all| all.iter().find(same)).expect("the real one has the version");
            assert_eq!(version["subresources"], real["subresources"], "{name}");
            compare(&name, &version["schema"]["openAPIV3Schema"], &real["schema"]["openAPIV3Schema"], &mut differences);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Holds a schema of ours, and all within it, against the real one; what ours does not name may be anything.
fn compare(place: &str, ours: &Value, real: &Value, differences: &mut Vec<String>) {
    let facts = [
        "type",
        "format",
        "nullable",
        "enum",
        "anyOf",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ];
    for fact in facts {
        if ours[fact] != real[fact] {
            differences.push(format!("{place}: {fact} is {} in ours, {} in the real one", ours[fact], real[fact]));
        }
    }
    let required = |schema: &Value| -> BTreeSet<String> {
        schema["required"].as_array().into_iter().flatten().map(ToString::to_string).collect()
    };
    if required(ours) != required(real) {
        differences.push(format!("{place}: {:?} are required in ours, {:?} in the real one", required(ours), required(real)));
    }
    for inner in ["items", "additionalProperties"] {
        match (ours.get(inner), real.get(inner)) {
            (Some(ours), Some(real)) => compare(&format!("{place}[]"), ours, real, differences),
            (None, None) => {}
            _ => differences.push(format!("{place}: only one has {inner}")),
        }
    }
    for (name, ours) in ours["properties"].as_object().into_iter().flatten() {
        match real["properties"].get(name) {
            Some(real) => compare(&format!("{place}.{name}"), ours, real, differences),
            None => differences.push(format!("{place}.{name} is not in the real one")),
        }
    }
}
