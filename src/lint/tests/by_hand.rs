//! Objects of a federation that people wrote by hand.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::{Inputs, advice, lint, mk_root_until, now};
use crate::model::testing::{Repo, pair, show};

/// Objects that belong to no federation's repository.
pub fn by_hand(repo: &Repo) -> String {
    let texts: BTreeMap<&str, &str> =
        repo.files.iter().map(|(path, bytes)| (path.as_str(), std::str::from_utf8(bytes).unwrap())).collect();
    let (federation, facts) = (crate::model::Federation::default(), BTreeMap::new());
    let mut found = lint(Inputs { federation: &federation, texts: &texts, plain: true, facts: &facts, now: now() });
    found.sort();
    show(&found)
}

/// Two meshes that people federated by hand, without a mistake.
pub const BY_HAND: &str = "\
//- one/smcp.yaml
apiVersion: maistra.io/v2
kind: ServiceMeshControlPlane
metadata: {name: basic, namespace: one-mesh}
spec:
  security: {trust: {domain: one.local}}
  gateways:
    additionalEgress:
      egress-two:
        enabled: true
        requestedNetworkView: [network-two-mesh]
        service:
          metadata: {labels: {federation.maistra.io/egress-for: two-mesh}}
          ports: [{port: 15443, name: tls}, {port: 8188, name: http-discovery}]
    additionalIngress:
      ingress-two:
        enabled: true
        service:
          type: LoadBalancer
          metadata:
            annotations: {service.beta.kubernetes.io/aws-load-balancer-type: nlb}
            labels: {federation.maistra.io/ingress-for: two-mesh}
          ports: [{port: 15443, name: tls}, {port: 8188, name: https-discovery}]
//- one/smp.yaml
apiVersion: federation.maistra.io/v1
kind: ServiceMeshPeer
metadata: {name: two-mesh, namespace: one-mesh}
spec:
  remote: {addresses: [20.71.4.9]}
  gateways: {ingress: {name: ingress-two}, egress: {name: egress-two}}
  security:
    trustDomain: two.local
    clientID: two.local/ns/two-mesh/sa/egress-one-service-account
    certificateChain: {kind: ConfigMap, name: two-roots}
//- one/iss.yaml
apiVersion: federation.maistra.io/v1
kind: ImportedServiceSet
metadata: {name: two-mesh, namespace: one-mesh}
spec:
  importRules:
  - {type: NameSelector, importAsLocal: false, nameSelector: {namespace: shop, name: details-v2, alias: {namespace: shop}}}
//- one/vs.yaml
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: details, namespace: shop}
spec:
  hosts: [details]
  http:
  - route:
    - {destination: {host: details, subset: v1}, weight: 80}
    - {destination: {host: details-v2.shop.svc.two-mesh-imports.local}, weight: 20}
    mirror: {host: details-v2.shop.svc.two-mesh-imports.local}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: details, namespace: shop}
spec: {host: details.shop.svc.cluster.local, subsets: [{name: v1, labels: {version: v1}}]}
//- two/smcp.yaml
apiVersion: maistra.io/v2
kind: ServiceMeshControlPlane
metadata: {name: basic, namespace: two-mesh}
spec:
  security: {trust: {domain: two.local}}
  gateways:
    additionalEgress:
      egress-one:
        enabled: true
        requestedNetworkView: [network-one-mesh]
        service: {ports: [{port: 15443, name: tls}, {port: 8188, name: http-discovery}]}
    additionalIngress:
      ingress-one:
        enabled: true
        service: {ports: [{port: 15443, name: tls}, {port: 8188, name: https-discovery}]}
//- two/smp.yaml
apiVersion: federation.maistra.io/v1
kind: ServiceMeshPeer
metadata: {name: one-mesh, namespace: two-mesh}
spec:
  remote: {addresses: [a1b2.elb.example.com]}
  gateways: {ingress: {name: ingress-one}, egress: {name: egress-one}}
  security:
    trustDomain: one.local
    clientID: one.local/ns/one-mesh/sa/egress-two-service-account
//- two/ess.yaml
apiVersion: federation.maistra.io/v1
kind: ExportedServiceSet
metadata: {name: one-mesh, namespace: two-mesh}
spec:
  exportRules:
  - {type: NameSelector, nameSelector: {namespace: stage, name: details, alias: {namespace: shop, name: details-v2}}}
";

