//! What `deploy/` and `policies/` hold works on a real API server.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::lab::cluster::Cluster;
use crate::lab::poll;

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
    let token = String::from_utf8(token.stdout).unwrap();
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(lab.kubeconfig()).unwrap()).unwrap();
    config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
    lab.scratch().write("account.kubeconfig", &config.to_string())
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
