//! Least privilege: what the agent's service account may do is this list, and of everything else that somebody could want, nothing.

use futures::StreamExt;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use crate::deploy::{self, namespace};
use crate::lab::cluster::Cluster;
use crate::lab::kubeconfig::block_on;

const VERBS: [&str; 13] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "use",
    "impersonate",
    "escalate",
    "bind",
    "approve",
];

/// What somebody could want: `plural.group`, with a subresource after a slash.
const RESOURCES: [&str; 40] = [
    "secrets",
    "configmaps",
    "services",
    "serviceaccounts",
    "serviceaccounts/token",
    "pods",
    "pods/exec",
    "pods/log",
    "namespaces",
    "namespaces/finalize",
    "nodes",
    "nodes/proxy",
    "events",
    "endpoints",
    "users",
    "groups",
    "deployments.apps",
    "deployments/scale.apps",
    "daemonsets.apps",
    "statefulsets.apps",
    "jobs.batch",
    "leases.coordination.k8s.io",
    "events.events.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "networkpolicies.networking.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
    "servicemeshcontrolplanes.maistra.io",
    "servicemeshmembers.maistra.io",
    "servicemeshpeers.federation.maistra.io",
    "exportedservicesets.federation.maistra.io",
    "importedservicesets.federation.maistra.io",
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "authorizationpolicies.security.istio.io",
];

/// Its own, those of its mesh, and those of others; and what lies in none.
const NAMESPACES: [&str; 6] = ["meshfed", "rosa-prod-mesh", "prod-bookinfo", "kube-system", "somebody-else", ""];

const READ: &[&str] = &["get", "list", "watch"];
const OWN: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
const TELL: &[&str] = &["create", "patch"];

/// Something that is granted.
struct Grant {
    /// Where; everywhere for what lies in no namespace.
    namespace: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    /// Which ones; all where it is empty.
    names: &'static [&'static str],
}

const fn grant(namespace: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Grant {
    Grant { namespace, resource, verbs, names: &[] }
}

/// All that `deploy/example` grants.
const GRANTS: [Grant; 21] = [
    Grant { names: &["meshfed"], ..grant("meshfed", "leases.coordination.k8s.io", &["get", "list", "watch", "patch"]) },
    grant("meshfed", "leases.coordination.k8s.io", &["create"]),
    grant("meshfed", "events.events.k8s.io", TELL),
    Grant { names: &["kube-system", "rosa-prod-mesh", "prod-bookinfo"], ..grant("", "namespaces", READ) },
    Grant { names: &["rosa-prod-mesh", "prod-bookinfo"], ..grant("", "namespaces", &["patch"]) },
    grant("rosa-prod-mesh", "servicemeshpeers.federation.maistra.io", OWN),
    grant("rosa-prod-mesh", "exportedservicesets.federation.maistra.io", OWN),
    grant("rosa-prod-mesh", "importedservicesets.federation.maistra.io", OWN),
    grant("rosa-prod-mesh", "servicemeshcontrolplanes.maistra.io", OWN),
    grant("rosa-prod-mesh", "servicemeshcontrolplanes.maistra.io", &["use"]),
    grant("rosa-prod-mesh", "configmaps", OWN),
    grant("rosa-prod-mesh", "services", READ),
    grant("rosa-prod-mesh", "events.events.k8s.io", TELL),
    grant("prod-bookinfo", "servicemeshmembers.maistra.io", OWN),
    grant("prod-bookinfo", "virtualservices.networking.istio.io", OWN),
    grant("prod-bookinfo", "destinationrules.networking.istio.io", OWN),
    grant("prod-bookinfo", "events.events.k8s.io", TELL),
    grant("prod-bookinfo", "deployments.apps", OWN),
    grant("prod-bookinfo", "configmaps", OWN),
    grant("prod-bookinfo", "services", OWN),
    grant("prod-bookinfo", "serviceaccounts", OWN),
];

/// One thing that somebody could try.
#[derive(Clone, Copy, Debug)]
struct Try {
    verb: &'static str,
    resource: &'static str,
    namespace: &'static str,
    name: &'static str,
}

impl Try {
    fn is_granted(&self) -> bool {
        GRANTS.iter().any(|grant| {
            (grant.namespace.is_empty() || grant.namespace == self.namespace)
                && grant.resource == self.resource
                && grant.verbs.contains(&self.verb)
                && (grant.names.is_empty() || grant.names.contains(&self.name))
        })
    }

    fn attributes(&self) -> ResourceAttributes {
        let (resource, group) = self.resource.split_once('.').unwrap_or((self.resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        ResourceAttributes {
            verb: text(self.verb),
            group: text(group),
            resource: text(resource),
            subresource: text(subresource),
            namespace: text(self.namespace),
            name: text(self.name),
            ..ResourceAttributes::default()
        }
    }
}

/// Each verb on each resource in each namespace, of any name and of each name that is granted anywhere.
fn tries() -> Vec<Try> {
    let mut tries = Vec::new();
    for resource in RESOURCES {
        let granted = GRANTS.iter().filter(|grant| grant.resource == resource).flat_map(|grant| grant.names);
        let names: std::collections::BTreeSet<&str> = granted.copied().chain(["any"]).collect();
        for (verb, namespace) in VERBS.into_iter().flat_map(|verb| NAMESPACES.map(|namespace| (verb, namespace))) {
            tries.extend(names.iter().map(|name| Try { verb, resource, namespace, name }));
        }
    }
    tries
}

#[test]
fn the_agents_account_may_do_what_is_listed_here_and_nothing_else() {
    let lab = Cluster::shared();
    namespace(lab, "somebody-else");
    deploy::example(lab);
    let wrong: Vec<String> = block_on(async {
        let reviews: Api<SubjectAccessReview> = Api::all(lab.client().await);
        let ask = async |what: Try| {
            let groups = ["system:serviceaccounts", "system:serviceaccounts:meshfed", "system:authenticated"];
            let spec = SubjectAccessReviewSpec {
                user: Some("system:serviceaccount:meshfed:meshfed".to_owned()),
                groups: Some(groups.map(str::to_owned).to_vec()),
                resource_attributes: Some(what.attributes()),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let answer = reviews.create(&PostParams::default(), &review).await.expect("a review");
            let allowed = answer.status.is_some_and(|status| status.allowed);
            (allowed != what.is_granted()).then(|| format!("{what:?}: allowed {allowed}"))
        };
        futures::stream::iter(tries()).map(ask).buffer_unordered(16).filter_map(std::future::ready).collect().await
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}
