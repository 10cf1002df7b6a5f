//! Step 7: the DestinationRule of a Traffic (Istio `networking.istio.io`): its local subsets, which endpoints are left out, and who
//! takes over.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::virtual_service::{duration, missing};
use super::{Context, Hold, Need, kinds};
use crate::model::{Destination, Mesh, OutlierDetection, Traffic};

pub(super) fn derive(context: &mut Context, traffic: &Traffic) {
    if !traffic.has_policy() {
        return;
    }
    let key = kinds::key(kinds::DESTINATION_RULE, &traffic.service.namespace, &traffic.name);
    let mut spec = json!({"host": traffic.service.local_host()});
    let subsets = subsets(context, traffic);
    if !subsets.is_empty() {
        spec["subsets"] = subsets.iter().map(|(name, labels)| json!({"name": name, "labels": labels})).collect();
    }
    if let Some(outliers) = &traffic.outlier_detection {
        spec["trafficPolicy"] = json!({"outlierDetection": outlier_detection(outliers)});
    }
    if let Some(first) = traffic.failover.first() {
        match failover(context, first) {
            Ok(setting) => spec["trafficPolicy"]["loadBalancer"] = json!({"localityLbSetting": setting}),
            Err(reason) => return context.hold(Hold::stuck(&key, reason)),
        }
        for peer in &traffic.failover {
            let joined = Destination::Imported { peer: peer.value.clone(), service: traffic.service.value.clone() };
            if let Some(why) = missing(&joined, context.inputs) {
                context.hold(Hold::part(format!("{key} failover to {}", **peer), why));
            }
        }
    }
    let (api_version, kind) = kinds::DESTINATION_RULE;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": traffic.name, "namespace": traffic.service.namespace},
        "spec": spec,
    });
    let needs = vec![Need::Exists(kinds::namespace(&traffic.service.namespace))];
    context.want(document, &traffic.path, needs);
}

/// Subsets that are declared, and those that must stay until no route names them.
fn subsets(context: &Context, traffic: &Traffic) -> BTreeMap<String, Value> {
    let id = (traffic.service.namespace.clone(), traffic.name.clone());
    let mut subsets = context.inputs.observed.subsets.get(&id).cloned().unwrap_or_default();
    subsets.extend(traffic.subsets.iter().map(|(name, labels)| (name.clone(), json!(labels))));
    subsets
}

fn outlier_detection(outliers: &OutlierDetection) -> Value {
    let OutlierDetection { consecutive_5xx_errors, interval, base_ejection_time, max_ejection_percent } = outliers;
    json!({
        "consecutive5xxErrors": consecutive_5xx_errors,
        "interval": duration(*interval),
        "baseEjectionTime": duration(*base_ejection_time),
        "maxEjectionPercent": max_ejection_percent,
    })
}

/// Of several entries for one region Istio looks only at the first (pilot/pkg/networking/core loadbalancer `applyLocalityFailover`):
/// endpoints in its `to` come after the local ones, all others after those. So the first peer is written, and the rest follows.
fn failover(context: &Context, first: &str) -> Result<Value, String> {
    // Loading refuses a failover without regions, so what is missing now is in a document with an error.
    let broken = |path: &str| format!("{path} has an error; what is there stays");
    let Mesh { name, path, locality, .. } = context.mesh;
    let from = locality.as_ref().ok_or_else(|| broken(path))?;
    let peer = context.folder.peers.get(first).ok_or_else(|| broken(&format!("meshes/{name}/peers/{first}.yaml")))?;
    let to = peer.runs_in(context.inputs.federation.mesh(first)).ok_or_else(|| broken(&format!("meshes/{first}/mesh.yaml")))?;
    Ok(json!({"enabled": true, "failover": [{"from": from.region, "to": to.region}]}))
}
