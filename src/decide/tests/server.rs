//! As much of an API server as a decision can tell from a real one: server-side apply with owners, versions and conflicts.
//! Lists are one unit here; lists with keys are tested in `compare` and against a real server.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::decide::LiveObjects;
use crate::object::{FIELD_MANAGER, Key, Live, Object};

/// The objects of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Server {
    objects: BTreeMap<Key, Value>,
    writes: u64,
    /// What was read last, of which only what changed is made anew.
    read: RefCell<LiveObjects>,
    /// The time that it stamps on what is applied.
    pub now: Timestamp,
}

impl Server {
    /// All objects as the watches would give them.
    pub fn live(&self) -> LiveObjects {
        let mut read = self.read.borrow_mut();
        let now: LiveObjects = self.objects.iter().map(|(key, value)| (key.clone(), as_read(value, read.get(key)))).collect();
        read.clone_from(&now);
        now
    }

    /// All objects of one kind.
    pub fn of_kind(&self, kind: (&str, &str)) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter().filter(move |(key, _)| *key.kind == *kind.1)
    }

    /// How often anything was written.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    /// Names of all objects that our field manager has fields in.
    pub fn ours(&self) -> Vec<String> {
        self.objects.iter().filter(|(_, value)| owns(value, FIELD_MANAGER)).map(|(key, _)| key.to_string()).collect()
    }

    /// Finds an object by how people write it: `Kind/namespace/name`.
    pub fn named(&self, name: &str) -> &Value {
        let found = self.objects.iter().find(|(key, _)| key.to_string() == name);
        found.unwrap_or_else(|| panic!("no {name}")).1
    }

    fn key(&self, name: &str) -> Key {
        self.objects.keys().find(|key| key.to_string() == name).unwrap_or_else(|| panic!("no {name}")).clone()
    }

    /// Somebody else makes an object.
    pub fn create(&mut self, mut value: Value, manager: &str) {
        let fields = fields_of(&value);
        self.writes += 1;
        value["metadata"]["uid"] = json!(format!("uid-{}", self.writes));
        value["metadata"]["resourceVersion"] = json!(self.writes.to_string());
        value["metadata"]["managedFields"] = json!([entry(manager, "Update", &fields)]);
        let key = Live::new(&value).unwrap().key;
        self.objects.insert(key, value);
    }

    /// Somebody takes an object away.
    pub fn remove(&mut self, name: &str) {
        let key = self.key(name);
        self.objects.remove(&key);
        self.writes += 1;
    }

    /// A controller writes status.
    pub fn status(&mut self, key: &Key, status: Value) {
        if let Some(value) = self.objects.get_mut(key)
            && value.get("status") != Some(&status)
        {
            value["status"] = status;
            bump(value, &mut self.writes);
        }
    }

    /// Somebody writes one field, as `kubectl edit` (`Update`) or `kubectl apply --server-side --force-conflicts` (`Apply`) do.
    pub fn edit(&mut self, name: &str, pointer: &str, to: Value, manager: &str, operation: &str) {
        let key = self.key(name);
        let value = self.objects.get_mut(&key).unwrap();
        let path: Vec<String> = pointer.trim_start_matches('/').split('/').map(|part| part.replace("~1", "/")).collect();
        let mut tree = json!({});
        for part in path.iter().rev() {
            tree = json!({format!("f:{part}"): tree});
        }
        if let Some(entries) = value["metadata"]["managedFields"].as_array_mut() {
            for entry in entries.iter_mut() {
                prune(&mut entry["fieldsV1"], &path);
            }
            entries.push(entry(manager, operation, &tree));
        }
        let mut place = &mut *value;
        for part in &path {
            place = &mut place[part.as_str()];
        }
        *place = to;
        bump(value, &mut self.writes);
    }

    /// Server-side apply under our field manager.
    pub fn apply(&mut self, object: &Object, force: bool) -> Result<(), String> {
        let wanted = object.value();
        let Some(live) = self.objects.get_mut(&object.key) else {
            self.create(wanted.clone(), "nobody");
            let value = self.objects.get_mut(&object.key).unwrap();
            value["metadata"]["managedFields"] = json!([entry(FIELD_MANAGER, "Apply", &fields_of(&wanted))]);
            value["metadata"]["managedFields"][0]["time"] = json!(self.now.to_string());
            return Ok(());
        };
        let before = live.clone();
        let entries = live["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let (mine, mut others): (Vec<Value>, Vec<Value>) =
            entries.into_iter().partition(|entry| entry["manager"] == FIELD_MANAGER);
        for (path, value) in leaves(&wanted) {
            let there = at(live, &path);
            let foreign = others.iter().find(|entry| tree_has(&entry["fieldsV1"], &path));
            if let (Some(foreign), true) = (foreign, there != Some(&value)) {
                if !force {
                    return Err(format!("conflict with {} over {}", foreign["manager"], path.join(".")));
                }
                others.iter_mut().for_each(|entry| prune(&mut entry["fieldsV1"], &path));
            }
            set(live, &path, value);
        }
        let now = leaves(&wanted);
        for path in mine.iter().flat_map(|entry| tree_leaves(&entry["fieldsV1"])) {
            if !now.contains_key(&path) && !others.iter().any(|entry| tree_has(&entry["fieldsV1"], &path)) {
                unset(live, &path);
            }
        }
        let fields = fields_of(&wanted);
        if fields != json!({}) {
            let mut ours = entry(FIELD_MANAGER, "Apply", &fields);
            ours["time"] = mine.first().map_or(Value::Null, |entry| entry["time"].clone());
            others.push(ours);
        }
        live["metadata"]["managedFields"] = json!(others);
        if *live != before {
            bump(live, &mut self.writes);
            let entries = live["metadata"]["managedFields"].as_array_mut().unwrap();
            let ours = entries.iter_mut().filter(|entry| entry["manager"] == FIELD_MANAGER);
            ours.for_each(|entry| entry["time"] = json!(self.now.to_string()));
        }
        Ok(())
    }

    /// Our fields go, the object stays.
    pub fn release(&mut self, key: &Key) {
        let Some(value) = self.objects.get(key) else { return };
        let document = json!({"apiVersion": value["apiVersion"], "kind": value["kind"],
            "metadata": {"name": key.name, "namespace": key.namespace}});
        let empty = Object {
            kind: crate::object::Kind::new(value["apiVersion"].as_str().unwrap(), value["kind"].as_str().unwrap()),
            key: key.clone(),
            body: document.to_string().into_bytes().into(),
            digest: "".into(),
            source: "".into(),
        };
        self.apply(&empty, false).unwrap();
    }

    /// Whether the control plane would hang if this object went: a peer to which services are still exported.
    pub fn would_hang(&self, key: &Key) -> bool {
        let set = self.objects.iter().find(|(other, _)| *other.kind == *"ExportedServiceSet" && other.name == key.name);
        let rules = set.and_then(|(_, set)| set.pointer("/spec/exportRules")?.as_array());
        *key.kind == *"ServiceMeshPeer" && rules.is_some_and(|rules| !rules.is_empty())
    }

    /// Deletes exactly what was seen.
    pub fn delete(&mut self, live: &Live) {
        if self.objects.get(&live.key).is_some_and(|value| value["metadata"]["uid"] == *live.uid) {
            self.objects.remove(&live.key);
            self.writes += 1;
        }
    }
}

