//! As workflow commands, which GitHub shows at the lines of a merge request
//! (<https://docs.github.com/actions/reference/workflow-commands-for-github-actions>).

use std::fmt::Write;

use crate::model::{Diagnostic, Severity};

/// One line a finding. `prefix` leads from the working directory to the repository's folder.
pub fn github(found: &[Diagnostic], prefix: &str) -> String {
    let mut out = String::new();
    for Diagnostic { path, span, severity, code, message, help, also: _ } in found {
        let command = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut properties = format!("file={}", property(&format!("{prefix}{path}")));
        if span.line > 0 {
            let _ = write!(properties, ",line={},col={}", span.line, span.column); // writing to a String cannot fail
        }
        let title = property(&format!("{}: {}", code.number(), code.title()));
        let text = if help.is_empty() { message.clone() } else { format!("{message}\nhelp: {help}") };
        let _ = writeln!(out, "::{command} {properties},title={title}::{}", data(&text)); // nor here
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
