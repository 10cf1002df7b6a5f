//! What export and import rules select (maistra/istio, pkg/servicemesh/federation/common/exports.go and imports.go).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::text;

/// The domain of a cluster's own services; the lab's clusters all have the default.
pub const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// A Service of a cluster, as far as rules look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalService {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels; rules never look at those of pods.
    pub labels: BTreeMap<String, String>,
}

/// A service under the name that a peer gets to see.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Offer {
    /// `<name>.<namespace>.svc.<exporter's name for the importer>-exports.local`.
    pub exported_name: String,
    /// The name it is exported under.
    pub name: String,
    /// The namespace it is exported under.
    pub namespace: String,
}

/// An offer with the service behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// What the peer sees.
    pub offer: Offer,
    /// What it is here.
    pub service: LocalService,
}

impl Export {
    /// As in `status.exportedServices` of an `ExportedServiceSet`.
    pub fn status(&self) -> Value {
        let LocalService { name, namespace, labels: _ } = &self.service;
        json!({
            "exportedName": self.offer.exported_name,
            "localService": { "name": name, "namespace": namespace, "hostname": format!("{name}.{namespace}.{CLUSTER_DOMAIN}") },
        })
    }
}

/// The services of `services` that the rules of an `ExportedServiceSet` export to `peer`: the first rule that matches wins.
pub fn exports(rules: &Value, services: &[LocalService], peer: &str) -> Vec<Export> {
    let rules = list(rules);
    let named = services.iter().filter_map(|service| {
        let (namespace, name) = rules.iter().find_map(|rule| exported_as(rule, service))?;
        let exported_name = format!("{name}.{namespace}.svc.{peer}-exports.local");
        Some(Export { offer: Offer { exported_name, name, namespace }, service: service.clone() })
    });
    named.collect()
}

/// Namespace and name that one rule exports a service under; `None` when it does not match, or says nothing that can match.
fn exported_as(rule: &Value, service: &LocalService) -> Option<(String, String)> {
    match text(rule, "/type") {
        "NameSelector" => by_name(rule.get("nameSelector")?, &service.namespace, &service.name),
        "LabelSelector" => {
            let selector = rule.get("labelSelector")?;
            let here = any(text(selector, "/namespace"), &service.namespace);
            if !here || !labels_match(selector.get("selector").unwrap_or(&Value::Null), &service.labels) {
                return None;
            }
            let aliases = list(selector.get("aliases").unwrap_or(&Value::Null));
            let alias = aliases.iter().find_map(|alias| by_name(alias, &service.namespace, &service.name));
            Some(alias.unwrap_or_else(|| (service.namespace.clone(), service.name.clone())))
        }
        _ => None,
    }
}

/// A name selector with its alias; `""` and `"*"` match anything, and in an alias keep what there is. No other globs.
fn by_name(selector: &Value, namespace: &str, name: &str) -> Option<(String, String)> {
    let matches = any(text(selector, "/namespace"), namespace) && any(text(selector, "/name"), name);
    matches.then(|| (renamed(text(selector, "/alias/namespace"), namespace), renamed(text(selector, "/alias/name"), name)))
}

fn any(pattern: &str, value: &str) -> bool {
    is_any(pattern) || pattern == value
}

fn is_any(pattern: &str) -> bool {
    matches!(pattern, "" | "*")
}

