//! What the demo looks for in the clusters. Each function waits, and says what it saw.

use serde_json::Value;

use crate::lab::poll;
use crate::stage::{DEADLINE, Site, Stage};

pub const ROSA: &str = "rosa-prod-mesh";
pub const ARO: &str = "aro-stg-mesh";
pub const GCP: &str = "gcp-dev-mesh";

/// Why a step was not seen.
pub type Step<T> = Result<T, String>;

fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> Step<T> {
    poll(DEADLINE, &mut ask).ok_or_else(|| format!("not seen within {} s: {what}", DEADLINE.as_secs()))
}

/// Waits until a mesh has published its CA root.
pub fn published(stage: &Stage, mesh: &str) -> Step<()> {
    wait(&format!("CA root of {mesh} on published/{mesh}"), || {
        stage.git.show(&format!("published/{mesh}:published.yaml")).filter(|text| text.contains("BEGIN CERTIFICATE")).map(|_| ())
    })
}

/// Waits until `mesh` watches `peer` and has imported a host from it.
pub fn imported(stage: &Stage, mesh: &str, peer: &str, host: &str) -> Step<()> {
    let site = stage.site(mesh);
    wait(&format!("{host} imported into {mesh}"), || {
        let set = site.get("importedserviceset", mesh, peer)?;
        let services = set.pointer("/status/importedServices")?.as_array()?;
        services
            .iter()
            .any(|service| service.pointer("/localService/hostname").and_then(Value::as_str) == Some(host))
            .then_some(())
    })?;
    connected(stage, mesh, peer)
}

/// Waits until the control plane of `mesh` watches that of `peer`.
pub fn connected(stage: &Stage, mesh: &str, peer: &str) -> Step<()> {
    wait(&format!("{mesh} connected to {peer}"), || is_connected(stage.site(mesh), mesh, peer).then_some(()))
}

fn is_connected(site: &Site, mesh: &str, peer: &str) -> bool {
    let active = site.get("servicemeshpeer", mesh, peer);
    let active = active.as_ref().and_then(|peer| peer.pointer("/status/discoveryStatus/active")).and_then(Value::as_array);
    active.into_iter().flatten().any(|pod| pod.pointer("/watch/connected").and_then(Value::as_bool) == Some(true))
}

/// Host → weight of the live VirtualService.
pub fn weights(site: &Site) -> Vec<(String, u64)> {
    let Some(service) = site.get("virtualservice", "prod-bookinfo", "details") else { return Vec::new() };
    let routes = service.pointer("/spec/http/0/route").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |route: &Value| route.pointer("/destination/host").and_then(Value::as_str).unwrap_or_default().to_owned();
    routes.iter().map(|route| (text(route), route["weight"].as_u64().unwrap_or_default())).collect()
}

/// Waits until the live VirtualService has these weights, in the order of its routes.
pub fn split(stage: &Stage, expected: &[u64]) -> Step<()> {
    let site = stage.site(ROSA);
    wait(&format!("weights {expected:?} of details"), || {
        let weights: Vec<u64> = weights(site).into_iter().map(|(_, weight)| weight).collect();
        (weights == expected).then_some(())
    })
}

/// The addresses that `mesh` uses for `peer`.
pub fn addresses(site: &Site, mesh: &str, peer: &str) -> Vec<String> {
    let peer = site.get("servicemeshpeer", mesh, peer).unwrap_or_default();
    let addresses = peer.pointer("/spec/remote/addresses").and_then(Value::as_array).cloned().unwrap_or_default();
    addresses.iter().filter_map(|address| Some(address.as_str()?.to_owned())).collect()
}

/// Waits until `mesh` uses other addresses for `peer` than before; gives the new ones.
pub fn other_addresses(stage: &Stage, mesh: &str, peer: &str, before: &[String]) -> Step<Vec<String>> {
    wait(&format!("a new address of {peer} in {mesh}"), || {
        Some(addresses(stage.site(mesh), mesh, peer)).filter(|now| !now.is_empty() && now != before)
    })
}

/// Waits until `mesh` trusts as many roots of `peer`.
pub fn roots(stage: &Stage, mesh: &str, peer: &str, count: usize) -> Step<()> {
    wait(&format!("{count} roots of {peer} in {mesh}"), || {
        let map = stage.site(mesh).get("configmap", mesh, &format!("{peer}-ca-root-cert"))?;
        let bundle = map.pointer("/data/root-cert.pem")?.as_str()?.to_owned();
        (bundle.matches("BEGIN CERTIFICATE").count() == count).then_some(())
    })
}
