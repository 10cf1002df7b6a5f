//! The cluster's edge against real API servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use meshfed::cluster::{APPLIES_IN_FLIGHT, ApplyError, Cluster, ClusterOptions, Scope, Trouble, View};
use meshfed::object::{Key, Kind, Live, Object};
use serde_json::{Value, json};

use crate::lab::cluster::Cluster as Lab;

#[path = "cluster_edge_events.rs"]
mod events;
#[path = "cluster_edge_history.rs"]
mod history;
#[path = "cluster_edge_requests.rs"]
mod requests;

/// Long enough for a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(30);

fn config_maps() -> Kind {
    Kind::new("v1", "ConfigMap")
}

fn mk_config_map(namespace: &str, name: &str, data: &Value) -> Object {
    let document =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data});
    Object::new(document, "set", "manifests/test.yaml").unwrap()
}

fn key(namespace: &str, name: &str) -> Key {
    Key::new(&config_maps(), Some(namespace), name)
}

async fn connect(lab: &Lab) -> Cluster {
    let options = ClusterOptions { kubeconfig: Some(lab.kubeconfig().to_owned()), context: None };
    Cluster::connect(&options).await.unwrap()
}

/// Connected, with a namespace of its own that is watched.
async fn connect_to(lab: &Lab, namespace: &str) -> Cluster {
    kubectl(lab, &["create", "namespace", namespace]);
    let cluster = connect(lab).await;
    cluster.watch(&[Scope::namespaced(config_maps(), namespace)].into());
    cluster.synced().await;
    cluster
}

