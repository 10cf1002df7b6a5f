//! What goes on in the clusters beside the agents: clouds give addresses, operators make Services, control planes connect.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Sim;
use crate::derive::kinds;
use crate::object::Key;

impl Sim {
    /// Routes to imported services that nobody answers: each request there is a 503.
    pub fn unanswered(&self) -> Vec<String> {
        let mut unanswered = Vec::new();
        for (me, site) in &self.sites {
            let sets = site.server.of_kind(kinds::IMPORTED);
            let imported = sets.flat_map(|(key, set)| self.imported(me, &key.name, set));
            let hosts: BTreeSet<String> =
                imported.filter_map(|service| Some(service["localService"]["hostname"].as_str()?.to_owned())).collect();
            for (key, route) in site.server.of_kind(kinds::VIRTUAL_SERVICE) {
                let spec = route["spec"].to_string();
                let routed = spec.split('"').filter(|text| text.ends_with("-imports.local") && !hosts.contains(*text));
                unanswered.extend(routed.map(|host| format!("{me}: {key} routes to {host}")));
            }
        }
        unanswered
    }

    /// The clouds and control planes: addresses for gateways, connections, exports and imports in status.
    pub fn operate(&mut self) {
        let names: Vec<String> = self.sites.keys().cloned().collect();
        for (number, name) in names.iter().enumerate() {
            let namespace = self.sites[name].namespace.clone();
            for (_, control_plane) in self.all(name, kinds::CONTROL_PLANE) {
                self.gateways(name, number, &namespace, &control_plane);
            }
            for (key, value) in self.all(name, kinds::PEER) {
                let status = self.discovery(name, &key.name, &value);
                self.site(name).server.status(&key, status);
            }
            for (key, value) in self.all(name, kinds::EXPORTED) {
                self.site(name).server.status(&key, json!({"exportedServices": services(&value)}));
            }
            for (key, value) in self.all(name, kinds::IMPORTED) {
                let imported = self.imported(name, &key.name, &value);
                self.site(name).server.status(&key, json!({"importedServices": imported}));
            }
        }
    }

