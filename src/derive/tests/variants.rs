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
fn what_people_say_of_a_gateway_counts() {
    let text = pair_with(
        &format!(
            "{MESH}  controlPlane:
    base:
      spec:
        gateways:
          additionalEgress:
            b-egress:
              routerMode: sni-dnat
              service: {{metadata: {{labels: {{federation.maistra.io/egress-for: mine}}}}, ports: [{{port: 8188, name: http-x}}, {{port: 80}}]}}
            other-egress: {{enabled: true}}
"
        ),
        "ServiceMeshControlPlane",
    );
    let egress = text.split("additionalIngress").next().unwrap();
    assert_snapshot!(egress, @r"
    ---
    # after Namespace/a exists
    apiVersion: maistra.io/v2
    kind: ServiceMeshControlPlane
    metadata:
      annotations:
        meshfed.dev/source: meshes/a/mesh.yaml
      name: a
      namespace: a
    spec:
      gateways:
        additionalEgress:
          b-egress:
            enabled: true
            requestedNetworkView:
            - network-b
            routerMode: sni-dnat
            service:
              metadata:
                labels:
                  federation.maistra.io/egress-for: mine
              ports:
              - name: tls
                port: 15443
              - name: http-x
                port: 8188
              - port: 80
          other-egress:
            enabled: true
    ");
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

#[test]
fn a_set_in_manifests_is_what_crosses() {
    let set = |kind: &str| {
        format!(
            "//- meshes/a/manifests/{kind}.yaml\napiVersion: federation.maistra.io/v1\nkind: {kind}\nmetadata: {{name: b, namespace: a}}\n"
        )
    };
    let mut observed = mk_live("b", &["x.shop.svc.b-imports.local"]);
    let state = observed.peers.get_mut("b").unwrap();
    state.imports = BTreeMap::from([("x.shop".to_owned(), ImportState::Live("x.shop.svc.b-imports.local".to_owned()))]);
    state.exports.insert("y.apps".to_owned());
    let withdrawn = |federation: &Federation| {
        let inputs = Inputs { federation, me: "a", facts: &BTreeMap::new(), observed: &observed };
        (withdrawn_imports(inputs).len(), withdrawn_exports(inputs).len())
    };
    assert_eq!(withdrawn(&pair().valid()), (1, 1));
    let by_hand = pair().with(&set("ImportedServiceSet")).with(&set("ExportedServiceSet"));
    assert_eq!(withdrawn(&by_hand.valid()), (0, 0));
}
