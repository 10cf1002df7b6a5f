//! What is wrong with YAML, in the words of the people who write it: the library speaks to programmers who call it.

use crate::model::at::Span;
use crate::model::documents::API_VERSION;
use crate::model::names;
use crate::model::place::Place;

/// What is wrong, what to do about it, and where.
#[derive(Debug)]
pub(super) struct Said {
    pub message: String,
    pub help: String,
    pub span: Span,
}

/// How a line begins that Git writes around two sides that it could not merge.
const CONFLICT: &str = "<<<<<<< ";

/// What a mapping that does not line up needs.
const ALIKE: &str = "indent all keys of a mapping alike; put a text that has `: ` in it into quotes";

/// Whether a text has no document: nothing but comments and blank lines.
pub(super) fn is_empty(text: &str) -> bool {
    text.lines()
        .map(|line| line.trim_start_matches('\u{feff}').trim())
        .all(|line| line.is_empty() || line == "---" || line.starts_with('#'))
}

/// The library's message about a place of a file, for people.
pub(super) fn said(message: &str, path: &str, source: &str, span: Span) -> Said {
    if let Some(line) = source.lines().position(|line| line.starts_with(CONFLICT)) {
        let line = u32::try_from(line + 1).unwrap_or(u32::MAX);
        let len = u32::try_from(CONFLICT.len()).unwrap_or(u32::MAX);
        let span = Span { line, column: 1, len, ..Span::default() };
        let help = "keep one of its sides, and remove the three lines that Git wrote".to_owned();
        return Said { message: "a merge conflict was left here".to_owned(), help, span };
    }
    let word = word(source, span);
    let (message, help) = match message.strip_prefix("missing field ").map(|field| field.trim_matches('`')) {
        Some(field) => (format!("`{field}` is missing"), missing(field, path)),
        None => for_people(message, word),
    };
    // Of a document that lacks a field the library gives the last one.
    let head = ["apiVersion", "kind", "metadata"].iter().any(|field| message == format!("`{field}` is missing"));
    let begin = || source.lines().position(|line| line.starts_with(|c: char| c.is_alphabetic()));
    let span = match begin().filter(|_| head && span.column == 1) {
        Some(line) => Span { line: u32::try_from(line + 1).unwrap_or(u32::MAX), column: 1, ..Span::default() },
        None => span,
    };
    Said { message, help, span }
}

/// What to add where a field is missing that every document has.
fn missing(field: &str, path: &str) -> String {
    let kind = match Place::of(path) {
        Place::Federation => "Federation",
        Place::Mesh(_) => "Mesh",
        Place::Peer { .. } => "Peer",
        Place::Traffic { .. } => "Traffic",
        Place::Manifests { .. } | Place::Policy | Place::Definition | Place::Waiting | Place::Unknown { .. } | Place::Foreign => {
            ""
        }
    };
    match field {
        "apiVersion" => format!("add `apiVersion: {API_VERSION}`"),
        "kind" if !kind.is_empty() => format!("add `kind: {kind}`"),
        "metadata" => "add `metadata: {name: …}`".to_owned(),
        _ => String::new(),
    }
}

const NO_BOOLEAN: &str = "neither `true` nor `false`";

/// What somebody meant who wrote a boolean as YAML 1.1 had it, or as other languages do.
pub fn boolean(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "1" | "true" | "enabled" => Some(true),
        "no" | "off" | "n" | "0" | "false" | "disabled" => Some(false),
        _ => None,
    }
}

/// The word at a place, without its quotes.
fn word(source: &str, span: Span) -> &str {
    let line = (span.line as usize).checked_sub(1).and_then(|line| source.lines().nth(line)).unwrap_or_default();
    let place = line.char_indices().nth(span.column.saturating_sub(1) as usize).map_or(line.len(), |(place, _)| place);
    let end = |c: char| c.is_whitespace() || ",]}".contains(c);
    line[place..].split(end).next().unwrap_or_default().trim_matches(['"', '\''])
}

/// Where YAML reads one word, because a colon has nothing behind it: `key:value`.
fn glued(word: &str) -> Option<String> {
    let (key, value) = word.split_once(':')?;
    let plain = key.chars().all(char::is_alphanumeric) && !key.is_empty() && !value.is_empty() && !value.starts_with('/');
    plain.then(|| format!("put a blank behind the colon: `{key}: {value}`"))
}

