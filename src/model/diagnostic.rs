//! What is wrong with a document: where, what, and what to do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::at::Span;
use super::code::Code;
use crate::words::printable;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is not used; what it described before is kept.
    Error,
    /// The document is used.
    Warning,
}

/// One finding in one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// Path in the repository.
    pub path: String,
    /// Place in the file; line 0 where only the file is known.
    pub span: Span,
    /// Error or warning.
    pub severity: Severity,
    /// Kind of finding.
    pub code: Code,
    /// What is wrong, one line.
    pub message: String,
    /// What to do; empty where the message says it.
    pub help: String,
    /// Other places that it is about.
    pub also: Vec<Also>,
    /// The commit that it is about, where it is not what the documents say now.
    pub commit: Option<InCommit>,
}

/// A commit that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InCommit {
    /// Its whole id.
    pub id: String,
    /// Its date, by the clock of whoever made it; `None` where it cannot be read.
    pub at: Option<Timestamp>,
    /// Fingerprint of the key that signed it; empty without a good signature.
    pub key: String,
}

/// `commit 52fc9e1, 2026-11-20 10:02, key SHA256:…`; times are UTC.
impl std::fmt::Display for InCommit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, at, key } = self;
        write!(f, "commit {}", id.get(..7).unwrap_or(id))?;
        if let Some(at) = at {
            write!(f, ", {}", at.strftime("%Y-%m-%d %H:%M"))?;
        }
        if key.is_empty() { Ok(()) } else { write!(f, ", key {key}") }
    }
}

/// Another place that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Also {
    /// Path in the repository.
    pub path: String,
    /// Place in the file.
    pub span: Span,
    /// What is there.
    pub words: String,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(path: &str, span: Span, code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        // They may quote what a document says.
        let (message, help) = (printable(&message.into()), printable(&help.into()));
        Self { path: path.into(), span, severity: Severity::Error, code, message, help, also: Vec::new(), commit: None }
    }

    /// The same, with another place that it is about; one that is not known is left out.
    #[must_use]
    pub fn also(mut self, path: &str, span: Span, words: impl Into<String>) -> Self {
        if span.line > 0 {
            self.also.push(Also { path: path.into(), span, words: printable(&words.into()) });
        }
        self
    }

    /// A warning at a place.
    pub fn warning(path: &str, span: Span, code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, span, code, message, help) }
    }
}

/// Says each problem once: what two places say of each other is kept where it is said first, as the other one is shown beside it; and what
/// leads nowhere because of an error at another place is not said beside that error.
pub fn once(found: &mut Vec<Diagnostic>) {
    type Where<'a> = (Code, &'a str, Span);
    let errors = found.iter().filter(|finding| finding.severity == Severity::Error);
    let errors: BTreeSet<(String, Span)> = errors.map(|finding| (finding.path.clone(), finding.span)).collect();
    let follows = |finding: &Diagnostic| {
        finding.code == Code::Dangling && finding.also.iter().any(|cause| errors.contains(&(cause.path.clone(), cause.span)))
    };
    found.retain(|finding| !follows(finding));
    let mut said: BTreeMap<Where, BTreeSet<(&str, Span)>> = BTreeMap::new();
    let mut keep = Vec::with_capacity(found.len());
    for Diagnostic { path, span, code, also, .. } in found.iter() {
        let mut others = also.iter().map(|other| (other.path.as_str(), other.span));
        let is_said = others
            .clone()
            .any(|(other, at)| said.get(&(*code, other, at)).is_some_and(|beside| beside.contains(&(path.as_str(), *span))));
        keep.push(!is_said);
        if !is_said {
            said.entry((*code, path, *span)).or_default().extend(&mut others);
        }
    }
    let mut keep = keep.into_iter();
    found.retain(|_| keep.next().unwrap_or(true));
}

/// `path:line:column: error[MF001]: message (help)`; one line, for logs and holds.
impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, span, severity, code, message, help, also: _, commit } = self;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match (span.line, commit) {
            (_, Some(commit)) => write!(f, "{commit}: ")?,
            (0, None) => write!(f, "{path}: ")?,
            (line, None) => write!(f, "{path}:{line}:{}: ", span.column)?,
        }
        write!(f, "{severity}[{}]: {message}", code.number())?;
        if help.is_empty() { Ok(()) } else { write!(f, " ({help})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_an_error_is_not_said_beside_it() {
        let at = |line| Span { line, column: 1, offset: 0, len: 1 };
        let cause = Diagnostic::error("a", at(2), Code::NameMismatch, "called otherwise", "");
        let follows = Diagnostic::error("b", at(1), Code::Dangling, "no such folder", "").also("a", at(2), "here");
        let other = Diagnostic::error("b", at(2), Code::Dangling, "nowhere", "").also("a", at(3), "here");
        let mut found = vec![cause.clone(), follows, other.clone()];
        once(&mut found);
        assert_eq!(found, [cause, other]);
    }

    #[test]
    fn what_two_places_say_of_each_other_is_said_once() {
        let at = |line| Span { line, column: 1, offset: 0, len: 1 };
        let says = |path: &str, other: &str| {
            Diagnostic::error(path, at(1), Code::Duplicate, format!("as in {other}"), "").also(other, at(1), "there")
        };
        let mut found = vec![says("a", "b"), says("a", "c"), says("b", "a"), says("c", "a"), says("c", "d"), says("e", "c")];
        once(&mut found);
        let left: Vec<_> = found.iter().map(|finding| (finding.path.as_str(), finding.message.as_str())).collect();
        assert_eq!(left, [("a", "as in b"), ("a", "as in c"), ("c", "as in d"), ("e", "as in c")]);
    }
}
