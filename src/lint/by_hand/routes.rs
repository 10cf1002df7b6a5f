//! VirtualServices: destinations in other meshes that nobody imports, subsets that are nowhere, weights that are no shares.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Plain, Scene};
use crate::derive::kinds;
use crate::model::names::{closest, is_slip, similar};
use crate::model::{At, Diagnostic, Node, defaults};

/// How the host of an imported service ends, after the peer's name (maistra/istio pilot/pkg/serviceregistry/federation).
const IMPORTS: &str = "-imports.local";

pub(super) fn check(scene: &Scene, found: &mut Vec<Diagnostic>) {
    for plain in scene.of(kinds::VIRTUAL_SERVICE) {
        for list in ["http", "tcp", "tls"] {
            for rule in plain.items(&["spec", list]) {
                let routes = rule.get("route").map(|routes| routes.items()).unwrap_or_default();
                weights(plain, routes, found);
                let mirror = rule.get("mirror");
                let destinations = routes.iter().filter_map(|route| route.get("destination")).chain(mirror);
                destinations.for_each(|to| destination(scene, plain, to, found));
            }
        }
    }
    rivals(scene, found);
    rules(scene, found);
}

fn weights(plain: &Plain, routes: &[At<Node>], found: &mut Vec<Diagnostic>) {
    let weight = |route: &At<Node>| match route.get("weight").map(|weight| &weight.value) {
        Some(Node::Scalar(Value::Number(number))) => number.as_f64(),
        _ => None,
    };
    let given: Vec<f64> = routes.iter().filter_map(weight).collect();
    let sum: f64 = given.iter().sum();
    if routes.len() > 1 && (sum - 100.0).abs() > f64::EPSILON {
        let span = routes[0].get("weight").map_or(routes[0].span, |weight| weight.span);
        let message = format!("the weights sum to {sum}, not 100");
        found.push(plain.error(span, message, "nothing refuses it, and each route gets its share of the sum"));
    }
}

fn destination(scene: &Scene, plain: &Plain, to: &At<Node>, found: &mut Vec<Diagnostic>) {
    let Some(host) = to.get("host").and_then(At::<Node>::located) else { return };
    let subset = to.get("subset").and_then(At::<Node>::located);
    let Some((service, peer)) = imported(&host) else {
        misspelt(scene, plain, &host, found);
        if let Some(subset) = subset {
            defined(scene, plain, &host, &subset, found);
        }
        return;
    };
    if let Some(subset) = subset {
        let message = format!(
            "the endpoints of an imported service have no `{}` label, so a subset of it is empty",
            defaults::SUBSET_LABEL
        );
        found.push(plain.error(subset.span, message, "remove the subset"));
    }
    let known = imports(scene, plain, peer);
    let peers = peers(scene, plain);
    if !peers.is_empty() && !peers.contains(peer) {
        let names: Vec<&str> = peers.iter().map(String::as_str).collect();
        found.push(plain.error(host.span, format!("there is no peer `{}`", peer.escape_debug()), closest(peer, &names)));
    } else if let Some(known) = known.filter(|known| !known.contains(&service)) {
        let names: Vec<&String> = known.iter().collect();
        let message = format!("nothing is imported from `{}` as `{}`", peer.escape_debug(), service.escape_debug());
        found.push(plain.error(host.span, message, closest(&service, &names)));
    }
}

/// A host that ends nearly as those of what is imported, and as none of them.
fn misspelt(scene: &Scene, plain: &Plain, host: &At<&str>, found: &mut Vec<Diagnostic>) {
    let Some((service, end)) = host.value.split_once(".svc.").filter(|(_, end)| *end != "cluster.local") else { return };
    let ends: Vec<String> = peers(scene, plain).iter().map(|peer| format!("{peer}{IMPORTS}")).collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let suffix = format!("svc.{end}");
    let meant = similar(end, &ends).filter(|meant| is_slip(end, meant));
    if let Some(meant) = meant.filter(|_| !suffixes(scene, plain).contains(&suffix.as_str())) {
        let message = format!("nothing is imported under `{}`", suffix.escape_debug());
        found.push(plain.error(host.span, message, format!("did you mean `{}.svc.{meant}`?", service.escape_debug())));
    }
}

/// Domains that imports give to what they take.
fn suffixes<'a>(scene: &Scene<'a>, plain: &'a Plain<'a>) -> Vec<&'a str> {
    let folder = super::folder(plain).and_then(|mesh| scene.federation.meshes.get(mesh));
    let declared = folder.into_iter().flat_map(|folder| folder.peers.values()).flat_map(|half| &half.imports);
    let sets = scene.beside(plain, kinds::IMPORTED);
    let by_hand = sets.flat_map(|set| {
        let rules = set.items(&["spec", "importRules"]).iter().map(|rule| rule.get("domainSuffix"));
        rules.chain([set.object.at(&["spec", "domainSuffix"])]).flatten().filter_map(|suffix| suffix.text())
    });
    declared.filter_map(|import| import.domain_suffix.as_deref()).chain(by_hand).collect()
}

/// `namespace/name` and peer of the host of an imported service.
fn imported(host: &str) -> Option<(String, &str)> {
    let (service, peer) = host.strip_suffix(IMPORTS)?.rsplit_once(".svc.")?;
    let (name, namespace) = service.split_once('.')?;
    Some((format!("{namespace}/{name}"), peer))
}

