//! Step 7: the DestinationRule that defines the local subsets which a Traffic uses (Istio `networking.istio.io`).

use serde_json::{Value, json};

use super::{Context, Need, kinds};
use crate::model::Traffic;

pub(super) fn derive(context: &mut Context, traffic: &Traffic) {
    if traffic.subsets.is_empty() {
        return;
    }
    let subsets: Vec<Value> = traffic.subsets.iter().map(|(name, labels)| json!({"name": name, "labels": labels})).collect();
    let (api_version, kind) = kinds::DESTINATION_RULE;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": traffic.name, "namespace": traffic.service.namespace},
        "spec": {"host": traffic.service.local_host(), "subsets": subsets},
    });
    let needs = vec![Need::Exists(kinds::namespace(&traffic.service.namespace))];
    context.want(document, &traffic.path, needs);
}