    fn all(&self, mesh: &str, kind: (&str, &str)) -> Vec<(Key, Value)> {
        self.sites[mesh].server.of_kind(kind).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// What `istiod` says of a peer.
    fn discovery(&self, me: &str, peer: &str, object: &Value) -> Value {
        let link = (me.to_owned(), peer.to_owned());
        let up = object.pointer("/spec/remote/addresses").is_some() && !self.cut.contains(&link);
        let watch = if up {
            json!({"connected": true, "lastFullSync": self.synced(&link)})
        } else {
            json!({"connected": false, "lastDisconnectStatus": "503 Service Unavailable"})
        };
        let pod = json!([{"pod": "istiod", "watch": watch, "remotes": [{"connected": self.watches(peer, me)}]}]);
        let status = if up { json!({"active": pod}) } else { json!({"active": [], "inactive": pod}) };
        json!({"discoveryStatus": status})
    }

    /// Whether the control plane of a mesh has what it needs to watch that of its peer.
    fn watches(&self, me: &str, peer: &str) -> bool {
        let object = self.sites.get(me).and_then(|site| {
            let namespace = &self.federation.mesh(me)?.namespace;
            site.server.get(&kinds::key(kinds::PEER, namespace, peer))
        });
        object.is_some_and(|object| object.pointer("/spec/remote/addresses").is_some())
    }

    /// What goes on by itself while time goes by: watches that are connected make their full synchronisations.
    pub(super) fn synchronise(&mut self, mesh: &str) {
        for (key, mut peer) in self.all(mesh, kinds::PEER) {
            let synced = self.synced(&(mesh.to_owned(), key.name.to_string()));
            if let Some(watch) = peer.pointer_mut("/status/discoveryStatus/active/0/watch") {
                watch["lastFullSync"] = json!(synced);
                self.site(mesh).server.status(&key, peer["status"].take());
            }
        }
    }

    /// The last full synchronisation: a control plane makes one a minute.
    fn synced(&self, link: &(String, String)) -> String {
        let now = self.frozen.get(link).copied().unwrap_or(self.now);
        Timestamp::from_second(now.as_second() / 60 * 60).unwrap().to_string()
    }

    fn gateways(&mut self, mesh: &str, number: usize, namespace: &str, control_plane: &Value) {
        let names = |side: &str| -> Vec<String> {
            let gateways = control_plane.pointer(&format!("/spec/gateways/{side}")).and_then(Value::as_object);
            gateways.into_iter().flat_map(|gateways| gateways.keys().cloned()).collect()
        };
        let (ingress, egress) = (names("additionalIngress"), names("additionalEgress"));
        for (i, name) in ingress.iter().chain(&egress).enumerate() {
            let key = kinds::key(kinds::SERVICE, namespace, name);
            if self.site(mesh).server.get(&key).is_some() {
                continue;
            }
            let labels = json!({"maistra.io/owner": namespace});
            let metadata = json!({"name": name, "namespace": namespace, "labels": labels});
            self.site(mesh).server.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata}), "operator");
            if i < ingress.len() {
                let address = json!([{"ip": format!("20.{number}.{}.1", self.balancers)}]);
                self.balancers += 1;
                self.site(mesh).server.status(&key, json!({"loadBalancer": {"ingress": address}}));
            }
        }
        for (key, service) in self.all(mesh, kinds::SERVICE) {
            let ours = service["metadata"]["labels"]["maistra.io/owner"] == *namespace;
            if ours && !ingress.iter().chain(&egress).any(|name| **name == *key.name) {
                self.site(mesh).server.remove(&key.to_string());
            }
        }
    }

    /// What the peer exports now, and what this set's rules make of it.
    fn imported(&self, me: &str, peer: &str, set: &Value) -> Vec<Value> {
        let theirs = self.sites.get(peer).and_then(|site| site.server.get(&kinds::key(kinds::EXPORTED, &site.namespace, me)));
        let offered = theirs.map(exported).unwrap_or_default();
        let rules = set["spec"]["importRules"].as_array().cloned().unwrap_or_default();
        let hosts = offered.iter().map(|name| {
            let parts: Vec<&str> = name.splitn(3, '.').collect();
            let rule = rules.iter().map(|rule| &rule["nameSelector"]).find(|rule| {
                (rule["name"] == parts[0] || rule["name"] == "*") && (rule["namespace"] == parts[1] || rule["namespace"] == "*")
            });
            let hostname = rule.map(|rule| {
                let part = |field: &str, i: usize| rule["alias"][field].as_str().unwrap_or(parts[i]).to_owned();
                format!("{}.{}.svc.{peer}-imports.local", part("name", 0), part("namespace", 1))
            });
            let exported = format!("{}.{}.svc.{peer}-exports.local", parts[0], parts[1]);
            json!({"exportedName": exported, "localService": {"hostname": hostname.unwrap_or_default()}})
        });
        hosts.collect()
    }
}

/// Exported names of the rules with a name, as the status gives them.
fn exported(set: &Value) -> Vec<String> {
    services(set).iter().filter_map(|service| service["exportedName"].as_str().map(str::to_owned)).collect()
}

fn services(set: &Value) -> Vec<Value> {
    let peer = set["metadata"]["name"].as_str().unwrap_or_default();
    let rules = set["spec"]["exportRules"].as_array().cloned().unwrap_or_default();
    let name = |rule: &Value| {
        let selector = &rule["nameSelector"];
        let shown = selector.get("alias").unwrap_or(selector);
        let name = format!("{}.{}.svc.{peer}-exports.local", shown["name"].as_str()?, shown["namespace"].as_str()?);
        let local = json!({"name": selector["name"], "namespace": selector["namespace"]});
        Some(json!({"exportedName": name, "localService": local}))
    };
    rules.iter().filter_map(name).collect()
}
