//! Reading YAML with limits, and errors that say where.

mod hints;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::at::{At, Span};
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::node::Node;
use crate::words;
pub use hints::boolean;

/// Largest file that is read, in bytes: far above anything that people write by hand and others review, far below what would hurt an
/// agent. A file of manifests holds many objects, each of which the API server limits to 1.5 MiB (etcd's request limit).
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// Largest number of documents in one file of manifests.
pub const MAX_DOCUMENTS: usize = 10_000;

/// Largest number of mappings, lists and values in one file: twice what [`MAX_FILE_BYTES`] of Kubernetes objects have. A node takes
/// far more memory than the two bytes that can make one.
pub const MAX_NODES: usize = 400_000;

/// Deepest nesting of mappings and lists. Schemas in a CustomResourceDefinition come to about 40; reading deeper ones takes stack, and
/// JSON readers elsewhere stop at 128.
pub const MAX_NESTING: usize = 64;

/// Most nodes that aliases may stand for in one document that somebody wrote elsewhere: what a shared block in a hand-written file comes to, many
/// times, and far from what a bomb needs.
const MAX_REPLAYED: usize = 100_000;

fn options(replayed: usize) -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true, // `on` stays a string
        with_snippet: false,   // we draw our own
        budget: serde_saphyr::budget! { max_documents: MAX_DOCUMENTS, max_nodes: MAX_NODES, max_depth: MAX_NESTING },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: replayed }
    }
}

/// Reads a file that holds exactly one document.
pub fn document<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, Box<Diagnostic>> {
    limit(path, text)?;
    if hints::is_empty(text) {
        let first = Span { line: 1, column: 1, ..Span::default() };
        return Err(Box::new(Diagnostic::error(
            path,
            first,
            Code::Syntax,
            "the file is empty",
            "write the document, or remove the file",
        )));
    }
    serde_saphyr::from_str_with_options(text, options(0)).map_err(|e| Box::new(finding(path, text, &e)))
}

/// Reads a file of any number of documents; empty ones are left out.
pub fn documents(path: &str, text: &str) -> Result<Vec<At<Value>>, Box<Diagnostic>> {
    limit(path, text)?;
    let mut options = options(0);
    options.legacy_octal_numbers = true; // `defaultMode: 0644`, as kubectl reads it
    let mut all: Vec<At<Value>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|e| Box::new(finding(path, text, &e)))?;
    all.retain(|document| !document.is_null());
    all.iter_mut().for_each(|document| whole_numbers(&mut document.value));
    Ok(all)
}

/// Reads a file of any number of documents, with the place of each part of them; empty ones are left out.
pub fn nodes(path: &str, text: &str) -> Result<Vec<At<Node>>, Box<Diagnostic>> {
    read_nodes(path, text, 0) // no aliases: no bombs
}

/// The same, with what aliases stand for: a repository has none, but files from elsewhere do.
pub fn expanded(path: &str, text: &str) -> Result<Vec<At<Node>>, Box<Diagnostic>> {
    read_nodes(path, text, MAX_REPLAYED)
}

fn read_nodes(path: &str, text: &str, replayed: usize) -> Result<Vec<At<Node>>, Box<Diagnostic>> {
    limit(path, text)?;
    let mut options = options(replayed);
    options.legacy_octal_numbers = true; // as in `documents`
    let mut all: Vec<At<Node>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|e| Box::new(finding(path, text, &e)))?;
    all.retain(|document| document.value != Node::Scalar(Value::Null));
    Ok(all)
}

fn limit(path: &str, text: &str) -> Result<(), Box<Diagnostic>> {
    if text.len() <= MAX_FILE_BYTES {
        return Ok(());
    }
    let message = format!("{} bytes; the limit is {MAX_FILE_BYTES}", text.len());
    Err(Box::new(Diagnostic::error(path, Span::default(), Code::Syntax, message, "split the file")))
}

fn finding(path: &str, source: &str, error: &serde_saphyr::Error) -> Diagnostic {
    let span = error.location().map(Span::from).unwrap_or_default();
    let text = error.without_snippet().to_string();
    // The library ends its messages with the place, which we give ourselves.
    let message = text.split(" at line ").next().unwrap_or(&text).lines().next().unwrap_or_default().trim_end_matches([',', ':']);
    // A quoted key can hold what a terminal would obey.
    let message = words::printable(message);
    let hints::Said { message, help, span } = hints::said(&message, path, source, span);
    Diagnostic::error(path, span, Code::Syntax, message, help)
}

/// Numbers as kubectl sends them: what is whole has no fraction (`1.0` → `1`), because Kubernetes' integers take none.
pub(super) fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            // Above 2^53 a float no longer tells neighbouring whole numbers apart.
            if let Some(whole) = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0) {
                #[allow(clippy::cast_possible_truncation, reason = "whole and in range, see above")]
                let whole = whole as i64;
                *value = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
