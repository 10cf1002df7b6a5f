//! Nothing is lost: what documents derive is imported into documents that derive the same, and whatever is done to the objects, each is
//! found again.

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
    let refused = "one meshes/one/manifests/not-applied/x.yaml the agent refuses it (MF010): `apps` is no namespace of one, neither \
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
    let plane = "x meshes/x/manifests/m.yaml a Mesh cannot say it: `spec.trustDomain` is missing. Until one can, the agent does \
                 nothing for x";
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
