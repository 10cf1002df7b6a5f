//! T20: somebody has taken over the agent's pod, and acts with the token of its service account.

use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::deploy::{self, POLICY_WITHIN, account, done, namespace, path, with_token};
use crate::image::container::pod_token;
use crate::lab::cluster::Cluster;
use crate::lab::poll;

/// What somebody would try with the token, as arguments of kubectl.
const TRIES: &[&str] = &[
    // secrets, its own too
    "get secrets -A",
    "get secrets -n meshfed",
    "get secret meshfed-git -n meshfed",
    "get secrets -n rosa-prod-mesh",
    "get secret istio-ca-secret -n rosa-prod-mesh",
    "get secret cacerts -n rosa-prod-mesh",
    "get secrets -n prod-bookinfo",
    "create secret generic x -n prod-bookinfo",
    "delete secrets --all -n prod-bookinfo",
    // other namespaces
    "get namespaces",
    "get namespace somebody-else",
    "get configmaps -A",
    "get configmaps -n kube-system",
    "get configmaps -n somebody-else",
    "create configmap x -n somebody-else",
    "create configmap x -n meshfed",
    "get services -n somebody-else",
    "get servicemeshpeers -n somebody-else",
    "get servicemeshcontrolplanes -n somebody-else",
    "delete virtualservices --all -n somebody-else",
    "delete namespace prod-bookinfo",
    "delete namespace rosa-prod-mesh",
    "label namespace kube-system x=y",
    "create namespace more",
    // what others own in its own namespaces
    "get pods -n rosa-prod-mesh",
    "delete pods --all -n rosa-prod-mesh",
    "get deployments -n rosa-prod-mesh",
    "create service clusterip x --tcp=80 -n rosa-prod-mesh",
    "delete service x -n rosa-prod-mesh",
    "get authorizationpolicies -n prod-bookinfo",
    "get gateways.networking.istio.io -n prod-bookinfo",
    "create configmap istio-ca-root-cert -n rosa-prod-mesh --from-literal=root-cert.pem=mine",
    "create configmap istio-ca-root-cert -n prod-bookinfo --from-literal=root-cert.pem=mine",
    // more rights
    "create token meshfed -n meshfed",
    "create token default -n prod-bookinfo",
    "get pods -A --as=system:admin",
    "get secrets -A --as=system:serviceaccount:kube-system:default",
    "create clusterrolebinding more --clusterrole=cluster-admin --user=x",
    "create rolebinding more --clusterrole=admin --user=x -n prod-bookinfo",
    "get roles -n meshfed",
    "delete rolebindings --all -n prod-bookinfo",
    "delete clusterrole meshfed-namespaces",
    "get nodes",
    "get leases -n meshfed",
    "delete lease meshfed -n meshfed",
    "get lease other -n meshfed",
    "get leases -n kube-system",
    "get customresourcedefinitions",
    "get mutatingwebhookconfigurations",
    "delete validatingadmissionpolicies --all",
    "delete validatingadmissionpolicybindings --all",
    "get certificatesigningrequests",
    "get --raw /metrics",
];

fn act(kubeconfig: &Path, line: &str) -> Output {
    Cluster::shared().kubectl_with(kubeconfig, &line.split(' ').collect::<Vec<_>>())
}

