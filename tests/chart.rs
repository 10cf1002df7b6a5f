//! The Helm chart makes the same objects as Kustomize does of `deploy/`, and can be installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::deploy::{COMPONENTS, PLATFORMS, kustomize, objects, overlay, path};
use crate::lab::cluster::Cluster;
use crate::lab::servers;

fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(servers::helm());
    command.args(arguments).env_clear().env("HOME", home.path());
    command.output().unwrap()
}

#[track_caller]
fn fine(arguments: &[&str]) -> String {
    let output = helm(arguments);
    assert!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn chart() -> String {
    path("deploy/helm/meshfed")
}

fn template(arguments: &[&str]) -> Vec<Value> {
    objects(&fine(&[&["template", "meshfed", &chart()], arguments].concat()))
}

/// Objects by their name. Both append a hash to the name of the settings, each its own; and a list of things with names has no order.
fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    fn plain(value: &mut Value) {
        match value {
            Value::String(text) if text.starts_with("meshfed-settings-") => *text = "meshfed-settings".into(),
            Value::Array(items) => {
                items.iter_mut().for_each(plain);
                if items.iter().all(|item| item["name"].is_string()) {
                    items.sort_by_key(|item| item["name"].to_string());
                }
            }
            Value::Object(fields) => fields.values_mut().for_each(plain),
            _ => {}
        }
    }
    let named = objects.into_iter().map(|mut object| {
        plain(&mut object);
        let metadata = &object["metadata"];
        let place = metadata["namespace"].as_str().unwrap_or("-");
        (format!("{} {place}/{}", object["kind"], metadata["name"]), object)
    });
    named.collect()
}

/// Asserts that the chart, with these arguments, makes what Kustomize makes of a folder.
#[track_caller]
pub fn same(folder: &Path, arguments: &[&str]) {
    let (theirs, ours) = (by_name(template(arguments)), by_name(kustomize(folder)));
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (name, object) in ours {
        assert_eq!(theirs[&name], object, "{name}: the chart's is left");
    }
}

#[test]
fn without_values_it_is_the_base() {
    same(&PathBuf::from(path("deploy/base")), &[]);
}

#[test]
fn the_examples_values_give_the_examples_overlay() {
    same(&PathBuf::from(path("deploy/example")), &["--values", &path("deploy/example/values.yaml")]);
}

#[test]
fn each_platform_with_all_components_is_that_overlay() {
    for platform in PLATFORMS {
        let components = COMPONENTS.map(|name| format!("{name}.enabled=true")).join(",");
        same(overlay(platform).path(), &["--set", &format!("platform={platform},{components}")]);
    }
}

#[test]
fn other_settings_start_the_pods_anew() {
    let settings = |anchor: char| {
        let anchor = anchor.to_string().repeat(40);
        let all = template(&["--set", &format!("mesh=a,trust.anchor={anchor}")]);
        let deployment = all.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let name = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"].clone();
        assert!(all.iter().any(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == name), "no {name}");
        name
    };
    assert_ne!(settings('a'), settings('b'));
}