#[test]
fn what_people_wrote_by_hand_is_compared_with_the_other_side() {
    assert_snapshot!(by_hand(&Repo::new(BY_HAND)), @"");
    // File, what it says, and what somebody wrote instead.
    let mistakes = [
        ("one/smp.yaml", "namespace: one-mesh", "namespace: shop"),
        ("one/smp.yaml", "two.local/ns/two-mesh/sa/egress-one", "spiffe://two.local/ns/two-mesh/sa/egress-one"),
        ("one/smp.yaml", "two.local/ns/two-mesh/sa/egress-one", "two.local/ns/two-mesh/sa/egress-two"),
        ("one/smp.yaml", "two.local/ns/two-mesh/sa/egress-one", "one.local/ns/one-mesh/sa/egress-two"),
        ("one/smp.yaml", "two.local/ns/two-mesh/sa/egress-one", "cluster.local/ns/two-mesh/sa/egress-one"),
        ("one/smp.yaml", "two.local/ns/two-mesh/sa/egress-one", "{{TRUST}}/ns/two-mesh/sa/egress-one"),
        ("one/smp.yaml", "trustDomain: two.local", "trustDomain: tow.local"),
        ("one/smp.yaml", "trustDomain: two.local", "trustDomain: one.local"),
        ("one/smp.yaml", "20.71.4.9", "'{{ADDRESS}}'"),
        ("one/smp.yaml", "20.71.4.9", "'https://20.71.4.9:8188'"),
        ("one/smp.yaml", "name: egress-two", "name: egress-tow"),
        ("one/smp.yaml", ", egress: {name: egress-two}", ""),
        ("two/smp.yaml", "a1b2.elb.example.com", "3.4.5.6"),
        ("one/iss.yaml", "name: two-mesh", "name: two"),
        ("one/iss.yaml", "details-v2", "details-v3"),
        ("one/iss.yaml", "importAsLocal: false", "importAsLocal: true, domainSuffix: svc.cluster.local"),
        (
            "one/iss.yaml",
            "importAsLocal: false, nameSelector: {namespace: shop, name: details-v2, alias: {namespace: shop}}",
            "importAsLocal: true, nameSelector: {namespace: shop, name: details-v2}",
        ),
        ("two/ess.yaml", "name: details, alias", "name: '*', alias"),
        ("two/ess.yaml", "alias: {", "aliases: {"),
        (
            "two/ess.yaml",
            "  exportRules:\n",
            "  exportRules:\n  - {type: NameSelector, nameSelector: {namespace: shop, name: details-v2}}\n",
        ),
        ("one/smcp.yaml", "enabled: true", "enabled: false"),
        ("one/smcp.yaml", ", {port: 8188, name: http-discovery}", ""),
        ("one/smcp.yaml", "network-two-mesh", "two-mesh-network"),
        ("one/smcp.yaml", "      ingress-two:", "      egress-two:"),
        ("one/smcp.yaml", "domain: one.local", "domain: two.local"),
        ("one/smcp.yaml", "domain: one.local", "domain: cluster.local"),
        ("one/vs.yaml", "weight: 80", "weight: 70"),
        ("one/vs.yaml", "subset: v1}, weight", "subset: v2}, weight"),
        ("one/vs.yaml", "mirror: {host: details-v2.shop.svc.two-mesh", "mirror: {host: details-v2.shop.svc.tow-mesh"),
        ("one/vs.yaml", "mirror: {host: details-v2.", "mirror: {host: details-v3."),
        ("one/vs.yaml", "imports.local}, weight", "imports.local, subset: v2}, weight"),
        (
            "one/vs.yaml",
            "---\n",
            "---\napiVersion: networking.istio.io/v1beta1\nkind: VirtualService\nmetadata: {name: other, namespace: shop}\nspec: {hosts: [details]}\n---\n",
        ),
    ];
    let told = mistakes.map(|(path, from, to)| {
        let found = by_hand(&Repo::new(BY_HAND).edit(path, from, to));
        assert!(!found.is_empty(), "nothing is found where {path} has `{to}`");
        format!("{to}\n{found}\n\n")
    });
    assert_snapshot!(told.concat());
}

#[test]
fn roots_written_by_hand_are_read() {
    let roots = |data: &str| {
        by_hand(&Repo::new(BY_HAND).with(&format!(
            "//- one/roots.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: two-roots, namespace: one-mesh}}\ndata: {data}\n"
        )))
    };
    assert_snapshot!(roots("{root-cert.pem: '{{ROOT}}'}"), @"one/roots.yaml:4:23: error[MF021]: the roots were never filled in (take `istio-ca-root-cert` of the peer's control plane)");
    assert_snapshot!(roots("{ca.pem: x}"), @"one/roots.yaml:3:18: error[MF021]: the roots of `two-mesh` are looked for under `root-cert.pem`, which is not there (without it nothing of the peer is set up)");
    assert_snapshot!(roots("{root-cert.pem: \"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\"}"), @"one/roots.yaml:4:23: error[MF021]: the roots of `two-mesh` are unusable: not an X.509 certificate: Parsing Error: Der(UnexpectedTag { expected: Some(Tag(16)), actual: Tag(0) })");
    assert_snapshot!(roots(&format!("{{root-cert.pem: {:?}}}", mk_root_until((2040, 1, 1)))), @"");
}

