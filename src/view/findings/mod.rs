//! Findings as people and programs see them: as rustc shows them, as JSON, as SARIF, and as GitHub's workflow commands.

mod github;
mod page;
mod sarif;
mod text;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{Also, Diagnostic, InCommit, Severity};
use crate::words::count;
pub use github::github;
pub use page::fit;
pub use sarif::sarif;
pub use text::render;

/// A finding as programs read it.
#[derive(Debug, Serialize)]
pub struct Finding<'a> {
    path: &'a str,
    line: u32,
    column: u32,
    severity: Severity,
    code: &'static str,
    title: &'static str,
    message: &'a str,
    help: &'a str,
    also: Vec<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<Commit<'a>>,
}

/// Another place, as programs read it.
#[derive(Debug, Serialize)]
struct Place<'a> {
    path: &'a str,
    line: u32,
    column: u32,
    message: &'a str,
}

/// A commit, as programs read it.
#[derive(Debug, Serialize)]
struct Commit<'a> {
    id: &'a str,
    at: Option<Timestamp>,
    key: &'a str,
}

impl<'a> From<&'a Diagnostic> for Finding<'a> {
    fn from(diagnostic: &'a Diagnostic) -> Self {
        let Diagnostic { path, span, severity, code, message, help, also, commit } = diagnostic;
        let place = |Also { path, span, words }: &'a Also| Place { path, line: span.line, column: span.column, message: words };
        Self {
            path,
            line: span.line,
            column: span.column,
            severity: *severity,
            code: code.number(),
            title: code.title(),
            message,
            help,
            also: also.iter().map(place).collect(),
            commit: commit.as_ref().map(|InCommit { id, at, key }| Commit { id, at: *at, key }),
        }
    }
}

/// `2 errors, 1 warning in 11 files`.
pub fn summary(found: &[Diagnostic], files: usize) -> String {
    let number = |severity| found.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push(count(errors, "error"));
    }
    if warnings > 0 {
        parts.push(count(warnings, "warning"));
    }
    let what = if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") };
    format!("{what} in {}", count(files, "file"))
}

/// Where to read more about what was found; empty where nothing was.
pub fn more(found: &[Diagnostic]) -> String {
    let mut codes: Vec<&str> = found.iter().map(|finding| finding.code.number()).collect();
    codes.sort_unstable();
    codes.dedup();
    match codes.as_slice() {
        [] => String::new(),
        [code] => format!("meshfed check --explain {code} says more"),
        [code, others @ ..] => format!("meshfed check --explain {code} says more; so for {}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests;
