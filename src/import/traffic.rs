//! A Traffic out of a VirtualService and the DestinationRule of its name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::documents::{Match, Route, TrafficSpec};
use super::meshes::text;
use super::peer::Reason;
use super::read::Given;
use crate::model::{defaults, is_placeholder};

/// A service that is imported from a peer under a host.
#[derive(Clone, Debug)]
pub(super) struct Imported {
    pub host: String,
    pub peer: String,
    /// `namespace/name` here.
    pub service: String,
    /// It joins the local Service of that name.
    pub as_local: bool,
    /// Region that counts as its place.
    pub region: Option<String>,
}

/// What is known where a Traffic is written.
struct Scene<'a> {
    namespace: &'a str,
    /// Namespace and name of the service that it is about.
    service: (String, String),
    imported: &'a [Imported],
}

/// The document. The objects are in `namespace`.
pub(super) fn document(
    routes: Option<&Value>,
    rule: Option<&Value>,
    namespace: &str,
    imported: &[Imported],
) -> Result<TrafficSpec, Reason> {
    let host = routes.map(host).transpose()?.or_else(|| rule.and_then(|rule| text(rule, "/spec/host")));
    let service = host.and_then(|host| local(host, namespace)).ok_or("its host is no Service of this cluster")?;
    let scene = Scene { namespace, service, imported };
    let mut spec = TrafficSpec { service: format!("{}/{}", scene.service.0, scene.service.1), ..TrafficSpec::default() };
    if let Some(routes) = routes {
        routing(&mut spec, routes, &scene)?;
    }
    if let Some(rule) = rule {
        policy(&mut spec, rule, &scene)?;
    }
    Ok(spec)
}

fn host(routes: &Value) -> Result<&str, Reason> {
    only(&routes["spec"], "spec", &["hosts", "http"])?;
    match routes.pointer("/spec/hosts").and_then(Value::as_array).map(Vec::as_slice) {
        Some([host]) => host.as_str().ok_or_else(|| "spec.hosts[0] is no text".to_owned()),
        _ => Err("spec.hosts: a Traffic is about one host".to_owned()),
    }
}

/// Whether a VirtualService or DestinationRule is for a service `namespace/name`.
pub(super) fn is_for(given: &Given, service: &str) -> bool {
    let Some(namespace) = given.key.namespace.as_deref() else { return false };
    let many = given.value.pointer("/spec/hosts").and_then(Value::as_array).into_iter().flatten();
    let mut hosts = many.filter_map(Value::as_str).chain(text(&given.value, "/spec/host"));
    hosts.any(|host| local(host, namespace).is_some_and(|(namespace, name)| format!("{namespace}/{name}") == service))
}

/// Namespace and name of a Service of this cluster, as Istio reads its host.
fn local(host: &str, namespace: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = host.split('.').collect();
    let (namespace, name) = match parts.as_slice() {
        [name] => (namespace, *name),
        [name, namespace] | [name, namespace, "svc"] | [name, namespace, "svc", "cluster", "local"] => (*namespace, *name),
        _ => return None,
    };
    Some((namespace.to_owned(), name.to_owned()))
}

/// A Traffic has nothing for other fields.
fn only(value: &Value, path: &str, known: &[&str]) -> Result<(), Reason> {
    match value.as_object().into_iter().flatten().find(|(name, value)| !known.contains(&name.as_str()) && !value.is_null()) {
        Some((name, _)) => Err(format!("{path}.{name}: a Traffic has nothing for it")),
        None => Ok(()),
    }
}

fn routing(spec: &mut TrafficSpec, routes: &Value, scene: &Scene) -> Result<(), Reason> {
    let entries =
        routes.pointer("/spec/http").and_then(Value::as_array).ok_or("spec.http is missing: a Traffic is about HTTP")?;
    let last = entries.len().saturating_sub(1);
    for (i, entry) in entries.iter().enumerate() {
        let path = format!("spec.http[{i}]");
        only(entry, &path, &["match", "route", "mirror", "mirrorPercentage", "timeout", "retries"])?;
        let given = entry.get("route").and_then(Value::as_array).ok_or_else(|| format!("{path}.route is missing"))?;
        let routes: Vec<Route> = given
            .iter()
            .enumerate()
            .map(|(k, route)| scene.route(route, &format!("{path}.route[{k}]"), given.len()))
            .collect::<Result<_, _>>()?;
        match entry.get("match").map(|list| list.as_array().map(Vec::as_slice)) {
            None if i == last => spec.routes = routes,
            Some(Some([when])) if i < last => {
                only(when, &format!("{path}.match[0]"), &["headers", "uri"])?;
                let field = |name: &str| when.get(name).cloned();
                spec.matches.push(Match { headers: field("headers"), uri: field("uri"), routes });
            }
            None => return Err(format!("{path} takes every request, and others follow")),
            Some(_) if i == last => return Err(format!("{path}: the last entry of a Traffic takes every request")),
            Some(_) => return Err(format!("{path}.match: a Traffic has one match for each destination")),
        }
        if let Some(to) = entry.get("mirror") {
            let mut mirror = scene.destination(to, &format!("{path}.mirror"))?;
            mirror.percentage = entry.pointer("/mirrorPercentage/value").and_then(Value::as_f64).filter(|share| *share < 100.0);
            spec.mirror = Some(mirror);
        }
        spec.timeout = entry.get("timeout").cloned();
        spec.retries = entry.get("retries").cloned();
    }
    Ok(())
}

