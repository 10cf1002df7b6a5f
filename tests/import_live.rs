//! A federation that was made by hand, in a cluster: its documents come out of it, and an agent takes it over as it is.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::commands::Place;
use crate::lab::audit::Request;
use crate::lab::cluster::Cluster;
use crate::schemas::files;
use crate::solo::{Solo, federation, get, mesh_file, peer_file, root};
use crate::stage::eventually;

/// A mesh that people federated with `far` by hand, in the way of OSSM's documentation.
fn federated(mesh: &str, apps: &str, root: &str) -> Vec<Value> {
    let ports = |discovery: &str| json!([{"port": 15443, "name": "tls"}, {"port": 8188, "name": discovery}]);
    let gateway = |side: &str, discovery: &str| {
        let labels = BTreeMap::from([(format!("federation.maistra.io/{side}-for"), format!("{side}-far"))]);
        json!({"enabled": true, "service": {"metadata": {"labels": labels}, "ports": ports(discovery)}})
    };
    let mut ingress = gateway("ingress", "https-discovery");
    ingress["service"]["type"] = json!("LoadBalancer");
    let mut egress = gateway("egress", "http-discovery");
    egress["requestedNetworkView"] = json!(["network-far"]);
    let object = |version: &str, kind: &str, (namespace, name): (&str, &str), spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec});
    let fed = "federation.maistra.io/v1";
    let istio = "networking.istio.io/v1beta1";
    let host = format!("details.{apps}.svc.cluster.local");
    let far = json!({
        "remote": {"addresses": ["192.0.2.7"]},
        "gateways": {"ingress": {"name": "ingress-far"}, "egress": {"name": "egress-far"}},
        "security": {
            "trustDomain": "far.local",
            "clientID": format!("far.local/ns/far/sa/{mesh}-egress-service-account"),
            "certificateChain": {"kind": "ConfigMap", "name": "far-ca-root-cert"}}});
    let details = json!({"namespace": apps, "name": "details"});
    let theirs = json!({"namespace": "shop", "name": "far"});
    vec![
        object(
            "maistra.io/v2",
            "ServiceMeshControlPlane",
            (mesh, "basic"),
            json!({
            "version": "v2.5", "tracing": {"type": "None"}, "security": {"trust": {"domain": format!("{mesh}.local")}},
            "gateways": {"additionalIngress": {"ingress-far": ingress}, "additionalEgress": {"egress-far": egress}}}),
        ),
        object(
            "maistra.io/v1",
            "ServiceMeshMember",
            (apps, "default"),
            json!({"controlPlaneRef": {"name": "basic", "namespace": mesh}}),
        ),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": mesh, "name": "far-ca-root-cert"},
            "data": {"root-cert.pem": root.trim_end()}}),
        object(fed, "ServiceMeshPeer", (mesh, "far"), far),
        object(
            fed,
            "ExportedServiceSet",
            (mesh, "far"),
            json!({"exportRules": [{"type": "NameSelector", "nameSelector": details}]}),
        ),
        object(
            fed,
            "ImportedServiceSet",
            (mesh, "far"),
            json!({"importRules": [{"type": "NameSelector", "nameSelector": theirs}]}),
        ),
        object(
            istio,
            "DestinationRule",
            (apps, "details"),
            json!({"host": host, "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}),
        ),
        object(
            istio,
            "VirtualService",
            (apps, "details"),
            json!({"hosts": [host], "http": [
            {"timeout": "3s", "route": [{"destination": {"host": host, "subset": "v1"}}]}]}),
        ),
        object(
            istio,
            "VirtualService",
            (apps, "faults"),
            json!({"hosts": ["reviews"], "http": [
            {"fault": {"abort": {"httpStatus": 500, "percentage": {"value": 1}}}, "route": [{"destination": {"host": "reviews"}}]}]}),
        ),
    ]
}

