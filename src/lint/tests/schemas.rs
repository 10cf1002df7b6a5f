//! Plain objects against the schemas of their kinds.

use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;

use super::{advice, mk_root_until, now};
use crate::derive::{self, Observed, derive, kinds};
use crate::facts::published::Endpoint;
use crate::facts::{self, Facts};
use crate::lint::schema;
use crate::model::testing::{Repo, example, pair, show};
use crate::model::yaml;

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
    meshes/a/manifests/x.yaml:3:47: error[MF019]: `metadata.labels.x` is a number; a text belongs here (write "1")
    meshes/a/manifests/x.yaml:9:7: error[MF019]: there is no field `alias` in `spec.exportRules[0].labelSelector` of ExportedServiceSet (did you mean `aliases`? it is a list)
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
    meshes/a/manifests/x.yaml:13:36: error[MF019]: `spec.http[1].corsPolicy.allowCredentials` is a text; `true` or `false` belongs here (write `true`)
    "#);
    assert_snapshot!(object("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: apps}\nspec: {any: thing}\n"), @"");
}

#[test]
fn the_control_plane_in_a_mesh_document_is_an_object_too() {
    let mesh = "kind: Mesh\nmetadata: {name: a}\nspec:\n  trustDomain: a.example\n  members: [apps]\n";
    let base = "  controlPlane:\n    base:\n      spec: {version: v2.5, trcing: {type: None}, gateways: {enabled: 'no'}}\n";
    assert_snapshot!(advice(&pair().with(&format!("//- meshes/a/mesh.yaml\n{mesh}{base}"))), @r"
    meshes/a/mesh.yaml:9:29: error[MF019]: there is no field `trcing` in `spec` of ServiceMeshControlPlane (did you mean `tracing`?)
    meshes/a/mesh.yaml:9:71: error[MF019]: `spec.gateways.enabled` is a text; `true` or `false` belongs here (write `false`)
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

#[test]
fn a_field_that_slipped_a_level_is_told_where_it_belongs() {
    let up = "apiVersion: federation.maistra.io/v1\nkind: ImportedServiceSet\nmetadata: {name: b, namespace: a}\nspec:\n  importRules:\n  \
              - {type: NameSelector, nameSelector: {importAsLocal: true, name: x, namespace: shop}}\n";
    assert_snapshot!(object(up), @"meshes/a/manifests/x.yaml:6:41: error[MF019]: there is no field `importAsLocal` in `spec.importRules[0].nameSelector` of ImportedServiceSet (it belongs one level up, beside `nameSelector`)");
    let down = "apiVersion: federation.maistra.io/v1\nkind: ExportedServiceSet\nmetadata: {name: b, namespace: a}\nspec:\n  exportRules:\n  \
                - {type: LabelSelector, labelSelector: {namespace: apps, matchLabels: {app: x}}}\n";
    assert_snapshot!(object(down), @"meshes/a/manifests/x.yaml:6:60: error[MF019]: there is no field `matchLabels` in `spec.exportRules[0].labelSelector` of ExportedServiceSet (it belongs one level down, under `selector`)");
}

#[test]
fn kinds_that_no_api_server_knows_are_told() {
    let of = |version: &str, kind: &str| {
        object(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: c, namespace: a}}\n"))
    };
    let told = [
        of("networking.istio.io/v1beta1", "ServiceMeshPeer"),
        of("v1", "ExportedServiceSet"),
        of("federation.maistra.io/v1alpha1", "ImportedServiceSet"),
        of("maistra.io/v2", "ServiceMeshMemberRoll"),
        of("maistra.io/v1", "MeshFederation"),
    ];
    assert_snapshot!(told.join("\n"), @r"
    meshes/a/manifests/x.yaml:1:13: error[MF019]: ServiceMeshPeer is no kind of `networking.istio.io` (write `apiVersion: federation.maistra.io/v1`)
    meshes/a/manifests/x.yaml:1:13: error[MF019]: ExportedServiceSet is no kind of the core group (write `apiVersion: federation.maistra.io/v1`)
    meshes/a/manifests/x.yaml:1:13: error[MF019]: ImportedServiceSet is not served in version `v1alpha1` (write `apiVersion: federation.maistra.io/v1`)
    meshes/a/manifests/x.yaml:3:18: error[MF021]: there is no ServiceMeshPeer `c` beside this ImportedServiceSet, so it is ignored (did you mean `b`?)
    meshes/a/manifests/x.yaml:1:13: error[MF019]: ServiceMeshMemberRoll is not served in version `v2` (write `apiVersion: maistra.io/v1`)
    meshes/a/manifests/x.yaml:1:13: error[MF019]: MeshFederation was tried before federation was released, and no control plane knows it (write what it says as ServiceMeshPeer of federation.maistra.io/v1)
    ");
    assert_eq!(of("example.com/v1", "Anything"), "");
}