fn peers(scene: &Scene, plain: &Plain) -> BTreeSet<String> {
    let by_hand = scene.beside(plain, kinds::PEER).filter_map(|peer| Some(peer.name()?.value.to_owned()));
    let folder = super::folder(plain).and_then(|mesh| scene.federation.meshes.get(mesh));
    by_hand.chain(folder.iter().flat_map(|folder| folder.peers.keys().cloned())).collect()
}

/// What is imported from a peer under certain names; `None` where only the cluster knows.
fn imports(scene: &Scene, plain: &Plain, peer: &str) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let folder = super::folder(plain).and_then(|mesh| scene.federation.meshes.get(mesh));
    let declared = folder.and_then(|folder| folder.peers.get(peer));
    for import in declared.iter().flat_map(|half| &half.imports) {
        names.insert(import.imported_as()?.to_string());
    }
    let sets: Vec<&Plain> =
        scene.beside(plain, kinds::IMPORTED).filter(|set| set.name().is_some_and(|name| name.value == peer)).collect();
    for set in &sets {
        for (_, name) in super::services::imported(set) {
            names.insert(name?.value);
        }
    }
    (declared.is_some() || !sets.is_empty()).then_some(names)
}

/// A subset must be defined by a DestinationRule, where those of the host are written here at all.
fn defined(scene: &Scene, plain: &Plain, host: &str, subset: &At<&str>, found: &mut Vec<Diagnostic>) {
    let wanted = short(host, plain);
    let rules: Vec<&Plain> = scene
        .beside(plain, kinds::DESTINATION_RULE)
        .filter(|rule| rule.text(&["spec", "host"]).is_some_and(|host| short(&host, rule) == wanted))
        .collect();
    let subsets = rules.iter().flat_map(|rule| rule.items(&["spec", "subsets"]));
    let names: Vec<&str> = subsets.filter_map(|subset| subset.get("name")?.text()).collect();
    if !rules.is_empty() && !names.contains(&subset.value) {
        let message =
            format!("no DestinationRule defines the subset `{}` of `{}`", subset.escape_debug(), wanted.0.escape_debug());
        found.push(plain.error(subset.span, message, closest(subset, &names)).also(
            rules[0].path,
            rules[0].span(),
            "this one is for the host",
        ));
    }
}

/// Name and namespace of the Service that a host means to an object.
fn short(host: &str, plain: &Plain) -> (String, Option<String>) {
    match host.split_once('.') {
        Some((name, rest)) => (name.to_owned(), rest.split('.').next().map(str::to_owned)),
        None => (host.to_owned(), plain.namespace().map(str::to_owned)),
    }
}

/// Two DestinationRules for one Service of the cluster in a namespace: Istio puts them together, but of what both say one counts
/// (Istio, "Traffic Management Best Practices").
fn rules(scene: &Scene, found: &mut Vec<Diagnostic>) {
    let mut seen: Vec<(String, Option<String>, &Plain, At<&str>)> = Vec::new();
    for plain in scene.of(kinds::DESTINATION_RULE).filter(|plain| plain.object.at(&["spec", "workloadSelector"]).is_none()) {
        let Some(host) = plain.text(&["spec", "host"]).filter(|host| is_of_cluster(host)) else { continue };
        let (name, namespace) = short(&host, plain);
        let same = |(other, home, rule, _): &&(String, Option<String>, &Plain, At<&str>)| {
            (other, home) == (&name, &namespace)
                && rule.namespace() == plain.namespace()
                && rule.name().map(|name| name.value) != plain.name().map(|name| name.value)
                && super::folder(rule) == super::folder(plain)
        };
        if let Some((_, _, other, first)) = seen.iter().find(same) {
            let message = format!("`{}` has another DestinationRule in this namespace", host.escape_debug());
            let help = "one host has one owner: put them together; of a `trafficPolicy` or subset that both have, one is lost";
            found.push(plain.warning(host.span, message, help).also(other.path, first.span, "this one"));
        }
        seen.push((name, namespace, plain, host));
    }
}

/// Whether a host means a Service of the cluster.
fn is_of_cluster(host: &str) -> bool {
    let rest = host.split('.').skip(2).collect::<Vec<_>>().join(".");
    !host.contains('*') && ["", "svc", "svc.cluster.local"].contains(&rest.as_str())
}

/// Two VirtualServices for one host in a namespace: which of them wins is left to chance.
fn rivals(scene: &Scene, found: &mut Vec<Diagnostic>) {
    let mut seen: Vec<(Option<&str>, &str, &Plain, At<&str>)> = Vec::new();
    for plain in scene.of(kinds::VIRTUAL_SERVICE).filter(|plain| plain.items(&["spec", "gateways"]).is_empty()) {
        for host in plain.items(&["spec", "hosts"]).iter().filter_map(At::<Node>::located) {
            let first = seen.iter().find(|(namespace, name, other, _)| {
                (*namespace, *name) == (plain.namespace(), host.value) && super::folder(other) == super::folder(plain)
            });
            if let Some((_, _, other, span)) = first {
                let message = format!("`{}` has another VirtualService in this namespace", host.escape_debug());
                found.push(
                    plain
                        .error(host.span, message, "one host has one owner: put their rules together")
                        .also(other.path, span.span, "this one"),
                );
            }
            seen.push((plain.namespace(), host.value, plain, host));
        }
    }
}