fn for_people(message: &str, word: &str) -> (String, String) {
    let plain = |message: &str, help: &str| (message.to_owned(), help.to_owned());
    if let Some((what, known)) = message.split_once(", expected one of ") {
        let names: Vec<&str> = known.split(", ").collect();
        let wrong = what.split('`').nth(1).unwrap_or_default();
        let what = what.replace("unknown variant", "unknown value");
        return (what, glued(wrong).unwrap_or_else(|| names::closest(wrong, &names)));
    }
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(", set ").next().unwrap_or(rest);
        return (format!("`{key}` is said twice"), "remove one of them".to_owned());
    }
    match message {
        "expected sequence start" => plain("a list belongs here", "write `- item` lines or `[item, item]`"),
        "expected mapping start" => {
            ("a mapping belongs here".to_owned(), glued(word).unwrap_or_else(|| "write `key: value` lines".to_owned()))
        }
        "expected string scalar" | "externally tagged enum expected scalar or mapping" => plain("a text belongs here", ""),
        "expected end of mapping after enum variant value" => plain("only one of these can be given", "remove the others"),
        "unexpected end of input" => plain("the file is empty", ""),
        "invalid boolean (strict mode expects true/false)" => {
            let help = boolean(word).map(|meant| format!("write `{meant}`")).unwrap_or_default();
            (NO_BOOLEAN.to_owned(), help)
        }
        "mapping values are not allowed in this context" => plain("no `key: value` can begin here", ALIKE),
        "illegal placement of ':' indicator" => {
            plain("no `:` can stand here", "add the `]` of a list before it, or put the text into quotes")
        }
        "simple key expected ':'" => match glued(word) {
            Some(help) => ("a blank is missing here".to_owned(), help),
            None => plain("a `:` is missing behind this key", "write `key: value`"),
        },
        _ if message.starts_with("while parsing a block ") => plain("this line does not line up with those before it", ALIKE),
        _ if message.starts_with("while parsing a flow mapping") => {
            plain("a `{` before this is not closed", "add the `}`, or the `,` between two fields")
        }
        _ if message.starts_with("while parsing a flow sequence") => {
            plain("a `[` before this is not closed", "add the `]`, or the `,` between two items")
        }
        _ if message.starts_with("while scanning an anchor or alias") => {
            plain("`*` and `&` mean something to YAML", "put the text into quotes: `'*'`")
        }
        _ if message.starts_with("tabs disallowed") || message.ends_with("found a tab") => {
            plain("a tab indents this line", "YAML is indented with blanks")
        }
        _ if message.starts_with("invalid u") => (
            format!("`{word}` is no whole number that can stand here"),
            "digits alone, without sign, fraction or unit".to_owned(),
        ),
        _ if message.starts_with("alias replay limit") => plain("YAML aliases (`*name`) are not read", "write the value out"),
        _ if message.starts_with("multiple YAML documents") => {
            plain("a second document begins here", "one document in each file")
        }
        _ if message.starts_with("cannot deserialize null") => plain("a value is missing", ""),
        _ => plain(message, ""),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::testing::{pair, show};

    /// What is said of a Mesh in which one line stands in place of `members: [apps]`.
    fn said(lines: &str) -> String {
        let mesh = format!("//- meshes/b/mesh.yaml\nkind: Mesh\nmetadata: {{name: b}}\nspec:\n  trustDomain: b.local\n{lines}\n");
        show(&pair().with(&mesh).load().1)
    }

    #[test]
    fn what_yaml_cannot_read_says_what_to_do() {
        for (lines, words) in [
            ("   members: [apps]", ["no `key: value` can begin here", "indent all keys of a mapping alike"]),
            ("  locality: {region: a\n  platform: aws", ["a `{` before this is not closed", "add the `}`"]),
            ("  members: [a, b\n  platform: aws", ["no `:` can stand here", "add the `]`"]),
            ("  members: [*]", ["`*` and `&` mean something to YAML", "put the text into quotes"]),
            ("  locality:region", ["a blank is missing here", "put a blank behind the colon: `locality: region`"]),
            ("  locality: {region:a}", ["unknown field `region:a`", "put a blank behind the colon: `region: a`"]),
            ("  ingress: {discoveryPort: 20%}", ["`20%` is no whole number", "digits alone"]),
            ("  platform: AWS", ["unknown value `AWS`", "did you mean `aws`?"]),
            (
                "<<<<<<< HEAD\n  members: [a]\n=======\n  members: [b]\n>>>>>>> b",
                ["mesh.yaml:6:1", "a merge conflict was left here"],
            ),
        ] {
            let said = said(lines);
            assert!(words.iter().all(|word| said.contains(word)) && said.lines().count() == 1, "{lines}: {said}");
        }
    }

    #[test]
    fn what_every_document_has_is_named_where_it_is_missing() {
        for (text, words) in [
            ("apiVersion: meshfed.dev/v1alpha1\nmetadata: {name: a}\n", "`kind` is missing (add `kind: Peer`)"),
            (
                "# a\nkind: Peer\nspec: {}\nmetadata: {name: a}\n",
                "`apiVersion` is missing (add `apiVersion: meshfed.dev/v1alpha1`)",
            ),
            ("# a\n\n---\n", "the file is empty"),
            ("", "the file is empty"),
        ] {
            let found =
                crate::model::yaml::document::<crate::model::documents::PeerDocument>("meshes/b/peers/a.yaml", text).unwrap_err();
            assert!(found.to_string().contains(words), "{found}");
            assert!(found.span.line <= 2, "{found}");
        }
    }
}
