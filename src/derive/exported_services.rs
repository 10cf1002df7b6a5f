//! Step 6: the ExportedServiceSet (maistra/api federation/v1). It must bear the ServiceMeshPeer's name; the first rule that matches
//! wins; `alias` belongs to a name, `aliases` to a label selector.

use serde_json::{Value, json};

use super::peering::Peering;
use super::{Context, Hold, KeptExport, Need, kinds};
use crate::model::{At, Export, ServiceName};

pub(super) fn derive(context: &mut Context, peering: &Peering) {
    let peer = peering.ours;
    let kept = context.inputs.observed.kept_exports.get(&*peer.name.value).map(Vec::as_slice).unwrap_or_default();
    if peer.exports.is_empty() && kept.is_empty() {
        return;
    }
    // First, because a Service has one exported name, and this one is in use.
    let rules: Vec<Value> = kept.iter().map(kept_rule).chain(peer.exports.iter().map(rule)).collect();
    let (api_version, kind) = kinds::EXPORTED;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": *peer.name, "namespace": context.mesh.namespace},
        "spec": {"exportRules": rules},
    });
    let needs = vec![Need::Applied(kinds::key(kinds::PEER, &context.mesh.namespace, &peer.name))];
    let key = context.want(document, &peer.path, needs);
    for export in kept {
        context.hold(Hold::part(format!("{key} {}", export.name), format!("stays exported: {}", export.reason)));
    }
}

fn kept_rule(kept: &KeptExport) -> Value {
    let mut selector = name(&kept.service);
    if kept.name != kept.service {
        selector["alias"] = name(&kept.name);
    }
    json!({"type": "NameSelector", "nameSelector": selector})
}

pub(super) fn rule(export: &Export) -> Value {
    match export {
        Export::Service { service, alias } => {
            let mut selector = name(service);
            if let Some(alias) = alias {
                selector["alias"] = name(alias);
            }
            json!({"type": "NameSelector", "nameSelector": selector})
        }
        Export::Selector { namespace, match_labels, match_expressions, aliases } => {
            let mut labels = json!({});
            if !match_labels.is_empty() {
                labels["matchLabels"] = json!(match_labels);
            }
            if !match_expressions.is_empty() {
                labels["matchExpressions"] = json!(match_expressions);
            }
            let mut selector = json!({"namespace": **namespace, "selector": labels});
            if !aliases.is_empty() {
                let with_alias = |(service, alias): &(At<ServiceName>, At<ServiceName>)| {
                    let mut entry = name(service);
                    entry["alias"] = name(alias);
                    entry
                };
                selector["aliases"] = aliases.iter().map(with_alias).collect();
            }
            json!({"type": "LabelSelector", "labelSelector": selector})
        }
    }
}

/// `namespace` and `name` as the CRDs write them.
pub(super) fn name(service: &ServiceName) -> Value {
    json!({"namespace": service.namespace, "name": service.name})
}
