//! From a field of an object to the place that it comes from: a line of a document, or what a peer publishes.

use crate::derive::{Source, origin};
use crate::facts::published::FACTS_PATH;
use crate::model::{At, Federation, Node, Span, yaml};
use crate::object::Object;

/// Where a field comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Path; empty where it is not known.
    pub source: String,
    /// Line in it; 0 where it is not known.
    pub line: u32,
}

/// The place that a field of an object comes from, as near as its documents tell; `text` is that of the object's own document.
pub fn place(federation: &Federation, me: &str, object: &Object, field: &str, text: Option<&str>) -> Place {
    let source = &*object.source;
    let Some(folder) = federation.meshes.get(me) else { return Place { source: source.to_owned(), line: 0 } };
    let wanted = parts(field);
    let manifest =
        folder.manifests.iter().find(|manifest| manifest.object.key == object.key && *manifest.object.source == *source);
    if let Some(manifest) = manifest {
        let found = text.and_then(|text| of_manifest(source, text, manifest.span, &wanted));
        return Place { source: source.to_owned(), line: found.unwrap_or(manifest.span).line };
    }
    let all = origin(federation, me, &object.key, Some(object)).map(|origin| origin.parts).unwrap_or_default();
    let mut nearest: Option<(usize, &Source)> = None;
    for part in &all {
        let Some(depth) = shared(&parts(&part.field), &wanted) else { continue };
        if nearest.is_none_or(|(deepest, _)| depth > deepest) {
            nearest = Some((depth, &part.from));
        }
    }
    match nearest {
        Some((_, Source::Facts(mesh))) => Place { source: format!("published/{mesh}:{FACTS_PATH}"), line: 0 },
        Some((_, Source::Document { path, span })) if span.line > 0 => Place { source: path.clone(), line: span.line },
        _ => Place { source: source.to_owned(), line: folder.place_of(object).line },
    }
}

/// `spec`, `http`, `0`, `route` of `spec.http[0].route`.
fn parts(field: &str) -> Vec<&str> {
    field.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty()).collect()
}

/// How many names two fields have in common of which one holds the other; `*` is any name, and alone the whole object.
fn shared(part: &[&str], field: &[&str]) -> Option<usize> {
    if part == ["*"] {
        return Some(0);
    }
    part.iter().zip(field).all(|(a, b)| a == b || *a == "*").then(|| part.len().min(field.len()))
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
