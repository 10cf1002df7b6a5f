//! What is wrong with a document: where, what, and what to do.

use super::at::Span;
use crate::words::printable;

/// Numbered kinds of finding. Numbers are never used twice, so that people can search for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The file is not the YAML that its place asks for.
    Syntax,
    /// A file lies where no document belongs.
    Misplaced,
    /// A name breaks the rules of Kubernetes or of the control plane.
    BadName,
    /// A document's name is not that of its file or folder.
    NameMismatch,
    /// A document names something that is not there.
    Dangling,
    /// The same thing is said twice.
    Duplicate,
    /// A value is of the right type but cannot be meant.
    BadValue,
    /// Weights do not make sense together.
    Weights,
    /// An import that the peer does not export.
    NotExported,
    /// An object outside the mesh's own namespaces.
    OutsideMesh,
    /// A published fact that cannot be trusted or used.
    BadFact,
    /// Something legitimate that is probably not meant.
    Suspicious,
    /// The repository lacks what every federation has.
    NoFederation,
    /// A private key or another secret.
    Secret,
    /// A policy forbids it, or a policy cannot be evaluated.
    Policy,
}

impl Code {
    /// The number that people see and search for.
    pub fn number(self) -> &'static str {
        match self {
            Self::Syntax => "MF001",
            Self::Misplaced => "MF002",
            Self::BadName => "MF003",
            Self::NameMismatch => "MF004",
            Self::Dangling => "MF005",
            Self::Duplicate => "MF006",
            Self::BadValue => "MF007",
            Self::Weights => "MF008",
            Self::NotExported => "MF009",
            Self::OutsideMesh => "MF010",
            Self::BadFact => "MF011",
            Self::Suspicious => "MF012",
            Self::NoFederation => "MF013",
            Self::Secret => "MF014",
            Self::Policy => "MF020",
        }
    }
}

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
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(path: &str, span: Span, code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        // They may quote what a document says.
        let (message, help) = (printable(&message.into()), printable(&help.into()));
        Self { path: path.into(), span, severity: Severity::Error, code, message, help }
    }

    /// A warning at a place.
    pub fn warning(path: &str, span: Span, code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, span, code, message, help) }
    }
}

/// `path:line:column: error[MF001]: message (help)`; one line, for logs and holds.
impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, span, severity, code, message, help } = self;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match span.line {
            0 => write!(f, "{path}: ")?,
            line => write!(f, "{path}:{line}:{}: ", span.column)?,
        }
        write!(f, "{severity}[{}]: {message}", code.number())?;
        if help.is_empty() { Ok(()) } else { write!(f, " ({help})") }
    }
}
