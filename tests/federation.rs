//! Whole federations: real binaries, real API servers, a real handshake between the stand-ins of the mesh operators.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde_json::{Value, json};

use crate::deploy;
use crate::lab::standin::Cloud;
use crate::stage::{Agent, EXAMPLE, Site, Stage, eventually, example, example_under};

#[path = "demo/steps.rs"]
pub mod steps;

use steps::{ARO, GCP, ROSA, addresses, connected, imported, other_addresses, published, roots, split};

const DETAILS_V2: &str = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";
const DETAILS_V3: &str = "details-v3.prod-bookinfo.svc.gcp-dev-mesh-imports.local";

/// The files of a mesh in the example, without its peers and traffic.
fn base(mesh: &str) -> Vec<String> {
    let mut paths = vec!["federation.yaml".to_owned(), format!("meshes/{mesh}/mesh.yaml")];
    paths.extend(example_under(&format!("meshes/{mesh}/manifests")));
    paths
}

fn commit(stage: &Stage, message: &str, paths: &[String]) {
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    stage.commit_example(message, &paths);
}

fn halves(one: &str, other: &str) -> [String; 2] {
    [format!("meshes/{one}/peers/{other}.yaml"), format!("meshes/{other}/peers/{one}.yaml")]
}

/// No object was refused by the API server or its webhook, and none is held for good.
fn nothing_was_refused(agent: &Agent) {
    let log = agent.process.log();
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("refused by") || line.contains("not permitted")).collect();
    assert!(refused.is_empty(), "{}: {refused:#?}", agent.mesh);
}

/// The agent of rosa-prod-mesh runs under the service account of `deploy/example`.
fn as_deployed(site: &Site) {
    deploy::example(&site.cluster);
    site.account.set(deploy::account(&site.cluster)).expect("it has one account");
}

