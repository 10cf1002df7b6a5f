//! Compliance: an export that a policy forbids never reaches a cluster, and the rest of its commit does.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::federation::steps::{ARO, ROSA, connected, imported, split};
use crate::lab::standin::Cloud;
use crate::stage::{Agent, Stage, binary, eventually, example, example_under};

const DETAILS: &str = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";
const EXPORTS: &str = "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml";
const MESH: &str = "meshes/aro-stg-mesh/mesh.yaml";
const TRAFFIC: &str = "meshes/rosa-prod-mesh/traffic/details.yaml";
const MANIFEST: &str = "meshes/aro-stg-mesh/manifests/note.yaml";
const POLICY: &str = "policies/exports-from-approved-namespaces.yaml";

/// Judges the document, not the object that is derived from it.
const NO_CARDS: &str = "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-cards}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [meshfed.dev], apiVersions: [v1alpha1], operations: [CREATE], resources: [peers]}
  validations:
  - expression: \"!has(object.spec.exports) || object.spec.exports.all(e, !has(e.service) || !e.service.endsWith('/cards'))\"
    message: cards never leave their mesh
";

/// Every ExportedServiceSet that ever was in a cluster, as text.
struct Witness {
    seen: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl Witness {
    fn start(stage: &Stage, mesh: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let client = runtime.block_on(stage.site(mesh).cluster.client());
        let kind = GroupVersionKind::gvk("federation.maistra.io", "v1", "ExportedServiceSet");
        let api: Api<DynamicObject> = Api::all_with(client, &ApiResource::from_gvk(&kind));
        let sink = seen.clone();
        runtime.spawn(async move {
            let mut events = Box::pin(watcher(api, watcher::Config::default()));
            while let Some(event) = events.next().await {
                if let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event {
                    sink.lock().unwrap().push(serde_json::to_string(&object).unwrap());
                }
            }
        });
        Self { seen, _runtime: runtime }
    }

    fn ever(&self, text: &str) -> bool {
        self.seen.lock().unwrap().iter().any(|set| set.contains(text))
    }
}

/// A peer's document with these exports.
fn exports(services: &[&str]) -> String {
    let lines = services.iter().fold(String::new(), |lines, service| lines + "  - service: " + service + "\n");
    example(EXPORTS).replace("  exports:\n", &format!("  exports:\n{lines}"))
}

fn note(text: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: note, namespace: stg-bookinfo}}\ndata: {{text: {text}}}\n")
}

fn noted(stage: &Stage, text: &str) {
    eventually(&format!("the note says {text}"), || {
        let map = stage.site(ARO).get("configmap", "stg-bookinfo", "note").unwrap_or_default();
        if map["data"]["text"] == text { Ok(()) } else { Err(map.to_string()) }
    });
}

fn shares(here: u32, there: u32) -> String {
    format!(
        "apiVersion: meshfed.dev/v1alpha1\nkind: Traffic\nmetadata: {{name: details}}\nspec:\n  service: prod-bookinfo/details\n  routes:\n  \
         - {{local: {{subset: v1}}, weight: {here}}}\n  - {{peer: aro-stg-mesh, service: prod-bookinfo/details-v2, weight: {there}}}\n"
    )
}

/// Exit code and output of `meshfed check` on the tip of `main`.
fn check(stage: &Stage, name: &str) -> (Option<i32>, String) {
    let folder = stage.scratch.join(name);
    let clone = Command::new("git").args(["clone", "--quiet", &stage.git.file_url()]).arg(&folder).status().unwrap();
    assert!(clone.success());
    run_check(&folder)
}

