//! What is wrong with a document: where, what, and what to do.

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
