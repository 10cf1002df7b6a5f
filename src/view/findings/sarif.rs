//! As SARIF 2.1.0, which code hosts and editors read (OASIS, "Static Analysis Results Interchange Format").

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::model::{Also, Code, Diagnostic, Severity, Span};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// One run with all findings. `prefix` leads from the working directory to the repository's folder.
pub fn sarif(found: &[Diagnostic], prefix: &str) -> Value {
    let codes: Vec<Code> = found.iter().map(|finding| finding.code).collect::<BTreeSet<Code>>().into_iter().collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = found.iter().map(|finding| result(finding, &codes, prefix)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "meshfed", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.number(),
        "shortDescription": {"text": code.title()},
        "help": {"text": code.page(), "markdown": code.page()},
    })
}

fn result(diagnostic: &Diagnostic, codes: &[Code], prefix: &str) -> Value {
    let Diagnostic { path, span, severity, code, message, help, also, commit } = diagnostic;
    let level = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = if help.is_empty() { message.clone() } else { format!("{message}\nhelp: {help}") };
    let mut location = json!({});
    if !path.is_empty() {
        location["physicalLocation"] = place(&format!("{prefix}{path}"), *span);
    }
    if let Some(commit) = commit {
        location["logicalLocations"] = json!([{"fullyQualifiedName": commit.to_string(), "kind": "commit"}]);
    }
    let related = |Also { path, span, words }: &Also| json!({"physicalLocation": place(&format!("{prefix}{path}"), *span), "message": {"text": words}});
    let mut result = json!({
        "ruleId": code.number(),
        "ruleIndex": codes.iter().position(|other| other == code),
        "level": level,
        "message": {"text": text},
        "locations": [location],
    });
    if !also.is_empty() {
        result["relatedLocations"] = also.iter().map(related).collect();
    }
    result
}

fn place(path: &str, span: Span) -> Value {
    let mut place = json!({"artifactLocation": {"uri": uri(path)}});
    if span.line > 0 {
        place["region"] = json!({"startLine": span.line, "startColumn": span.column.max(1)});
    }
    place
}

/// A path as a relative reference (RFC 3986): what has a meaning in one is escaped, so also a `:` before the first `/`.
fn uri(path: &str) -> String {
    path.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}"); // writing to a String cannot fail
        }
        out
    })
}
