//! Values that were never filled in: of a template that nobody rendered, or of an example that somebody copied.

use std::ops::Range;

use super::at::Span;
use super::code::Code;
use super::diagnostic::Diagnostic;

/// How a placeholder begins and ends: Helm and Jinja, shells and Kustomize, Tekton and make, and people.
const BRACKETS: [(&str, &str); 4] = [("{{", "}}"), ("${", "}"), ("$(", ")"), ("<", ">")];

/// Words that examples have where a value belongs, in upper case.
const WORDS: [&str; 8] = ["REPLACE", "CHANGEME", "CHANGE_ME", "CHANGE-ME", "INSERT_", "INSERT-", "YOUR-", "YOUR_"];

/// Whether a value was never filled in.
pub fn is_placeholder(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    BRACKETS.iter().map(|(begin, _)| begin).chain(&WORDS).any(|sign| upper.contains(sign)) || has_variable(text)
}

/// Whether a text has a variable of a shell: `$NAME`.
pub fn has_variable(text: &str) -> bool {
    text.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_'))
}

/// Whether an address is only the name of one: `ADDRESS`, `INGRESS_IP`.
pub fn is_shouted(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Where a value was never filled in, that is what is wrong, whatever its reader makes of it.
pub(super) fn name_them(text: &str, found: &mut [Diagnostic]) {
    for finding in found.iter_mut().filter(|finding| finding.span.line > 0 && finding.code != Code::Secret) {
        let Some(placeholder) = at(text, finding.span) else { continue };
        let named = Diagnostic::error(
            &finding.path,
            finding.span,
            finding.code,
            format!("`{placeholder}` was never filled in"),
            "write the value, or commit what the template becomes",
        );
        *finding = Diagnostic { severity: finding.severity, ..named };
    }
}

/// The placeholder that a place lies in. Readers stumble somewhere inside of one, or right behind it.
fn at(text: &str, span: Span) -> Option<&str> {
    let line = text.lines().nth(span.line as usize - 1)?;
    let place = line.char_indices().nth(span.column.saturating_sub(1) as usize).map_or(line.len(), |(place, _)| place);
    let end = place + (span.len as usize).max(1);
    let meets = |range: &Range<usize>| range.start < end && place <= range.end;
    BRACKETS.iter().find_map(|brackets| all(line, *brackets).find(meets)).map(|range| &line[range])
}

/// All placeholders of a line with these brackets. There is something in each.
fn all<'a>(line: &'a str, (begin, end): (&'a str, &'a str)) -> impl Iterator<Item = Range<usize>> + 'a {
    line.match_indices(begin).filter_map(move |(start, _)| {
        let inside = start + begin.len();
        let length = line[inside..].find(end).filter(|length| *length > 0)?;
        Some(start..inside + length + end.len())
    })
}

#[cfg(test)]
mod tests {
    use crate::model::testing::{pair, show};

    #[test]
    fn what_was_never_filled_in_is_named_as_that() {
        for (line, placeholder) in [
            ("trustDomain: {{ .Values.domain }}", "{{ .Values.domain }}"),
            ("trustDomain: '{{ .Values.domain }}'", "{{ .Values.domain }}"),
            ("trustDomain: ${TRUST_DOMAIN}", "${TRUST_DOMAIN}"),
            ("trustDomain: $(TRUST_DOMAIN)", "$(TRUST_DOMAIN)"),
            ("trustDomain: <trust domain>", "<trust domain>"),
            ("members: [apps, <namespace>]", "<namespace>"),
            ("createNamespaces: {{create}}", "{{create}}"),
        ] {
            let mesh = format!("//- meshes/b/mesh.yaml\nkind: Mesh\nmetadata: {{name: b}}\nspec:\n  {line}\n");
            let said = show(&pair().with(&mesh).load().1);
            assert!(said.contains(&format!("`{placeholder}` was never filled in (write the value")), "{line}: {said}");
        }
    }
}