/// Each line of the inventory that the agent of a mesh keeps in its cluster.
fn inventory(stage: &Stage, mesh: &str) -> Vec<String> {
    let map = stage.site(mesh).get("configmap", mesh, "meshfed").unwrap_or_default();
    let kinds = map["data"].as_object().cloned().unwrap_or_default();
    kinds.values().filter_map(Value::as_str).flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn three_meshes_federate_by_signed_commits_alone_and_follow_what_changes() {
    let stage = Stage::start(&EXAMPLE);
    stage.introduce();
    as_deployed(stage.site(ROSA));
    let agents: Vec<Agent> = EXAMPLE
        .iter()
        .map(|(mesh, _)| match *mesh {
            // With the rights that `deploy/example` gives and no others, its Lease among them.
            ROSA => stage.agent_with(ROSA, &stage.git.file_url(), &["--lease", "meshfed/meshfed", "--identity", "rosa-0"]),
            mesh => stage.agent(mesh),
        })
        .collect();
    let all: Vec<String> = EXAMPLE.iter().flat_map(|(mesh, _)| base(mesh)).collect();
    commit(&stage, "Three meshes", &all);
    for (mesh, _) in EXAMPLE {
        published(&stage, mesh).unwrap();
    }
    commit(&stage, "rosa and aro", &halves(ROSA, ARO));
    imported(&stage, ROSA, ARO, DETAILS_V2).unwrap();
    commit(&stage, "rosa and gcp", &halves(ROSA, GCP));
    let traffic = format!("meshes/{ROSA}/traffic/details.yaml");
    commit(&stage, "A split", std::slice::from_ref(&traffic));
    imported(&stage, ROSA, GCP, DETAILS_V3).unwrap();
    split(&stage, &[60, 20, 20]).unwrap();

    drift_is_repaired(&stage);
    a_new_address_travels(&stage);
    a_new_root_travels_and_the_old_one_stays(&stage);

    let moved =
        example(&traffic).replace("subset: v1}, weight: 60", "subset: v1}, weight: 40").replacen("weight: 20", "weight: 40", 1);
    stage.git.commit("details: 40 % here, 40 % aro", &[(&traffic, Some(&moved))]);
    split(&stage, &[40, 40, 20]).unwrap();
    agents.iter().for_each(nothing_was_refused);
    for (mesh, _) in EXAMPLE {
        let status = stage.git.show(&format!("published/{mesh}:status.yaml")).unwrap_or_default();
        assert!(status.contains("verified: verified") && !status.contains("frozen: "), "{status}");
    }
}

fn drift_is_repaired(stage: &Stage) {
    let rosa = stage.site(ROSA);
    let hundred = json!({"spec": {"http": [{"route": [{"destination": {"host": "details"}, "weight": 100}]}]}});
    rosa.patch("virtualservice", "prod-bookinfo", "details", &hundred);
    split(stage, &[60, 20, 20]).unwrap();
    for (kind, namespace, name) in [
        ("importedserviceset", ROSA, ARO),
        ("destinationrule", "prod-bookinfo", "details"),
        ("configmap", ROSA, "aro-stg-mesh-ca-root-cert"),
    ] {
        let before = rosa.get(kind, namespace, name).unwrap_or_else(|| panic!("there is no {kind} {name}"));
        let output = rosa.cluster.kubectl(&["delete", kind, name, "-n", namespace]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        eventually(&format!("{kind}/{name} is made anew"), || match rosa.get(kind, namespace, name) {
            Some(now) if now["metadata"]["uid"] != before["metadata"]["uid"] => Ok(()),
            found => Err(format!("{found:?}")),
        });
    }
    imported(stage, ROSA, ARO, DETAILS_V2).unwrap();
    split(stage, &[60, 20, 20]).unwrap();
}

fn a_new_address_travels(stage: &Stage) {
    let before = addresses(stage.site(ROSA), ROSA, ARO);
    stage.site(ARO).standin.new_address("rosa-prod-mesh-ingress");
    let now = other_addresses(stage, ROSA, ARO, &before).unwrap();
    let facts = stage.git.show("published/aro-stg-mesh:published.yaml").unwrap();
    assert!(facts.contains(&now[0]) && !facts.contains(&before[0]), "{now:?} instead of {before:?}: {facts}");
    connected(stage, ROSA, ARO).unwrap();
}

fn a_new_root_travels_and_the_old_one_stays(stage: &Stage) {
    let bundle = || {
        let map = stage.site(ROSA).get("configmap", ROSA, "gcp-dev-mesh-ca-root-cert").unwrap();
        map["data"]["root-cert.pem"].as_str().unwrap().to_owned()
    };
    let old = bundle();
    stage.replace_ca(GCP);
    roots(stage, ROSA, GCP, 2).unwrap();
    assert!(bundle().contains(old.trim()), "the old root is still trusted");
    connected(stage, ROSA, GCP).unwrap();
    imported(stage, ROSA, GCP, DETAILS_V3).unwrap();
}

#[test]
fn agents_that_are_killed_while_they_start_converge_and_a_peering_leaves_in_stages_and_comes_back() {
    let stage = Stage::start(&[(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)]);
    let mut paths: Vec<String> = [base(ROSA), base(ARO)].concat();
    paths.extend(halves(ROSA, ARO));
    commit(&stage, "Everything at once", &paths);
    let traffic = example(&format!("meshes/{ROSA}/traffic/details.yaml"));
    let traffic: String = traffic.lines().filter(|line| !line.contains(GCP)).flat_map(|line| [line, "\n"]).collect();
    let traffic = traffic.replace("weight: 60", "weight: 80");
    stage.git.commit("A split", &[(&format!("meshes/{ROSA}/traffic/details.yaml"), Some(&traffic))]);
    for round in 0..8 {
        let mut agents = [stage.agent(ROSA), stage.agent(ARO)];
        let pause = RandomState::new().hash_one(round) % 900;
        println!("round {round}: killed after {pause} ms"); // shown if the test fails
        std::thread::sleep(Duration::from_millis(pause));
        for agent in &mut agents {
            agent.process.kill();
        }
    }
    let agents = [stage.agent(ROSA), stage.agent(ARO)];
    imported(&stage, ROSA, ARO, DETAILS_V2).unwrap();
    split(&stage, &[80, 20]).unwrap();
    for (mesh, _) in &EXAMPLE[..2] {
        // Namespaces are never deleted, so it does not matter who is taken to have made them.
        let objects = inventory(&stage, mesh).into_iter().filter(|line| line.contains('/'));
        let adopted: Vec<String> = objects.filter(|line| !line.contains(" created ")).collect();
        assert_eq!(adopted, [""; 0], "what an agent made before it was killed it still knows as its own");
    }

    let writes = |mesh: &str| -> Vec<String> {
        let requests = stage.site(mesh).cluster.requests_by("meshfed").into_iter();
        let writes = requests.filter(|request| request.writes() && request.name != "meshfed");
        writes.map(|request| format!("{} {}", request.verb, request.resource)).collect()
    };
    let marks = [ROSA, ARO].map(|mesh| writes(mesh).len());
    let half = format!("meshes/{ARO}/peers/{ROSA}.yaml");
    stage.git.commit("aro leaves rosa", &[(&half, None)]);
    split(&stage, &[100]).unwrap();
    eventually("nothing of the peering is left at aro", || {
        let site = stage.site(ARO);
        let objects = [
            ("exportedserviceset", ROSA),
            ("importedserviceset", ROSA),
            ("servicemeshpeer", ROSA),
            ("configmap", "rosa-prod-mesh-ca-root-cert"),
            ("service", "rosa-prod-mesh-ingress"),
            ("service", "rosa-prod-mesh-egress"),
        ];
        match objects.iter().filter(|(kind, name)| site.get(kind, ARO, name).is_some()).collect::<Vec<_>>() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}\n{}", agents[1].process.log_tail())),
        }
    });
    in_this_order(
        &writes(ARO)[marks[1]..],
        &[
            "patch exportedservicesets", // emptied
            "delete exportedservicesets",
            "delete servicemeshpeers",
            "delete configmaps",
            "patch servicemeshcontrolplanes",
        ],
    );
    in_this_order(
        &writes(ROSA)[marks[0]..],
        &["patch virtualservices", "delete importedservicesets", "delete servicemeshpeers", "delete configmaps"],
    );

    // A control plane whose peer was deleted too early answers no peer any more: this one does.
    commit(&stage, "aro is back", &[half]);
    imported(&stage, ROSA, ARO, DETAILS_V2).unwrap();
    split(&stage, &[80, 20]).unwrap();
    agents.iter().for_each(nothing_was_refused);
}

/// Each of these writes was made, and the next one only after the one before.
fn in_this_order(writes: &[String], order: &[&str]) {
    let place = |write: &&str| writes.iter().position(|w| w == write).unwrap_or_else(|| panic!("no `{write}` in {writes:#?}"));
    assert!(order.iter().map(place).is_sorted(), "{writes:#?}");
}