#[test]
fn in_a_repository_the_declarations_are_the_other_side() {
    let peer = |name: &str, id: &str| {
        let head = format!(
            "//- meshes/a/manifests/peer.yaml\napiVersion: federation.maistra.io/v1\nkind: ServiceMeshPeer\nmetadata: {{name: {name}, namespace: a}}\n"
        );
        advice(&pair().with(&format!(
            "{head}spec:\n  remote: {{addresses: [ingress.example.com]}}\n  gateways: {{ingress: {{name: i}}, egress: {{name: e}}}}\n  security: {{trustDomain: b.example, clientID: {id}}}\n"
        )))
    };
    assert_snapshot!(peer("c", "b.example/ns/b/sa/a-egress-service-account"), @"");
    assert_snapshot!(peer("c", "b.example/ns/b/sa/istio-egressgateway-service-account"), @"meshes/a/manifests/peer.yaml:7:48: error[MF021]: `b.example/ns/b/sa/istio-egressgateway-service-account` is no egress gateway of the peer for this mesh: its requests are refused (403) (write `b.example/ns/b/sa/a-egress-service-account`)");
    assert_snapshot!(peer("c", "a.example/ns/a/sa/b-egress-service-account"), @"meshes/a/manifests/peer.yaml:7:48: error[MF021]: this is the egress of `a` itself, and the peer's requests are refused (403) (write `b.example/ns/b/sa/a-egress-service-account`)");
}

/// The two meshes with one thing written otherwise.
fn otherwise(path: &str, from: &str, to: &str) -> String {
    by_hand(&Repo::new(BY_HAND).edit(path, from, to))
}

#[test]
fn what_was_never_filled_in_is_told_once_and_nothing_is_held_against_it() {
    let told = [
        otherwise("one/smp.yaml", "[20.71.4.9]", "[INGRESS_IP]"),
        otherwise("one/smp.yaml", "[20.71.4.9]", "[$TWO_INGRESS]"),
        otherwise("one/smp.yaml", "two.local/ns", "$TWO.local/ns"),
        otherwise("one/iss.yaml", "namespace: one-mesh", "namespace: $ONE_SYSTEM"),
        by_hand(&Repo::new(BY_HAND).edit("two/smcp.yaml", "domain: two.local", "domain: '{{ .Domain }}'")),
    ];
    assert_snapshot!(told.join("\n"));
}

#[test]
fn an_address_is_known_to_other_clusters() {
    assert_snapshot!(otherwise("one/smp.yaml", "[20.71.4.9]", "[two-ingress-url]"), @"one/smp.yaml:5:24: warning[MF021]: `two-ingress-url` says nothing outside of one cluster (write the address of the peer's ingress: oc get svc INGRESS -o wide, in its cluster)");
    // The Service of the peer's ingress, which is in one cluster with whoever reaches it so.
    let inside = "[ingress-one.two-mesh.svc.cluster.local]";
    assert_eq!(otherwise("one/smp.yaml", "[20.71.4.9]", inside), "");
    let balanced = Repo::new(BY_HAND).edit("one/smp.yaml", "[20.71.4.9]", inside).edit(
        "two/smcp.yaml",
        "service: {ports: [{port: 15443, name: tls}, {port: 8188, name: https",
        "service: {type: LoadBalancer, ports: [{port: 15443, name: tls}, {port: 8188, name: https",
    );
    assert_snapshot!(by_hand(&balanced), @"one/smp.yaml:5:24: warning[MF021]: `ingress-one.two-mesh.svc.cluster.local` says nothing outside of one cluster (write the address of the peer's ingress: oc get svc INGRESS -o wide, in its cluster)");
}