fn as_read(value: &Value, before: Option<&Arc<Live>>) -> Arc<Live> {
    let same = before.filter(|live| value["metadata"]["resourceVersion"] == *live.resource_version);
    same.map_or_else(|| Arc::new(Live::new(value).unwrap()), Arc::clone)
}

fn bump(value: &mut Value, writes: &mut u64) {
    *writes += 1;
    value["metadata"]["resourceVersion"] = json!(writes.to_string());
}

fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": operation, "fieldsV1": fields})
}

fn owns(value: &Value, manager: &str) -> bool {
    value["metadata"]["managedFields"].as_array().is_some_and(|entries| entries.iter().any(|entry| entry["manager"] == manager))
}

type Leaves = BTreeMap<Vec<String>, Value>;

/// Every field that is no mapping, or an empty one, without what identifies the object.
fn leaves(value: &Value) -> Leaves {
    fn walk(value: &Value, path: &mut Vec<String>, out: &mut Leaves) {
        match value.as_object().filter(|fields| !fields.is_empty()) {
            Some(fields) => {
                for (key, value) in fields {
                    path.push(key.clone());
                    walk(value, path, out);
                    path.pop();
                }
            }
            None => {
                out.insert(path.clone(), value.clone());
            }
        }
    }
    let mut out = Leaves::new();
    walk(value, &mut Vec::new(), &mut out);
    let system =
        ["apiVersion", "kind", "status", "metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion"];
    out.retain(|path, _| !system.contains(&path.join(".").as_str()) && path.first().map(String::as_str) != Some("status"));
    out
}

fn fields_of(value: &Value) -> Value {
    let mut tree = json!({});
    for path in leaves(value).into_keys() {
        let mut place = &mut tree;
        for part in &path {
            place = place.as_object_mut().unwrap().entry(format!("f:{part}")).or_insert_with(|| json!({}));
        }
    }
    tree
}

fn tree_leaves(tree: &Value) -> Vec<Vec<String>> {
    fn walk(tree: &Map<String, Value>, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
        for (key, value) in tree {
            path.push(key.trim_start_matches("f:").to_owned());
            match value.as_object().filter(|fields| !fields.is_empty()) {
                Some(fields) => walk(fields, path, out),
                None => out.push(path.clone()),
            }
            path.pop();
        }
    }
    let mut out = Vec::new();
    walk(tree.as_object().unwrap(), &mut Vec::new(), &mut out);
    out
}

fn tree_has(tree: &Value, path: &[String]) -> bool {
    tree_leaves(tree).iter().any(|leaf| path.starts_with(leaf))
}

fn prune(tree: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(fields) = tree.as_object_mut() else { return };
    let key = format!("f:{first}");
    if rest.is_empty() {
        fields.remove(&key);
    } else if let Some(below) = fields.get_mut(&key) {
        prune(below, rest);
        if below.as_object().is_some_and(Map::is_empty) {
            fields.remove(&key);
        }
    }
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, part| value.get(part))
}

fn set(value: &mut Value, path: &[String], to: Value) {
    let mut place = value;
    for part in path {
        place = &mut place[part.as_str()];
    }
    *place = to;
}

fn unset(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    let Some(fields) = value.as_object_mut() else { return };
    if rest.is_empty() {
        fields.remove(first);
    } else if let Some(below) = fields.get_mut(first) {
        unset(below, rest);
        if below.as_object().is_some_and(Map::is_empty) {
            fields.remove(first);
        }
    }
}