fn kubectl(lab: &Lab, arguments: &[&str]) -> String {
    let output = lab.kubectl(arguments);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for a state of the view; panics with what there is when it does not come.
async fn until<T>(view: &View, what: &str, check: impl Fn(&View) -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check(view) {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come; problems: {:?}", view.problems());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn data(live: &Live) -> Value {
    live.value()["data"].clone()
}

#[tokio::test]
async fn a_watch_shows_objects_as_they_come_change_and_go() {
    let lab = Lab::shared();
    let cluster = connect_to(lab, "edge-watch").await;
    let view = cluster.view();
    assert!(view.snapshot().is_watched(&config_maps(), Some("edge-watch")));
    assert!(!view.snapshot().is_watched(&config_maps(), None));
    cluster.changed().await;

    kubectl(lab, &["create", "configmap", "a", "-n", "edge-watch", "--from-literal=k=1"]);
    let live = until(&view, "the new object", |view| view.get(&key("edge-watch", "a"))).await;
    assert_eq!(data(&live), json!({"k": "1"}));
    assert!(live.value().pointer("/metadata/managedFields").is_some());
    assert!(cluster.changed().await.keys.contains(&key("edge-watch", "a")));

    kubectl(lab, &["patch", "configmap", "a", "-n", "edge-watch", "-p", r#"{"data":{"k":"2"}}"#]);
    let changed = |view: &View| view.get(&key("edge-watch", "a")).filter(|live| data(live) == json!({"k": "2"}));
    until(&view, "the change", changed).await;
    let before = view.snapshot();

    kubectl(lab, &["delete", "configmap", "a", "-n", "edge-watch"]);
    until(&view, "the end", |view| view.get(&key("edge-watch", "a")).is_none().then_some(())).await;
    assert!(before.get(&key("edge-watch", "a")).is_some(), "a snapshot does not change");

    cluster.watch(&BTreeSet::new());
    assert_eq!(view.snapshot().objects().len(), 0);
}

#[tokio::test]
async fn an_own_write_shows_at_once_and_no_older_event_undoes_it() {
    let cluster = connect_to(Lab::shared(), "edge-own").await;
    let view = cluster.view();
    for round in 0..100 {
        let object = mk_config_map("edge-own", "a", &json!({"round": round.to_string()}));
        let live = cluster.apply(&object, false).await.unwrap();
        let shown = view.get(&object.key).unwrap();
        assert_eq!(shown.resource_version, live.resource_version, "round {round}");
    }
    let live = view.get(&key("edge-own", "a")).unwrap();
    cluster.delete(&live).await.unwrap();
    assert!(view.get(&live.key).is_none());
    cluster.delete(&live).await.unwrap(); // already gone is done
}

#[tokio::test]
async fn a_conflict_names_manager_and_field_and_force_wins() {
    let lab = Lab::shared();
    let cluster = connect_to(lab, "edge-conflict").await;
    kubectl(lab, &["create", "configmap", "a", "-n", "edge-conflict", "--from-literal=k=theirs", "--field-manager=somebody"]);
    let object = mk_config_map("edge-conflict", "a", &json!({"k": "ours"}));
    let error = cluster.apply(&object, false).await.unwrap_err();
    assert_eq!(error, ApplyError::Conflict { owners: vec![("somebody".into(), ".data.k".into())] });
    assert_eq!(data(&cluster.apply(&object, true).await.unwrap()), json!({"k": "ours"}));
}

#[tokio::test]
async fn each_refusal_is_one_clear_message_and_stops_no_other() {
    let lab = Lab::shared();
    let cluster = connect_to(lab, "edge-refusal").await;
    let object = |document: Value| (Arc::new(Object::new(document, "set", "x.yaml").unwrap()), false);
    let config_map = |namespace: &str, name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}});
    let mut unknown = config_map("edge-refusal", "unknown");
    unknown["dta"] = json!({});
    let mut wrong = config_map("edge-refusal", "wrong");
    wrong["data"] = json!({"k": 1});
    let results = cluster
        .apply_all(
            vec![
                object(unknown),
                object(wrong),
                object(config_map("edge-refusal", "good")),
                object(config_map("edge-refusal", "Bad_Name")),
                object(config_map("edge-refusal", "a/b")),
                object(config_map("edge-nowhere", "homeless")),
                object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "unplaced"}})),
                object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "namespace": "m"}})),
                object(json!({"apiVersion": "nobody.example/v1", "kind": "Nothing", "metadata": {"name": "x"}})),
            ],
            2,
        )
        .collect::<Vec<_>>()
        .await;
    let mut lines: Vec<String> = results
        .into_iter()
        .map(|(object, result)| {
            format!("{}: {}", object.key, result.map_or_else(|error| error.to_string(), |_| "applied".to_owned()))
        })
        .collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_named() {
    let lab = Lab::shared();
    let cluster = connect_to(lab, "edge-ending").await;
    kubectl(lab, &["create", "configmap", "a", "-n", "edge-ending"]);
    kubectl(lab, &["patch", "configmap", "a", "-n", "edge-ending", "-p", r#"{"metadata":{"finalizers":["example.org/wait"]}}"#]);
    kubectl(lab, &["delete", "namespace", "edge-ending", "--wait=false"]);
    let error = cluster.apply(&mk_config_map("edge-ending", "b", &json!({})), false).await.unwrap_err();
    assert_eq!(error, ApplyError::NamespaceTerminating { namespace: "edge-ending".into() });
    kubectl(lab, &["patch", "configmap", "a", "-n", "edge-ending", "-p", r#"{"metadata":{"finalizers":null}}"#]);
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_reported_and_picked_up_when_it_comes() {
    let lab = Lab::shared();
    let cluster = connect(lab).await;
    let kind = Kind::new("edge.example.org/v1", "Late");
    let definitions = Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let definition = Scope::single(definitions, None, "lates.edge.example.org");
    cluster.watch(&[Scope::everywhere(kind.clone()), definition].into());
    cluster.synced().await;
    let missing = cluster.missing();
    assert_eq!(
        missing.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>(),
        ["the cluster does not serve edge.example.org/v1 Late: install its CustomResourceDefinition or operator"]
    );
    assert!(!cluster.view().snapshot().is_watched(&kind, None));

    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "lates.edge.example.org"},
        "spec": {"group": "edge.example.org", "scope": "Cluster", "names": {"plural": "lates", "kind": "Late"}, "versions": [{
            "name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    cluster.apply(&Object::new(definition, "set", "x.yaml").unwrap(), false).await.unwrap();
    let watched = |view: &View| view.snapshot().is_watched(&Kind::new("edge.example.org/v1", "Late"), None).then_some(());
    until(&cluster.view(), "the watch", watched).await;
    // A fresh kind may be refused once more while the API server starts to serve it.
    until(&cluster.view(), "the end of the trouble", |view| view.problems().is_empty().then_some(())).await;

    let late = json!({"apiVersion": "edge.example.org/v1", "kind": "Late", "metadata": {"name": "x"}});
    cluster.apply(&Object::new(late, "set", "x.yaml").unwrap(), false).await.unwrap();
    kubectl(lab, &["delete", "crd", "lates.edge.example.org"]);
    let lost = |view: &View| view.snapshot().list(&Kind::new("edge.example.org/v1", "Late"), None).next().is_none().then_some(());
    until(&cluster.view(), "the loss", lost).await;
}

#[tokio::test]
async fn a_denied_watch_says_what_to_grant_and_hinders_no_other() {
    let lab = Lab::shared();
    kubectl(lab, &["create", "namespace", "edge-denied"]);
    kubectl(lab, &["create", "role", "maps", "-n", "edge-denied", "--verb=get,list,watch", "--resource=configmaps"]);
    kubectl(lab, &["create", "rolebinding", "maps", "-n", "edge-denied", "--role=maps", "--user=weak"]);
    let options = ClusterOptions { kubeconfig: Some(lab.kubeconfig_for("weak", &[])), context: None };
    let cluster = Cluster::connect(&options).await.unwrap();
    let services = Scope::namespaced(Kind::new("v1", "Service"), "edge-denied");
    cluster.watch(&[services.clone(), Scope::namespaced(config_maps(), "edge-denied")].into());
    cluster.synced().await;
    assert!(cluster.view().snapshot().is_watched(&config_maps(), Some("edge-denied")));
    let [problem] = cluster.view().problems().try_into().unwrap();
    assert_eq!((problem.trouble, problem.scope), (Trouble::Denied, services));
    let grant = "grant weak the verbs get, list and watch on `services` in API group \"\"";
    assert_eq!(problem.message, format!("cannot watch Service objects in namespace edge-denied: {grant}"));
    let error = cluster.apply(&mk_config_map("edge-denied", "a", &json!({})), false).await.unwrap_err();
    assert!(matches!(error, ApplyError::Forbidden { .. }), "{error}");
    let denied = cluster.uid().await.unwrap_err().to_string();
    assert!(denied.contains("denies access") && denied.contains("namespaces"), "{denied}");
}

#[tokio::test]
async fn giving_back_takes_our_fields_and_leaves_those_of_others() {
    let lab = Lab::shared();
    let cluster = connect_to(lab, "edge-release").await;
    kubectl(lab, &["create", "configmap", "a", "-n", "edge-release", "--from-literal=theirs=1"]);
    let live = cluster.apply(&mk_config_map("edge-release", "a", &json!({"ours": "1"})), false).await.unwrap();
    assert_eq!(data(&live), json!({"ours": "1", "theirs": "1"}));
    cluster.release(&live).await.unwrap();
    let left = cluster.view().get(&live.key).unwrap();
    assert_eq!(data(&left), json!({"theirs": "1"}));
    assert!(!String::from_utf8_lossy(&left.body).contains("meshfed"), "no trace of us: {}", left.value());

    kubectl(lab, &["delete", "configmap", "a", "-n", "edge-release"]);
    cluster.release(&live).await.unwrap();
    assert!(!lab.kubectl(&["get", "configmap", "a", "-n", "edge-release"]).status.success(), "it must not be created");
}

#[tokio::test]
async fn an_object_that_was_made_anew_is_not_deleted() {
    let lab = Lab::shared();
    let cluster = connect_to(lab, "edge-delete").await;
    let live = cluster.apply(&mk_config_map("edge-delete", "a", &json!({})), false).await.unwrap();
    kubectl(lab, &["delete", "configmap", "a", "-n", "edge-delete"]);
    kubectl(lab, &["create", "configmap", "a", "-n", "edge-delete"]);
    cluster.delete(&live).await.unwrap();
    cluster.release(&live).await.unwrap();
    kubectl(lab, &["get", "configmap", "a", "-n", "edge-delete"]);
}

#[tokio::test]
async fn memory_is_created_changed_and_read_back() {
    let lab = Lab::shared();
    let cluster = connect_to(lab, "edge-state").await;
    assert_eq!(cluster.read_state("edge-state", "memory").await.unwrap(), None);
    let metadata = serde_json::json!({"labels": {"l": "v"}});
    let write = async |pairs: &[(&str, Option<&str>)], version: Option<&str>| {
        let data = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
        cluster.write_state("edge-state", "memory", &data, &metadata, version).await.unwrap()
    };
    assert_eq!(write(&[("a", Some("0"))], Some("1")).await, None, "what was read is gone");
    let first = write(&[("a", Some("1")), ("b", Some("2")), ("never", None)], None).await.unwrap();
    assert_eq!(write(&[("a", Some("other"))], None).await, None, "somebody else has made it");
    let version = write(&[("a", None), ("c", Some("3"))], Some(&first)).await.unwrap();
    assert_eq!(write(&[("a", Some("old"))], Some(&first)).await, None, "somebody else has written");
    let (data, read) = cluster.read_state("edge-state", "memory").await.unwrap().unwrap();
    assert_eq!(data, BTreeMap::from([("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]));
    assert_eq!(read, version);
}
