//! Texts with gaps that nobody filled in: `{{ADDRESS}}` where a value belongs is no YAML.

use std::fmt::Write;

use crate::model::{Code, Diagnostic, Span};

/// What is said of a text that is no YAML, and what it would be if its gaps were texts.
pub(super) struct Template {
    pub finding: Diagnostic,
    /// With every gap in quotes; `None` where there is no gap.
    pub mended: Option<String>,
    /// Lines with a gap: whatever else is wrong with them, it is the gap.
    pub lines: Vec<u32>,
}

/// Looks for gaps in a text that could not be read, for which there is a finding already.
pub(super) fn look(path: &str, text: &str, finding: Diagnostic) -> Template {
    let mut first = None;
    let (mut mended, mut lines) = (String::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        match gap(line).filter(|_| !line.trim_start().starts_with('#')) {
            Some((at, gap)) => {
                first.get_or_insert((number, line[..at].chars().count(), gap));
                lines.push(number);
                let _ = writeln!(mended, "{}", quoted(line, at, gap)); // writing to a String cannot fail
            }
            None => {
                let _ = writeln!(mended, "{line}"); // nor here
            }
        }
    }
    let Some((line, before, gap)) = first else { return Template { finding, mended: None, lines } };
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX); // of a file of a few MiB
    let span = Span { line, column: small(before) + 1, offset: 0, len: small(gap.len()) };
    let others = match lines.len() - 1 {
        0 => String::new(),
        1 => ", nor one more gap below it".to_owned(),
        more => format!(", nor {more} more gaps below it"),
    };
    let message = format!("`{gap}` was never filled in{others}, so this is no YAML");
    let help = "write the values, or import what fills them in: helm template … | meshfed import -";
    Template { finding: Diagnostic::error(path, span, Code::Syntax, message, help), mended: Some(mended), lines }
}

/// The first `{{…}}` or `{%…%}` of a line, with its place.
fn gap(line: &str) -> Option<(usize, &str)> {
    let at = [line.find("{{"), line.find("{%")].into_iter().flatten().min()?;
    let end = ["}}", "%}"].iter().filter_map(|end| line[at..].find(end)).min().map_or(line.len(), |end| at + end + 2);
    Some((at, &line[at..end]))
}

/// A line with the key or value that a gap is in as a text; nothing where all of it is what a template does.
fn quoted(line: &str, at: usize, gap: &str) -> String {
    let item = line.len() - line.trim_start_matches([' ', '-']).len();
    let quote = |text: &str| format!("'{}'", text.trim().replace('\'', "''"));
    let value = line[..at].find(": ").map(|colon| colon + 2);
    let after = &line[at + gap.len()..];
    match (value, after.find(':').filter(|colon| after[colon + 1..].starts_with([' ', '\n']) || after.ends_with(':'))) {
        (Some(value), _) => format!("{}{}", &line[..value], quote(&line[value..])),
        (None, Some(colon)) => {
            let end = at + gap.len() + colon;
            format!("{}{}{}", &line[..item], quote(&line[item..end]), &line[end..])
        }
        (None, None) if line[..item].contains('-') => format!("{}{}", &line[..item], quote(&line[item..])),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_becomes_a_text_wherever_it_stands() {
        let mended = |line: &str| {
            let (at, gap) = gap(line).unwrap();
            quoted(line, at, gap)
        };
        assert_eq!(mended("  name: {{ .A }}-x"), "  name: '{{ .A }}-x'");
        assert_eq!(mended("  - network-{{A}}"), "  - 'network-{{A}}'");
        assert_eq!(mended("  - from: {{ it's }}"), "  - from: '{{ it''s }}'");
        assert_eq!(mended("    {{A}}-egress:"), "    '{{A}}-egress':");
        assert_eq!(mended("    x-{{A}}: {{B}}"), "    'x-{{A}}': {{B}}");
        assert_eq!(mended("  {{- if .A }}"), "");
    }
}