#[test]
fn what_a_pod_has_sent_that_no_longer_leads_is_refused() {
    let lab = Cluster::shared();
    deploy::example(lab);
    let spec = json!({"serviceAccountName": "meshfed", "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "agent", "image": "x", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]});
    let [first, second] = ["fenced-a", "fenced-b"].map(|name| with_token(lab, name, &pod_token(lab, name, &spec)));
    let lead = |token: &Path, pod: &str| {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "meshfed", "namespace": "meshfed"},
            "spec": {"holderIdentity": format!("{pod}_0123abcd"), "leaseDurationSeconds": 15}});
        let file = document(lab, pod, &lease.to_string());
        let output = act(token, &format!("apply --server-side --force-conflicts -f {file}"));
        assert!(output.status.success(), "nobody is kept from the Lease: {}", String::from_utf8_lossy(&output.stderr));
    };
    let write = |token: &Path, line: &str| {
        let output = act(token, &format!("{line} -n rosa-prod-mesh --dry-run=server"));
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    };
    let make = "create configmap fenced";
    lead(&first, "fenced-a");
    let refused = poll(POLICY_WITHIN, || write(&second, make).err()).expect("the fence stands");
    assert!(refused.contains("only the holder of the Lease meshfed writes, now fenced-a_0123abcd"), "{refused}");
    assert_eq!(write(&first, make), Ok(()));
    lead(&second, "fenced-b");
    assert!(poll(POLICY_WITHIN, || write(&first, make).err()).is_some(), "the leader before still writes");
    assert_eq!(write(&second, make), Ok(()));

    // What passes on a webhook may be written by all, as long as it is no more than that.
    done(lab, "delete configmap meshfed -n rosa-prod-mesh --ignore-not-found");
    done(lab, "create configmap meshfed -n rosa-prod-mesh --from-literal=inventory=one");
    assert_eq!(write(&first, "annotate configmap meshfed meshfed.dev/reconcile-requested-at=now"), Ok(()));
    assert!(write(&first, r#"patch configmap meshfed --type=merge -p {"data":{"inventory":"two"}}"#).is_err());
    done(lab, "delete configmap meshfed -n rosa-prod-mesh");
    done(lab, "delete lease meshfed -n meshfed");
}

/// Documents that somebody would like to apply.
fn document(lab: &Cluster, name: &str, text: &str) -> String {
    lab.scratch().write(&format!("stolen-{name}.json"), text).display().to_string()
}

#[test]
fn t20_the_agents_service_account_can_do_its_work_and_nothing_else() {
    let lab = Cluster::shared();
    for name in ["rosa-prod-mesh", "prod-bookinfo", "somebody-else"] {
        namespace(lab, name);
    }
    done(lab, &format!("apply --server-side --validate=strict -k {}", path("deploy/example")));
    let stolen = account(lab);
    let who = act(&stolen, "auth whoami -o jsonpath={.status.userInfo.username}");
    assert_eq!(String::from_utf8_lossy(&who.stdout), "system:serviceaccount:meshfed:meshfed");
    let may = act(&stolen, "get configmaps -n rosa-prod-mesh");
    assert!(may.status.success(), "{}", String::from_utf8_lossy(&may.stderr));

    let fenced = "create configmap kube-root-ca.crt --dry-run=server -n prod-bookinfo";
    let denied = |output: &Output| String::from_utf8_lossy(&output.stderr).contains("does not write what the platform keeps");
    assert_eq!(poll(POLICY_WITHIN, || denied(&act(&stolen, fenced)).then_some(())), Some(()), "the fence stands");

    let rbac = "rbac.authorization.k8s.io";
    let binding = document(
        lab,
        "binding",
        &format!(
            r#"{{"apiVersion": "{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": {{"name": "more"}},
            "roleRef": {{"apiGroup": "{rbac}", "kind": "ClusterRole", "name": "cluster-admin"}},
            "subjects": [{{"kind": "ServiceAccount", "name": "meshfed", "namespace": "meshfed"}}]}}"#
        ),
    );
    let role = document(
        lab,
        "role",
        &format!(
            r#"{{"apiVersion": "{rbac}/v1", "kind": "Role", "metadata": {{"name": "more", "namespace": "prod-bookinfo"}},
            "rules": [{{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}}]}}"#
        ),
    );
    let pod = document(
        lab,
        "pod",
        r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "prod-bookinfo"},
        "spec": {"containers": [{"name": "x", "image": "x"}]}}"#,
    );
    let tries = TRIES.iter().map(ToString::to_string).chain([
        format!("create -f {binding}"),
        format!("create -f {role}"),
        format!("apply --server-side -f {role}"),
        format!("create -f {pod}"),
    ]);
    for line in tries {
        let output = act(&stolen, &line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "kubectl {line} was not refused: {}", String::from_utf8_lossy(&output.stdout));
        assert!(said.to_lowercase().contains("forbidden"), "kubectl {line}: {said}");
    }
}
