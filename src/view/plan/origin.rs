//! From a field of an object to the line of the document that it comes from.

use crate::model::{At, MeshFolder, Node, Peer, Span, Traffic, yaml};
use crate::object::Object;

/// The line that a field comes from, as near as its document tells; `text` is that document's.
pub(super) fn line(folder: &MeshFolder, object: &Object, field: &str, text: Option<&str>) -> u32 {
    let source = &*object.source;
    let parts = parts(field);
    let span = if let Some(peer) = folder.peers.values().find(|peer| peer.path == source) {
        of_peer(peer, &parts)
    } else if let Some(traffic) = folder.traffic.values().find(|traffic| traffic.path == source) {
        of_traffic(traffic, &parts)
    } else if let Some(manifest) = folder.manifests.iter().find(|manifest| manifest.object.key == object.key) {
        text.and_then(|text| of_manifest(source, text, manifest.span, &parts))
    } else {
        None
    };
    span.map_or_else(|| folder.place_of(object).line, |span| span.line)
}

/// `spec`, `http`, `0`, `route` of `spec.http[0].route`.
fn parts(field: &str) -> Vec<&str> {
    field.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty()).collect()
}

fn of_peer(peer: &Peer, parts: &[&str]) -> Option<Span> {
    let [_, list, index, ..] = parts else { return None };
    let index: usize = index.parse().ok()?;
    match *list {
        "importRules" => Some(peer.imports.get(index)?.service.span),
        "exportRules" => Some(peer.exports.get(index)?.exported_name()?.span),
        _ => None,
    }
}

fn of_traffic(traffic: &Traffic, parts: &[&str]) -> Option<Span> {
    let [_, "http", rule, rest @ ..] = parts else { return None };
    let rule = traffic.rules.get(rule.parse::<usize>().ok()?)?;
    match rest {
        ["route", route, ..] => Some(rule.routes.get(route.parse::<usize>().ok()?)?.span),
        _ => Some(rule.span),
    }
}

fn of_manifest(path: &str, text: &str, begins: Span, parts: &[&str]) -> Option<Span> {
    let documents = yaml::nodes(path, text).ok()?;
    let mut node: &At<Node> = documents.iter().find(|document| document.span.line == begins.line)?;
    for part in parts {
        let next = match part.parse::<usize>() {
            Ok(index) => node.items().get(index),
            Err(_) => node.get(part),
        };
        match next {
            Some(next) => node = next,
            None => break, // what is gone was under this
        }
    }
    Some(node.span)
}
