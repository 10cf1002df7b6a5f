//! Findings as rustc shows them: code, message, place, the lines concerned, and what to do.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::Look;
use crate::model::{Code, Diagnostic, Severity, Span};
use crate::words::count;

/// Columns of the excerpts where the screen has no width of its own.
const DEFAULT_WIDTH: usize = 140;

/// A finding as programs read it.
#[derive(Debug, Serialize)]
pub struct Finding<'a> {
    path: &'a str,
    line: u32,
    column: u32,
    severity: Severity,
    code: &'static str,
    message: &'a str,
    help: &'a str,
}

impl<'a> From<&'a Diagnostic> for Finding<'a> {
    fn from(diagnostic: &'a Diagnostic) -> Self {
        let Diagnostic { path, span, severity, code, message, help } = diagnostic;
        Self { path, line: span.line, column: span.column, severity: *severity, code: code.number(), message, help }
    }
}

/// All findings as text. `prefix` stands before each path, so that it can be clicked; `source` gives a file's text.
pub fn render<'a>(found: &[Diagnostic], prefix: &str, source: &dyn Fn(&str) -> Option<&'a str>, look: Look) -> String {
    let renderer = if look.colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(look.width.unwrap_or(DEFAULT_WIDTH));
    let mut out = String::new();
    for diagnostic in found {
        let path = format!("{prefix}{}", diagnostic.path);
        // The lines concerned would put a secret into the logs of whatever runs this.
        let source = source(&diagnostic.path).filter(|_| diagnostic.code != Code::Secret);
        out.push_str(&renderer.render(&[group(diagnostic, &path, source)]));
        out.push_str("\n\n");
    }
    out
}

fn group<'a>(diagnostic: &'a Diagnostic, path: &'a str, source: Option<&'a str>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.number());
    let marked = source.and_then(|source| Some((source, range(source, diagnostic.span)?)));
    let mut group = match marked {
        Some((source, range)) => {
            title.element(Snippet::source(source).path(path).annotation(AnnotationKind::Primary.span(range)))
        }
        None => title.element(place(path, diagnostic.span)),
    };
    if !diagnostic.help.is_empty() {
        group = group.element(Level::HELP.message(diagnostic.help.as_str()));
    }
    group
}

fn place(path: &str, span: Span) -> Origin<'_> {
    let origin = Origin::path(path);
    if span.line == 0 { origin } else { origin.line(span.line as usize).char_column(span.column as usize) }
}

/// The bytes to mark: from the place on, at most to the end of its line.
fn range(source: &str, span: Span) -> Option<Range<usize>> {
    let line = source.split_inclusive('\n').nth((span.line as usize).checked_sub(1)?)?;
    let start = line.as_ptr() as usize - source.as_ptr() as usize; // `line` is a part of `source`
    let text = line.trim_end_matches(['\n', '\r']);
    let column = text.char_indices().nth((span.column as usize).saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    // Of a mapping or list in braces the parser gives the opening one: mark all that its line has of it.
    let rest = text[column..].split(" #").next().unwrap_or_default();
    let len = if rest.starts_with(['{', '[']) && span.len <= 1 { rest.len() } else { (span.len as usize).max(1) };
    let mut end = column.saturating_add(len).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1; // the end of the line is one
    }
    let end = column + text[column..end].trim_end().len();
    Some(start + column..start + end)
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "kind: Peer\nspec:\n  imports:\n  - service: dev-bookinfo/détail # no\n  - {service: x/y} # no\n";

    fn mk_finding(line: u32, column: u32, len: u32) -> Diagnostic {
        let span = Span { line, column, offset: 0, len };
        Diagnostic::error("meshes/a/peers/b.yaml", span, Code::NotExported, "b does not export it", "did you mean `details`?")
    }

    #[test]
    fn a_finding_shows_the_marked_lines_and_the_help() {
        let found = [mk_finding(4, 14, 20), mk_finding(5, 5, 1), mk_finding(0, 0, 0)];
        insta::assert_snapshot!(render(&found, "repo/", &|_| Some(SOURCE), Look::default()));
        assert_eq!(summary(&found, 1), "3 errors in 1 file");
        assert_eq!(summary(&[], 2), "no findings in 2 files");
    }

    #[test]
    fn t13_the_lines_of_a_secret_are_not_shown() {
        let found = [Diagnostic { code: Code::Secret, ..mk_finding(4, 14, 20) }];
        let text = render(&found, "", &|_| Some(SOURCE), Look::default());
        assert!(text.contains("peers/b.yaml:4:14") && !text.contains("service:"), "{text}");
    }

    #[test]
    fn a_place_outside_the_file_is_no_danger() {
        for (line, column, len) in [(1, 99, 5), (9, 1, 1), (4, 27, u32::MAX), (4, 28, 1), (3, 0, 0), (6, 1, 1)] {
            let text = render(&[mk_finding(line, column, len)], "", &|_| Some(SOURCE), Look::default());
            assert!(text.contains("MF009"), "{text}");
        }
        render(&[mk_finding(1, 1, 1)], "", &|_| Some(""), Look::default());
    }
}
