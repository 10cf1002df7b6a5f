//! What `deploy/` and `policies/` hold works on a real API server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::cluster::Cluster;
use crate::lab::{poll, servers};

/// A policy counts some seconds after it was made.
pub const POLICY_WITHIN: Duration = Duration::from_secs(60);

const AGENT: &str = "system:serviceaccount:meshfed:meshfed";

/// A file of the project.
pub fn path(relative: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative).display().to_string()
}

fn kubectl(lab: &Cluster, line: &str) -> Output {
    lab.kubectl(&line.split(' ').collect::<Vec<_>>())
}

/// Runs kubectl, which must succeed.
pub fn done(lab: &Cluster, line: &str) {
    let output = kubectl(lab, line);
    assert!(output.status.success(), "kubectl {line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Other tests may have the same namespace.
pub fn namespace(lab: &Cluster, name: &str) {
    let file = lab.scratch().join(&format!("namespace-{name}.json"));
    std::fs::write(&file, format!(r#"{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{name}"}}}}"#)).unwrap();
    done(lab, &format!("apply --server-side -f {}", file.display()));
}

/// A kubeconfig with a token of the agent's service account and nothing else.
pub fn account(lab: &Cluster) -> PathBuf {
    let token = lab.kubectl(&["create", "token", "meshfed", "-n", "meshfed"]);
    assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
    with_token(lab, "account", String::from_utf8(token.stdout).unwrap().trim())
}

/// A kubeconfig of this name with this token.
pub fn with_token(lab: &Cluster, name: &str, token: &str) -> PathBuf {
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(lab.kubeconfig()).unwrap()).unwrap();
    config["users"][0]["user"] = json!({"token": token});
    lab.scratch().write(&format!("{name}.kubeconfig"), &config.to_string())
}

/// Deploys the example, with the namespaces that have to be there before.
pub fn example(lab: &Cluster) {
    for name in ["rosa-prod-mesh", "prod-bookinfo"] {
        namespace(lab, name);
    }
    done(lab, &format!("apply --server-side --validate=strict -k {}", path("deploy/example")));
}

#[test]
fn the_example_deployment_gives_the_agent_what_it_needs_and_no_more() {
    let lab = Cluster::shared();
    example(lab);
    for (line, granted) in [
        ("get namespaces/kube-system", true),
        ("watch namespaces/prod-bookinfo", true),
        ("get namespaces/default", false),
        ("list namespaces", false),
        ("patch namespaces/prod-bookinfo", true),
        ("patch namespaces/kube-system", false),
        ("delete namespaces/prod-bookinfo", false),
        ("patch servicemeshcontrolplanes.maistra.io -n rosa-prod-mesh", true),
        ("use servicemeshcontrolplanes.maistra.io -n rosa-prod-mesh", true),
        ("create servicemeshcontrolplanes.maistra.io -n rosa-prod-mesh", true),
        ("create servicemeshpeers.federation.maistra.io -n rosa-prod-mesh", true),
        ("delete exportedservicesets.federation.maistra.io -n rosa-prod-mesh", true),
        ("patch importedservicesets.federation.maistra.io -n rosa-prod-mesh", true),
        ("patch servicemeshpeers.federation.maistra.io -n prod-bookinfo", false),
        ("patch servicemeshcontrolplanes.maistra.io -n prod-bookinfo", false),
        ("patch configmaps -n rosa-prod-mesh", true),
        ("watch services -n rosa-prod-mesh", true),
        ("patch services -n rosa-prod-mesh", false),
        ("create servicemeshmembers.maistra.io -n prod-bookinfo", true),
        ("delete virtualservices.networking.istio.io -n prod-bookinfo", true),
        ("patch destinationrules.networking.istio.io -n prod-bookinfo", true),
        ("patch deployments.apps -n prod-bookinfo", true),
        ("patch deployments.apps -n meshfed", false),
        ("create events.events.k8s.io -n rosa-prod-mesh", true),
        ("patch events.events.k8s.io -n prod-bookinfo", true),
        ("list events.events.k8s.io -n prod-bookinfo", false),
        ("create events.events.k8s.io -n meshfed", true),
        ("create leases.coordination.k8s.io -n meshfed", true),
        ("patch leases.coordination.k8s.io/meshfed -n meshfed", true),
        ("watch leases.coordination.k8s.io/meshfed -n meshfed", true),
        ("patch leases.coordination.k8s.io/other -n meshfed", false),
        ("list leases.coordination.k8s.io -n meshfed", false),
        ("delete leases.coordination.k8s.io/meshfed -n meshfed", false),
        ("create leases.coordination.k8s.io -n rosa-prod-mesh", false),
        ("create events.events.k8s.io -n default", false),
        ("get secrets -n rosa-prod-mesh", false),
        ("get secrets -n prod-bookinfo", false),
        ("get secrets -n meshfed", false),
        ("create pods -n prod-bookinfo", false),
        ("create rolebindings.rbac.authorization.k8s.io -n prod-bookinfo", false),
        ("get configmaps -n kube-system", false),
    ] {
        let output = kubectl(lab, &format!("auth can-i {line} --quiet --as {AGENT}"));
        assert_eq!(output.status.success(), granted, "may the agent {line}? {}", String::from_utf8_lossy(&output.stderr));
    }
}

pub const COMPONENTS: [&str; 3] = ["fence", "monitoring", "webhook"];
pub const PLATFORMS: [&str; 2] = ["kubernetes", "openshift"];

/// A folder with an overlay of ours, as somebody would write it elsewhere: a platform with all components.
pub fn overlay(platform: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    // Kustomize takes no absolute paths.
    let here = dir.path().canonicalize().unwrap();
    let root = "../".repeat(here.components().count() - 1) + path("deploy").trim_start_matches('/');
    let components: Vec<_> = COMPONENTS.iter().map(|name| format!("{root}/components/{name}")).collect();
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [format!("{root}/overlays/{platform}")], "components": components});
    std::fs::write(here.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    dir
}

/// What Kustomize makes of a folder.
pub fn kustomize(folder: &Path) -> Vec<Value> {
    let output = Command::new(servers::binary("kubectl")).arg("kustomize").arg(folder).output().unwrap();
    assert!(output.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&output.stderr));
    objects(&String::from_utf8(output.stdout).unwrap())
}

/// The objects in a text of YAML.
pub fn objects(text: &str) -> Vec<Value> {
    meshfed::model::yaml::documents("rendered.yaml", text).unwrap().into_iter().map(|document| document.value).collect()
}

/// Lets the shared cluster know ServiceMonitors and PrometheusRules.
fn with_operator(lab: &Cluster) {
    done(lab, &format!("apply --server-side -f {}", servers::prometheus_crds().display()));
    for kind in ["servicemonitors", "prometheusrules"] {
        done(lab, &format!("wait --for=condition=Established crd/{kind}.monitoring.coreos.com"));
    }
}

#[test]
fn every_overlay_and_component_is_accepted() {
    let lab = Cluster::shared();
    namespace(lab, "meshfed");
    with_operator(lab);
    for platform in PLATFORMS {
        let overlay = overlay(platform);
        let kinds: Vec<_> = kustomize(overlay.path()).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect();
        for kind in ["Deployment", "PodDisruptionBudget", "NetworkPolicy", "Service", "ServiceMonitor", "PrometheusRule"] {
            assert!(kinds.iter().any(|there| there == kind), "{platform} has no {kind}: {kinds:?}");
        }
        // Another test may have applied the example: this asks for no change to it.
        done(
            lab,
            &format!("apply --server-side --force-conflicts --dry-run=server --validate=strict -k {}", overlay.path().display()),
        );
    }
}

/// The pod that a Deployment asks for.
fn pod(platform: &str) -> Value {
    let all = kustomize(&PathBuf::from(path(&format!("deploy/overlays/{platform}"))));
    let deployment = all.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let template = &deployment["spec"]["template"];
    let metadata = json!({"name": format!("as-{platform}"), "namespace": "pod-security", "annotations": template["metadata"]["annotations"]});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

#[test]
fn the_pod_keeps_to_restricted_pod_security_and_leaves_the_user_to_openshift() {
    let lab = Cluster::shared();
    namespace(lab, "pod-security");
    done(lab, "label --overwrite namespace pod-security pod-security.kubernetes.io/enforce=restricted");
    let create = |pod: &Value| {
        let file = lab.scratch().write(&format!("{}.json", pod["metadata"]["name"].as_str().unwrap()), &pod.to_string());
        kubectl(lab, &format!("create --dry-run=server --validate=strict -f {}", file.display()))
    };
    for platform in PLATFORMS {
        let output = create(&pod(platform));
        assert!(output.status.success(), "{platform}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut loose = pod("kubernetes");
    loose["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    assert!(!create(&loose).status.success(), "the namespace enforces nothing");

    let agent = |platform: &str| pod(platform)["spec"]["containers"][0].clone();
    assert_eq!(agent("openshift")["securityContext"]["readOnlyRootFilesystem"], true);
    // restricted-v2 refuses numbers that it has not chosen.
    let openshift = pod("openshift")["spec"]["securityContext"].clone();
    assert!(openshift["runAsUser"].is_null() && openshift["fsGroup"].is_null(), "{openshift}");
    assert!(pod("kubernetes")["spec"]["securityContext"]["fsGroup"].is_number(), "else it cannot read its keys");
}

#[test]
fn every_role_is_accepted() {
    let lab = Cluster::shared();
    for role in ["control-plane", "member", "own-control-plane", "workloads"] {
        done(
            lab,
            &format!(
                "apply --server-side --dry-run=server --validate=strict -n default -k {}",
                path(&format!("deploy/roles/{role}"))
            ),
        );
    }
}

#[test]
fn wildcard_imports_are_denied_in_production_only() {
    let lab = Cluster::shared();
    for name in ["policy-production", "policy-test"] {
        namespace(lab, name);
    }
    done(lab, "label --overwrite namespace policy-production environment=production");
    done(lab, &format!("apply --server-side --validate=strict -f {}", path("policies/no-wildcard-imports.yaml")));
    let import = |namespace: &str, selector: &str| {
        let file = lab.scratch().join(&format!("import-{namespace}.json"));
        let rules = format!(r#"[{{"type": "NameSelector", "nameSelector": {selector}}}]"#);
        let head = r#""apiVersion": "federation.maistra.io/v1", "kind": "ImportedServiceSet""#;
        let metadata = format!(r#"{{"name": "a", "namespace": "{namespace}"}}"#);
        std::fs::write(&file, format!(r#"{{{head}, "metadata": {metadata}, "spec": {{"importRules": {rules}}}}}"#)).unwrap();
        let output = kubectl(lab, &format!("apply --server-side --dry-run=server -f {}", file.display()));
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    let all = r#"{"namespace": "*", "name": "*"}"#;
    let denial = poll(POLICY_WITHIN, || import("policy-production", all).err()).expect("the policy denies");
    assert!(denial.contains("production imports services by namespace and name"), "{denial}");
    assert!(import("policy-production", r#"{"namespace": "prod-bookinfo"}"#).is_err());
    assert_eq!(import("policy-production", r#"{"namespace": "prod-bookinfo", "name": "details-v2"}"#), Ok(()));
    assert_eq!(import("policy-test", all), Ok(()));
}
