//! The fields of log lines are what `docs/logs.md` lists: people build alerts and searches on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::schemas::files;

type Fields = BTreeMap<String, BTreeSet<String>>;

/// The rest of a macro's arguments, up to the parenthesis that closes it.
fn arguments(code: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' | '{' | '[' if !quoted => depth += 1,
            ')' | '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[..at];
        }
    }
    panic!("a macro that does not end: {code}");
}

/// Parts between the commas that stand in no parentheses or quotes.
fn parts(arguments: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start, mut parts) = (0, false, 0, Vec::new());
    for (at, c) in arguments.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '{' | '[' if !quoted => depth += 1,
            ')' | '}' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(arguments[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(arguments[start..].trim());
    parts
}

/// What the program logs, by its source.
fn logged() -> Fields {
    let mut fields = Fields::new();
    for (path, file) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let code = fs::read_to_string(file).unwrap();
        for (at, start) in ["info!(", "warn!("].iter().flat_map(|start| code.match_indices(start)) {
            let parts = parts(arguments(&code[at + start.len()..]));
            let named =
                parts[0].strip_prefix("event = ").unwrap_or_else(|| panic!("src/{path}: a line without an event: {parts:?}"));
            let Some(event) = named.strip_prefix('"').and_then(|event| event.strip_suffix('"')) else {
                assert_eq!(named, "subject", "src/{path}");
                continue; // a trouble: see below
            };
            let given = parts[1..].iter().filter(|part| !part.starts_with('"'));
            let given = given.map(|part| part.split(" = ").next().unwrap_or_default().to_owned());
            // What is no plain name is an argument of the message.
            let plain = |name: &String| name.chars().all(|c| c.is_ascii_lowercase());
            fields.entry(event.to_owned()).or_default().extend(given.filter(plain));
        }
        for (at, start) in code.match_indices(".trouble(\"") {
            let subject = code[at + start.len()..].split('"').next().unwrap_or_default();
            fields.entry(subject.to_owned()).or_default();
        }
    }
    fields
}

#[test]
fn every_log_line_has_the_fields_that_are_documented() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let documented: Fields = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<String>>();
            (names(cells[1]).pop_first().expect("an event"), names(cells[2]))
        })
        .collect();
    assert_eq!(logged(), documented);
}
