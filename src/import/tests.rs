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

/// That each object is derived from a document, stands unchanged in a manifest, or cannot be in the repository.
fn nothing_is_lost(given: &BTreeMap<String, Vec<Value>>, imported: &Imported) {
    let (federation, _) = load(&imported.files);
    let mut fates = imported.objects.iter();
    for (folder, objects) in given {
        for object in objects {
            let Object { name, path, mesh, fate, .. } = fates.next().unwrap();
            assert_eq!(*path, format!("{folder}/all.yaml"));
            match fate {
                Fate::Document { .. } => {
                    let derived = objects_by_name(&federation, mesh);
                    let again = derived.get(name).unwrap_or_else(|| panic!("{name} of {mesh} is gone: {:#?}", derived.keys()));
                    assert_eq!(differences(object, again, &["data[root-cert.pem]", "spec.remote"]), [], "{name} of {mesh}");
                }
                Fate::Manifest { path, .. } => {
                    let text = format!("# mine\n{}", serde_saphyr::to_string(object).unwrap());
                    // Of two with one name the one that says more stands for both.
                    let manifests = federation.meshes.get(mesh).into_iter().flat_map(|folder| &folder.manifests);
                    let twins = manifests.filter(|manifest| manifest.object.key.to_string() == *name);
                    let said = twins.map(|twin| differences(object, &twin.object.value(), &[])).any(|lost| lost.is_empty());
                    assert!(said || imported.files[path].contains(&text), "{name} is not in {path}");
                }
                Fate::LeftOut { reason } => {
                    assert!(reason.contains("namespace") || reason.starts_with("a Mesh cannot say it"), "{name}: {reason}");
                }
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
        adapt in Just(false),
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
        let imported = run(&texts(&given), adapt);
        nothing_is_lost(&given, &imported);
    }
}
