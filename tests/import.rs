//! A federation that was set up by hand moves into a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use std::process::Command;

use serde_json::{Value, json};

use crate::commands::{Place, Ran};
use crate::lab::cluster::Cluster;
use crate::schemas::files;
use crate::solo::{Solo, federation, mesh_file, peer_file, root};
use crate::stage::eventually;

/// The example of three meshes with the mistakes that people make, copied to `by_hand/`.
fn by_hand(place: &Place) {
    for (path, file) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/by_hand")) {
        let to = place.path().join("by_hand").join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
}

fn import(place: &Place, arguments: &[&str]) -> Ran {
    place.run(&[&["import", "by_hand", "--repo", "repo"], arguments].concat())
}

/// Files of the repository that was written.
fn written(place: &Place) -> BTreeMap<String, String> {
    let read = |(path, file)| (path, fs::read_to_string(file).unwrap());
    files(&place.path().join("repo")).into_iter().map(read).collect()
}

#[test]
fn an_import_reads_like_this() {
    let place = Place::new();
    by_hand(&place);
    let ran = import(&place, &[]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.out);
    insta::assert_snapshot!("an_import_says_what_to_do", ran.err);
    let report = ran.out.lines().skip_while(|line| !line.contains("documents that say the same"));
    assert!(report.chain(ran.err.lines()).all(|line| line.chars().count() <= 100), "{}{}", ran.out, ran.err);
    let documents = written(&place).into_iter().filter(|(path, _)| !path.contains("/manifests/"));
    let text: String = documents.flat_map(|(path, text)| [format!("//- {path}\n"), text]).collect();
    insta::assert_snapshot!("documents_of_an_import", text);
}

#[test]
fn each_mistake_is_told_where_it_is() {
    let place = Place::new();
    by_hand(&place);
    let ran = import(&place, &["--dry-run", "-o", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let found: Vec<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| format!("{}:{} {}", found["path"].as_str().unwrap(), found["line"], found["code"].as_str().unwrap()))
        .collect();
    // The text of the line that each is about.
    let expected = [
        ("aro/peer.yaml", "3.121.10.7", "MF021"),
        ("gcp/exports.yaml", "      alias:\n        namespace: prod-bookinfo\n        name: ratings", "MF019"),
        ("rosa/aro-peer.yaml", "{{ARO_MESH_CERT}}", "MF001"),
        ("rosa/aro-peer.yaml", "<ARO_INGRESS_IP>", "MF021"),
        ("rosa/gcp-peer.yaml", "clientID: rosa-prod-mesh", "MF021"),
        ("rosa/gcp-peer.yaml", "elb.us-east-1", "MF021"),
        ("rosa/gcp-peer.yaml", "name: detail-v3", "MF021"),
        ("rosa/smcp.yaml", "- aro-network", "MF021"),
        ("rosa/traffic.yaml", "details-v3.prod-bookinfo.svc.gcp", "MF021"),
    ];
    for (path, text, code) in expected {
        let whole = fs::read_to_string(place.path().join("by_hand").join(path)).unwrap();
        let at = whole.find(text).unwrap_or_else(|| panic!("{path} has no {text}"));
        let line = whole[..at].matches('\n').count() + 1;
        assert!(found.contains(&format!("by_hand/{path}:{line} {code}")), "{path}:{line} {code}: {found:#?}");
    }
    assert!(found.contains(&"by_hand/rosa/traffic.yaml:42 MF006".to_owned()), "three of one name: {found:#?}");
    assert!(!place.path().join("repo").exists(), "a dry run writes nothing");
}

#[test]
fn nothing_is_replaced_without_consent() {
    let place = Place::new();
    by_hand(&place);
    let first = import(&place, &[]);
    assert_eq!(first.code, Some(1), "{}", first.err);
    let before = written(&place);
    assert_eq!(import(&place, &[]).code, Some(1), "the same again changes nothing");
    let mesh = place.path().join("repo/meshes/rosa-prod-mesh/mesh.yaml");
    fs::write(&mesh, "# mine\n").unwrap();
    let refused = import(&place, &[]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.err.contains("meshes/rosa-prod-mesh/mesh.yaml") && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&mesh).unwrap(), "# mine\n");
    assert_eq!(import(&place, &["--force"]).code, Some(1));
    assert_eq!(written(&place), before);
}

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
    let asked = Cluster::shared().requests_by("importer");
    assert!(!asked.is_empty() && !asked.iter().any(crate::lab::audit::Request::writes), "an import only reads");

    let plan = place.run(&["plan", "--live", "--mesh", &mesh, "--kubeconfig", &kubeconfig, "--repo", "repo", "-o", "json"]);
    let plan: Value = serde_json::from_str(&plan.out).unwrap_or_else(|error| panic!("{error}: {}{}", plan.out, plan.err));
    let changes = plan["meshes"][0]["changes"].as_array().unwrap();
    let fields = changes.iter().flat_map(|change| change["fields"].as_array().unwrap());
    let other: Vec<&Value> = fields.filter(|field| !field["path"].as_str().unwrap().starts_with("metadata.")).collect();
    assert!(changes.iter().all(|change| change["action"] == "change") && other.is_empty(), "{plan:#}");

    let generations = || -> Vec<Value> {
        let live = |object: &Value| {
            let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap().to_owned();
            crate::solo::get(Cluster::shared(), &text("/kind"), &text("/metadata/namespace"), &text("/metadata/name")).unwrap()
        };
        objects
            .iter()
            .map(live)
            .map(|live| json!([live["metadata"]["uid"], live["metadata"]["generation"], live["data"]]))
            .collect()
    };
    let before = generations();
    let files = written(&place).into_iter().filter(|(path, _)| path.starts_with("meshes/"));
    let files: Vec<(String, String)> = files.collect();
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
