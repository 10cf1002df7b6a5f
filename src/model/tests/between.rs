//! Findings between documents.

use super::{Repo, check, check_repo, pair};
use insta::assert_snapshot;

const WITH_C: &str = "\
//- meshes/c/mesh.yaml
kind: Mesh
metadata: {name: c}
spec: {trustDomain: c.example, members: [box]}
";

#[test]
fn a_peer_must_be_a_mesh() {
    let found = check("//- meshes/a/peers/bb.yaml\nkind: Peer\nmetadata: {name: bb}\n");
    assert_snapshot!(found, @"meshes/a/peers/bb.yaml:3:18: error[MF005]: there is no mesh `bb` (did you mean `b`?)");
}

#[test]
fn a_peer_whose_mesh_is_broken_is_not_reported_twice() {
    assert_snapshot!(check("//- meshes/b/mesh.yaml\nkind: Mesh\nmetadata: [\n"), @"meshes/b/mesh.yaml:3:11: error[MF001]: a mapping belongs here (write `key: value` lines)");
}

#[test]
fn a_folder_without_its_mesh_is_reported() {
    assert_snapshot!(check_repo(&pair().without("meshes/b/mesh.yaml")), @"meshes/b/mesh.yaml: error[MF005]: the file is missing (a mesh's folder begins with it; nothing else in the folder is used without it)");
}