#[test]
fn what_a_cluster_has_is_imported_and_taken_over_as_it_is() {
    let solo = Solo::empty("by-hand");
    let (mesh, apps, root) = (solo.mesh.clone(), solo.apps.clone(), root());
    solo.make_namespaces();
    let objects = federated(&mesh, &apps, &root);
    solo.kubectl_file(&["create"], &json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
    let exports = "  exports: [{service: far-apps/details, as: shop/far}]\n";
    solo.git.commit(
        "Far is there already",
        &[
            ("federation.yaml", Some(federation())),
            ("meshes/far/mesh.yaml", Some(&mesh_file("far", "  members: [far-apps]\n"))),
            (&format!("meshes/far/peers/{mesh}.yaml"), Some(&peer_file(&mesh, exports))),
        ],
    );
    solo.publish_facts("far", &root, "192.0.2.7");
    let place = Place::new();
    let clone = place.path().join("repo").display().to_string();
    let cloned = Command::new("git").args(["clone", "--quiet", &solo.git.file_url(), &clone]).output().unwrap();
    assert!(cloned.status.success(), "{}", String::from_utf8_lossy(&cloned.stderr));
    let kubeconfig = Cluster::shared().kubeconfig_for("importer", &["system:masters"]).display().to_string();

    let imported = place.run(&["import", "--live", "--mesh", &mesh, "--kubeconfig", &kubeconfig, "--repo", "repo"]);
    assert_eq!(imported.code, Some(0), "{}{}", imported.out, imported.err);
    assert!(imported.out.contains("spec.http[0].fault: a Traffic has nothing for it"), "{}", imported.out);
    let asked: Vec<_> = Cluster::shared().requests().into_iter().filter(|request| request.user == "importer").collect();
    assert!(!asked.is_empty() && !asked.iter().any(Request::writes), "an import only reads");

    let plan = place.run(&["plan", "--live", "--mesh", &mesh, "--kubeconfig", &kubeconfig, "--repo", "repo", "-o", "json"]);
    let plan: Value = serde_json::from_str(&plan.out).unwrap_or_else(|error| panic!("{error}: {}{}", plan.out, plan.err));
    let changes = plan["meshes"][0]["changes"].as_array().unwrap();
    let fields = changes.iter().flat_map(|change| change["fields"].as_array().unwrap());
    // People leave out what keeps a needless Route away; everything else is as they said it.
    let expected =
        |path: &str| path.starts_with("metadata.") || path == "spec.gateways.additionalIngress.ingress-far.routeConfig";
    let other: Vec<&Value> = fields.filter(|field| !expected(field["path"].as_str().unwrap())).collect();
    assert!(changes.iter().all(|change| change["action"] == "change") && other.is_empty(), "{plan:#}");

    let generations = || -> Vec<Value> {
        let live = |object: &Value| {
            let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap().to_owned();
            get(Cluster::shared(), &text("/kind"), &text("/metadata/namespace"), &text("/metadata/name")).unwrap()
        };
        let kept = objects.iter().filter(|object| object["kind"] != "ServiceMeshControlPlane");
        kept.map(live).map(|live| json!([live["metadata"]["uid"], live["metadata"]["generation"], live["data"]])).collect()
    };
    let before = generations();
    let files = files(&place.path().join("repo/meshes"))
        .into_iter()
        .map(|(path, file)| (format!("meshes/{path}"), fs::read_to_string(file).unwrap()))
        .collect::<Vec<_>>();
    let changes: Vec<(&str, Option<&str>)> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    solo.git.commit("As it is", &changes);
    let agent = solo.agent();
    eventually("all is taken over", || {
        let map = solo.get("configmap", "meshfed").unwrap_or_default();
        let lines: Vec<&str> =
            map["data"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str()).flat_map(str::lines).collect();
        let taken = lines.iter().filter(|line| line.contains(" adopted ")).count();
        if taken == objects.len() { Ok(()) } else { Err(format!("{lines:#?}\n{}", agent.process.log_tail())) }
    });
    assert_eq!(generations(), before, "no spec was written");
}
