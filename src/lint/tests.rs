//! What `check` says beyond what an agent finds.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::{Inputs, lint, schema};
use crate::derive::{self, Observed, derive, kinds};
use crate::facts::published::Endpoint;
use crate::facts::{self, Facts};
use crate::model::testing::{Repo, ca_roots, example, pair, show};
use crate::model::yaml;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// A root that is valid until the beginning of a day.
fn mk_root_until((year, month, day): (i32, u8, u8)) -> String {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// What the example does not show: failover, operators, selectors, all that Traffic can say.
fn with_all_kinds() -> Repo {
    pair().with(
        "\
//- meshes/a/mesh.yaml
kind: Mesh
metadata: {name: a}
spec:
  trustDomain: a.example
  members: [apps]
  locality: {region: one, zone: two}
  platform: aws
  ingress: {type: NodePort, addresses: [192.0.2.7], discoveryPort: 30001, servicePort: 30002}
  operators: [{name: servicemeshoperator, startingCSV: v1}]
//- meshes/a/peers/b.yaml
kind: Peer
metadata: {name: b}
spec:
  locality: {region: two}
  exports: [{selector: {namespace: apps, matchLabels: {a: b}, matchExpressions: [{key: x, operator: In, values: [y]}]}}]
  imports: [{service: shop/x, as: apps/x, asLocal: true}, {service: shop/y}]
//- meshes/b/peers/a.yaml
kind: Peer
metadata: {name: a}
spec: {exports: [{service: shop/x}, {service: shop/y}], imports: [{service: '*'}]}
//- meshes/a/traffic/x.yaml
kind: Traffic
metadata: {name: x}
spec: {service: apps/x, failover: {to: [b]}, outlierDetection: {}}
//- meshes/a/traffic/y.yaml
kind: Traffic
metadata: {name: y}
spec:
  service: apps/y
  matches:
  - {headers: {x-user: {exact: tester}}, uri: {prefix: /new}, routes: [{peer: b, service: shop/y}]}
  routes: [{local: {subset: v1}, weight: 50}, {peer: b, service: shop/y, weight: 50}]
  mirror: {peer: b, service: shop/y, percentage: 5}
  timeout: 3s
  retries: {attempts: 2, perTryTimeout: 1s, retryOn: 5xx}
",
    )
}

fn advice(repo: &Repo) -> String {
    advice_with(repo, &BTreeMap::new())
}

/// What is said of a repository in whose documents nothing is wrong.
fn advice_with(repo: &Repo, facts: &BTreeMap<String, Facts>) -> String {
    let federation = repo.valid();
    let texts = repo.files.iter().filter_map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(bytes).ok()?)));
    let mut found = lint(Inputs { federation: &federation, texts: &texts.collect(), plain: false, facts, now: now() });
    found.sort();
    show(&found)
}

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
    assert_snapshot!(mesh("  platform: aws\n  ingress: {annotations: {service.beta.kubernetes.io/aws-load-balancer-type: external}}\n"), @"meshes/a/mesh.yaml:5:16: warning[MF012]: `service.beta.kubernetes.io/aws-load-balancer-type: external` replaces the network load balancer (federation needs a load balancer of layer 4: leave the annotation out)");
    assert_snapshot!(mesh("  platform: aws\n  ingress: {addresses: [34.91.0.7]}\n"), @"meshes/a/mesh.yaml:5:16: warning[MF012]: 34.91.0.7 is an IP address, and load balancers of AWS have names whose addresses change (take `status.loadBalancer.ingress[].hostname` of the ingress Service)");
    assert_snapshot!(mesh("  platform: gcp\n  ingress: {addresses: [a1b2.elb.us-east-1.amazonaws.com]}\n"), @"meshes/a/mesh.yaml:5:16: warning[MF012]: a1b2.elb.us-east-1.amazonaws.com is a load balancer of AWS, and this mesh runs elsewhere (take `status.loadBalancer.ingress[].ip` of the ingress Service)");
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
    let repo = pair().with(&format!("//- meshes/a/manifests/all.yaml\n{text}"));
    let federation = repo.valid();
    let mut found = Vec::new();
    super::derived_too::check(&federation, &mut found);
    assert_snapshot!(show(&found), @r"
    meshes/a/manifests/all.yaml:2:1: warning[MF006]: ConfigMap/a/b-ca-root-cert is derived from meshes/a/peers/b.yaml too (remove it here; it is not applied once the other can be)
    meshes/a/manifests/all.yaml:6:1: warning[MF006]: ExportedServiceSet/a/b is derived from the documents too (remove it here; it is not applied once the other can be)
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

/// An object in the manifests of `a`.
fn object(text: &str) -> String {
    advice(&pair().with(&format!("//- meshes/a/manifests/x.yaml\n{text}")))
}

#[test]
fn objects_have_the_fields_of_their_kind() {
    assert_snapshot!(object("\
apiVersion: federation.maistra.io/v1
kind: ExportedServiceSet
metadata: {name: b, namespace: a, labels: {x: 1}}
spec:
  exportRules:
  - type: LabelSelector
    labelSelector:
      namespace: apps
      alias: [{name: x, alias: {name: y}}]
  - type: NameSelektor
    nameSelector: {name: [x]}
  - nameSelector: {name: x}
  more: true
status: {anything: 1}
extra: 1
"), @r#"
    meshes/a/manifests/x.yaml:1:1: warning[MF006]: ExportedServiceSet/a/b is derived from the documents too (remove it here; it is not applied once the other can be)
    meshes/a/manifests/x.yaml:3:47: error[MF019]: `metadata.labels.x` is a number; a text belongs here (write "1")
    meshes/a/manifests/x.yaml:9:7: error[MF019]: there is no field `alias` in `spec.exportRules[0].labelSelector` of ExportedServiceSet (did you mean `aliases`?)
    meshes/a/manifests/x.yaml:10:11: error[MF019]: `spec.exportRules[1].type` cannot be `NameSelektor` (did you mean `NameSelector`?)
    meshes/a/manifests/x.yaml:11:26: error[MF019]: `spec.exportRules[1].nameSelector.name` is a list; a text belongs here
    meshes/a/manifests/x.yaml:12:5: error[MF019]: `spec.exportRules[2].type` of ExportedServiceSet is missing (the API server refuses the object without it)
    meshes/a/manifests/x.yaml:13:3: error[MF019]: there is no field `more` in `spec` of ExportedServiceSet (the only one is `exportRules`)
    meshes/a/manifests/x.yaml:15:1: error[MF019]: there is no field `extra` in ExportedServiceSet (the only one is `spec`)
    "#);
    assert_snapshot!(object("\
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: x, namespace: apps}
spec:
  hosts: x.example
  http:
  - timeout: 3
    route:
    - {destination: {host: x, port: {number: '80'}}, weight: 1.5}
    - {destination: x, weight: 100.0}
    match: {uri: {prefix: /}}
  - fault: {abort: {percentage: {value: half}}}
    corsPolicy: {allowCredentials: 'true', maxAge: null}
"), @r#"
    meshes/a/manifests/x.yaml:5:10: error[MF019]: `spec.hosts` is a text; a list belongs here (write [x.example])
    meshes/a/manifests/x.yaml:7:14: error[MF019]: `spec.http[0].timeout` is a number; a text belongs here (write "3")
    meshes/a/manifests/x.yaml:9:46: error[MF019]: `spec.http[0].route[0].destination.port.number` is a text; a whole number belongs here (take the quotes away)
    meshes/a/manifests/x.yaml:9:62: error[MF019]: `spec.http[0].route[0].weight` is a number; a whole number belongs here
    meshes/a/manifests/x.yaml:9:62: error[MF021]: the weights sum to 101.5, not 100 (nothing refuses it, and each route gets its share of the sum)
    meshes/a/manifests/x.yaml:10:21: error[MF019]: `spec.http[0].route[1].destination` is a text; a mapping belongs here
    meshes/a/manifests/x.yaml:11:12: error[MF019]: `spec.http[0].match` is a mapping; a list belongs here
    meshes/a/manifests/x.yaml:12:41: error[MF019]: `spec.http[1].fault.abort.percentage.value` is a text; a number belongs here
    meshes/a/manifests/x.yaml:13:36: error[MF019]: `spec.http[1].corsPolicy.allowCredentials` is a text; `true` or `false` belongs here
    "#);
    assert_snapshot!(object("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: apps}\nspec: {any: thing}\n"), @"");
}

#[test]
fn the_control_plane_in_a_mesh_document_is_an_object_too() {
    let mesh = "kind: Mesh\nmetadata: {name: a}\nspec:\n  trustDomain: a.example\n  members: [apps]\n";
    let base = "  controlPlane:\n    base:\n      spec: {version: v2.5, trcing: {type: None}, gateways: {enabled: 'no'}}\n";
    assert_snapshot!(advice(&pair().with(&format!("//- meshes/a/mesh.yaml\n{mesh}{base}"))), @r"
    meshes/a/mesh.yaml:9:29: error[MF019]: there is no field `trcing` in `spec` of ServiceMeshControlPlane (did you mean `tracing`?)
    meshes/a/mesh.yaml:9:71: error[MF019]: `spec.gateways.enabled` is a text; `true` or `false` belongs here
    ");
}

const WIDGETS: &str = "\
//- crds/widgets.yaml
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        required: [spec, metadata]
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer}
              colour: {type: string, enum: [red, green]}
              port: {x-kubernetes-int-or-string: true}
              parts: {type: array, items: {type: object, additionalProperties: {type: boolean}}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
  - {name: v0, served: false}
";

#[test]
fn kinds_are_defined_by_people_too() {
    let widget = |text: &str| {
        let head =
            "//- meshes/a/manifests/w.yaml\napiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: apps}\n";
        advice(&pair().with(WIDGETS).with(&format!("{head}{text}")))
    };
    assert_snapshot!(widget("spec: {size: 1, colour: red, port: http, parts: [{a: true}], free: {a: b}}\n"), @"");
    assert_snapshot!(widget("spec: {colour: gren, port: 1.5, parts: [{a: 1}], sice: 3}\n"), @r"
    meshes/a/manifests/w.yaml:4:7: error[MF019]: `spec.size` of Widget is missing (the API server refuses the object without it)
    meshes/a/manifests/w.yaml:4:16: error[MF019]: `spec.colour` cannot be `gren` (did you mean `green`?)
    meshes/a/manifests/w.yaml:4:28: error[MF019]: `spec.port` is a number; a whole number or a text belongs here
    meshes/a/manifests/w.yaml:4:45: error[MF019]: `spec.parts[0].a` is a number; `true` or `false` belongs here
    meshes/a/manifests/w.yaml:4:50: error[MF019]: there is no field `sice` in `spec` of Widget (did you mean `size`?)
    ");
    let old = "//- meshes/a/manifests/w.yaml\napiVersion: example.com/v0\nkind: Widget\nmetadata: {name: w, namespace: apps}\n";
    assert_snapshot!(advice(&pair().with(WIDGETS).with(old)), @"meshes/a/manifests/w.yaml:1:13: error[MF019]: Widget is not served in version `v0` (did you mean `v1`?)");
    assert_snapshot!(advice(&pair().with("//- crds/x.yaml\nkind: Widget\n//- crds/y.yaml\na: [\n")), @r"
    crds/x.yaml:1:1: error[MF007]: this is not the definition of a kind (crds/ has objects of kind CustomResourceDefinition of apiextensions.k8s.io/v1)
    crds/y.yaml:1:4: error[MF001]: unclosed bracket '['
    ");
}

#[test]
fn what_people_define_counts_before_what_is_carried() {
    let definition = WIDGETS
        .replace("example.com", "networking.istio.io")
        .replace("kind: Widget", "kind: VirtualService")
        .replace("- name: v1", "- name: v1beta1");
    let text = "//- meshes/a/manifests/x.yaml\napiVersion: networking.istio.io/v1beta1\nkind: VirtualService\nmetadata: {name: x, namespace: apps}\nspec: {size: 2}\n";
    assert_snapshot!(advice(&pair().with(&definition).with(text)), @"");
}

#[test]
fn what_is_derived_has_only_fields_of_its_kind() {
    let roots = facts::roots::parse(&mk_root_until((2040, 1, 1)), now()).unwrap();
    let schemas = schema::Schemas::default();
    let mut kinds = BTreeSet::new();
    for (repo, federation) in [example(), with_all_kinds()].map(|repo| (repo.clone(), repo.valid())) {
        for (me, folder) in &federation.meshes {
            let endpoint = Endpoint { addresses: vec!["192.0.2.1".into()], discovery_port: 8188, service_port: 15443 };
            let facts = |_: &String| Facts {
                roots: roots.clone(),
                ingress: BTreeMap::from([(me.clone(), endpoint.clone())]),
                ..Facts::default()
            };
            let facts = federation.meshes.keys().map(|peer| (peer.clone(), facts(peer))).collect();
            let observed = Observed::assumed(folder);
            let derived = derive(derive::Inputs { federation: &federation, me, facts: &facts, observed: &observed });
            for object in derived.wanted.values().map(|wanted| &wanted.object) {
                let nodes = yaml::nodes("derived", std::str::from_utf8(&object.body).unwrap()).unwrap();
                let found = schema::check("derived", &object.kind, &nodes[0], &schemas);
                assert_eq!(show(&found), "", "{} of {} files", object.key, repo.files.len());
                if matches!(schemas.of(&object.kind), schema::Known::Schema(_)) {
                    kinds.insert(object.kind.kind.to_string());
                }
            }
        }
    }
    let derived = [
        "ConfigMap",
        "DestinationRule",
        "ExportedServiceSet",
        "ImportedServiceSet",
        "Namespace",
        "ServiceMeshControlPlane",
        "ServiceMeshMember",
        "ServiceMeshPeer",
        "Subscription",
        "VirtualService",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), derived);
}

/// Fields that one schema spells out and the other does not have, or has otherwise.
fn differences(lab: &schema::Schema, ours: &schema::Schema, path: &str, found: &mut Vec<String>) {
    use schema::Schema::{Any, Fields, List, Map, OneOf, Text};
    match (lab, ours) {
        (Any, _) | (_, Any) | (Text, OneOf(_)) => {}
        (List(lab), List(ours)) | (Map(lab), Map(ours)) => differences(lab, ours, path, found),
        (Fields(lab), Fields(ours)) => {
            for (name, lab) in
                lab.known.iter().filter(|(name, _)| !["apiVersion", "kind", "metadata", "status"].contains(&name.as_str()))
            {
                match ours.known.get(name) {
                    Some(ours) => differences(lab, ours, &format!("{path}.{name}"), found),
                    None => found.push(format!("{path}.{name} is not in the table")),
                }
            }
            found.extend(
                lab.required
                    .iter()
                    .filter(|name| !ours.required.contains(*name))
                    .map(|name| format!("{path}.{name} is required")),
            );
        }
        (lab, ours) if lab == ours => {}
        (lab, ours) => found.push(format!("{path}: {lab:?} is {ours:?} in the table")),
    }
}

#[test]
fn the_table_agrees_with_the_definitions_of_the_lab() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/crds");
    let (mut lab, mut problems) = (schema::Schemas::default(), Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap(); // with aliases, which we do not read
        for document in documents {
            schema::read("lab", &document.to_string(), &mut lab, &mut problems);
        }
    }
    assert_eq!(show(&problems), "");
    let mut found = Vec::new();
    for kind in [
        kinds::CONTROL_PLANE,
        kinds::MEMBER,
        kinds::MEMBER_ROLL,
        kinds::PEER,
        kinds::EXPORTED,
        kinds::IMPORTED,
        kinds::SUBSCRIPTION,
    ] {
        let kind = kinds::kind(kind);
        match (lab.of(&kind), schema::Schemas::default().of(&kind)) {
            (schema::Known::Schema(lab), schema::Known::Schema(ours)) => differences(lab, ours, &kind.kind, &mut found),
            _ => found.push(format!("{} is not known", kind.kind)),
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

/// Objects that belong to no federation's repository.
fn by_hand(repo: &Repo) -> String {
    let texts: BTreeMap<&str, &str> =
        repo.files.iter().map(|(path, bytes)| (path.as_str(), std::str::from_utf8(bytes).unwrap())).collect();
    let (federation, facts) = (crate::model::Federation::default(), BTreeMap::new());
    let mut found = lint(Inputs { federation: &federation, texts: &texts, plain: true, facts: &facts, now: now() });
    found.sort();
    show(&found)
}

/// Two meshes that people federated by hand, without a mistake.
const BY_HAND: &str = "\
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
