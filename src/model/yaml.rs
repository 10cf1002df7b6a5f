//! Reading YAML with limits, and errors that say where.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::at::{At, Span};
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::names;
use super::node::Node;
use crate::words;

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
    let (message, mut help) = for_people(&message);
    if message == NO_BOOLEAN {
        help = boolean(word(source, span)).map(|meant| format!("write `{meant}`")).unwrap_or_default();
    }
    Diagnostic::error(path, span, Code::Syntax, message, help)
}

const NO_BOOLEAN: &str = "neither `true` nor `false`";

/// What somebody meant who wrote a boolean as YAML 1.1 had it, or as other languages do.
pub fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "1" | "true" | "enabled" => Some(true),
        "no" | "off" | "n" | "0" | "false" | "disabled" => Some(false),
        _ => None,
    }
}

/// The word at a place, without its quotes.
fn word(source: &str, span: Span) -> &str {
    let line = (span.line as usize).checked_sub(1).and_then(|line| source.lines().nth(line)).unwrap_or_default();
    let place = line.char_indices().nth(span.column.saturating_sub(1) as usize).map_or(line.len(), |(place, _)| place);
    let end = |c: char| c.is_whitespace() || ",]}".contains(c);
    line[place..].split(end).next().unwrap_or_default().trim_matches(['"', '\''])
}

/// The library speaks to programmers who call it; people who write YAML get what is wrong and what to do.
fn for_people(message: &str) -> (String, String) {
    let plain = |message: &str, help: &str| (message.to_owned(), help.to_owned());
    if let Some((what, known)) = message.split_once(", expected one of ") {
        let names: Vec<&str> = known.split(", ").collect();
        let wrong = what.split('`').nth(1).unwrap_or_default();
        let what = what.replace("unknown variant", "unknown value");
        return (what, names::closest(wrong, &names));
    }
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(", set ").next().unwrap_or(rest);
        return (format!("`{key}` is said twice"), "remove one of them".to_owned());
    }
    match message {
        "expected sequence start" => plain("a list belongs here", "write `- item` lines or `[item, item]`"),
        "expected mapping start" => plain("a mapping belongs here", "write `key: value` lines"),
        "expected string scalar" | "externally tagged enum expected scalar or mapping" => plain("a text belongs here", ""),
        "expected end of mapping after enum variant value" => plain("only one of these can be given", "remove the others"),
        "unexpected end of input" => plain("the file is empty", ""),
        "invalid boolean (strict mode expects true/false)" => plain(NO_BOOLEAN, ""),
        _ if message.starts_with("tabs disallowed") || message.ends_with("found a tab") => {
            plain("a tab indents this line", "YAML is indented with blanks")
        }
        _ if message.starts_with("invalid u") => plain("not a whole number in range", ""),
        _ if message.starts_with("alias replay limit") => plain("YAML aliases (`*name`) are not read", "write the value out"),
        _ if message.starts_with("multiple YAML documents") => {
            plain("a second document begins here", "one document in each file")
        }
        _ if message.starts_with("cannot deserialize null") => plain("a value is missing", ""),
        _ => plain(message, ""),
    }
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
