//! Advice across documents and what meshes publish.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::{advice, advice_with, mk_root_until, now};
use crate::facts::{self, Facts};
use crate::lint::derived_too;
use crate::model::testing::{ca_roots, example, pair, show};

#[test]
fn the_example_needs_no_advice() {
    assert_snapshot!(advice(&example()), @"");
}

#[test]
fn a_peering_needs_both_sides() {
    assert_snapshot!(advice(&pair().without("meshes/b/peers/a.yaml")), @"meshes/a/peers/b.yaml:3:18: warning[MF017]: `b` does not peer with `a` (this side waits until meshes/b/peers/a.yaml is there)");
    let given = "//- meshes/b/peers/a.yaml\nkind: Peer\nmetadata: {name: a}\nspec:\n  exports: [{service: shop/x, as: shop/y}]\n";
    assert_snapshot!(advice(&pair().with(given)), @"meshes/b/peers/a.yaml:5:35: warning[MF017]: `a` does not import `shop/y` from `b` (an export reaches nobody until the other side imports it under this name)");
    let taken = "//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  imports: [{service: '*'}]\n";
    assert_snapshot!(advice(&pair().with(given).with(taken)), @"");
}

#[test]
fn load_balancers_are_those_of_the_cloud() {
    let mesh = |spec: &str| {
        let text =
            "//- meshes/a/mesh.yaml\nkind: Mesh\nmetadata: {name: a}\nspec:\n  trustDomain: a.example\n  members: [apps]\n";
        advice(&pair().with(&format!("{text}{spec}")))
    };
    assert_snapshot!(mesh("  platform: aws\n  ingress: {annotations: {service.beta.kubernetes.io/aws-load-balancer-type: external}}\n"), @"meshes/a/mesh.yaml:8:12: warning[MF012]: `service.beta.kubernetes.io/aws-load-balancer-type: external` replaces the network load balancer (federation needs a load balancer of layer 4: leave the annotation out)");
    assert_snapshot!(mesh("  platform: aws\n  ingress: {addresses: [34.91.0.7]}\n"), @"meshes/a/mesh.yaml:8:25: warning[MF012]: 34.91.0.7 is an IP address, and load balancers of AWS have names whose addresses change (take `status.loadBalancer.ingress[].hostname` of the ingress Service)");
    assert_snapshot!(mesh("  platform: gcp\n  ingress: {addresses: [a1b2.elb.us-east-1.amazonaws.com]}\n"), @"meshes/a/mesh.yaml:8:25: warning[MF012]: a1b2.elb.us-east-1.amazonaws.com is a load balancer of AWS, and this mesh runs elsewhere (take `status.loadBalancer.ingress[].ip` of the ingress Service)");
    assert_snapshot!(mesh("  platform: gcp\n  ingress: {addresses: [ingress.example.com, 34.91.0.7]}\n"), @"");
}