#[test]
fn another_namespace_is_meant_everywhere() {
    let all = template(&[
        "--set",
        "namespace=elsewhere,fence.enabled=true,monitoring.enabled=true,traces.enabled=true,webhook.enabled=true",
    ]);
    let text = serde_json::to_string(&all).unwrap();
    assert!(text.contains("system:serviceaccount:elsewhere:meshfed"), "the fence is about somebody else");
    assert!(!text.contains(r#""namespace":"meshfed""#) && !text.contains("serviceaccount:meshfed"), "{text}");
}

#[test]
fn kinds_that_no_role_has_are_granted_where_they_are() {
    let all =
        template(&["--set-json", r#"grants={"a": [{"apiGroups": ["maistra.io"], "resources": ["servicemeshmemberrolls"]}]}"#]);
    let named = |kind: &str| {
        let mut all = all.iter().filter(|object| object["kind"] == kind && object["metadata"]["name"] == "meshfed-manifests");
        all.next().unwrap_or_else(|| panic!("no {kind}"))
    };
    let (role, binding) = (named("Role"), named("RoleBinding"));
    assert_eq!((&role["metadata"]["namespace"], &binding["metadata"]["namespace"]), (&json!("a"), &json!("a")));
    let verbs = ["get", "list", "watch", "create", "patch", "delete"];
    let expected = json!({"apiGroups": ["maistra.io"], "resources": ["servicemeshmemberrolls"], "verbs": verbs});
    assert_eq!(role["rules"], json!([expected]));
    assert_eq!(binding["subjects"][0]["namespace"], "meshfed");
}

#[test]
fn ports_of_other_hosts_are_let_out() {
    let all = template(&["--set", "egressPorts={3000,2222}"]);
    let policy = all.iter().find(|object| object["metadata"]["name"] == "meshfed-egress").expect("a policy of its own");
    let ports: Vec<_> =
        policy["spec"]["egress"][0]["ports"].as_array().unwrap().iter().map(|port| port["port"].as_u64()).collect();
    assert_eq!(ports, [Some(3000), Some(2222)]);
}

#[test]
fn what_clusters_ask_of_pods_and_monitors_is_said_in_values() {
    let values = "platform=openshift,monitoring.enabled=true,monitoring.labels.release=prom,monitoring.namespace=observe,image.pullPolicy=Always,\
                  nodeSelector.disk=ssd,tolerations[0].key=infra,affinity.podAntiAffinity.a=b,priorityClassName=high,podAnnotations.team=mesh,\
                  podLabels.tier=infra,podLabels.app\\.kubernetes\\.io/name=other";
    let all = template(&["--set", values]);
    let object = |kind: &str| all.iter().find(|object| object["kind"] == kind).unwrap();
    let template = &object("Deployment")["spec"]["template"];
    let pod = &template["spec"];
    assert_eq!(pod["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!((&pod["nodeSelector"]["disk"], &pod["tolerations"][0]["key"]), (&json!("ssd"), &json!("infra")));
    assert_eq!((&pod["affinity"]["podAntiAffinity"]["a"], &pod["priorityClassName"]), (&json!("b"), &json!("high")));
    let annotations = ["team", "sidecar.istio.io/inject", "openshift.io/required-scc"];
    assert_eq!(annotations.map(|name| &template["metadata"]["annotations"][name]), ["mesh", "false", "restricted-v2"]);
    let labels = &template["metadata"]["labels"];
    assert_eq!(
        (&labels["tier"], &labels["app.kubernetes.io/name"]),
        (&json!("infra"), &json!("meshfed")),
        "the selector finds the pods"
    );
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        assert_eq!(object(kind)["metadata"]["labels"], json!({"app.kubernetes.io/name": "meshfed", "release": "prom"}));
    }
    let metrics = all.iter().find(|object| object["metadata"]["name"] == "meshfed-metrics").unwrap();
    let from = &metrics["spec"]["ingress"][0]["from"][1]["namespaceSelector"]["matchLabels"];
    assert_eq!(from["kubernetes.io/metadata.name"], "observe");
}

#[test]
fn a_value_that_means_nothing_is_refused() {
    for value in [
        "image.pullPolicy=Sometimes",
        "nodeSelector.a.b=c",
        "repo=x",
        "platform=nomad",
        "trust.anchor=main",
        "repository=https://me:token@git.example.com/x.git",
    ] {
        let output = helm(&["template", "meshfed", &chart(), "--set", value]);
        assert!(!output.status.success(), "{value} is taken");
    }
}

#[test]
fn it_is_installed_changed_and_removed() {
    let lab = Cluster::builder("helm").without_crds().start();
    let cluster = ["--kubeconfig", lab.kubeconfig().to_str().unwrap(), "--namespace", "meshfed"];
    for name in ["rosa-prod-mesh", "prod-bookinfo"] {
        assert!(lab.kubectl(&["create", "namespace", name]).status.success());
    }
    let values = path("deploy/example/values.yaml");
    let said = fine(&[&["install", "meshfed", &chart(), "--create-namespace", "--values", &values], &cluster[..]].concat());
    assert!(said.contains("create secret generic meshfed-signing-key"), "{said}");
    let image = |lab: &Cluster| {
        let output = lab.kubectl(&["get", "deployment", "meshfed", "-n", "meshfed", "-o", "jsonpath={..image}"]);
        String::from_utf8(output.stdout).unwrap()
    };
    let before = image(&lab);
    fine(&[&["upgrade", "meshfed", &chart(), "--reuse-values", "--set", "image.tag=0.1.1"], &cluster[..]].concat());
    assert_eq!((before.as_str(), image(&lab).as_str()), ("meshfed:0.1.0", "meshfed:0.1.1"));
    fine(&[&["rollback", "meshfed", "1"], &cluster[..]].concat());
    assert_eq!(image(&lab), before);
    fine(&[&["uninstall", "meshfed"], &cluster[..]].concat());
    assert_eq!(image(&lab), "");
}
