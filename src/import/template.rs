//! Texts with gaps that nobody filled in: `{{ADDRESS}}` where a value belongs is no YAML.

use std::fmt::Write;

use crate::model::{Code, Diagnostic, Span};

/// What is said of a text that is no YAML, and what it would be if its gaps were texts.
pub(super) struct Template {
    pub finding: Diagnostic,
    /// With every gap in quotes; `None` where there is no gap.
    pub mended: Option<String>,
}

/// Looks for gaps in a text that could not be read, for which there is a finding already.
pub(super) fn look(path: &str, text: &str, finding: Diagnostic) -> Template {
    let mut first = None;
    let mut mended = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let said = line.trim_start();
        match gap(line).filter(|_| !said.starts_with('#')) {
            Some((at, gap)) => {
                first.get_or_insert((number, line[..at].chars().count(), gap));
                let before = &line[..at];
                let value = before.trim_end().ends_with([':', '-']);
                let quoted =
                    if value { format!("{before}'{}'", line[at..].trim_end().replace('\'', "''")) } else { String::new() };
                let _ = writeln!(mended, "{quoted}"); // writing to a String cannot fail
            }
            None => {
                let _ = writeln!(mended, "{line}"); // nor here
            }
        }
    }
    let Some((line, before, gap)) = first else { return Template { finding, mended: None } };
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX); // of a file of a few MiB
    let span = Span { line, column: small(before) + 1, offset: 0, len: small(gap.len()) };
    let message = format!("`{gap}` was never filled in, so this is no YAML");
    let help = "write the value, or import what fills it in: helm template … | meshfed import -";
    Template { finding: Diagnostic::error(path, span, Code::Syntax, message, help), mended: Some(mended) }
}

/// The first `{{…}}` or `{%…%}` of a line, with its place.
fn gap(line: &str) -> Option<(usize, &str)> {
    let at = [line.find("{{"), line.find("{%")].into_iter().flatten().min()?;
    let end = ["}}", "%}"].iter().filter_map(|end| line[at..].find(end)).min().map_or(line.len(), |end| at + end + 2);
    Some((at, &line[at..end]))
}
