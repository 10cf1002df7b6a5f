//! Nothing is lost: what documents derive is imported into documents that derive the same, and whatever is done to the objects, each is
//! found again.

mod ingress;
mod told;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::compare::differences;
use super::settle::load;
use super::*;
use crate::derive::testing::federations;
use crate::derive::{Derived, Observed, derive};
use crate::facts::{Endpoint, Root};
use crate::model::Federation;
use crate::object::{APPLIED_ANNOTATION, PART_OF_LABEL, SOURCE_ANNOTATION};

/// Facts of all meshes, each reachable for all others.
fn mk_facts(federation: &Federation) -> BTreeMap<String, Facts> {
    let one = |name: &String| {
        let endpoint = Endpoint { addresses: vec![format!("{name}.example.com")], discovery_port: 8188, service_port: 15443 };
        let ingress = federation.meshes.keys().map(|peer| (peer.clone(), endpoint.clone())).collect();
        let root = Root { pem: format!("root of {name}\n"), fingerprint: name.clone(), ..Root::default() };
        (name.clone(), Facts { roots: vec![root], ingress, ..Facts::default() })
    };
    federation.meshes.keys().map(one).collect()
}

/// The objects of a mesh, as somebody would have written them.
fn objects(federation: &Federation, me: &str) -> Vec<Value> {
    let observed = Observed::assumed(&federation.meshes[me]);
    let derived = derive(crate::derive::Inputs { federation, me, facts: &mk_facts(federation), observed: &observed });
    plain(&derived)
}

fn plain(derived: &Derived) -> Vec<Value> {
    let written = |wanted: &crate::derive::Wanted| {
        let mut value = wanted.object.value();
        let metadata = value["metadata"].as_object_mut().unwrap();
        for (field, ours) in
            [("labels", &[PART_OF_LABEL][..]), ("annotations", &[APPLIED_ANNOTATION, SOURCE_ANNOTATION, "meshfed.dev/roots"])]
        {
            let map = metadata[field].as_object_mut().unwrap();
            ours.iter().for_each(|name| drop(map.remove(*name)));
            if map.is_empty() {
                metadata.remove(field);
            }
        }
        value
    };
    derived.wanted.values().map(written).collect()
}

/// One file for each mesh, in a folder of its own.
fn texts(all: &BTreeMap<String, Vec<Value>>) -> BTreeMap<String, String> {
    let text = |objects: &Vec<Value>| {
        objects.iter().map(|object| format!("# mine\n{}", serde_saphyr::to_string(object).unwrap())).collect::<Vec<_>>()
    };
    all.iter().map(|(mesh, objects)| (format!("{mesh}/all.yaml"), text(objects).join("---\n"))).collect()
}

fn run(texts: &BTreeMap<String, String>, adapt: bool) -> Imported {
    import(Inputs { texts, repository: &BTreeMap::new(), mesh: None, adapt }).unwrap()
}

/// That each object is derived from a document or stands unchanged in a file, and is its own mesh's.
fn nothing_is_lost(given: &BTreeMap<String, Vec<Value>>, imported: &Imported) {
    let (federation, _) = load(&imported.files);
    let mut fates = imported.objects.iter();
    for (folder, objects) in given {
        let of_folder = |object: &&Object| object.path == format!("{folder}/all.yaml");
        let plane = imported.objects.iter().filter(of_folder).find(|object| object.name.starts_with("ServiceMeshControlPlane/"));
        let own = &plane.unwrap().mesh;
        for object in objects {
            let Object { name, path, mesh, fate, .. } = fates.next().unwrap();
            assert_eq!(*path, format!("{folder}/all.yaml"));
            assert_eq!(mesh, own, "{name} of {folder}");
            match fate {
                Fate::Document { .. } => {
                    let derived = objects_by_name(&federation, mesh);
                    let again = derived.get(name).unwrap_or_else(|| panic!("{name} of {mesh} is gone: {:#?}", derived.keys()));
                    assert_eq!(differences(object, again, &["data[root-cert.pem]", "spec.remote"]), [], "{name} of {mesh}");
                }
                Fate::Manifest { path, .. } | Fate::NotApplied { path, .. } => {
                    let text = format!("# mine\n{}", serde_saphyr::to_string(object).unwrap());
                    assert!(imported.files[path].contains(&text), "{name} is not in {path}");
                }
                Fate::LeftOut { reason } => panic!("{name} is left out: {reason}"),
            }
        }
    }
}

