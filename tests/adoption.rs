//! A mesh that was federated by hand gets an agent: first one that only looks, then one that takes over.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::federation::steps::{ARO, GCP, ROSA, imported, published};
use crate::lab::audit::Request;
use crate::lab::standin::Cloud;
use crate::stage::{Stage, eventually, example, example_under};

const HOST: &str = "details-v2.prod-bookinfo.svc.aro-stg-mesh-imports.local";

/// Every kind that the agent derives, as somebody made it by hand.
const OBJECTS: [(&str, &str, &str); 11] = [
    ("namespace", "", ROSA),
    ("servicemeshcontrolplane", ROSA, ROSA),
    ("servicemeshmember", "prod-bookinfo", "default"),
    ("configmap", ROSA, "aro-stg-mesh-ca-root-cert"),
    ("servicemeshpeer", ROSA, ARO),
    ("importedserviceset", ROSA, ARO),
    ("destinationrule", "prod-bookinfo", "details"),
    ("virtualservice", "prod-bookinfo", "details"),
    ("serviceaccount", "prod-bookinfo", "bookinfo-details"),
    ("service", "prod-bookinfo", "details"),
    ("deployment", "prod-bookinfo", "details-v1"),
];

fn create(stage: &Stage, name: &str, documents: &str) {
    let path = stage.scratch.write(name, documents).display().to_string();
    let output = stage.site(ROSA).cluster.kubectl(&["create", "-f", &path]);
    assert!(output.status.success(), "{documents}: {}", String::from_utf8_lossy(&output.stderr));
}

fn document(api_version: &str, kind: &str, (namespace, name): (&str, &str), spec: &Value) -> Value {
    let metadata = if namespace.is_empty() { json!({"name": name}) } else { json!({"name": name, "namespace": namespace}) };
    let mut document = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    if !spec.is_null() {
        document["spec"] = spec.clone();
    }
    document
}

/// Namespaces, control plane and membership.
fn foundations() -> Vec<Value> {
    let ports = |discovery: &str| json!([{"name": "tls", "port": 15443}, {"name": discovery, "port": 8188}]);
    let label = |side: &str| BTreeMap::from([(format!("federation.maistra.io/{side}-for"), ARO)]);
    let annotation = json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb"});
    let ingress = json!({"enabled": true, "routeConfig": {"enabled": false}, "service": {
        "type": "LoadBalancer", "metadata": {"labels": label("ingress"), "annotations": annotation}, "ports": ports("https-discovery")}});
    let egress = json!({"enabled": true, "requestedNetworkView": ["network-aro-stg-mesh"], "service": {
        "metadata": {"labels": label("egress")}, "ports": ports("http-discovery")}});
    let control_plane = json!({"version": "v2.5", "security": {"trust": {"domain": "rosa-prod-mesh.local"}}, "gateways": {
        "additionalIngress": {"aro-stg-mesh-ingress": ingress}, "additionalEgress": {"aro-stg-mesh-egress": egress}}});
    vec![
        document("v1", "Namespace", ("", ROSA), &Value::Null),
        document("v1", "Namespace", ("", "prod-bookinfo"), &Value::Null),
        document("maistra.io/v2", "ServiceMeshControlPlane", (ROSA, ROSA), &control_plane),
        document(
            "maistra.io/v1",
            "ServiceMeshMember",
            ("prod-bookinfo", "default"),
            &json!({"controlPlaneRef": {"name": ROSA, "namespace": ROSA}}),
        ),
    ]
}

