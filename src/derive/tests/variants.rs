//! Everything else that people can write.

use super::*;
use crate::model::testing::pair;
use insta::assert_snapshot;

const MESH: &str =
    "//- meshes/a/mesh.yaml\nkind: Mesh\nmetadata: {name: a}\nspec:\n  trustDomain: a.example\n  members: [apps]\n";

#[test]
fn exports_by_selector_carry_a_list_of_aliases() {
    let text = pair_with(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec:
  exports:
  - service: apps/one
    as: public/uno
  - service: apps/two
  - selector:
      namespace: apps
      matchLabels: {tier: web}
      matchExpressions: [{key: stage, operator: In, values: [prod]}, {key: old, operator: DoesNotExist}]
    aliases: [{service: apps/three, as: public/tres}]
",
        "ExportedServiceSet",
    );
    assert_snapshot!(text, @r"
    ---
    # after ServiceMeshPeer/a/b is applied
    apiVersion: federation.maistra.io/v1
    kind: ExportedServiceSet
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/peers/b.yaml
      name: b
      namespace: a
    spec:
      exportRules:
      - nameSelector:
          alias:
            name: uno
            namespace: public
          name: one
          namespace: apps
        type: NameSelector
      - nameSelector:
          name: two
          namespace: apps
        type: NameSelector
      - labelSelector:
          aliases:
          - alias:
              name: tres
              namespace: public
            name: three
            namespace: apps
          namespace: apps
          selector:
            matchExpressions:
            - key: stage
              operator: In
              values:
              - prod
            - key: old
              operator: DoesNotExist
            matchLabels:
              tier: web
        type: LabelSelector
    ");
}

#[test]
fn imports_local_elsewhere_and_everything() {
    let text = pair_with(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec:
  locality: {region: r1, zone: z1, subzone: s1}
  imports:
  - {service: shop/one, as: apps/one, asLocal: true}
  - {service: shop/two, domainSuffix: shop.example}
  - {service: shop/three}
  - {service: '*'}
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec:
  exports: [{service: shop/one}, {service: shop/two}]
",
        "ImportedServiceSet",
    );
    assert_snapshot!(text, @r#"
    ---
    # after ServiceMeshPeer/a/b is applied
    apiVersion: federation.maistra.io/v1
    kind: ImportedServiceSet
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/peers/b.yaml
      name: b
      namespace: a
    spec:
      importRules:
      - importAsLocal: true
        nameSelector:
          alias:
            name: one
            namespace: apps
          name: one
          namespace: shop
        type: NameSelector
      - domainSuffix: shop.example
        importAsLocal: false
        nameSelector:
          alias:
            name: two
            namespace: shop
          name: two
          namespace: shop
        type: NameSelector
      - importAsLocal: false
        nameSelector:
          name: "*"
          namespace: "*"
        type: NameSelector
      locality:
        region: r1
        subzone: s1
        zone: z1
    # ImportedServiceSet/a/b shop/three: waits for b to export shop/three (meshes/b/peers/a.yaml)
    "#);
}

#[test]
fn a_local_import_takes_the_peers_own_locality() {
    let repo = pair().edit("meshes/b/mesh.yaml", "members", "locality: {region: far}\n  members").with(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec: {imports: [{service: shop/one, as: apps/one, asLocal: true}]}
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec: {exports: [{service: shop/one}]}
",
    );
    let derived = derive_for(&loaded(&repo), "a", &Observed::default());
    let set = &derived.wanted[&kinds::key(kinds::IMPORTED, "a", "b")];
    assert_eq!(set.object.value()["spec"]["locality"], serde_json::json!({"region": "far"}));
}

#[test]
fn a_control_plane_of_our_own_with_node_ports() {
    let text = pair_with(
        &format!(
            "{MESH}  platform: aws
  controlPlane:
    namespace: cp
    name: basic
    base: {{spec: {{version: v2.5, security: {{identity: {{type: ThirdParty}}}}}}}}
  ingress:
    type: NodePort
    annotations: {{a: b}}
    addresses: [10.0.0.2, 10.0.0.1]
    servicePort: 30443
    discoveryPort: 30188
"
        ),
        "ServiceMeshControlPlane",
    );
    assert_snapshot!(text, @r"
    ---
    # after Namespace/cp exists
    apiVersion: maistra.io/v2
    kind: ServiceMeshControlPlane
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/mesh.yaml
      name: basic
      namespace: cp
    spec:
      gateways:
        additionalEgress:
          b-egress:
            enabled: true
            requestedNetworkView:
            - network-b
            service:
              metadata:
                labels:
                  federation.maistra.io/egress-for: b
              ports:
              - name: tls
                port: 15443
              - name: http-discovery
                port: 8188
        additionalIngress:
          b-ingress:
            enabled: true
            routeConfig:
              enabled: false
            service:
              metadata:
                annotations:
                  a: b
                labels:
                  federation.maistra.io/ingress-for: b
              ports:
              - name: tls
                nodePort: 30443
                port: 15443
              - name: https-discovery
                nodePort: 30188
                port: 8188
              type: NodePort
      security:
        identity:
          type: ThirdParty
        trust:
          domain: a.example
      version: v2.5
    ");
}

#[test]
fn an_annotation_that_people_wrote_wins_over_the_platforms() {
    let text = pair_with(
        &format!(
            "{MESH}  platform: aws\n  ingress: {{annotations: {{service.beta.kubernetes.io/aws-load-balancer-type: external}}}}\n"
        ),
        "ServiceMeshControlPlane",
    );
    assert!(text.contains("aws-load-balancer-type: external"), "{text}");
}

#[test]
fn namespaces_and_operators_are_made_where_asked_for() {
    let extra = "  createNamespaces: true\n  operators: [{name: servicemeshoperator}, {name: kiali-ossm, namespace: ops, startingCSV: kiali.v1}]\n";
    assert_snapshot!(pair_with(&format!("{MESH}{extra}"), "Namespace"), @r"
    ---
    apiVersion: v1
    kind: Namespace
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/mesh.yaml
      name: a
    ---
    apiVersion: v1
    kind: Namespace
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/mesh.yaml
      name: apps
    ");
    assert_snapshot!(pair_with(&format!("{MESH}{extra}"), "Subscription"), @r"
    ---
    apiVersion: operators.coreos.com/v1alpha1
    kind: Subscription
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/mesh.yaml
      name: servicemeshoperator
      namespace: openshift-operators
    spec:
      channel: stable
      name: servicemeshoperator
      source: redhat-operators
      sourceNamespace: openshift-marketplace
    ---
    apiVersion: operators.coreos.com/v1alpha1
    kind: Subscription
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/mesh.yaml
      name: kiali-ossm
      namespace: ops
    spec:
      channel: stable
      name: kiali-ossm
      source: redhat-operators
      sourceNamespace: openshift-marketplace
      startingCSV: kiali.v1
    ");
}

#[test]
fn a_member_roll_of_peoples_own_is_left_alone() {
    let roll = "//- meshes/a/manifests/roll.yaml\napiVersion: maistra.io/v1\nkind: ServiceMeshMemberRoll\nmetadata: {name: default, namespace: a}\nspec: {members: [apps]}\n";
    assert_eq!(pair_with(roll, "ServiceMeshMember"), "");
    assert_ne!(pair_with("", "ServiceMeshMember"), "");
}

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

#[test]
fn gateways_without_a_valid_declaration_stay_while_they_are_needed() {
    let federation = pair().without("meshes/a/peers/b.yaml").load().0;
    let entry = serde_json::json!({"enabled": true}).as_object().unwrap().clone();
    let mut observed = Observed::default();
    observed.gateways.insert(("b".into(), "additionalIngress", "b-ingress".into()), entry);
    let gateways = |derived: &Derived| {
        let key = kinds::key(kinds::CONTROL_PLANE, "a", "a");
        derived.wanted[&key].object.value()["spec"]["gateways"]["additionalIngress"]["b-ingress"].is_object()
    };
    assert!(!gateways(&derive_for(&federation, "a", &observed)));
    observed.leaving.insert("b".into());
    assert!(gateways(&derive_for(&federation, "a", &observed)));
    observed.leaving.clear();
    let broken = pair().with("//- meshes/a/peers/b.yaml\nkind: [\n").load().0;
    assert!(gateways(&derive_for(&broken, "a", &observed)));
}

#[test]
fn a_bad_address_for_one_peer_holds_up_no_other() {
    let federation = loaded(&pair());
    let mut facts = mk_all_facts(&federation);
    facts.get_mut("b").unwrap().broken = true;
    let wants_peer = |facts: &BTreeMap<String, Facts>| {
        let derived = derive(Inputs { federation: &federation, me: "a", facts, observed: &Observed::default() });
        derived.wanted.contains_key(&kinds::key(kinds::PEER, "a", "b"))
    };
    assert!(wants_peer(&facts));
    facts.get_mut("b").unwrap().ingress.clear();
    assert!(!wants_peer(&facts), "the address that is there stays");
}

#[test]
fn a_manifest_does_not_fight_with_what_is_derived() {
    let text = pair_with(
        "//- meshes/a/manifests/x.yaml\napiVersion: maistra.io/v2\nkind: ServiceMeshControlPlane\nmetadata: {name: a, namespace: a}\n",
        "None",
    );
    assert!(
        text.contains("meshes/a/manifests/x.yaml:1: meshes/a/mesh.yaml declares it too; remove one of them (stuck)"),
        "{text}"
    );
}