#[test]
fn a_set_needs_its_control_plane_and_its_peer() {
    assert_snapshot!(otherwise("one/iss.yaml", "namespace: one-mesh", "namespace: one-mash"), @"one/iss.yaml:3:39: error[MF021]: `one-mash` holds no control plane, so this ImportedServiceSet is ignored (did you mean `one-mesh`?)");
    let alone = Repo::new(BY_HAND).without("one/smp.yaml").without("one/vs.yaml");
    assert_snapshot!(by_hand(&alone), @r"
    one/iss.yaml:3:18: warning[MF021]: there is no ServiceMeshPeer `two-mesh` beside this ImportedServiceSet, so it is ignored (give it too: it says who the peer is and where)
    two/smp.yaml:8:18: warning[MF021]: the mesh of `one.local` has no ServiceMeshPeer for this one (each side needs one: give that of `one-mesh` too)
    ");
}

#[test]
fn of_two_control_planes_in_namespaces_of_one_name_nothing_is_assumed() {
    let plane = |domain: &str| {
        format!(
            "//- {domain}.yaml\napiVersion: maistra.io/v2\nkind: ServiceMeshControlPlane\n\
             metadata: {{name: basic, namespace: istio-system}}\nspec: {{security: {{trust: {{domain: {domain}}}}}}}\n"
        )
    };
    let peer = "//- peer.yaml\napiVersion: federation.maistra.io/v1\nkind: ServiceMeshPeer\n\
                metadata: {name: one, namespace: istio-system}\nspec:\n  remote: {addresses: [192.0.2.1]}\n\
                \x20 gateways: {ingress: {name: i}, egress: {name: e}}\n\
                \x20 security: {trustDomain: one.local, clientID: one.local/ns/istio-system/sa/e-service-account}\n";
    let told = by_hand(&Repo::new(&format!("{}{}{peer}", plane("one.local"), plane("two.local"))));
    assert!(!told.contains("own trust domain") && !told.contains("itself"), "{told}");
}

#[test]
fn a_gateway_that_no_peer_names_requests_no_network_that_is_not_there() {
    let repo = Repo::new(BY_HAND).edit("one/smp.yaml", "egress: {name: egress-two}", "egress: {name: egress-tow}");
    let told = |view: &str| by_hand(&repo.clone().edit("one/smcp.yaml", "network-two-mesh", view));
    let line = |found: &str| found.lines().find(|line| line.contains("is the network of")).unwrap_or_default().to_owned();
    assert_eq!(line(&told("network-two-mesh")), "");
    assert_snapshot!(line(&told("network-two-mehs")), @"one/smcp.yaml:10:32: warning[MF021]: `network-two-mehs` is the network of no peer (did you mean `network-two-mesh`?)");
}

#[test]
fn one_port_that_the_peers_ingress_does_not_have_is_a_slip() {
    let remote = |ports: &str| otherwise("one/smp.yaml", "[20.71.4.9]", &format!("[20.71.4.9], {ports}"));
    assert_snapshot!(remote("discoveryPort: 8189"), @"one/smp.yaml:5:51: warning[MF021]: `ingress-one`, the peer's ingress, does not answer at 8189 (write `discoveryPort: 8188`, unless something in between changes the port)");
    assert!(remote("servicePort: 15444, discoveryPort: 8188").contains("write `servicePort: 15443`"));
    assert_eq!(remote("discoveryPort: 9443, servicePort: 443"), "", "something in between changes both");
    let node = |ports: &str, dialled: &str| {
        let repo = Repo::new(BY_HAND).edit("two/smcp.yaml", "name: https-discovery", &format!("name: https-discovery{ports}"));
        by_hand(&repo.edit("one/smp.yaml", "[20.71.4.9]", &format!("[20.71.4.9], {dialled}")))
    };
    assert_eq!(node(", nodePort: 30188", "discoveryPort: 30188"), "");
}

#[test]
fn a_host_that_ends_nearly_as_an_imported_one_is_told() {
    let end = |end: &str| {
        otherwise(
            "one/vs.yaml",
            "mirror: {host: details-v2.shop.svc.two-mesh-imports.local",
            &format!("mirror: {{host: details-v2.shop.svc.{end}"),
        )
    };
    assert_snapshot!(end("two-mesh-import.local"), @"one/vs.yaml:10:20: error[MF021]: nothing is imported under `svc.two-mesh-import.local` (did you mean `details-v2.shop.svc.two-mesh-imports.local`?)");
    assert_eq!(end("elsewhere.example"), "");
    let suffix = Repo::new(BY_HAND)
        .edit(
            "one/vs.yaml",
            "mirror: {host: details-v2.shop.svc.two-mesh-imports.local",
            "mirror: {host: details-v2.shop.svc.two-mesh-import.local",
        )
        .edit("one/iss.yaml", "importAsLocal: false", "domainSuffix: svc.two-mesh-import.local");
    assert!(!by_hand(&suffix).contains("nothing is imported under"), "it is the imports' own");
}

#[test]
fn what_is_exported_is_in_a_namespace_of_a_member() {
    let roll = |spec: &str| {
        by_hand(&Repo::new(BY_HAND).with(&format!(
            "//- two/smmr.yaml\napiVersion: maistra.io/v1\nkind: ServiceMeshMemberRoll\nmetadata: {{name: default, namespace: two-mesh}}\nspec: {spec}\n"
        )))
    };
    assert_snapshot!(roll("{members: [staging]}"), @"two/ess.yaml:6:52: warning[MF010]: `stage` is no member of the mesh, so nothing in it is exported (did you mean `staging`?)");
    assert_eq!(roll("{members: [stage]}"), "");
    assert_eq!(roll("{members: ['*']}"), "");
    assert_eq!(roll("{members: [], memberSelectors: [{matchLabels: {a: b}}]}"), "");
}