/// The peering, with what aro's team sent: its root and its address.
fn peering(root: &str, address: &str) -> Vec<Value> {
    let mut roots = document("v1", "ConfigMap", (ROSA, "aro-stg-mesh-ca-root-cert"), &Value::Null);
    roots["data"] = json!({"root-cert.pem": root.trim_end()}); // as a shell's $(…) gives it
    let peer = json!({
        "remote": {"addresses": [address], "discoveryPort": 8188, "servicePort": 15443},
        "gateways": {"ingress": {"name": "aro-stg-mesh-ingress"}, "egress": {"name": "aro-stg-mesh-egress"}},
        "security": {"trustDomain": "aro-stg-mesh.local",
            "clientID": "aro-stg-mesh.local/ns/aro-stg-mesh/sa/rosa-prod-mesh-egress-service-account",
            "certificateChain": {"kind": "ConfigMap", "name": "aro-stg-mesh-ca-root-cert"}}});
    let name = json!({"namespace": "prod-bookinfo", "name": "details-v2"});
    let selector = json!({"namespace": "prod-bookinfo", "name": "details-v2", "alias": name});
    let imports = json!({"importRules": [{"type": "NameSelector", "importAsLocal": false, "nameSelector": selector}]});
    let local = "details.prod-bookinfo.svc.cluster.local";
    let subsets = json!({"host": local, "subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
    let federation = "federation.maistra.io/v1";
    vec![
        roots,
        document(federation, "ServiceMeshPeer", (ROSA, ARO), &peer),
        document(federation, "ImportedServiceSet", (ROSA, ARO), &imports),
        document("networking.istio.io/v1beta1", "DestinationRule", ("prod-bookinfo", "details"), &subsets),
    ]
}

fn routes(weights: [u32; 2]) -> Value {
    let local = "details.prod-bookinfo.svc.cluster.local";
    let route = json!([
        {"destination": {"host": local, "subset": "v1"}, "weight": weights[0]},
        {"destination": {"host": HOST}, "weight": weights[1]}]);
    let spec = json!({"hosts": [local], "http": [{"route": route}]});
    document("networking.istio.io/v1beta1", "VirtualService", ("prod-bookinfo", "details"), &spec)
}

fn list(documents: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": documents}).to_string()
}

/// What must not change when an agent takes over: identity and spec of each object.
fn marks(stage: &Stage) -> Vec<(String, Value, Value)> {
    let mark = |(kind, namespace, name): &(&str, &str, &str)| {
        let object = stage.site(ROSA).get(kind, namespace, name).unwrap_or_else(|| panic!("there is no {kind} {name}"));
        // Kubernetes counts a new annotation on a Deployment as a generation, and rolls nothing out for it.
        let said = if *kind == "deployment" { &object["spec"] } else { &object["metadata"]["generation"] };
        (format!("{kind}/{name}"), object["metadata"]["uid"].clone(), said.clone())
    };
    OBJECTS.iter().map(mark).collect()
}

/// When rosa's watch of aro began.
fn connected_since(stage: &Stage) -> Value {
    let peer = stage.site(ROSA).get("servicemeshpeer", ROSA, ARO).unwrap();
    peer["status"]["discoveryStatus"]["active"][0]["watch"]["lastConnected"].clone()
}

fn status(stage: &Stage) -> String {
    stage.git.show("published/rosa-prod-mesh:status.yaml").unwrap_or_default()
}

#[test]
fn an_agent_looks_on_and_then_takes_over_a_mesh_that_was_federated_by_hand() {
    let stage = Stage::start(&[(ROSA, Cloud::Hostname), (ARO, Cloud::Ip)]);
    create(&stage, "foundations.json", &list(&foundations()));
    create(&stage, "apps.yaml", &example("meshes/rosa-prod-mesh/manifests/details.yaml"));
    let mut paths = vec!["federation.yaml".to_owned()];
    for (mesh, peer) in [(ROSA, ARO), (ARO, ROSA)] {
        paths.extend([format!("meshes/{mesh}/mesh.yaml"), format!("meshes/{mesh}/peers/{peer}.yaml")]);
        paths.extend(example_under(&format!("meshes/{mesh}/manifests")));
    }
    stage.commit_example("What is there already", &paths.iter().map(String::as_str).collect::<Vec<_>>());
    let traffic: String = example("meshes/rosa-prod-mesh/traffic/details.yaml")
        .lines()
        .filter(|line| !line.contains(GCP))
        .flat_map(|line| [line, "\n"])
        .collect();
    let traffic_path = "meshes/rosa-prod-mesh/traffic/details.yaml";
    stage.git.commit("A split", &[(traffic_path, Some(&traffic.replace("weight: 60", "weight: 80")))]);
    let _aro = stage.agent(ARO);
    let mut observer = stage.agent_with(ROSA, &stage.git.file_url(), &["--observe"]);
    published(&stage, ROSA).unwrap();

    // Aro's agent knows rosa by what the observer publishes; rosa's own side is made by hand.
    let address = eventually("aro has an address for rosa", || {
        let service = stage.site(ARO).get("service", ARO, "rosa-prod-mesh-ingress").unwrap_or_default();
        let ip = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned);
        ip.ok_or_else(|| service.to_string())
    });
    let root = stage.site(ARO).get("configmap", ARO, "istio-ca-root-cert").unwrap()["data"]["root-cert.pem"]
        .as_str()
        .unwrap()
        .to_owned();
    create(&stage, "peering.json", &list(&peering(&root, &address)));
    imported(&stage, ROSA, ARO, HOST).unwrap();
    create(&stage, "routes.json", &list(&[routes([90, 10])]));
    eventually("the observer tells all that it would do", || {
        let status = status(&stage);
        let told = [
            "mode: observing",
            "adopt ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh",
            "adopt ImportedServiceSet",
            "owns spec.http",
        ];
        let other = ["create ", "change ", "delete "].iter().any(|verb| status.contains(&format!("- {verb}")));
        if told.iter().all(|text| status.contains(text)) && !other { Ok(()) } else { Err(status) }
    });
    let shown =
        std::process::Command::new(crate::stage::binary()).args(["status", "--repo", &stage.git.file_url()]).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("observing"), "{shown:?}");
    let writes = stage.site(ROSA).cluster.requests_by("meshfed").into_iter().filter(Request::writes).count();
    assert_eq!(writes, 0, "an observer writes nothing");
    observer.process.kill();

    let (before, since) = (marks(&stage), connected_since(&stage));
    let agent = stage.agent(ROSA);
    eventually("all is in the inventory", || {
        let map = stage.site(ROSA).get("configmap", ROSA, "meshfed").unwrap_or_default();
        let lines: Vec<&str> =
            map["data"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str()).flat_map(str::lines).collect();
        let done = lines.len() >= OBJECTS.len() && lines.iter().all(|line| line.contains(" adopted "));
        if done { Ok(()) } else { Err(format!("{lines:#?}\n{}", agent.process.log_tail())) }
    });
    agent.wait_for("`kubectl-create` owns spec.http and wants it otherwise");
    eventually("the status says what differs", || match status(&stage) {
        status if status.contains("owns spec.http") && status.contains(traffic_path) && status.contains("mode: active") => Ok(()),
        status => Err(status),
    });
    assert_eq!(marks(&stage), before, "nothing was made anew, and no spec was written");
    assert_eq!(connected_since(&stage), since, "the watch goes on");

    // From now on documents say what is right.
    stage.git.commit(
        "As it is",
        &[(traffic_path, Some(&traffic.replace("weight: 60", "weight: 90").replace("weight: 20", "weight: 10")))],
    );
    eventually("nothing differs", || match status(&stage) {
        status if !status.contains("owns spec.http") => Ok(()),
        status => Err(status),
    });
    stage.git.commit("Another split", &[(traffic_path, Some(&traffic.replace("weight: 60", "weight: 80")))]);
    crate::federation::steps::split(&stage, &[80, 20]).unwrap();
}