impl Scene<'_> {
    fn route(&self, route: &Value, path: &str, of: usize) -> Result<Route, Reason> {
        only(route, path, &["destination", "weight"])?;
        let to = route.get("destination").ok_or_else(|| format!("{path}.destination is missing"))?;
        let weight = route.get("weight").and_then(Value::as_u64);
        Ok(Route { weight: weight.filter(|weight| of > 1 || *weight != 100), ..self.destination(to, path)? })
    }

    fn destination(&self, to: &Value, path: &str) -> Result<Route, Reason> {
        only(to, path, &["host", "subset"])?;
        let host = to.get("host").and_then(Value::as_str).unwrap_or_default();
        if local(host, self.namespace).as_ref() == Some(&self.service) {
            let subset = to.get("subset").and_then(Value::as_str);
            let local = subset.map(|subset| ("subset", subset.to_owned())).into_iter().collect();
            return Ok(Route { local: Some(local), ..Route::default() });
        }
        let imported = self.imported.iter().find(|imported| imported.host == host && !imported.as_local);
        let Imported { peer, service, .. } = imported
            .ok_or_else(|| format!("{path}: `{host}` is neither the service itself nor imported from a peer with a document"))?;
        Ok(Route { peer: Some(peer.clone()), service: Some(service.clone()), ..Route::default() })
    }
}

fn policy(spec: &mut TrafficSpec, rule: &Value, scene: &Scene) -> Result<(), Reason> {
    only(&rule["spec"], "spec", &["host", "subsets", "trafficPolicy"])?;
    for subset in rule.pointer("/spec/subsets").and_then(Value::as_array).into_iter().flatten() {
        only(subset, "spec.subsets[]", &["name", "labels"])?;
        let Some(name) = text(subset, "/name") else { return Err("spec.subsets[].name is missing".to_owned()) };
        let labels = subset.get("labels").cloned().unwrap_or_else(|| json!({}));
        if labels != json!({defaults::SUBSET_LABEL: name}) {
            spec.subsets.insert(name.to_owned(), labels);
        }
    }
    let Some(policy) = rule.pointer("/spec/trafficPolicy") else { return Ok(()) };
    only(policy, "spec.trafficPolicy", &["outlierDetection", "loadBalancer"])?;
    if let Some(outliers) = policy.get("outlierDetection") {
        let known = ["consecutive5xxErrors", "interval", "baseEjectionTime", "maxEjectionPercent"];
        only(outliers, "spec.trafficPolicy.outlierDetection", &known)?;
        let mut outliers = outliers.clone();
        if let Some(fields) = outliers.as_object_mut() {
            for (name, default) in istio_outliers() {
                fields.entry(name).or_insert(default);
            }
        }
        spec.outlier_detection = Some(outliers);
    }
    if let Some(balancer) = policy.get("loadBalancer") {
        only(balancer, "spec.trafficPolicy.loadBalancer", &["localityLbSetting"])?;
        let service = format!("{}/{}", scene.service.0, scene.service.1);
        let to = text(balancer, "/localityLbSetting/failover/0/to");
        let mut peers: Vec<&Imported> =
            scene.imported.iter().filter(|imported| imported.as_local && imported.service == service).collect();
        peers.sort_by_key(|imported| imported.region.as_deref() != to);
        if peers.is_empty() {
            return Err(
                "spec.trafficPolicy.loadBalancer: the service is imported as local from no peer with a document".to_owned()
            );
        }
        spec.failover = Some(BTreeMap::from([("to", peers.into_iter().map(|imported| imported.peer.clone()).collect())]));
    }
    Ok(())
}

/// What Istio takes for fields that are not written (Istio DestinationRule `OutlierDetection`); ours are others.
fn istio_outliers() -> [(&'static str, Value); 4] {
    [
        ("consecutive5xxErrors", json!(5)),
        ("interval", json!("10s")),
        ("baseEjectionTime", json!("30s")),
        ("maxEjectionPercent", json!(10)),
    ]
}

/// The region that a DestinationRule says this mesh is in.
pub(super) fn region(rule: &Value) -> Option<&str> {
    text(rule, "/spec/trafficPolicy/loadBalancer/localityLbSetting/failover/0/from").filter(|region| !is_placeholder(region))
}
