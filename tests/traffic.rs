//! What a Traffic becomes is what Istio's own definitions accept, field by field.

use serde_json::json;

use crate::solo::{Solo, peer_file};
use crate::stage::eventually;

/// Everything that a Traffic can say beside weights.
const SPEC: &str = "
  matches:
  - headers: {end-user: {exact: jason}, x-group: {regex: 'beta-.+'}}
    uri: {prefix: /v2}
    routes: [{local: {}}]
  mirror: {local: {}, percentage: 12.5}
  timeout: 1m 30s
  retries: {attempts: 3, perTryTimeout: 250ms, retryOn: 'gateway-error,503'}
  failover: {to: [traffic-far]}
  outlierDetection: {interval: 1500ms, maxEjectionPercent: 50}
";

#[test]
fn the_api_server_accepts_all_that_a_traffic_derives() {
    let solo = Solo::new("traffic-all");
    let apps = &solo.apps;
    let near = solo.mesh_file() + "  locality: {region: near}\n";
    solo.commit("mesh.yaml", Some(&near));
    solo.commit_peer("traffic-far", &crate::solo::root());
    let half =
        format!("  locality: {{region: far}}\n  imports: [{{service: shop/traffic-far, as: {apps}/shop, asLocal: true}}]\n");
    solo.commit("peers/traffic-far.yaml", Some(&peer_file("traffic-far", &half)));
    let head = "apiVersion: meshfed.dev/v1alpha1\nkind: Traffic\nmetadata: {name: shop}\nspec:\n  service";
    solo.commit("traffic/shop.yaml", Some(&format!("{head}: {apps}/shop{SPEC}")));
    let agent = solo.agent();
    let spec = |kind: &str| {
        eventually(&format!("{kind}/shop is applied"), || {
            let object = solo.get_app(kind, "shop").ok_or_else(|| agent.process.log_tail())?;
            Ok(object["spec"].clone())
        })
    };
    let host = format!("shop.{apps}.svc.cluster.local");
    assert_eq!(
        spec("destinationrule"),
        json!({"host": host, "trafficPolicy": {
            "outlierDetection": {"consecutive5xxErrors": 2, "interval": "1500ms", "baseEjectionTime": "60s", "maxEjectionPercent": 50},
            "loadBalancer": {"localityLbSetting": {"enabled": true, "failover": [{"from": "near", "to": "far"}]}},
        }})
    );
    let rest = json!({
        "route": [{"destination": {"host": host}, "weight": 100}],
        "mirror": {"host": host}, "mirrorPercentage": {"value": 12.5},
        "timeout": "90s", "retries": {"attempts": 3, "perTryTimeout": "250ms", "retryOn": "gateway-error,503"},
    });
    let mut matched = rest.clone();
    matched["match"] = json!([{
        "uri": {"prefix": "/v2"}, "headers": {"end-user": {"exact": "jason"}, "x-group": {"regex": "beta-.+"}}
    }]);
    assert_eq!(spec("virtualservice"), json!({"hosts": [host], "http": [matched, rest]}));
    eventually("the status says what failover waits for", || match solo.status() {
        status if status.contains("failover to traffic-far") => Ok(()),
        status => Err(status),
    });
}