fn objects_by_name(federation: &Federation, me: &str) -> BTreeMap<String, Value> {
    let name = |object: &Value| {
        let kind = crate::object::Kind::new(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let namespace = object["metadata"]["namespace"].as_str();
        crate::object::Key::new(&kind, namespace, object["metadata"]["name"].as_str().unwrap()).to_string()
    };
    objects(federation, me).into_iter().map(|object| (name(&object), object)).collect()
}

/// Does something to one leaf of a tree: changes it, takes it away, or puts a field beside it.
fn damage(value: &mut Value, mut at: usize, how: u8) {
    fn leaves(value: &Value) -> usize {
        match value {
            Value::Object(fields) => fields.values().map(leaves).sum(),
            Value::Array(items) => items.iter().map(leaves).sum(),
            _ => 1,
        }
    }
    at %= leaves(value).max(1);
    match value {
        Value::Object(fields) => {
            let name = fields.iter().find_map(|(name, field)| {
                let own = leaves(field);
                if at < own {
                    Some(name.clone())
                } else {
                    at -= own;
                    None
                }
            });
            let Some(name) = name else { return };
            if !fields[&name].is_object() && !fields[&name].is_array() && how != 0 {
                if how == 1 {
                    fields.remove(&name)
                } else {
                    fields.insert("extra".to_owned(), json!("x"))
                };
            } else {
                damage(fields.get_mut(&name).unwrap(), at, how);
            }
        }
        Value::Array(items) => {
            for item in items {
                let own = leaves(item);
                if at < own {
                    return damage(item, at, how);
                }
                at -= own;
            }
        }
        Value::String(text) => text.push_str("-x"),
        Value::Number(_) => *value = json!(7),
        other => *other = json!(null),
    }
}

/// A control plane with its roll; the mesh is called as its namespace.
fn mk_mesh(namespace: &str, domain: Option<&str>, members: &[&str]) -> String {
    let security = domain.map_or_else(|| json!({}), |domain| json!({"trust": {"domain": domain}}));
    let plane = json!({"apiVersion": "maistra.io/v2", "kind": "ServiceMeshControlPlane",
        "metadata": {"name": "basic", "namespace": namespace}, "spec": {"version": "v2.5", "security": security}});
    let roll = json!({"apiVersion": "maistra.io/v1", "kind": "ServiceMeshMemberRoll",
        "metadata": {"name": "default", "namespace": namespace}, "spec": {"members": members}});
    format!("{}---\n{}", serde_saphyr::to_string(&plane).unwrap(), serde_saphyr::to_string(&roll).unwrap())
}

fn mk_map(namespace: &str) -> String {
    format!("# mine\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x, namespace: {namespace}}}\n")
}

/// Mesh and file of each object that is called `x`, and why it is there.
fn fates_of_x(files: &[(&str, String)], mesh: Option<&str>) -> Vec<String> {
    let texts = files.iter().map(|(path, text)| ((*path).to_owned(), text.clone())).collect();
    let imported = import(Inputs { texts: &texts, repository: &BTreeMap::new(), mesh, adapt: false }).unwrap();
    let told = |object: &Object| match &object.fate {
        Fate::Document { path, .. } => format!("{} {path}", object.mesh),
        Fate::Manifest { path, reason } => format!("{} {path} {reason}", object.mesh),
        Fate::NotApplied { path, reason } => {
            assert!(imported.files[path].contains("# mine"), "{path}");
            format!("{} {path} {reason}", object.mesh)
        }
        Fate::LeftOut { reason } => format!("{} left out: {reason}", object.mesh),
    };
    imported.objects.iter().filter(|object| object.name.ends_with("/x")).map(told).collect()
}

#[test]
fn place_tells_meshes_apart_whose_namespaces_are_called_alike() {
    let (one, other) = (mk_mesh("one", Some("one.local"), &["apps"]), mk_mesh("other", Some("other.local"), &["apps"]));
    let near =
        [("a/m.yaml", one.clone()), ("b/m.yaml", other.clone()), ("a/x.yaml", mk_map("apps")), ("b/deep/x.yaml", mk_map("apps"))];
    assert_eq!(fates_of_x(&near, None), ["one meshes/one/manifests/x.yaml ", "other meshes/other/manifests/deep/x.yaml "]);
    // A control plane's own namespace is nobody else's, wherever it is written.
    let own = [("a/m.yaml", one.clone()), ("b/m.yaml", other.clone()), ("a/x.yaml", mk_map("other"))];
    assert_eq!(fates_of_x(&own, None), ["other meshes/other/manifests/a/x.yaml "]);
    let flat = [("one.yaml", one), ("other.yaml", other), ("x.yaml", mk_map("apps"))];
    let expected = " unassigned/x.yaml nothing says which mesh it belongs to: one, other";
    assert_eq!((fates_of_x(&flat, None), fates_of_x(&flat, Some("one"))), (vec![expected.to_owned()], vec![expected.to_owned()]));
}

#[test]
fn a_broken_membership_does_not_make_an_object_another_meshs() {
    let (one, other) = (mk_mesh("one", Some("one.local"), &["appz"]), mk_mesh("other", Some("other.local"), &["apps"]));
    let files = [("a/m.yaml", one), ("b/m.yaml", other), ("a/x.yaml", mk_map("apps")), ("b/x.yaml", mk_map("apps"))];
    let refused = "one meshes/one/not-applied/x.yaml the agent refuses it (MF010): `apps` is no namespace of one, neither \
                   its control plane's nor a member";
    assert_eq!(fates_of_x(&files, None), [refused, "other meshes/other/manifests/x.yaml "]);
    let texts = files.iter().map(|(path, text)| ((*path).to_owned(), text.clone())).collect();
    let found = import(Inputs { texts: &texts, repository: &BTreeMap::new(), mesh: None, adapt: false }).unwrap().found;
    let [astray] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((astray.path.as_str(), astray.span.line), ("a/x.yaml", 4));
}

#[test]
fn a_membership_in_a_control_plane_that_is_not_there_is_told() {
    let member = "apiVersion: maistra.io/v1\nkind: ServiceMeshMember\nmetadata: {name: default, namespace: shop}\n\
                  spec: {controlPlaneRef: {name: basik, namespace: one}}\n";
    let texts = BTreeMap::from([
        ("m.yaml".to_owned(), mk_mesh("one", Some("one.local"), &["apps"])),
        ("x.yaml".to_owned(), member.to_owned()),
    ]);
    let found: Vec<String> = run(&texts, false).found.iter().map(ToString::to_string).collect();
    let [told] = found.as_slice() else { panic!("{found:#?}") };
    assert!(told.starts_with("x.yaml:4:32: warning[MF021]: there is no control plane `basik` in `one`"), "{told}");
}

#[test]
fn a_control_plane_that_no_mesh_can_say_stays_as_it_is() {
    let files = [("a/m.yaml", mk_mesh("one", None, &["apps"]).replace("name: basic", "name: x")), ("a/x.yaml", mk_map("apps"))];
    let plane = "x meshes/x/manifests/m.yaml a Mesh cannot say it: it has no `spec.security.trust.domain`, so its trust domain \
                 is that of every other. Until one can, the agent does nothing for x";
    assert_eq!(fates_of_x(&files, None), [plane, "x meshes/x/manifests/x.yaml "]);
}

#[test]
fn names_that_lead_out_of_the_repository_name_no_file() {
    let evil = mk_mesh("one", Some("one.local"), &["apps"]).replace("name: basic", "name: ../../../evil");
    let texts = BTreeMap::from([("/../a.yaml".to_owned(), evil + "---\n" + &mk_map("apps"))]);
    for path in run(&texts, false).files.keys() {
        assert!(!path.split('/').any(|part| ["", ".", ".."].contains(&part)), "{path}");
    }
}

/// A peering half that people wrote: the ServiceMeshPeer of `peer` in `namespace`.
fn mk_peer(peer: &str, namespace: &str, other: &str, egress: &str) -> String {
    format!(
        "apiVersion: federation.maistra.io/v1\nkind: ServiceMeshPeer\nmetadata: {{name: {peer}, namespace: {namespace}}}\nspec:\n\
         \x20 remote: {{addresses: [192.0.2.1]}}\n  gateways: {{ingress: {{name: {peer}-ingress}}, egress: {{name: {peer}-egress}}}}\n\
         \x20 security: {{trustDomain: {peer}.local, clientID: {peer}.local/ns/{other}/sa/{egress}-service-account}}\n"
    )
}

fn mk_set(kind: &str, peer: &str, namespace: &str, rules: &str) -> String {
    let list = if kind == "ImportedServiceSet" { "importRules" } else { "exportRules" };
    format!(
        "apiVersion: federation.maistra.io/v1\nkind: {kind}\nmetadata: {{name: {peer}, namespace: {namespace}}}\nspec: {{{list}: {rules}}}\n"
    )
}

/// A control plane with gateways for one peer, and a roll.
fn mk_federated(mesh: &str, namespace: &str, peer: &str, members: &[&str]) -> String {
    let gateway = |side: &str, discovery: &str| {
        let network = if side == "egress" { format!("requestedNetworkView: [network-{peer}], ") } else { String::new() };
        format!(
            "{{{peer}-{side}: {{enabled: true, {network}service: {{ports: [{{port: 15443, name: tls}}, {{port: 8188, name: {discovery}}}]}}}}}}"
        )
    };
    format!(
        "apiVersion: maistra.io/v2\nkind: ServiceMeshControlPlane\nmetadata: {{name: basic, namespace: {namespace}}}\nspec:\n\
         \x20 version: v2.5\n  security: {{trust: {{domain: {mesh}.local}}}}\n  gateways:\n    additionalIngress: {}\n    \
         additionalEgress: {}\n---\napiVersion: maistra.io/v1\nkind: ServiceMeshMemberRoll\n\
         metadata: {{name: default, namespace: {namespace}}}\nspec: {{members: [{}]}}\n",
        gateway("ingress", "https-discovery"),
        gateway("egress", "http-discovery"),
        members.join(", ")
    )
}

fn imported(files: &[(&str, String)]) -> Imported {
    run(&files.iter().map(|(path, text)| ((*path).to_owned(), text.clone())).collect(), false)
}

/// Each object whose name contains `part`, with its mesh and file.
fn places(imported: &Imported, part: &str) -> Vec<String> {
    let place = |object: &Object| match &object.fate {
        Fate::Document { path, .. } | Fate::Manifest { path, .. } | Fate::NotApplied { path, .. } => {
            format!("{} {path}", object.name)
        }
        Fate::LeftOut { .. } => object.name.clone(),
    };
    imported.objects.iter().filter(|object| object.name.contains(part)).map(place).collect()
}

fn messages(imported: &Imported) -> Vec<String> {
    imported.found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_set_that_no_document_can_say_stands_beside_the_peering_that_one_can() {
    let all_of = "[{type: NameSelector, nameSelector: {namespace: shop}}]";
    let one = [
        mk_federated("one", "one", "two", &["apps"]),
        mk_peer("two", "one", "two", "one-egress"),
        mk_set("ImportedServiceSet", "two", "one", all_of),
    ];
    let two = [
        mk_federated("two", "two", "one", &["shop"]),
        mk_peer("one", "two", "one", "two-egress"),
        mk_set("ExportedServiceSet", "one", "two", "[{type: NameSelector, nameSelector: {namespace: shop, name: x}}]"),
    ];
    let imported = imported(&[("a/m.yaml", one.join("---\n")), ("b/m.yaml", two.join("---\n"))]);
    assert_eq!(
        places(&imported, "ServiceMeshPeer"),
        ["ServiceMeshPeer/one/two meshes/one/peers/two.yaml", "ServiceMeshPeer/two/one meshes/two/peers/one.yaml"]
    );
    assert_eq!(
        places(&imported, "ServiceSet"),
        ["ImportedServiceSet/one/two meshes/one/manifests/m.yaml", "ExportedServiceSet/two/one meshes/two/peers/one.yaml"]
    );
    let (_, found) = load(&imported.files);
    assert_eq!(found, []);
}

#[test]
fn what_a_peer_says_tells_two_meshes_in_namespaces_of_one_name_apart() {
    let split = "# mine\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x, namespace: shop}\nspec:\n  hosts: [y]\n  \
                 http: [{route: [{destination: {host: y.shop.svc.two-imports.local}}]}]\n";
    let system = "istio-system";
    let files = [
        ("one.yaml", mk_federated("one", system, "two", &["shop"])),
        ("two.yaml", mk_federated("two", system, "one", &["shop"])),
        ("a.yaml", mk_peer("one", system, system, "two-egress")),
        ("b.yaml", mk_peer("two", system, system, "one-egress")),
        ("c.yaml", mk_set("ExportedServiceSet", "one", system, "[{type: NameSelector, nameSelector: {namespace: shop}}]")),
        ("d.yaml", split.to_owned()),
    ];
    let imported = imported(&files);
    let of = |part: &str| {
        imported.objects.iter().filter(|object| object.name.contains(part)).map(|object| object.mesh.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("ServiceMeshPeer"), of("ExportedServiceSet"), of("VirtualService")),
        (vec!["two".into(), "one".into()], vec!["two".into()], vec!["one".into()])
    );
    assert!(!messages(&imported).iter().any(|message| message.contains("own trust domain")), "{:#?}", messages(&imported));
}

#[test]
fn a_roll_that_may_be_any_meshs_gives_members_to_none() {
    let roll =
        "apiVersion: maistra.io/v1\nkind: ServiceMeshMemberRoll\nmetadata: {name: default}\nspec: {members: [NAMESPACE]}\n";
    let files = [
        ("one.yaml", mk_mesh("one", Some("one.local"), &["apps"])),
        ("two.yaml", mk_mesh("two", Some("two.local"), &["shop"])),
        ("roll.yaml", roll.to_owned()),
    ];
    let imported = imported(&files);
    assert!(!imported.files["meshes/one/mesh.yaml"].contains("NAMESPACE"), "{}", imported.files["meshes/one/mesh.yaml"]);
    assert_eq!(
        messages(&imported),
        [
            "roll.yaml:3:18: warning[MF010]: nothing says which mesh it belongs to: one, two (it names no namespace: write the one into which it is applied with -n)"
        ]
    );
}

#[test]
fn a_template_is_one_finding_and_keeps_its_other_mistakes() {
    let peer = mk_peer("two", "one", "two", "one-egress").replace("two.local/ns/two/", "tow.local/ns/two/");
    let template = peer.replace(
        "remote: {addresses: [192.0.2.1]}",
        "remote:\n    discoveryPort: {{ .Port }}\n    addresses:\n    - {{ .Address }}",
    );
    let files = [("m.yaml", mk_federated("one", "one", "two", &["apps"])), ("p.yaml", template)];
    let found = messages(&imported(&files));
    let [gaps, other] = found.as_slice() else { panic!("{found:#?}") };
    assert!(
        gaps.starts_with("p.yaml:6:20: error[MF001]: `{{ .Port }}` was never filled in, nor one more gap below it"),
        "{gaps}"
    );
    assert!(
        other.starts_with("p.yaml:10:48: error[MF021]: `tow.local/ns/two/sa/one-egress-service-account` is not in"),
        "{other}"
    );
}

#[test]
fn a_control_plane_that_was_never_filled_in_is_no_mesh() {
    let plane = mk_federated("one", "$SYSTEM", "two", &["apps"]);
    let texts = BTreeMap::from([("m.yaml".to_owned(), plane)]);
    let inputs = Inputs { texts: &texts, repository: &BTreeMap::new(), mesh: None, adapt: false };
    let Err(Nothing::NoControlPlane { found, template: true }) = import(inputs) else { panic!("there is no mesh") };
    assert!(found.iter().any(|finding| finding.message == "`$SYSTEM` was never filled in"), "{found:#?}");
}

#[test]
fn what_no_document_has_is_nothing_to_mend() {
    let peer = |of: &str, other: &str| mk_peer(of, other, of, &format!("{other}-egress")).replace("192.0.2.1", "'<ADDRESS>'");
    let files = [
        ("a/m.yaml", format!("{}---\n{}", mk_federated("one", "one", "two", &[]), peer("two", "one"))),
        ("b/m.yaml", format!("{}---\n{}", mk_federated("two", "two", "one", &[]), peer("one", "two"))),
    ];
    let found = messages(&imported(&files));
    let nothing = "warning[MF021]: `<ADDRESS>` was never filled in (nothing to do: it is in no document, for the peer's agent publishes its own)";
    assert!(found.len() == 2 && found.iter().all(|message| message.ends_with(nothing)), "{found:#?}");
}

#[test]
fn a_kustomization_that_changes_nothing_is_no_news() {
    let lists = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [m.yaml]\n";
    let mesh = mk_mesh("one", Some("one.local"), &["apps"]);
    let told = |text: String| messages(&imported(&[("kustomization.yaml", text), ("m.yaml", mesh.clone())]));
    assert_eq!(told(lists.to_owned()), Vec::<String>::new());
    assert_eq!(told(format!("{lists}namePrefix: x-\n")).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_documents_derive_comes_back_as_documents(repo in federations()) {
        let federation = repo.valid();
        let given: BTreeMap<String, Vec<Value>> =
            federation.meshes.keys().map(|me| (me.clone(), objects(&federation, me))).collect();
        let imported = run(&texts(&given), false);
        let kept: Vec<&Object> = imported.objects.iter().filter(|object| !matches!(object.fate, Fate::Document { .. })).collect();
        prop_assert!(kept.is_empty(), "{kept:#?}");
        let (again, found) = load(&imported.files);
        let errors: Vec<String> = found.iter().filter(|f| f.severity == crate::model::Severity::Error).map(ToString::to_string).collect();
        prop_assert!(errors.is_empty(), "{errors:#?}");
        for (me, objects) in &given {
            let domain = &federation.mesh(me).unwrap().trust_domain.value;
            let mesh = again.meshes.values().filter_map(|folder| folder.mesh.as_ref()).find(|mesh| *mesh.trust_domain == *domain).unwrap();
            // Facts are by the meshes' names, which nobody may have said.
            if mesh.name == *me {
                prop_assert_eq!(&super::tests::objects(&again, me), objects);
            }
        }
        nothing_is_lost(&given, &imported);
    }

    #[test]
    fn whatever_is_done_to_the_objects_each_is_found_again(
        repo in federations(),
        done in prop::collection::vec((any::<prop::sample::Index>(), any::<usize>(), 0u8..3), 1..6),
    ) {
        let federation = repo.valid();
        let mut given: BTreeMap<String, Vec<Value>> =
            federation.meshes.keys().map(|me| (me.clone(), objects(&federation, me))).collect();
        for (which, at, how) in done {
            let mut all: Vec<&mut Value> = given.values_mut().flatten().collect();
            let object = which.get(&(0..all.len()).collect::<Vec<_>>()).to_owned();
            let part = if all[object].get("spec").is_some() { "spec" } else { "data" };
            if let Some(part) = all[object].get_mut(part) {
                damage(part, at, how);
            }
        }
        let imported = run(&texts(&given), false);
        nothing_is_lost(&given, &imported);
    }
}