fn run_check(folder: &Path) -> (Option<i32>, String) {
    let output = Command::new(binary()).args(["check", "."]).current_dir(folder).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until the status that aro publishes has the text, or has it no more.
fn status(stage: &Stage, text: &str, there: bool) {
    eventually(&format!("the status of {ARO} names `{text}`: {there}"), || {
        let status = stage.git.show(&format!("published/{ARO}:status.yaml")).unwrap_or_default();
        if status.contains(text) == there { Ok(()) } else { Err(status) }
    });
}

#[test]
fn an_export_that_a_policy_forbids_never_reaches_a_cluster() {
    let stage = Stage::start(&[(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)]);
    let witness = Witness::start(&stage, ARO);
    let library = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(POLICY)).unwrap();
    let mesh = example(MESH).replace("members: [stg-bookinfo]", "members: [stg-bookinfo, payments]");
    let mut files = vec!["federation.yaml".to_owned()];
    for (mesh, peer) in [(ROSA, ARO), (ARO, ROSA)] {
        files.extend([format!("meshes/{mesh}/mesh.yaml"), format!("meshes/{mesh}/peers/{peer}.yaml")]);
        files.extend(example_under(&format!("meshes/{mesh}/manifests")));
    }
    stage.commit_example("Two meshes", &files.iter().map(String::as_str).collect::<Vec<_>>());
    stage.git.commit("A policy", &[(POLICY, Some(&library)), (MESH, Some(&mesh)), (TRAFFIC, Some(&shares(80, 20)))]);
    let agents = [stage.agent(ROSA), stage.agent(ARO)];
    imported(&stage, ROSA, ARO, DETAILS).unwrap();
    split(&stage, &[80, 20]).unwrap();

    forbidden_object(&stage, &agents[1]);
    forbidden_document(&stage, &agents[1]);
    // A witness that never looked would have seen nothing either.
    assert!(witness.ever("details-v2") && witness.ever("ratings") && !witness.ever("cards"));
    connected(&stage, ROSA, ARO).unwrap();
}

fn forbidden_object(stage: &Stage, agent: &Agent) {
    let forbidden = exports(&["payments/cards"]);
    let changes = [(EXPORTS, Some(&*forbidden)), (MANIFEST, Some(&*note("one"))), (TRAFFIC, Some(&*shares(70, 30)))];
    stage.git.commit("Cards for everybody", &changes);
    noted(stage, "one");
    split(stage, &[70, 30]).unwrap();
    let policy = "policy meshfed-exports-from-approved-namespaces (policies/exports-from-approved-namespaces.yaml) forbids it";
    let event = agent.wait_for(policy);
    let message = event["message"].as_str().unwrap();
    assert!(message.contains("nothing may be exported from payments") && message.contains(EXPORTS), "{message}");
    status(stage, policy, true);
    let (code, output) = check(stage, "forbidden-object");
    assert_eq!(code, Some(1), "{output}");
    let said = output.split_whitespace().collect::<Vec<_>>().join(" "); // lines are broken to fit the screen
    assert!(
        said.contains(EXPORTS) && said.contains("MF020") && said.contains("nothing may be exported from payments"),
        "{output}"
    );

    stage.git.commit("Cards stay", &[(EXPORTS, Some(&example(EXPORTS)))]);
    status(stage, policy, false);
    assert_eq!(check(stage, "mended").0, Some(0));
}

fn forbidden_document(stage: &Stage, agent: &Agent) {
    stage.git.commit("Another policy", &[("policies/no-cards.yaml", Some(NO_CARDS)), (POLICY, None)]);
    let forbidden = exports(&["stg-bookinfo/ratings", "payments/cards"]);
    stage
        .git
        .commit("Cards again", &[(EXPORTS, Some(&forbidden)), (MANIFEST, Some(&note("two"))), (TRAFFIC, Some(&shares(60, 40)))]);
    noted(stage, "two");
    split(stage, &[60, 40]).unwrap();
    let line = 1 + forbidden.lines().position(|line| line.contains("payments/cards")).unwrap();
    let finding = format!(
        "{EXPORTS}:{line}:5: error[MF020]: policy no-cards (policies/no-cards.yaml) forbids it: cards never leave their mesh"
    );
    agent.wait_for(&finding);
    status(stage, "policy no-cards", true);
    let (code, output) = check(stage, "forbidden-document");
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains(&format!("{EXPORTS}:{line}:5")), "{output}");

    stage.git.commit("Ratings alone", &[(EXPORTS, Some(&exports(&["stg-bookinfo/ratings"])))]);
    eventually("ratings is exported", || {
        let set: Value = stage.site(ARO).get("exportedserviceset", ARO, ROSA).unwrap_or_default();
        if set["spec"].to_string().contains("ratings") { Ok(()) } else { Err(set.to_string()) }
    });
    status(stage, "policy no-cards", false);
    imported(stage, ROSA, ARO, DETAILS).unwrap();
}
