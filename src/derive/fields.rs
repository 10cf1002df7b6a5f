//! The fields of custom resources that derived objects have: what a cluster's definitions must know, or its API server refuses the objects.
//!
//! A path leads through lists as if they were not there, and `*` stands for any key of a mapping. Its last name may have more below it.

use super::kinds;

/// Kinds with the paths that are used of each.
pub const USED: [((&str, &str), &[&str]); 7] = [
    (
        kinds::CONTROL_PLANE,
        &[
            "spec.security.trust.domain",
            "spec.gateways.additionalIngress.*.enabled",
            "spec.gateways.additionalIngress.*.routeConfig.enabled",
            "spec.gateways.additionalIngress.*.service.metadata.annotations.*",
            "spec.gateways.additionalIngress.*.service.metadata.labels.*",
            "spec.gateways.additionalIngress.*.service.ports.name",
            "spec.gateways.additionalIngress.*.service.ports.nodePort",
            "spec.gateways.additionalIngress.*.service.ports.port",
            "spec.gateways.additionalIngress.*.service.type",
            "spec.gateways.additionalEgress.*.enabled",
            "spec.gateways.additionalEgress.*.requestedNetworkView",
            "spec.gateways.additionalEgress.*.service.metadata.labels.*",
            "spec.gateways.additionalEgress.*.service.ports.name",
            "spec.gateways.additionalEgress.*.service.ports.port",
        ],
    ),
    (kinds::MEMBER, &["spec.controlPlaneRef.name", "spec.controlPlaneRef.namespace"]),
    (
        kinds::PEER,
        &[
            "spec.remote.addresses",
            "spec.remote.discoveryPort",
            "spec.remote.servicePort",
            "spec.gateways.ingress.name",
            "spec.gateways.egress.name",
            "spec.security.trustDomain",
            "spec.security.clientID",
            "spec.security.certificateChain.kind",
            "spec.security.certificateChain.name",
        ],
    ),
    (
        kinds::EXPORTED,
        &[
            "spec.exportRules.type",
            "spec.exportRules.nameSelector.namespace",
            "spec.exportRules.nameSelector.name",
            "spec.exportRules.nameSelector.alias.namespace",
            "spec.exportRules.nameSelector.alias.name",
            "spec.exportRules.labelSelector.namespace",
            "spec.exportRules.labelSelector.selector",
            "spec.exportRules.labelSelector.aliases",
        ],
    ),
    (
        kinds::IMPORTED,
        &[
            "spec.importRules.type",
            "spec.importRules.importAsLocal",
            "spec.importRules.domainSuffix",
            "spec.importRules.nameSelector.namespace",
            "spec.importRules.nameSelector.name",
            "spec.importRules.nameSelector.alias.namespace",
            "spec.importRules.nameSelector.alias.name",
            "spec.locality",
        ],
    ),
    (
        kinds::VIRTUAL_SERVICE,
        &[
            "spec.hosts",
            "spec.http.match.headers",
            "spec.http.match.uri",
            "spec.http.mirror.host",
            "spec.http.mirror.subset",
            "spec.http.mirrorPercentage.value",
            "spec.http.retries.attempts",
            "spec.http.retries.perTryTimeout",
            "spec.http.retries.retryOn",
            "spec.http.route.destination.host",
            "spec.http.route.destination.subset",
            "spec.http.route.weight",
            "spec.http.timeout",
        ],
    ),
    (
        kinds::DESTINATION_RULE,
        &[
            "spec.host",
            "spec.subsets.name",
            "spec.subsets.labels.*",
            "spec.trafficPolicy.outlierDetection.consecutive5xxErrors",
            "spec.trafficPolicy.outlierDetection.interval",
            "spec.trafficPolicy.outlierDetection.baseEjectionTime",
            "spec.trafficPolicy.outlierDetection.maxEjectionPercent",
            "spec.trafficPolicy.loadBalancer.localityLbSetting.enabled",
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failover.from",
            "spec.trafficPolicy.loadBalancer.localityLbSetting.failover.to",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::derive::{Inputs, Observed, derive};
    use crate::facts::{Endpoint, Facts, Root};
    use crate::model::testing::example;

    /// Paths of all that has nothing below it.
    fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| leaves(value, &format!("{path}.{name}"), found)),
            Value::Array(items) => items.iter().for_each(|item| leaves(item, path, found)),
            _ => found.push(path.trim_start_matches('.').to_owned()),
        }
    }

    fn covers(used: &str, leaf: &str) -> bool {
        let mut names = leaf.split('.');
        used.split('.').all(|used| names.next().is_some_and(|name| used == "*" || used == name))
    }

    #[test]
    fn every_field_of_a_derived_object_is_listed() {
        let traffic = "//- meshes/rosa-prod-mesh/traffic/details.yaml
apiVersion: meshfed.dev/v1alpha1
kind: Traffic
metadata: {name: details}
spec:
  service: prod-bookinfo/details
  subsets: {v1: {version: v1}}
  matches:
  - headers: {end-user: {exact: jason}}
    uri: {prefix: /details}
    routes: [{peer: aro-stg-mesh, service: prod-bookinfo/details-v2}]
  routes: [{local: {subset: v1}, weight: 100}]
  mirror: {peer: aro-stg-mesh, service: prod-bookinfo/details-v2, percentage: 10}
  timeout: 3s
  retries: {attempts: 2, perTryTimeout: 1s, retryOn: 5xx}
  outlierDetection: {consecutive5xxErrors: 2, interval: 10s, baseEjectionTime: 1m, maxEjectionPercent: 100}
";
        let federation = example().with(traffic).valid();
        let endpoint = Endpoint { addresses: vec!["192.0.2.1".into()], discovery_port: 8188, service_port: 15443 };
        let ingress = federation.meshes.keys().map(|peer| (peer.clone(), endpoint.clone())).collect();
        let root = Root { pem: "root\n".into(), ..Root::default() };
        let facts = Facts { roots: vec![root], ingress, ..Facts::default() };
        let facts = federation.meshes.keys().map(|mesh| (mesh.clone(), facts.clone())).collect();
        let mut seen = 0;
        for (me, folder) in &federation.meshes {
            let observed = Observed::assumed(folder);
            let derived = derive(Inputs { federation: &federation, me, facts: &facts, observed: &observed });
            for (key, wanted) in &derived.wanted {
                let Some((_, used)) = USED.iter().find(|(kind, _)| *key.kind == *kind.1) else { continue };
                let base = folder.mesh.as_ref().and_then(|mesh| mesh.base.as_ref()).map(|base| Value::Object(base.spec.clone()));
                let (mut all, mut given) = (Vec::new(), Vec::new());
                leaves(&wanted.object.value()["spec"], "spec", &mut all);
                leaves(&base.unwrap_or_default(), "spec", &mut given);
                for leaf in all.iter().filter(|leaf| !given.contains(leaf)) {
                    assert!(used.iter().any(|used| covers(used, leaf)), "{key} has {leaf}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "{seen}");
    }
}
