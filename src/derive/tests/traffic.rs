//! Where requests go, while what they go to is there or not.

use super::*;
use crate::model::testing::pair;
use insta::assert_snapshot;

const TRAFFIC: &str = "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec: {imports: [{service: shop/x, domainSuffix: shop.example}]}
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec: {exports: [{service: shop/x}]}
//- meshes/a/traffic/x.yaml
kind: Traffic
metadata: {name: x}
spec:
  service: apps/x
  subsets: {v1: {release: one}, v2: {version: v2}}
  routes: [{local: {subset: v1}, weight: 90}, {peer: b, service: shop/x, weight: 10}]
  mirror: {peer: b, service: shop/x, percentage: 12.5}
";

fn routes(repo: &Repo, observed: &Observed) -> String {
    let (federation, found) = repo.load();
    assert!(found.iter().all(|finding| !finding.path.contains("/traffic/")), "{}", crate::model::testing::show(&found));
    let kinds = ["VirtualService", "DestinationRule"];
    show_only(&derive_for(&federation, "a", observed), |key| kinds.contains(&&*key.kind))
}

#[test]
fn a_mirror_goes_only_where_something_is() {
    let repo = pair().with(TRAFFIC);
    assert_snapshot!(routes(&repo, &mk_live("b", &["x.shop.shop.example"])), @r"
    ---
    # after Namespace/apps exists
    apiVersion: networking.istio.io/v1beta1
    kind: DestinationRule
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      host: x.apps.svc.cluster.local
      subsets:
      - labels:
          release: one
        name: v1
    ---
    # after Namespace/apps exists
    # after DestinationRule/apps/x is applied
    apiVersion: networking.istio.io/v1beta1
    kind: VirtualService
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      hosts:
      - x.apps.svc.cluster.local
      http:
      - mirror:
          host: x.shop.shop.example
        mirrorPercentage:
          value: 12.5
        route:
        - destination:
            host: x.apps.svc.cluster.local
            subset: v1
          weight: 90
        - destination:
            host: x.shop.shop.example
          weight: 10
    ");
    assert_snapshot!(routes(&repo, &Observed::default()), @r"
    ---
    # after Namespace/apps exists
    apiVersion: networking.istio.io/v1beta1
    kind: DestinationRule
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      host: x.apps.svc.cluster.local
      subsets:
      - labels:
          release: one
        name: v1
    ---
    # after Namespace/apps exists
    # after DestinationRule/apps/x is applied
    apiVersion: networking.istio.io/v1beta1
    kind: VirtualService
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      hosts:
      - x.apps.svc.cluster.local
      http:
      - route:
        - destination:
            host: x.apps.svc.cluster.local
            subset: v1
          weight: 100
    # VirtualService/apps/x mirror: waits for x.shop.shop.example: not imported from b yet
    # VirtualService/apps/x 10 %: waits for x.shop.shop.example: not imported from b yet
    ");
}

#[test]
fn weights_can_be_kept_for_a_peer_that_is_not_there() {
    let repo =
        pair().with(TRAFFIC).edit("meshes/a/traffic/x.yaml", "service: apps/x", "whenUnavailable: keep\n  service: apps/x");
    let text = routes(&repo, &Observed::default());
    assert!(text.contains("weight: 90") && text.contains("weight: 10"), "{text}");
}

#[test]
fn without_any_destination_the_last_split_stays() {
    let repo = pair().with(TRAFFIC).edit("meshes/a/traffic/x.yaml", "weight: 90", "weight: 0").edit(
        "meshes/a/traffic/x.yaml",
        "weight: 10",
        "weight: 100",
    );
    let (federation, _) = repo.load();
    let derived = derive_for(&federation, "a", &Observed::default());
    let key = kinds::key(kinds::VIRTUAL_SERVICE, "apps", "x");
    assert!(!derived.wanted.contains_key(&key) && derived.holds.iter().any(|hold| hold.key.as_ref() == Some(&key)));
}

#[test]
fn a_broken_peer_keeps_the_hosts_that_it_gave() {
    let repo = pair().with(TRAFFIC);
    let observed = mk_live("b", &["x.shop.shop.example"]);
    let before = routes(&repo, &observed);
    assert_eq!(routes(&repo.with("//- meshes/a/peers/b.yaml\nkind: [\n"), &observed), before);
}

/// The example above with these fields in the `spec` of its Traffic.
fn with_fields(lines: &str) -> Repo {
    pair().with(TRAFFIC).edit("meshes/a/traffic/x.yaml", "  service: apps/x\n", &format!("  service: apps/x\n  {lines}"))
}

const MATCHES: &str = "\
matches:
  - headers: {end-user: {exact: jason}, x-group: {regex: 'beta-.+'}}
    uri: {prefix: /v2}
    routes: [{peer: b, service: shop/x}]
  - uri: {exact: /old}
    routes: [{local: {subset: v1}, weight: 40}, {local: {subset: v2}, weight: 60}]
";

#[test]
fn matches_come_before_the_weights_and_all_are_mirrored() {
    let text = routes(&with_fields(MATCHES), &mk_live("b", &["x.shop.shop.example"]));
    assert_snapshot!(text, @r"
    ---
    # after Namespace/apps exists
    apiVersion: networking.istio.io/v1beta1
    kind: DestinationRule
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      host: x.apps.svc.cluster.local
      subsets:
      - labels:
          release: one
        name: v1
      - labels:
          version: v2
        name: v2
    ---
    # after Namespace/apps exists
    # after DestinationRule/apps/x is applied
    apiVersion: networking.istio.io/v1beta1
    kind: VirtualService
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      hosts:
      - x.apps.svc.cluster.local
      http:
      - match:
        - headers:
            end-user:
              exact: jason
            x-group:
              regex: beta-.+
          uri:
            prefix: /v2
        mirror:
          host: x.shop.shop.example
        mirrorPercentage:
          value: 12.5
        route:
        - destination:
            host: x.shop.shop.example
          weight: 100
      - match:
        - uri:
            exact: /old
        mirror:
          host: x.shop.shop.example
        mirrorPercentage:
          value: 12.5
        route:
        - destination:
            host: x.apps.svc.cluster.local
            subset: v1
          weight: 40
        - destination:
            host: x.apps.svc.cluster.local
            subset: v2
          weight: 60
      - mirror:
          host: x.shop.shop.example
        mirrorPercentage:
          value: 12.5
        route:
        - destination:
            host: x.apps.svc.cluster.local
            subset: v1
          weight: 90
        - destination:
            host: x.shop.shop.example
          weight: 10
    ");
}

#[test]
fn a_match_that_leads_nowhere_is_left_out_so_that_its_requests_find_the_others() {
    let repo = with_fields(MATCHES);
    let spec = |repo: &Repo| {
        let text = routes(repo, &Observed::default());
        text.split("kind: VirtualService").nth(1).unwrap().split("spec:").nth(1).unwrap().to_owned()
    };
    assert_snapshot!(spec(&repo), @r"

      hosts:
      - x.apps.svc.cluster.local
      http:
      - match:
        - uri:
            exact: /old
        route:
        - destination:
            host: x.apps.svc.cluster.local
            subset: v1
          weight: 40
        - destination:
            host: x.apps.svc.cluster.local
            subset: v2
          weight: 60
      - route:
        - destination:
            host: x.apps.svc.cluster.local
            subset: v1
          weight: 100
    # VirtualService/apps/x mirror: waits for x.shop.shop.example: not imported from b yet
    # VirtualService/apps/x where uri = /v2* and end-user = jason and x-group ~ beta-.+: 100 %: waits for x.shop.shop.example: not imported from b yet
    # VirtualService/apps/x where uri = /v2* and end-user = jason and x-group ~ beta-.+: none of its destinations is there yet; its requests go where the others go
    # VirtualService/apps/x 10 %: waits for x.shop.shop.example: not imported from b yet
    ");
    let keep = repo.edit("meshes/a/traffic/x.yaml", "service: apps/x", "whenUnavailable: keep\n  service: apps/x");
    assert_eq!(spec(&keep).matches("- match:").count(), 2, "{}", spec(&keep));
}

/// A service that fails over to two peers; the regions come from a Mesh and from a Peer.
const FAILOVER: &str = "\
//- meshes/a/mesh.yaml
kind: Mesh
metadata: {name: a}
spec: {trustDomain: a.example, members: [apps], locality: {region: eu-west-1, zone: eu-west-1a}}
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec: {imports: [{service: shop/x, as: apps/x, asLocal: true}]}
//- meshes/a/peers/c.yaml
kind: Peer
metadata: {name: c}
spec: {imports: [{service: apps/x, asLocal: true}], locality: {region: us-east-1}}
//- meshes/b/mesh.yaml
kind: Mesh
metadata: {name: b}
spec: {trustDomain: b.example, members: [shop], locality: {region: westeurope}}
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec: {exports: [{service: shop/x}]}
//- meshes/c/mesh.yaml
kind: Mesh
metadata: {name: c}
spec: {trustDomain: c.example, members: [apps]}
//- meshes/c/peers/a.yaml
kind: Peer
metadata: {name: a}
spec: {exports: [{service: apps/x}]}
//- meshes/a/traffic/x.yaml
kind: Traffic
metadata: {name: x}
spec:
  service: apps/x
  failover: {to: [b, c]}
";

#[test]
fn failover_alone_needs_no_virtual_service_and_names_the_first_peer() {
    let repo = pair().with(FAILOVER);
    let text = routes(&repo, &mk_live("b", &["x.apps.svc.cluster.local"]));
    assert_snapshot!(text, @r"
    ---
    # after Namespace/apps exists
    apiVersion: networking.istio.io/v1beta1
    kind: DestinationRule
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      host: x.apps.svc.cluster.local
      trafficPolicy:
        loadBalancer:
          localityLbSetting:
            enabled: true
            failover:
            - from: eu-west-1
              to: westeurope
        outlierDetection:
          baseEjectionTime: 60s
          consecutive5xxErrors: 2
          interval: 10s
          maxEjectionPercent: 100
    # DestinationRule/apps/x failover to c: waits for x.apps.svc.cluster.local: not imported from c yet
    ");
}

#[test]
fn a_broken_peer_keeps_its_failover() {
    let key = kinds::key(kinds::DESTINATION_RULE, "apps", "x");
    for (path, reason) in [
        ("meshes/a/peers/b.yaml", "meshes/a/peers/b.yaml has an error; what is there stays"),
        ("meshes/b/mesh.yaml", "meshes/b/mesh.yaml has an error; what is there stays"),
    ] {
        let repo = pair().with(FAILOVER).with(&format!("//- {path}\nkind: [\n"));
        let derived = derive_for(&repo.load().0, "a", &Observed::default());
        assert!(!derived.wanted.contains_key(&key));
        assert!(derived.holds.contains(&Hold::stuck(&key, reason)), "{:#?}", derived.holds);
    }
}

#[test]
fn timeouts_retries_and_outliers_are_written_out() {
    let repo = pair().with(
        "\
//- meshes/a/traffic/x.yaml
kind: Traffic
metadata: {name: x}
spec:
  service: apps/x
  matches: [{uri: {prefix: /slow}, routes: [{local: {}}]}]
  timeout: 1m 30s
  retries: {attempts: 3, perTryTimeout: 250ms, retryOn: 'gateway-error,503'}
  outlierDetection: {consecutive5xxErrors: 7, interval: 5s, baseEjectionTime: 1h, maxEjectionPercent: 50}
//- meshes/a/traffic/y.yaml
kind: Traffic
metadata: {name: y}
spec:
  service: apps/y
  retries: {attempts: 0}
",
    );
    assert_snapshot!(routes(&repo, &Observed::default()), @r#"
    ---
    # after Namespace/apps exists
    apiVersion: networking.istio.io/v1beta1
    kind: DestinationRule
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      host: x.apps.svc.cluster.local
      trafficPolicy:
        outlierDetection:
          baseEjectionTime: 3600s
          consecutive5xxErrors: 7
          interval: 5s
          maxEjectionPercent: 50
    ---
    # after Namespace/apps exists
    apiVersion: networking.istio.io/v1beta1
    kind: VirtualService
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/x.yaml
      name: x
      namespace: apps
    spec:
      hosts:
      - x.apps.svc.cluster.local
      http:
      - match:
        - uri:
            prefix: /slow
        retries:
          attempts: 3
          perTryTimeout: 250ms
          retryOn: gateway-error,503
        route:
        - destination:
            host: x.apps.svc.cluster.local
          weight: 100
        timeout: 90s
      - retries:
          attempts: 3
          perTryTimeout: 250ms
          retryOn: gateway-error,503
        route:
        - destination:
            host: x.apps.svc.cluster.local
          weight: 100
        timeout: 90s
    ---
    # after Namespace/apps exists
    apiVersion: networking.istio.io/v1beta1
    kind: VirtualService
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/traffic/y.yaml
      name: "y"
      namespace: apps
    spec:
      hosts:
      - y.apps.svc.cluster.local
      http:
      - retries:
          attempts: 0
        route:
        - destination:
            host: y.apps.svc.cluster.local
          weight: 100
    "#);
}
