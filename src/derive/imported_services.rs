//! Step 6: the ImportedServiceSet (maistra/api federation/v1). Rules match exported names; the first that matches wins.
//! `importAsLocal` counts only with a fixed alias namespace, so the alias is always written.

use serde_json::{Value, json};

use super::exported_services::name;
use super::peering::Peering;
use super::withdrawn::live_imports;
use super::{Context, Hold, Need, kinds};
use crate::model::{Import, Locality, ServiceName, offered};
use crate::object::Key;

pub(super) fn derive(context: &mut Context, peering: &Peering) {
    let peer = peering.ours;
    if peer.imports.is_empty() {
        return;
    }
    let key = kinds::key(kinds::IMPORTED, &context.mesh.namespace, &peer.name);
    let offered = offered(peering.theirs);
    let (ready, waiting): (Vec<&Import>, Vec<&Import>) =
        peer.imports.iter().partition(|import| match (&*import.service, &offered) {
            (Some(service), Some(offered)) => offered.contains(service),
            _ => true, // everything, or a selector that only the cluster can evaluate
        });
    for import in waiting {
        let service = import.service.as_ref().map_or("*".into(), ToString::to_string);
        let reason = format!("waits for {} to export {service} (meshes/{0}/peers/{}.yaml)", *peer.name, context.mesh.name);
        context.hold(Hold::part(format!("{key} {service}"), reason));
    }
    if ready.is_empty() {
        return context.hold(Hold::waiting(&key, format!("{} exports nothing that is imported", *peer.name)));
    }
    // First, because a service is imported under one name, and this one is in use.
    let rules: Vec<Value> = still_routed(context, &peer.name, &key).into_iter().chain(ready.iter().map(|i| rule(i))).collect();
    let mut spec = json!({"importRules": rules});
    // Only what joins local endpoints is chosen by locality; otherwise only what people wrote here on purpose counts.
    let assumed = peering.mesh.locality.as_ref().filter(|_| ready.iter().any(|import| import.as_local));
    if let Some(locality) = peer.locality.as_ref().or(assumed) {
        spec["locality"] = self::locality(locality);
    }
    let (api_version, kind) = kinds::IMPORTED;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": *peer.name, "namespace": context.mesh.namespace},
        "spec": spec,
    });
    let needs = vec![Need::Applied(kinds::key(kinds::PEER, &context.mesh.namespace, &peer.name))];
    context.want(document, &peer.path, needs);
}

/// Rules for what nothing gives us any more, as long as a route leads there.
fn still_routed(context: &mut Context, peer: &str, key: &Key) -> Vec<Value> {
    let observed = context.inputs.observed;
    let Some(state) = observed.peers.get(peer) else { return Vec::new() };
    let mut rules = Vec::new();
    for (exported, host) in live_imports(state) {
        let Some(route) = observed.routed.get(host) else { continue };
        context.out.holds.push(Hold::part(format!("{key} {exported}"), format!("stays, because {route} still routes to it")));
        rules.extend(rule_for_host(peer, &exported, host));
    }
    rules
}

/// The rule that gives a service this host: name, namespace, and the domain where it is not the usual one.
fn rule_for_host(peer: &str, exported: &ServiceName, host: &str) -> Option<Value> {
    let mut parts = host.splitn(3, '.');
    let (alias, namespace, domain) = (parts.next()?, parts.next()?, parts.next()?);
    let mut selector = name(exported);
    selector["alias"] = name(&ServiceName { namespace: namespace.to_owned(), name: alias.to_owned() });
    let mut rule = json!({"type": "NameSelector", "importAsLocal": false, "nameSelector": selector});
    if domain != format!("svc.{peer}-imports.local") {
        rule["domainSuffix"] = json!(domain);
    }
    Some(rule)
}

pub(super) fn rule(import: &Import) -> Value {
    let selector = match (&*import.service, import.imported_as()) {
        (Some(service), Some(alias)) => {
            let mut selector = name(service);
            selector["alias"] = name(alias);
            selector
        }
        _ => json!({"namespace": "*", "name": "*"}),
    };
    let mut rule = json!({"type": "NameSelector", "importAsLocal": import.as_local, "nameSelector": selector});
    if let Some(suffix) = &import.domain_suffix {
        rule["domainSuffix"] = json!(suffix);
    }
    rule
}

/// A zone counts only below a region, a subzone only below a zone; else the control plane drops it.
fn locality(Locality { region, zone, subzone }: &Locality) -> Value {
    let mut value = json!({"region": region});
    if let Some(zone) = zone {
        value["zone"] = json!(zone);
        if let Some(subzone) = subzone {
            value["subzone"] = json!(subzone);
        }
    }
    value
}
