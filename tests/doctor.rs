//! `meshfed doctor`: a federation that works has nothing to complain of; each kind of trouble, made for real, is found and named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::commands::{Place, Ran, mk_federation};
use crate::deploy::{done, path};
use crate::federation::steps::{ARO, ROSA, imported};
use crate::lab::free_port;
use crate::lab::git_server::GitServer;
use crate::lab::git_store::GitStore;
use crate::lab::standin::Cloud;
use crate::operators;
use crate::scenarios::pair::{HOST, INGRESS};
use crate::stage::{Agent, Stage, binary, eventually, example_under};

/// The account that `deploy/` gives the agent.
const AGENT: &str = "system:serviceaccount:meshfed:meshfed";

/// Two meshes that are federated by signed commits.
struct Scene {
    rosa: Agent,
    aro: Agent,
    stage: Stage,
    /// Where rosa's agent answers operators.
    port: u16,
}

impl Scene {
    fn start() -> Self {
        let stage = Stage::start(&[(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)]);
        stage.introduce();
        let mut files = vec!["federation.yaml".to_owned()];
        for (mesh, peer) in [(ROSA, ARO), (ARO, ROSA)] {
            files.extend([format!("meshes/{mesh}/mesh.yaml"), format!("meshes/{mesh}/peers/{peer}.yaml")]);
            files.extend(example_under(&format!("meshes/{mesh}/manifests")));
        }
        stage.commit_example("Two meshes", &files.iter().map(String::as_str).collect::<Vec<_>>());
        let port = free_port();
        let rosa = stage.agent_with(ROSA, &stage.git.file_url(), &["--listen", &format!("127.0.0.1:{port}")]);
        let aro = stage.agent(ARO);
        imported(&stage, ROSA, ARO, HOST).unwrap();
        let scene = Self { rosa, aro, stage, port };
        eventually("rosa says that all is well", || match scene.stage.published_line(ROSA, "ready").as_deref() {
            Some("true") => Ok(()),
            other => Err(format!("{other:?}")),
        });
        scene
    }

    /// Runs a command about rosa.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut command = Command::new(binary());
        command.env_clear().env("HOME", self.stage.scratch.path()).args(arguments);
        command.args(["-o", "json", "--mesh", ROSA, "--repo", &self.stage.git.url()]).args(self.stage.trust_flags());
        let output = command.output().unwrap();
        let answer = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), answer)
    }

    /// As the agent of rosa, with another kubeconfig.
    fn doctor(&self, kubeconfig: &Path) -> Vec<Value> {
        let key = self.stage.scratch.join(&format!("{ROSA}.key"));
        let (kubeconfig, key) = (kubeconfig.display().to_string(), key.display().to_string());
        let (ended, report) = self.run(&["doctor", "--kubeconfig", &kubeconfig, "--signing-key", &key]);
        let checks = report["checks"].as_array().unwrap().clone();
        let has = |outcome| checks.iter().any(|check| check["outcome"] == outcome);
        let code = if has("failure") { 1 } else { i32::from(has("unknown")) * 3 };
        assert_eq!(ended, Some(code), "{report:#}");
        checks
    }

    /// The status joined with rosa's cluster.
    fn live(&self) -> (Option<i32>, Value) {
        self.run(&["status", "--live", "--kubeconfig", &self.admin().display().to_string()])
    }

    fn admin(&self) -> PathBuf {
        self.stage.site(ROSA).cluster.kubeconfig().to_owned()
    }

    /// Publishes in place of an agent, which is stopped.
    fn publish(&mut self, edit: impl Fn(&str) -> String) {
        self.aro.process.kill();
        let branch = format!("published/{ARO}");
        let facts = self.stage.git.show(&format!("{branch}:published.yaml")).unwrap();
        let edited = edit(&facts);
        assert_ne!(edited, facts);
        self.stage.git.commit_on(&branch, "Other facts", &[("published.yaml", Some(&edited))]);
    }
}

/// What is not as it should be: name, outcome, what was found.
fn trouble(checks: &[Value]) -> Vec<(&str, &str, &str)> {
    let text = |check: &'_ Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    for check in checks.iter().filter(|check| check["outcome"] == "failure") {
        assert_ne!(text(check, "hint"), "", "{check}");
    }
    let bad = checks.iter().filter(|check| check["outcome"] != "ok");
    bad.map(|check| (check["name"].as_str().unwrap(), check["outcome"].as_str().unwrap(), check["found"].as_str().unwrap()))
        .collect()
}

/// The trouble under a name.
fn found<'a>(checks: &'a [Value], name: &str, outcome: &str) -> &'a str {
    let found = trouble(checks).into_iter().find(|(of, how, _)| (*of, *how) == (name, outcome));
    found.unwrap_or_else(|| panic!("no {outcome} of {name}: {checks:#?}")).2
}