fn renamed(alias: &str, original: &str) -> String {
    if is_any(alias) { original.to_owned() } else { alias.to_owned() }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether a Kubernetes label selector matches; an empty one matches everything.
pub fn labels_match(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let wanted = selector.get("matchLabels").and_then(Value::as_object);
    let exact =
        wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str()));
    let expressions = list(selector.get("matchExpressions").unwrap_or(&Value::Null));
    exact
        && expressions.iter().all(|expression| {
            let value = labels.get(text(expression, "/key"));
            let listed = || {
                let values = list(expression.get("values").unwrap_or(&Value::Null));
                value.is_some_and(|value| values.iter().any(|one| one.as_str() == Some(value)))
            };
            match text(expression, "/operator") {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// `status.importedServices` for what `peer` offers, by the spec of an `ImportedServiceSet`; what no rule matches is listed with nothing local.
pub fn imports(spec: &Value, offers: &[Offer], peer: &str) -> Vec<Value> {
    let rules = list(spec.get("importRules").unwrap_or(&Value::Null));
    let suffix = text(spec, "/domainSuffix");
    let imported = offers.iter().map(|offer| {
        let local = rules.iter().find_map(|rule| imported_as(rule, suffix, offer, peer));
        let (name, namespace, hostname) = local.unwrap_or_default();
        json!({ "exportedName": offer.exported_name, "localService": { "name": name, "namespace": namespace, "hostname": hostname } })
    });
    imported.collect()
}

/// Name, namespace and host name that one rule imports a service under.
fn imported_as(rule: &Value, suffix: &str, offer: &Offer, peer: &str) -> Option<(String, String, String)> {
    if text(rule, "/type") != "NameSelector" {
        return None;
    }
    let selector = rule.get("nameSelector")?;
    let suffix = if text(rule, "/domainSuffix").is_empty() { suffix } else { text(rule, "/domainSuffix") };
    let local = rule.get("importAsLocal").and_then(Value::as_bool).unwrap_or(false);
    // Both are skipped with a line in the log: a service cannot become a local one unless its namespace is fixed, nor by its suffix alone.
    if (local && is_any(text(selector, "/alias/namespace"))) || suffix == CLUSTER_DOMAIN {
        return None;
    }
    let (namespace, name) = by_name(selector, &offer.namespace, &offer.name)?;
    let hostname = match (local, suffix) {
        (true, _) => format!("{name}.{namespace}.{CLUSTER_DOMAIN}"),
        (false, "") => format!("{name}.{namespace}.svc.{peer}-imports.local"),
        (false, suffix) => format!("{name}.{namespace}.{suffix}"),
    };
    Some((name, namespace, hostname))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(namespace: &str, name: &str, labels: &[(&str, &str)]) -> LocalService {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        LocalService { name: name.to_owned(), namespace: namespace.to_owned(), labels }
    }

    fn exported(rules: &Value, services: &[LocalService]) -> Vec<String> {
        exports(rules, services, "west").into_iter().map(|export| export.offer.exported_name).collect()
    }

    #[test]
    fn the_first_export_rule_that_matches_names_the_service() {
        let rules = json!([
            { "type": "Bogus", "nameSelector": { "name": "details" } },
            { "type": "NameSelector", "nameSelector": { "namespace": "stg", "name": "details", "alias": { "namespace": "prod", "name": "details-v2" } } },
            { "type": "NameSelector", "nameSelector": { "namespace": "*", "name": "details", "alias": { "name": "*" } } },
            { "type": "NameSelector", "nameSelector": { "name": "rat*" } },
        ]);
        let services = [service("stg", "details", &[]), service("dev", "details", &[]), service("stg", "ratings", &[])];
        assert_eq!(exported(&rules, &services), ["details-v2.prod.svc.west-exports.local", "details.dev.svc.west-exports.local"]);
    }

    #[test]
    fn a_label_selector_reads_the_labels_of_services_and_the_list_of_aliases() {
        let rules = json!([{ "type": "LabelSelector", "labelSelector": {
            "namespace": "stg",
            "selector": { "matchLabels": { "export": "yes" }, "matchExpressions": [{ "key": "tier", "operator": "NotIn", "values": ["db"] }] },
            "alias": { "name": "never-read" },
            "aliases": [{ "name": "a", "alias": { "name": "b" } }, { "alias": { "namespace": "prod" } }],
        } }]);
        let services = [
            service("stg", "a", &[("export", "yes")]),
            service("stg", "c", &[("export", "yes")]),
            service("stg", "d", &[("export", "yes"), ("tier", "db")]),
            service("dev", "e", &[("export", "yes")]),
        ];
        assert_eq!(exported(&rules, &services), ["b.stg.svc.west-exports.local", "c.prod.svc.west-exports.local"]);
    }

    #[test]
    fn imports_are_local_or_remote_or_merely_offered() {
        let offer = |name: &str| Offer {
            exported_name: format!("{name}.prod.svc.x-exports.local"),
            name: name.to_owned(),
            namespace: "prod".to_owned(),
        };
        let spec = json!({ "importRules": [
            { "type": "NameSelector", "importAsLocal": true, "nameSelector": { "name": "a" } },
            { "type": "NameSelector", "importAsLocal": true, "nameSelector": { "name": "a", "alias": { "namespace": "shop" } } },
            { "type": "NameSelector", "nameSelector": { "name": "b", "alias": { "name": "b2" } } },
            { "type": "NameSelector", "domainSuffix": "west.example", "nameSelector": { "name": "c" } },
        ] });
        let hosts: Vec<_> = imports(&spec, &["a", "b", "c", "d"].map(offer), "west")
            .iter()
            .map(|import| text(import, "/localService/hostname").to_owned())
            .collect();
        assert_eq!(hosts, ["a.shop.svc.cluster.local", "b2.prod.svc.west-imports.local", "c.prod.west.example", ""]);
    }
}
