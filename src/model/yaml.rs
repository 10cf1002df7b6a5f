//! Reading YAML with limits, and errors that say where.

use serde::de::DeserializeOwned;

use super::at::{At, Span};
use super::diagnostic::{Code, Diagnostic};

/// Largest document file, in bytes: far above anything that people write by hand, far below what would hurt an agent.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// Largest number of documents in one file of manifests.
pub const MAX_DOCUMENTS: usize = 10_000;

/// Largest number of mappings, lists and values in one file; keeps the memory that one file can take in proportion to its size.
pub const MAX_NODES: usize = 1_000_000;

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true, // `on` stays a string
        with_snippet: false,   // we draw our own
        budget: serde_saphyr::budget! { max_documents: MAX_DOCUMENTS, max_nodes: MAX_NODES },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 0 } // no aliases: no bombs
    }
}

/// Reads a file that holds exactly one document.
pub fn document<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, Box<Diagnostic>> {
    limit(path, text)?;
    serde_saphyr::from_str_with_options(text, options()).map_err(|e| Box::new(finding(path, &e)))
}

/// Reads a file of any number of documents; empty ones are left out.
pub fn documents(path: &str, text: &str) -> Result<Vec<At<serde_json::Value>>, Box<Diagnostic>> {
    limit(path, text)?;
    let all: Vec<At<serde_json::Value>> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|e| Box::new(finding(path, &e)))?;
    Ok(all.into_iter().filter(|value| !value.is_null()).collect())
}

fn limit(path: &str, text: &str) -> Result<(), Box<Diagnostic>> {
    if text.len() <= MAX_FILE_BYTES {
        return Ok(());
    }
    let message = format!("{} bytes; the limit is {MAX_FILE_BYTES}", text.len());
    Err(Box::new(Diagnostic::error(path, Span::default(), Code::Syntax, message, "split the file")))
}

fn finding(path: &str, error: &serde_saphyr::Error) -> Diagnostic {
    let span = error.location().map(Span::from).unwrap_or_default();
    let text = error.without_snippet().to_string();
    // The library ends its messages with the place, which we give ourselves.
    let message = text.split(" at line ").next().unwrap_or(&text).lines().next().unwrap_or_default().trim_end_matches([',', ':']);
    Diagnostic::error(path, span, Code::Syntax, message, "")
}