#[test]
fn what_works_is_well_and_each_trouble_is_named() {
    let mut scene = Scene::start();
    let admin = scene.admin();
    let before = scene.stage.git.log(&format!("published/{ROSA}"));
    eventually("nothing is wrong", || match trouble(&scene.doctor(&admin)).as_slice() {
        // The lab's Git server speaks plain http.
        [("host", "warning", _)] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(scene.stage.git.log(&format!("published/{ROSA}")), before, "a rehearsal writes nothing");

    the_agent_tells_what_the_command_tells(&scene);
    a_cluster_that_is_as_declared_has_nothing_to_add(&scene);
    the_roles_of_deploy_are_enough_and_what_is_missing_is_named(&scene);
    credentials_and_clusters_that_are_no_good(&scene);
    the_host_refuses_a_push(&scene);

    scene.rosa.process.kill();
    drift_that_nobody_repairs_shows_in_the_live_status(&scene);

    let site = scene.stage.site(ROSA);
    done(&site.cluster, "delete crd virtualservices.networking.istio.io");
    eventually("the definition is gone", || {
        let checks = scene.doctor(&admin);
        match trouble(&checks).iter().find(|(name, ..)| *name == "kind VirtualService") {
            Some((_, "failure", "networking.istio.io/v1beta1 is not served")) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });

    scene.stage.site(ARO).standin.stop_ingress(INGRESS);
    eventually("the ingress does not answer", || {
        let checks = scene.doctor(&admin);
        let all = trouble(&checks);
        let of = |name| all.iter().find(|(of, ..)| *of == name).map(|(_, outcome, found)| (*outcome, *found));
        match (of("ingress of aro-stg-mesh"), of("identity of aro-stg-mesh")) {
            (Some(("failure", found)), Some(("unknown", _))) if found.contains(" port 8188: ") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    scene.stage.site(ARO).standin.resume_ingress(INGRESS);

    // The agent of aro does not tell of the new CA, for it is stopped.
    scene.publish(|facts| facts.replace("servicePort: 15443", "servicePort: 15444"));
    scene.stage.replace_ca(ARO);
    eventually("the ingress shows another CA", || {
        let checks = scene.doctor(&admin);
        let identity = trouble(&checks).into_iter().find(|(name, ..)| *name == "identity of aro-stg-mesh");
        match identity {
            Some((_, "failure", why)) if why.ends_with("its certificates end in none of the published roots") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(found(&scene.doctor(&admin), "ingress of aro-stg-mesh", "failure").contains(" port 15444: "));
}

/// Names of all fields, however deep.
fn shape(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            fields.insert(format!("{path}.{name}"));
            shape(value, &format!("{path}.{name}"), fields);
        }),
        Value::Array(items) => items.iter().for_each(|item| shape(item, path, fields)),
        _ => {}
    }
}

fn the_agent_tells_what_the_command_tells(scene: &Scene) {
    // The command does not know what the agent will say next: they agree once nothing is on its way.
    eventually("both tell the same", || {
        let (_, mut told) = scene.run(&["status"]);
        let mut own: Value = serde_json::from_str(&operators::get(scene.port, "/status").ok_or("nobody listens")?.1)
            .map_err(|error| error.to_string())?;
        assert_eq!((&told["leader"], &own["leader"]), (&Value::Null, &json!(true)), "only who answers for itself leads");
        own["leader"] = Value::Null;
        for status in [&mut told, &mut own] {
            // Where each has it from, and who verified it.
            for field in ["repository", "commit"] {
                assert!(status.as_object_mut().unwrap().remove(field).is_some(), "{status:#}");
            }
        }
        let fields = |status: &Value| {
            let mut fields = BTreeSet::new();
            shape(status, "", &mut fields);
            fields
        };
        assert_eq!(fields(&told), fields(&own));
        if told == own { Ok(()) } else { Err(format!("{told:#}\n{own:#}")) }
    });
}

fn a_cluster_that_is_as_declared_has_nothing_to_add(scene: &Scene) {
    let (code, status) = scene.live();
    assert_eq!((code, &status["live"]["differs"], &status["live"]["changes"]), (Some(0), &json!([]), &json!([])), "{status:#}");
    let verification = status["commit"]["verification"].as_str().unwrap();
    assert!(verification.starts_with("verified here from "), "{verification}");
    assert_eq!(status["commit"]["verified"], true);
}

fn drift_that_nobody_repairs_shows_in_the_live_status(scene: &Scene) {
    let nowhere = json!({"spec": {"remote": {"addresses": ["192.0.2.1"]}}});
    scene.stage.site(ROSA).patch("servicemeshpeer", ROSA, ARO, &nowhere);
    eventually("the peer is away", || {
        let (code, status) = scene.live();
        let lines = |field: &str| status["live"][field].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
        let differs = lines("differs").any(|line| line == "we are connected to aro-stg-mesh: no now, yes then");
        let changes = lines("changes").any(|line| line.contains("ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh"));
        if differs && changes && code == Some(1) { Ok(()) } else { Err(format!("{:#}", status["live"])) }
    });
    let back = json!({"spec": {"remote": {"addresses": [address(scene)]}}});
    scene.stage.site(ROSA).patch("servicemeshpeer", ROSA, ARO, &back);
}

/// Where aro's ingress for rosa is.
fn address(scene: &Scene) -> String {
    let service = scene.stage.site(ARO).get("service", ARO, INGRESS).unwrap();
    service.pointer("/status/loadBalancer/ingress/0/ip").and_then(Value::as_str).unwrap().to_owned()
}

fn the_roles_of_deploy_are_enough_and_what_is_missing_is_named(scene: &Scene) {
    let cluster = &scene.stage.site(ROSA).cluster;
    done(cluster, &format!("apply --server-side -k {}", path("deploy/example")));
    let agent = cluster.kubeconfig_for(AGENT, &["system:serviceaccounts", "system:authenticated"]);
    eventually("the roles are in force", || match trouble(&scene.doctor(&agent)).as_slice() {
        [("host", "warning", _)] => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let patch = json!([{"op": "replace", "path": "/rules/0/verbs", "value": ["get", "list", "watch", "create", "patch"]}]);
    done(cluster, &format!("patch role meshfed-member -n prod-bookinfo --type=json -p={}", patch.to_string().replace(' ', "")));
    eventually("a verb is missing", || {
        let checks = scene.doctor(&agent);
        let missing = checks.iter().find(|check| check["name"] == "permissions").unwrap();
        let expected = json!({
            "name": "permissions", "outcome": "failure", "found": "may not delete ServiceMeshMember objects in namespace prod-bookinfo",
            "hint": "add to the role: {apiGroups: [\"maistra.io\"], resources: [servicemeshmembers], verbs: [delete]}",
        });
        if *missing == expected { Ok(()) } else { Err(format!("{missing}")) }
    });
}

fn credentials_and_clusters_that_are_no_good(scene: &Scene) {
    let text = std::fs::read_to_string(scene.admin()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": "wrong"});
    let wrong = scene.stage.scratch.write("wrong.kubeconfig", &config.to_string());
    let checks = scene.doctor(&wrong);
    assert!(found(&checks, "cluster", "failure").ends_with(" does not accept the credentials"), "{checks:#?}");
    for name in ["clock of cluster", "definitions", "permissions", "control plane"] {
        assert_eq!(found(&checks, name, "skipped"), "not tried");
    }
    assert!(!format!("{checks:?}").contains("wrong"), "{checks:#?}");
    config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1");
    let away = scene.stage.scratch.write("away.kubeconfig", &config.to_string());
    assert!(found(&scene.doctor(&away), "cluster", "failure").contains("cannot reach the API server at https://127.0.0.1:1"));
}

fn the_host_refuses_a_push(scene: &Scene) {
    scene.stage.git.hook("pre-receive", "#!/bin/sh\necho only robots may\nexit 1\n");
    let checks = scene.doctor(&scene.admin());
    assert!(found(&checks, "push", "failure").contains("only robots may"), "{checks:#?}");
    scene.stage.git.hook("pre-receive", "#!/bin/sh\nexit 0\n");
}

/// Ids and places differ from run to run.
fn stable(ran: &Ran, store: &GitStore) -> String {
    let text = ran.out.replace(&store.path().display().to_string(), "repo.git");
    let head = store.head("main").unwrap();
    let (before, rest) = text.split_once("last word ").unwrap();
    let (_, after) = rest.split_once(" ago").unwrap();
    format!("{before}last word 1s ago{after}").replace(&head[..7], "9f2c1ab")
}

#[test]
fn a_host_whose_clock_is_wrong_is_named() {
    let place = Place::new();
    let host = GitServer::start(&place.path().join("host"));
    mk_federation(&host);
    for (date, found) in [
        ("Thu, 01 Jan 1970 00:00:00 GMT", "ahead of the Git host; 30 s are allowed"),
        ("Tue, 31 Dec 2999 23:59:59 GMT", "behind the Git host; 30 s are allowed"),
    ] {
        host.tell_the_time(date);
        let ran = place.run(&["doctor", "--mesh", "rosa-prod-mesh", "--repo", &host.url(), "-o", "json"]);
        let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
        let checks = told["checks"].as_array().unwrap();
        let clock = checks.iter().find(|check| check["name"] == "clock of host").unwrap_or_else(|| panic!("{told:#}"));
        assert_eq!(clock["outcome"], "failure");
        assert!(clock["found"].as_str().unwrap().ends_with(found), "{clock}");
    }
}

#[test]
fn git_alone_tells_much_and_what_was_not_looked_at_is_said() {
    let place = Place::new();
    let store = GitStore::create(place.path());
    mk_federation(&store);
    let ran = place.run(&["doctor", "--mesh", "rosa-prod-mesh", "--repo", "repo.git"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    insta::assert_snapshot!("doctor", stable(&ran, &store));
    let unknown = place.run(&["doctor", "--mesh", "rosa", "--repo", "repo.git"]);
    assert!(unknown.code == Some(1) && unknown.out.contains("there is no meshes/rosa/"), "{}{}", unknown.out, unknown.err);
    let nowhere = place.run(&["doctor", "--mesh", "rosa-prod-mesh", "--repo", "http://127.0.0.1:1/x.git"]);
    assert!(nowhere.code == Some(1) && nowhere.out.contains("repository  failure"), "{}{}", nowhere.out, nowhere.err);
}
