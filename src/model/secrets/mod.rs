//! Secrets that somebody is about to commit: private keys, Kubernetes Secrets, kubeconfigs. Whoever can read the repository has them
//! for good, so a document that holds one is an error. What an operator in the cluster encrypts or fetches passes.

mod kubeconfig;
mod text;

use std::collections::BTreeMap;

use serde_json::Value;

use super::at::{At, Span};
use super::code::Code;
use super::diagnostic::Diagnostic;
use super::yaml;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    PrivateKey,
    Secret,
    Kubeconfig,
}

impl What {
    fn finding(self, path: &str, span: Span) -> Diagnostic {
        let message = match self {
            Self::PrivateKey => "this is a private key",
            Self::Secret => "a Secret with its data lies open in the repository",
            Self::Kubeconfig => "this is a kubeconfig with credentials",
        };
        let help = "take it out, and replace it if it was pushed, because history keeps it; make it in the cluster, or let an operator \
                    there decrypt or fetch it (SealedSecret, ExternalSecret)";
        Diagnostic::error(path, span, Code::Secret, message, help)
    }
}

/// Most findings in one document: enough to see what kind of file it is.
const MAX_FINDINGS: usize = 20;

/// Secrets in any file, for whoever keeps them out of a repository: YAML and JSON as documents, everything else as text.
pub fn in_file(path: &str, content: &[u8]) -> Vec<Diagnostic> {
    let text = String::from_utf8_lossy(content);
    let documents =
        [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end)).then(|| yaml::documents(path, &text).ok()).flatten();
    match documents {
        Some(documents) => in_documents(path, &text, &documents).into_iter().map(|(_, finding)| finding).collect(),
        None => in_text(path, &text),
    }
}

/// Secrets in a document of ours: anywhere in its text, comments too.
pub(super) fn in_text(path: &str, text: &str) -> Vec<Diagnostic> {
    let mut found = text::find(text);
    if found.is_empty() {
        found.extend(kubeconfig::in_text(text).map(|offset| (offset, What::Kubeconfig)));
    }
    let lines = Lines::of(text);
    found.into_iter().take(MAX_FINDINGS).map(|(offset, what)| what.finding(path, lines.span(offset))).collect()
}

/// Documents of a file of manifests that hold a secret, by their number, each with its first; `None` before the first document.
pub(super) fn in_documents(path: &str, text: &str, documents: &[At<Value>]) -> Vec<(Option<usize>, Diagnostic)> {
    let start = |number: usize| documents.get(number).map_or(text.len(), |document| document.span.offset as usize);
    let home = |offset: usize| documents.partition_point(|document| document.span.offset as usize <= offset).checked_sub(1);
    let mut found = BTreeMap::new();
    for (offset, what) in text::find(text) {
        found.entry(home(offset)).or_insert((offset, what));
    }
    for (number, document) in documents.iter().enumerate() {
        if !found.contains_key(&Some(number))
            && let Some(what) = in_value(document)
        {
            let own = &text[start(number)..start(number + 1)];
            found.insert(Some(number), (start(number) + locate(own, what), what));
        }
    }
    let lines = Lines::of(text);
    found.into_iter().map(|(home, (offset, what))| (home, what.finding(path, lines.span(offset)))).collect()
}

/// The first secret in a tree of values.
fn in_value(value: &Value) -> Option<What> {
    match value {
        Value::String(text) => {
            let key = text::find(text).first().map(|(_, what)| *what);
            key.or_else(|| kubeconfig::in_text(text).map(|_| What::Kubeconfig))
        }
        Value::Array(items) => items.iter().find_map(in_value),
        Value::Object(fields) if is_secret(value) => fields.values().find_map(in_value).or(Some(What::Secret)),
        Value::Object(_) if kubeconfig::has_credentials(value) => Some(What::Kubeconfig),
        Value::Object(fields) => fields.values().find_map(in_value),
        _ => None,
    }
}

/// A Secret of the core group that holds something. One without data is for a controller to fill, as for a service account's token.
fn is_secret(value: &Value) -> bool {
    let filled = |field: &str| match &value[field] {
        Value::Null => false,
        Value::Object(entries) => entries.values().any(|entry| !matches!(entry.as_str(), Some("")) && !entry.is_null()),
        _ => true,
    };
    value["apiVersion"] == "v1" && value["kind"] == "Secret" && (filled("data") || filled("stringData"))
}

/// Where in a document's text people find what its values hold: its `kind`, or its beginning.
fn locate(text: &str, what: What) -> usize {
    let kind = match what {
        What::Secret => "Secret",
        What::Kubeconfig => "Config",
        What::PrivateKey => return 0,
    };
    let bare = |text: &str| text.trim_start_matches([' ', '"', '\'', ':']).starts_with(kind);
    text.match_indices("kind").map(|(at, _)| at).find(|at| bare(&text[at + "kind".len()..])).unwrap_or(0)
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn span(&self, offset: usize) -> Span {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX); // files are far smaller (`MAX_FILE_BYTES`)
        let line = self.starts.partition_point(|start| *start <= offset);
        let column = self.text[self.starts[line - 1]..offset].chars().count() + 1;
        Span { line: small(line), column: small(column), offset: small(offset), len: 1 }
    }
}

#[cfg(test)]
mod tests;
