//! What an import made of each object, as people and programs see it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::{Look, Tone};
use crate::import::{Difference, Fate, Imported, Object};
use crate::words::{count, printable};

/// Columns where lines may be as long as they like: what a merge request shows.
const DEFAULT_WIDTH: usize = 100;

/// Longest value shown, in characters: it fits a line of its own. JSON output has it whole.
const MAX_VALUE: usize = 88;

/// What became of all objects, as programs read it.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    meshes: &'a [String],
    files: Vec<&'a str>,
    stubs: Vec<&'a str>,
    objects: Vec<Told<'a>>,
    #[serde(rename = "notGranted")]
    not_granted: Vec<&'a str>,
    beside: &'a [String],
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    object: &'a str,
    path: &'a str,
    line: u32,
    mesh: &'a str,
    became: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Changed<'a>>,
}

#[derive(Debug, Serialize)]
struct Changed<'a> {
    field: &'a str,
    from: &'a Value,
    to: Option<&'a Value>,
}

impl<'a> From<&'a Imported> for Report<'a> {
    fn from(imported: &'a Imported) -> Self {
        let told = |object: &'a Object| {
            let (became, file, reason, changes): (_, _, &str, &[Difference]) = match &object.fate {
                Fate::Document { path, changes } => ("document", Some(path.as_str()), "", changes),
                Fate::Manifest { path, reason } => ("manifest", Some(path.as_str()), reason, &[]),
                Fate::NotApplied { path, reason } => ("not applied", Some(path.as_str()), reason, &[]),
                Fate::LeftOut { reason } => ("left out", None, reason, &[]),
            };
            let field = |Difference { path, written, instead }: &'a Difference| Changed {
                field: path,
                from: written,
                to: instead.as_ref(),
            };
            let changes = changes.iter().map(field).collect();
            let Object { name, path, span, mesh, .. } = object;
            Told { object: name, path, line: span.line, mesh, became, file, reason, changes }
        };
        Self {
            meshes: &imported.meshes,
            files: imported.files.keys().map(String::as_str).collect(),
            stubs: imported.stubs.iter().map(String::as_str).collect(),
            objects: imported.objects.iter().map(told).collect(),
            not_granted: imported.not_granted.iter().map(String::as_str).collect(),
            beside: &imported.beside,
        }
    }
}

/// What became of all objects, file by file.
pub fn render(imported: &Imported, look: Look) -> String {
    let mut out = String::new();
    let width = look.width.unwrap_or(DEFAULT_WIDTH);
    let mut documents: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
    let (mut kept, mut idle, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for object in &imported.objects {
        match &object.fate {
            Fate::Document { path, .. } => documents.entry(path).or_default().push(object),
            Fate::Manifest { path, reason } => kept.push((object, path.as_str(), reason.as_str())),
            Fate::NotApplied { path, reason } => idle.push((object, path.as_str(), reason.as_str())),
            Fate::LeftOut { reason } => left.push((object, "", reason.as_str())),
        }
    }
    if !documents.is_empty() {
        let differing = |object: &&Object| if let Fate::Document { changes, .. } = &object.fate { changes.len() } else { 0 };
        let (of, instead) = (documents.values().flatten(), documents.values().map(Vec::len).sum());
        let (all, instead) = (count(documents.len(), "document"), count(instead, "object"));
        let title = match of.map(differing).sum() {
            0 if documents.len() == 1 => format!("{all} that says the same as {instead}"),
            0 => format!("{all} that say the same as {instead}"),
            number => format!("{all} instead of {instead}, with {} that differ from what was written", count(number, "value")),
        };
        heading(&mut out, look, &title);
        for (path, objects) in &documents {
            line(&mut out, &format!("  {}", look.paint(Tone::Good, path)));
            for object in objects {
                line(&mut out, &format!("    {}", place(object)));
                if let Fate::Document { changes, .. } = &object.fate {
                    let lines = changes.iter().flat_map(|change| changed(change, width));
                    lines.for_each(|text| line(&mut out, &look.paint(Tone::Bad, &text)));
                }
            }
        }
    }
    if !imported.stubs.is_empty() {
        heading(&mut out, look, "Of peers that have no documents, only what these objects say of them");
        imported.stubs.iter().for_each(|path| line(&mut out, &format!("  {path}")));
    }
    if !kept.is_empty() {
        heading(&mut out, look, &format!("{} as written, in manifests/", count(kept.len(), "object")));
        objects(&mut out, &kept, width);
        if !imported.not_granted.is_empty() {
            let kinds: Vec<&str> = imported.not_granted.iter().map(String::as_str).collect();
            let text = format!(
                "No role in deploy/roles lets the agent write these kinds: {}; meshfed join MESH --overlay DIR writes one that does",
                kinds.join(", ")
            );
            wrapped(&text, width.saturating_sub(2)).iter().for_each(|words| line(&mut out, &format!("  {words}")));
        }
    }
    if !idle.is_empty() {
        heading(&mut out, look, &format!("{} as written, which no agent applies", count(idle.len(), "object")));
        objects(&mut out, &idle, width);
    }
    if !left.is_empty() {
        heading(&mut out, look, &format!("{} left out", count(left.len(), "object")));
        objects(&mut out, &left, width);
    }
    if !imported.beside.is_empty() {
        heading(&mut out, look, "In the repository besides, and left as they are");
        imported.beside.iter().for_each(|path| line(&mut out, &format!("  {}", printable(path))));
    }
    out
}

/// Objects with their reasons, those of one file and reason together.
fn objects(out: &mut String, all: &[(&Object, &str, &str)], width: usize) {
    let mut groups: BTreeMap<(&str, &str), Vec<&Object>> = BTreeMap::new();
    for (object, path, reason) in all {
        groups.entry((path, reason)).or_default().push(object);
    }
    let mut last = "";
    for ((path, reason), objects) in groups {
        if path != last {
            line(out, &format!("  {}", printable(path)));
            last = path;
        }
        objects.iter().for_each(|object| line(out, &format!("    {}", place(object))));
        // Those above it in the same file may have none.
        let whose = if objects.len() > 1 && !reason.is_empty() { format!("these {}: ", objects.len()) } else { String::new() };
        for words in wrapped(&(whose + &printable(reason)), width.saturating_sub(6)) {
            line(out, &format!("      {words}"));
        }
    }
}

fn place(Object { name, path, span, .. }: &Object) -> String {
    printable(&if span.line == 0 { format!("{name}  {path}") } else { format!("{name}  {path}:{}", span.line) })
}

fn changed(Difference { path, written, instead }: &Difference, width: usize) -> Vec<String> {
    let (written, instead) = (value(written), instead.as_ref().map_or_else(|| "(nothing)".to_owned(), value));
    let whole = format!("      ! {path}: {written} → {instead}");
    let lines = if whole.chars().count() <= width {
        vec![whole]
    } else {
        vec![format!("      ! {path}:"), format!("        - {written}"), format!("        + {instead}")]
    };
    lines.iter().map(|line| printable(line)).collect()
}

fn value(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= MAX_VALUE { text } else { text.chars().take(MAX_VALUE).chain(['…']).collect() }
}

/// Lines of at most so many characters, broken between words.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn heading(out: &mut String, look: Look, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    line(out, &look.paint(Tone::Strong, text));
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", text.trim_end()); // writing to a String cannot fail
}
