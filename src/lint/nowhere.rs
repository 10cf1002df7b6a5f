//! Services and subsets that documents name and that are nowhere to be found, where `manifests/` has others of their kind beside them. It need
//! not have any: applications usually come from elsewhere.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::names::closest;
use crate::model::{Code, Destination, Diagnostic, Export, Federation, MeshFolder, Traffic};

pub(super) fn check(federation: &Federation, found: &mut Vec<Diagnostic>) {
    for folder in federation.meshes.values().filter(|folder| folder.mesh.is_some()) {
        services(folder, found);
        for traffic in folder.traffic.values() {
            subsets(folder, traffic, found);
        }
    }
}

/// Exported services that are not among the Services of their namespace, where the repository has some.
fn services(folder: &MeshFolder, found: &mut Vec<Diagnostic>) {
    let keys = folder.manifests.iter().map(|manifest| &manifest.object.key);
    let services: Vec<_> = keys.filter(|key| key.group.is_empty() && &*key.kind == "Service").collect();
    for peer in folder.peers.values() {
        for export in &peer.exports {
            let Export::Service { service, .. } = export else { continue };
            let names: Vec<&str> = services
                .iter()
                .filter(|key| key.namespace.as_deref() == Some(&service.namespace))
                .map(|key| &*key.name)
                .collect();
            if !names.is_empty() && !names.contains(&service.name.as_str()) {
                let message = format!("`{}` is not among the Services that `manifests/` has of its namespace", **service);
                let help = closest(&service.name, &names);
                found.push(Diagnostic::warning(&peer.path, service.span, Code::Suspicious, message, help));
            }
        }
    }
}

/// Subsets without an endpoint, where workloads of the service are there.
fn subsets(folder: &MeshFolder, traffic: &Traffic, found: &mut Vec<Diagnostic>) {
    let service = &*traffic.service;
    let objects: Vec<Value> = folder
        .manifests
        .iter()
        .map(|manifest| &manifest.object)
        .filter(|object| object.key.namespace.as_deref() == Some(&service.namespace))
        .map(|object| object.value())
        .collect();
    let is_it = |object: &&Value| object["kind"] == "Service" && object["metadata"]["name"] == *service.name;
    let Some(selector) = objects.iter().find(is_it).map(|service| labels(&service["spec"]["selector"])) else { return };
    let pods = objects.iter().map(|object| labels(&object["spec"]["template"]["metadata"]["labels"]));
    let pods: Vec<Labels> = pods.filter(|pod| !selector.is_empty() && has(pod, &selector)).collect();
    for route in traffic.routes() {
        let Destination::Local { subset: Some(subset) } = &route.to else { continue };
        let Some(wanted) = traffic.subsets.get(subset) else { continue };
        let wanted: Labels = wanted.iter().map(|(name, value)| (&**name, &**value)).collect();
        if !pods.is_empty() && !pods.iter().any(|pod| has(pod, &wanted)) {
            let labels: Vec<String> = wanted.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let message =
                format!("no workload of `{service}` in `manifests/` has the labels of subset `{subset}` ({})", labels.join(", "));
            let versions: Vec<&str> = pods.iter().filter_map(|pod| pod.get("version").copied()).collect();
            let help = closest(subset, &versions);
            found.push(Diagnostic::warning(&traffic.path, route.span, Code::Suspicious, message, help));
        }
    }
}

type Labels<'a> = BTreeMap<&'a str, &'a str>;

fn labels(value: &Value) -> Labels<'_> {
    let entries = value.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
}

fn has(pod: &Labels, labels: &Labels) -> bool {
    labels.iter().all(|(name, value)| pod.get(name) == Some(value))
}
