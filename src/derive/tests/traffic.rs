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
  subsets: {v1: {release: one}}
  routes: [{local: {subset: v1}, weight: 90}, {peer: b, service: shop/x, weight: 10}]
  mirror: {peer: b, service: shop/x, percentage: 12.5}
";

fn routes(repo: &Repo, observed: &Observed) -> String {
    let (federation, _) = repo.load();
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
    # VirtualService/apps/x 10 %: waits for x.shop.shop.example: not imported from b yet
    # VirtualService/apps/x mirror: waits for x.shop.shop.example: not imported from b yet
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
