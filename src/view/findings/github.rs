//! As workflow commands, which GitHub shows at the lines of a merge request
//! (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>).

use std::fmt::Write;

use crate::model::{Diagnostic, Severity};

/// One line a finding. `prefix` leads from the working directory to the repository's folder.
pub fn github(found: &[Diagnostic], prefix: &str) -> String {
    let mut out = String::new();
    for Diagnostic { path, span, severity, code, message, help, also: _, commit } in found {
        let command = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut properties = Vec::new();
        if !path.is_empty() {
            properties.push(format!("file={}", property(&format!("{prefix}{path}"))));
        }
        if span.line > 0 {
            properties.push(format!("line={},col={}", span.line, span.column));
        }
        properties.push(format!("title={}", property(&format!("{}: {}", code.number(), code.title()))));
        let mut text = message.clone();
        if let Some(commit) = commit {
            text = format!("{commit}: {text}");
        }
        if !help.is_empty() {
            text = format!("{text}\nhelp: {help}");
        }
        let _ = writeln!(out, "::{command} {}::{}", properties.join(","), data(&text)); // writing to a String cannot fail
    }
    out
}

/// What would end a command's text is escaped.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// And what would end a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