#[test]
fn a_trust_domain_belongs_to_one_mesh() {
    let found = check("//- meshes/b/mesh.yaml\nkind: Mesh\nmetadata: {name: b}\nspec: {trustDomain: a.example}\n");
    assert_snapshot!(found, @r"
    meshes/a/mesh.yaml:5:16: error[MF015]: trust domain `a.example` is also that of `b` (each mesh needs its own)
    meshes/b/mesh.yaml:4:21: error[MF015]: trust domain `a.example` is also that of `a` (each mesh needs its own)
    ");
}

#[test]
fn a_peer_may_not_have_the_name_of_the_own_cluster() {
    let repo = pair().edit("meshes/a/mesh.yaml", "members", "cluster: b\n  members");
    assert_snapshot!(check_repo(&repo), @"meshes/a/peers/b.yaml:3:18: error[MF003]: peer `b` has the name of this mesh's own cluster (the control plane refuses it; rename one)");
}

#[test]
fn a_gateway_serves_one_peer_and_has_a_legal_name() {
    let found = check(&format!(
        "{WITH_C}\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {{name: b}}
spec:
  gateways: {{ingress: istio-ingressgateway, egress: shared}}
//- meshes/a/peers/c.yaml
kind: Peer
metadata: {{name: c}}
spec:
  gateways: {{ingress: shared, egress: 1-egress}}
"
    ));
    assert_snapshot!(found, @r"
    meshes/a/peers/b.yaml:5:23: error[MF003]: `istio-ingressgateway` is reserved by the control plane (name this side's gateways in the document: `gateways: {ingress: …, egress: …}` under `spec`)
    meshes/a/peers/c.yaml:5:23: error[MF006]: gateway `shared` also serves `b` (each peer needs gateways of its own)
    meshes/a/peers/c.yaml:5:39: error[MF003]: `1-egress` must begin with a letter, because it names a Service (name this side's gateways in the document: `gateways: {ingress: …, egress: …}` under `spec`)
    ");
}

#[test]
fn what_is_exported_is_a_members_and_has_one_name() {
    let found = check(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec:
  exports:
  - service: apps/one
  - service: apps/one
    as: apps/uno
  - service: apps/two
    as: apps/one
  - service: other/three
  - selector: {namespace: elsewhere}
  - selector: {namespace: apps, matchLabels: {app: x}}
    aliases:
    - {service: apps/four, as: apps/uno}
    - {service: shop/five, as: apps/five}
    - {service: apps/four, as: apps/vier}
",
    );
    assert_snapshot!(found, @r"
    meshes/a/peers/b.yaml:7:14: error[MF006]: `apps/one` is already exported in line 6 (a service has one exported name for each peer)
    meshes/a/peers/b.yaml:10:9: error[MF006]: `apps/one` is already the exported name of the service in line 6 (give one of them another name with `as`)
    meshes/a/peers/b.yaml:11:14: error[MF010]: namespace `other` is no member of `a` (members are: apps)
    meshes/a/peers/b.yaml:12:27: error[MF010]: namespace `elsewhere` is no member of `a` (members are: apps)
    meshes/a/peers/b.yaml:15:32: error[MF006]: `apps/uno` is already the exported name of the service in line 8 (give one of them another name with `as`)
    meshes/a/peers/b.yaml:16:17: error[MF005]: the selector looks in `apps`, so `shop/five` is never found
    meshes/a/peers/b.yaml:17:17: error[MF006]: `apps/four` is already exported in line 15 (a service has one exported name for each peer)
    ");
}

#[test]
fn what_is_imported_is_imported_once() {
    let found = check(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec:
  imports:
  - service: shop/one
  - {service: shop/one, as: shop/uno}
  - {service: shop/two, as: shop/one}
  - {service: shop/three, asLocal: true}
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec:
  exports: [{service: shop/one}, {service: shop/two}, {service: shop/three}]
",
    );
    assert_snapshot!(found, @r"
    meshes/a/peers/b.yaml:7:15: error[MF006]: `shop/one` is already imported in line 6 (a service is imported under one name)
    meshes/a/peers/b.yaml:8:15: error[MF006]: `shop/one` is already the name of the import in line 6 (give one of them another name with `as`)
    meshes/a/peers/b.yaml:9:15: error[MF010]: `shop/three` is in a namespace that is no member of `a` (`asLocal` joins a Service of this mesh)
    ");
}

#[test]
fn an_import_that_nobody_exports_is_a_warning() {
    let found = check(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec:
  imports: [{service: shop/detail}]
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec:
  exports: [{service: shop/details}]
",
    );
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:5:23: warning[MF009]: `b` does not export `shop/detail` to `a` (did you mean `shop/details`? An import waits until the peer exports it)");
}

#[test]
fn traffic_goes_where_something_is() {
    let found = check(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec:
  imports:
  - {service: shop/details}
  - {service: shop/backup, as: apps/backup, asLocal: true}
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec:
  exports: [{service: shop/details}, {service: shop/backup}]
//- meshes/a/traffic/one.yaml
kind: Traffic
metadata: {name: one}
spec:
  service: elsewhere/one
  routes:
  - {peer: c, service: shop/details, weight: 20}
  - {peer: b, service: shop/detail, weight: 20}
  - {peer: b, service: apps/backup, weight: 20}
  - {local: {}, weight: 20}
  - {local: {}, weight: 20}
  mirror: {peer: b, service: shop/nothing}
",
    );
    assert_snapshot!(found, @r"
    meshes/a/traffic/one.yaml:5:12: error[MF010]: `elsewhere/one` is in a namespace that is no member of `a` (members are: apps)
    meshes/a/traffic/one.yaml:7:12: error[MF005]: `c` is no peer of `a` (did you mean `b`?)
    meshes/a/traffic/one.yaml:8:24: error[MF005]: nothing is imported from `b` as `shop/detail` (did you mean `shop/details`?)
    meshes/a/traffic/one.yaml:9:24: error[MF007]: `apps/backup` is imported from `b` as local: it has no host of its own (from one peer a service is either failover (`asLocal`) or a target of weights)
    meshes/a/traffic/one.yaml:11:5: error[MF006]: this destination is already in line 10 (add up their weights)
    meshes/a/traffic/one.yaml:12:30: error[MF005]: nothing is imported from `b` as `shop/nothing` (there are: shop/details, apps/backup)
    ");
}

#[test]
fn traffic_to_a_peer_whose_file_is_unreadable_is_not_reported_twice() {
    let found = check(
        "\
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: [
//- meshes/a/traffic/one.yaml
kind: Traffic
metadata: {name: one}
spec:
  service: apps/one
  routes: [{peer: b, service: shop/x, weight: 100}]
",
    );
    assert_snapshot!(found, @"meshes/a/peers/b.yaml:3:18: error[MF001]: a text belongs here");
}

#[test]
fn requests_for_a_service_are_routed_once() {
    let found = check(
        "\
//- meshes/a/traffic/one.yaml
kind: Traffic
metadata: {name: one}
spec: {service: apps/x, routes: [{local: {}, weight: 100}]}
//- meshes/a/traffic/two.yaml
kind: Traffic
metadata: {name: two}
spec: {service: apps/x, routes: [{local: {}, weight: 100}]}
//- meshes/a/traffic/three.yaml
kind: Traffic
metadata: {name: three}
spec: {service: apps/y, routes: [{local: {}, weight: 100}]}
//- meshes/a/manifests/routes.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: x, namespace: apps}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: by-hand, namespace: apps}
spec: {hosts: [y]}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: for-a-gateway, namespace: apps}
spec: {hosts: [y], gateways: [istio-system/public]}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: no-rival, namespace: apps}
spec: {host: y}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: by-hand, namespace: apps}
spec: {host: z.apps.svc.cluster.local}
//- meshes/a/traffic/four.yaml
kind: Traffic
metadata: {name: four}
spec: {service: apps/z, outlierDetection: {}}
//- meshes/a/manifests/z.yaml
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: no-rival, namespace: apps}
spec: {hosts: [z]}
",
    );
    assert_snapshot!(found, @r"
    meshes/a/manifests/routes.yaml:5:1: error[MF006]: `apps/y` also has a VirtualService from meshes/a/traffic/three.yaml (keep one of them)
    meshes/a/manifests/routes.yaml:20:1: error[MF006]: `apps/z` also has a DestinationRule from meshes/a/traffic/four.yaml (keep one of them)
    meshes/a/traffic/four.yaml:4:17: error[MF006]: `apps/z` also has the DestinationRule in meshes/a/manifests/routes.yaml:20 (keep one of them)
    meshes/a/traffic/one.yaml:4:17: error[MF006]: requests for `apps/x` are also routed by meshes/a/traffic/two.yaml (keep one of them)
    meshes/a/traffic/three.yaml:4:17: error[MF006]: `apps/y` also has the VirtualService in meshes/a/manifests/routes.yaml:5 (keep one of them)
    meshes/a/traffic/two.yaml:4:17: error[MF006]: requests for `apps/x` are also routed by meshes/a/traffic/one.yaml (keep one of them)
    ");
}

#[test]
fn manifests_stay_in_the_mesh() {
    let found = check(
        "\
//- meshes/a/manifests/all.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: outside, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all}
---
apiVersion: v1
kind: Namespace
metadata: {name: apps}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
",
    );
    assert_snapshot!(found, @r"
    meshes/a/manifests/all.yaml:1:1: error[MF010]: ConfigMap `outside` is in `kube-system`, which is no namespace of `a` (set metadata.namespace to one of: a, apps)
    meshes/a/manifests/all.yaml:5:1: error[MF010]: ClusterRole `all` names no namespace (set metadata.namespace to one of: a, apps)
    meshes/a/manifests/all.yaml:13:1: error[MF010]: Namespace `other` names no namespace (set metadata.namespace to one of: a, apps)
    ");
}

#[test]
fn an_object_is_declared_once() {
    let found = check(
        "\
//- meshes/a/manifests/one.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: x, namespace: apps}
//- meshes/a/manifests/two.yaml
# comment
apiVersion: v1
kind: ConfigMap
metadata: {name: x, namespace: apps}
",
    );
    assert_snapshot!(found, @r"
    meshes/a/manifests/one.yaml:1:1: error[MF006]: ConfigMap/apps/x is also declared in meshes/a/manifests/two.yaml:2 (keep one of them)
    meshes/a/manifests/two.yaml:2:1: error[MF006]: ConfigMap/apps/x is also declared in meshes/a/manifests/one.yaml:1 (keep one of them)
    ");
}

#[test]
fn a_file_where_none_belongs_is_a_warning() {
    let found =
        check("//- meshes/a/peer/b.yaml\n//- meshes/a/peers/b.yml\n//- meshes/a/manifests/x.txt\n//- meshes/a/README.md\n");
    assert_snapshot!(found, @r"
    meshes/a/manifests/x.txt: warning[MF002]: this file is not read (name it *.yaml)
    meshes/a/peer/b.yaml: warning[MF002]: this file is not read (a mesh's folder has mesh.yaml, peers/, traffic/ and manifests/)
    meshes/a/peers/b.yml: warning[MF002]: this file is not read (name it *.yaml)
    ");
}

/// A repository in which `a` fails over to `b` and `c` for `apps/x`, with all that this needs.
fn with_failover() -> Repo {
    pair().with(
        "\
//- meshes/a/mesh.yaml
kind: Mesh
metadata: {name: a}
spec:
  trustDomain: a.example
  members: [apps]
  locality: {region: one}
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec:
  locality: {region: two}
  imports: [{service: shop/x, as: apps/x, asLocal: true}]
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec: {exports: [{service: shop/x}]}
//- meshes/c/mesh.yaml
kind: Mesh
metadata: {name: c}
spec:
  trustDomain: c.example
  members: [box]
  locality: {region: three}
//- meshes/a/peers/c.yaml
kind: Peer
metadata: {name: c}
spec:
  imports: [{service: box/x, as: apps/x, asLocal: true}]
//- meshes/c/peers/a.yaml
kind: Peer
metadata: {name: a}
spec: {exports: [{service: box/x}]}
//- meshes/a/traffic/x.yaml
kind: Traffic
metadata: {name: x}
spec:
  service: apps/x
  failover: {to: [b, c]}
",
    )
}

#[test]
fn failover_needs_distinct_regions() {
    let repo = with_failover();
    assert_snapshot!(check_repo(&repo), @"");
    let [b, c] = ["meshes/a/peers/b.yaml", "meshes/c/mesh.yaml"];
    let same = repo.clone().edit(b, "region: two", "region: one").edit(c, "region: three", "region: one");
    assert_snapshot!(check_repo(&same), @r"
    meshes/a/traffic/x.yaml:6:19: error[MF016]: `b` is in the same region as `a`: one (requests fail over from one region to another; say where each mesh runs under `locality`)
    meshes/a/traffic/x.yaml:6:22: error[MF016]: `c` is in the same region as `b`: one (requests fail over from one region to another; say where each mesh runs under `locality`)
    ");
    let none = repo.edit(b, "  locality: {region: two}\n", "").edit(c, "  locality: {region: three}\n", "").edit(
        "meshes/a/mesh.yaml",
        "  locality: {region: one}\n",
        "",
    );
    assert_snapshot!(check_repo(&none), @r"
    meshes/a/traffic/x.yaml:6:19: error[MF016]: failover needs the region of `a` (add `locality: {region: …}` to meshes/a/mesh.yaml)
    meshes/a/traffic/x.yaml:6:19: error[MF016]: failover needs the region of `b` (add `locality: {region: …}` to meshes/b/mesh.yaml or to meshes/a/peers/b.yaml)
    meshes/a/traffic/x.yaml:6:22: error[MF016]: failover needs the region of `c` (add `locality: {region: …}` to meshes/c/mesh.yaml or to meshes/a/peers/c.yaml)
    ");
}

#[test]
fn failover_needs_an_import_that_joins_the_service() {
    let repo = with_failover()
        .edit("meshes/a/peers/b.yaml", ", asLocal: true", "")
        .edit("meshes/a/peers/c.yaml", "as: apps/x", "as: apps/y")
        .edit("meshes/a/traffic/x.yaml", "[b, c]", "[b, c, d]");
    assert_snapshot!(check_repo(&repo), @r"
    meshes/a/traffic/x.yaml:6:19: error[MF016]: `apps/x` is imported from `b` with a host of its own (failover needs `asLocal: true` in meshes/a/peers/b.yaml; from one peer a service is either failover or a target of weights)
    meshes/a/traffic/x.yaml:6:22: error[MF016]: nothing is imported from `c` as `apps/x` (add an import with `as: apps/x` and `asLocal: true` to meshes/a/peers/c.yaml)
    meshes/a/traffic/x.yaml:6:25: error[MF005]: `d` is no peer of `a` (did you mean `b`?)
    ");
}

#[test]
fn a_service_is_either_failover_or_target_of_weights() {
    let routes = "routes: [{local: {}, weight: 90}, {peer: b, service: apps/x, weight: 10}]\n  failover";
    let repo = with_failover().edit("meshes/a/traffic/x.yaml", "failover", routes);
    assert_snapshot!(check_repo(&repo), @"meshes/a/traffic/x.yaml:6:56: error[MF007]: `apps/x` is imported from `b` as local: it has no host of its own (from one peer a service is either failover (`asLocal`) or a target of weights)");
}

#[test]
fn tcp_services_of_two_peers_can_share_an_address() {
    let imports = |own: &str| format!("imports: [{{service: '*', tcpPorts: [5432, 6379]}}, {own}");
    let repo = with_failover()
        .edit("meshes/a/peers/b.yaml", "imports: [", &imports(""))
        .edit("meshes/a/peers/c.yaml", "imports: [", &imports("{service: box/db, tcpPorts: [5432]}, "))
        .edit("meshes/a/peers/c.yaml", "'*', tcpPorts: [5432, 6379]", "box/cache")
        .edit("meshes/a/peers/c.yaml", "asLocal: true", "asLocal: true, tcpPorts: [6379]")
        .edit("meshes/c/peers/a.yaml", "box/x}", "box/x}, {service: box/db}, {service: box/cache}");
    assert_snapshot!(check_repo(&repo), @r"
    meshes/a/peers/b.yaml:6:39: warning[MF012]: `*` and `box/db` of `c` both speak TCP on port 5432 (meshes/a/peers/c.yaml:5) (they can get one virtual IP, and requests for one then reach the other; give one another port)
    meshes/a/peers/c.yaml:5:64: warning[MF012]: `box/db` and `*` of `b` both speak TCP on port 5432 (meshes/a/peers/b.yaml:6) (they can get one virtual IP, and requests for one then reach the other; give one another port)
    ");
}
