//! Step 6: the ImportedServiceSet (maistra/api federation/v1). Rules match exported names; the first that matches wins.
//! `importAsLocal` counts only with a fixed alias namespace, so the alias is always written.

use serde_json::{Value, json};

use super::exported_services::name;
use super::peering::Peering;
use super::{Context, Hold, Need, kinds};
use crate::model::{Import, Locality, offered};

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
    let mut spec = json!({"importRules": ready.iter().map(|import| rule(import)).collect::<Vec<Value>>()});
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

fn rule(import: &Import) -> Value {
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