#[test]
fn what_documents_ask_for_is_not_written_by_hand_too() {
    let manifest = |kind: &str, name: &str| {
        let group = if kind == "ConfigMap" { "v1" } else { "federation.maistra.io/v1" };
        format!("---\napiVersion: {group}\nkind: {kind}\nmetadata: {{name: {name}, namespace: a}}\n")
    };
    let by_hand = [("ConfigMap", "b-ca-root-cert"), ("ExportedServiceSet", "b"), ("ConfigMap", "other")];
    let text: String = by_hand.iter().map(|(kind, name)| manifest(kind, name)).collect();
    let peer = "//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec: {exports: [{service: apps/x}]}\n";
    let repo = pair().with(&format!("//- meshes/a/manifests/all.yaml\n{text}")).with(peer);
    let federation = repo.valid();
    let mut found = Vec::new();
    derived_too::check(&federation, &mut found);
    assert_snapshot!(show(&found), @r"
    meshes/a/manifests/all.yaml:2:1: warning[MF006]: ConfigMap/a/b-ca-root-cert is derived from meshes/a/peers/b.yaml too (remove it here; it is not applied once the other can be)
    meshes/a/manifests/all.yaml:6:1: warning[MF006]: ExportedServiceSet/a/b is derived from meshes/a/peers/b.yaml too (remove it here; it is not applied once the other can be)
    ");
}

#[test]
fn an_exported_service_is_among_those_that_are_declared() {
    let repo = pair().with(
        "\
//- meshes/b/manifests/shop.yaml
apiVersion: v1
kind: Service
metadata: {name: details, namespace: shop}
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec: {exports: [{service: shop/detials, as: shop/x}, {service: shop/details}]}
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec: {imports: [{service: '*'}]}
",
    );
    assert_snapshot!(advice(&repo), @"meshes/b/peers/a.yaml:4:28: warning[MF012]: `shop/detials` is not among the Services that `manifests/` has of its namespace (did you mean `details`?)");
}

#[test]
fn a_subset_has_a_workload_where_its_service_has_some() {
    let workload = |version: &str| {
        format!(
            "\
//- meshes/a/manifests/x.yaml
apiVersion: v1
kind: Service
metadata: {{name: x, namespace: apps}}
spec: {{selector: {{app: x}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: x, namespace: apps}}
spec: {{template: {{metadata: {{labels: {{app: x, version: {version}}}}}}}}}
//- meshes/a/traffic/x.yaml
kind: Traffic
metadata: {{name: x}}
spec:
  service: apps/x
  routes: [{{local: {{subset: v1}}, weight: 100}}]
"
        )
    };
    assert_eq!(advice(&pair().with(&workload("v1"))), "");
    assert_snapshot!(advice(&pair().with(&workload("v2"))), @"meshes/a/traffic/x.yaml:6:12: warning[MF012]: no workload of `apps/x` in `manifests/` has the labels of subset `v1` (version: v1) (did you mean `v2`?)");
}

#[test]
fn roots_that_expire_are_told_in_time() {
    // The whole days from now to the midnights before, in ten days, and after a month.
    let roots: Vec<String> = [(2026, 11, 22), (2026, 12, 2), (2027, 1, 1)].into_iter().map(mk_root_until).collect();
    let mesh =
        "//- meshes/a/mesh.yaml\nkind: Mesh\nmetadata: {name: a}\nspec:\n  trustDomain: a.example\n  members: [apps]\n  ca:\n";
    let declared = pair().with(&format!("{mesh}{}", ca_roots(&roots)));
    let lines = advice(&declared);
    let places: Vec<&str> = lines.lines().map(|line| line.split(" the CA root").next().unwrap()).collect();
    assert_eq!(places, ["meshes/a/mesh.yaml:10:7: warning[MF018]:", "meshes/a/mesh.yaml:21:7: warning[MF018]:"], "{lines}");
    assert!(lines.contains("has expired at 2026-11-22") && lines.contains("expires in 9 days"), "{lines}");

    let all = facts::roots::parse(&roots.concat(), now()).unwrap();
    let mut facts = Facts { roots: all.clone(), ..Facts::default() };
    let told = |facts: &Facts| advice_with(&pair(), &BTreeMap::from([("b".to_owned(), facts.clone())]));
    let lines = told(&facts);
    assert!(lines.starts_with("published/b:published.yaml: warning[MF018]") && lines.lines().count() == 1, "{lines}");
    facts.retiring.insert(all.last().unwrap().fingerprint.clone(), now());
    assert_eq!(told(&facts), "", "what retires may expire");
}

#[test]
fn a_peer_may_leave_its_services_to_sets_in_manifests() {
    let sets = "//- meshes/a/manifests/set.yaml\napiVersion: federation.maistra.io/v1\nkind: ImportedServiceSet\n\
                metadata: {name: b, namespace: a}\nspec:\n  importRules:\n\
                \x20 - {type: NameSelector, nameSelector: {namespace: shop}}\n\
                //- meshes/b/peers/a.yaml\nkind: Peer\nmetadata: {name: a}\nspec: {exports: [{service: shop/x}]}\n";
    assert_snapshot!(advice(&pair().with(sets)), @"");
    let misses = sets.replace("{namespace: shop}", "{namespace: shop, name: y}");
    let exports = "//- meshes/b/manifests/set.yaml\napiVersion: federation.maistra.io/v1\nkind: ExportedServiceSet\n\
                   metadata: {name: a, namespace: b}\nspec:\n  exportRules:\n\
                   \x20 - {type: NameSelector, nameSelector: {namespace: shop, name: z}}\n\
                   //- meshes/b/peers/a.yaml\nkind: Peer\nmetadata: {name: a}\n";
    // The peer's document says it too, unless what it exports is known in its cluster only, or elsewhere.
    let half = "//- meshes/b/peers/a.yaml\nkind: Peer\nmetadata: {name: a}\nspec: {exports: [{service: shop/x}]}\n";
    assert_snapshot!(advice(&pair().with(&misses).with(half)), @"meshes/a/manifests/set.yaml:6:64: error[MF021]: nobody exports `shop/y` to this mesh (did you mean `shop/x`?)");
    let selected = half.replace("service: shop/x", "selector: {namespace: shop, matchLabels: {a: b}}");
    assert_eq!(advice(&pair().with(&misses).with(&selected)), "");
    let suspended = "//- meshes/b/mesh.yaml\nkind: Mesh\nmetadata: {name: b}\nspec: {trustDomain: b.example, members: [shop], suspend: true}\n";
    assert_eq!(advice(&pair().with(&misses).with(half).with(suspended)), "");
    assert_snapshot!(advice(&pair().with(&misses).with(exports)), @"meshes/a/manifests/set.yaml:6:64: error[MF021]: nobody exports `shop/y` to this mesh (did you mean `shop/z`?)");
}

#[test]
fn what_an_import_set_aside_waits_for_a_decision() {
    let aside = "//- meshes/a/not-applied/x.yaml\na: {{ B }}\n//- meshes/a/not-applied/deep/y.yaml\n\n//- unassigned/z.yaml\n\n";
    assert_snapshot!(advice(&pair().with(aside)), @r"
    meshes/a/not-applied/deep/y.yaml: warning[MF002]: 2 files in meshes/a/not-applied/ that no agent reads: deep/y.yaml, x.yaml (mend what is meant and move it to meshes/a/manifests/, and delete the rest; meshfed import says why each is here)
    unassigned/z.yaml: warning[MF002]: 1 file in unassigned/ that no agent reads: z.yaml (move each to manifests/ of the mesh whose it is, and delete what others apply)
    ");
    let secret = "//- unassigned/z.yaml\napiVersion: v1\nkind: Secret\nmetadata: {name: z}\ndata: {a: Yg==}\n";
    let told = advice(&pair().with(secret));
    assert!(told.contains("unassigned/z.yaml:2:1: error[MF014]"), "nobody applies it, and everybody can read it: {told}");
}

#[test]
fn gateways_in_the_base_of_a_mesh_are_looked_at_too() {
    let mesh = "//- meshes/a/mesh.yaml\nkind: Mesh\nmetadata: {name: a}\nspec:\n  trustDomain: a.example\n  members: [apps]\n  \
                controlPlane:\n    base:\n      spec:\n        version: v2.5\n        gateways:\n          additionalEgress:\n            \
                b-egress: {requestedNetworkView: [b-network]}\n            old-egress:\n              enabled: true\n              \
                service: {metadata: {labels: {federation.maistra.io/egress-for: old}}, ports: [{port: 15443}]}\n";
    assert_snapshot!(advice(&pair().with(mesh)), @r"
    meshes/a/mesh.yaml:13:46: warning[MF021]: gateway `b-egress` does not request the network of its peer `b` (write `requestedNetworkView: [network-b]`)
    meshes/a/mesh.yaml:16:93: error[MF021]: the Service of gateway `old-egress` lacks port 8188 (federation speaks on 8188 (discovery) and 15443 (tls))
    ");
}

#[test]
fn gateways_in_the_base_of_a_mesh_are_who_its_peers_know() {
    let text = "//- meshes/b/mesh.yaml\nkind: Mesh\nmetadata: {name: b}\nspec:\n  trustDomain: b.example\n  controlPlane: {base: {spec: {gateways: {additionalEgress: {to-a: {enabled: true}}}}}}\n\
                //- meshes/a/manifests/peer.yaml\napiVersion: federation.maistra.io/v1\nkind: ServiceMeshPeer\nmetadata: {name: b, namespace: a}\nspec:\n\
                \x20 gateways: {ingress: {name: i}, egress: {name: e}}\n  security: {trustDomain: b.example, clientID: b.example/ns/bb/sa/to-a-service-account}\n\
                //- meshes/b/manifests/peer.yaml\napiVersion: federation.maistra.io/v1\nkind: ServiceMeshPeer\nmetadata: {name: a, namespace: b}\nspec:\n\
                \x20 gateways: {ingress: {name: to-a}, egress: {name: to-a}}\n  security: {trustDomain: a.example}\n";
    let told = advice(&pair().without("meshes/a/peers/b.yaml").without("meshes/b/peers/a.yaml").with(text));
    assert!(told.contains("(write `b.example/ns/b/sa/to-a-service-account`)"), "{told}");
}

#[test]
fn names_that_a_selector_gives_may_still_miss() {
    let text = "//- meshes/a/manifests/set.yaml\napiVersion: federation.maistra.io/v1\nkind: ImportedServiceSet\nmetadata: {name: b, namespace: a}\nspec:\n\
                \x20 importRules: [{type: NameSelector, nameSelector: {namespace: shop, name: x}}]\n\
                //- meshes/b/manifests/set.yaml\napiVersion: federation.maistra.io/v1\nkind: ExportedServiceSet\nmetadata: {name: a, namespace: b}\nspec:\n\
                \x20 exportRules: [{type: LabelSelector, labelSelector: {namespace: shop, selector: {}, aliases: [{alias: {namespace: apps}}]}}]\n";
    assert_snapshot!(advice(&pair().with(text)), @"meshes/a/manifests/set.yaml:5:76: error[MF021]: nobody exports `shop/x` to this mesh (what the peer exports is in apps there)");
}
