//! For a terminal.

use std::fmt::Write;

use serde_json::Value;

use super::fields::words;
use super::{Action, Field, Plan, Planned, Plans, Waiting};
use crate::view::table::wrap;
use crate::view::{Look, Tone};
use crate::words::printable;

/// Longest value shown in Markdown, in characters; JSON output has it whole.
const MAX_VALUE: usize = 60;

/// Columns where nobody says how many there are: what merge requests and split screens show.
const COLUMNS: usize = 100;

/// Meshes without a change that are named; of more their number says enough.
const MAX_UNCHANGED: usize = 6;

/// Fewest columns of a value before it goes on a line of its own.
const FEW: usize = 20;

/// All plans as text.
pub fn render(plans: &Plans, look: Look) -> String {
    let mut page = Page { out: String::new(), look, width: look.width.unwrap_or(COLUMNS).max(2 * FEW) };
    page.put(0, (Tone::Plain, ""), &format!("{} → {}", plans.from, plans.to), Tone::Faint);
    for error in &plans.errors {
        page.put(0, (Tone::Bad, "! "), error, Tone::Plain);
    }
    for setting in &plans.settings {
        page.put(0, (Tone::Plain, "* "), setting, Tone::Plain);
    }
    let silent = |plan: &&Plan| !plan.any() && plan.holds.is_empty();
    let unchanged = plans.meshes.iter().filter(silent).count();
    for plan in plans.meshes.iter().filter(|plan| unchanged <= MAX_UNCHANGED || !silent(plan)) {
        page.mesh(plan);
    }
    if unchanged > MAX_UNCHANGED {
        page.put(0, (Tone::Plain, ""), &format!("{unchanged} meshes (no change)"), Tone::Plain);
    }
    page.put(0, (Tone::Plain, ""), &plans.summary(), Tone::Plain);
    page.out
}

/// Lines that fit the screen.
struct Page {
    out: String,
    look: Look,
    width: usize,
}

impl Page {
    /// Text behind a sign, broken between words where it must be, and cut where nothing can be broken.
    fn put(&mut self, indent: usize, (tone, sign): (Tone, &str), text: &str, of_text: Tone) {
        let sign_width = sign.chars().count();
        let room = self.width.saturating_sub(indent + sign_width);
        for (number, part) in wrap(&printable(text), room).iter().enumerate() {
            let head = if number == 0 { self.look.paint(tone, sign) } else { " ".repeat(sign_width) };
            let line = format!("{}{head}{}", " ".repeat(indent), self.look.paint(of_text, &cut(part, room)));
            let _ = writeln!(self.out, "{}", line.trim_end()); // writing to a String cannot fail
        }
    }

    fn mesh(&mut self, plan: &Plan) {
        let title = format!("{} ({})", self.look.paint(Tone::Strong, &plan.mesh), plan.title());
        let _ = writeln!(self.out, "{title}"); // nor here
        for setting in &plan.settings {
            self.put(2, (Tone::Plain, "* "), setting, Tone::Plain);
        }
        let longest = plan.changes.iter().map(|change| change.object.chars().count()).max().unwrap_or(0);
        for change in &plan.changes {
            self.object(change, longest);
            for warning in &change.warnings {
                self.put(6, (Tone::Bad, "! "), warning, Tone::Plain);
            }
            for field in &change.fields {
                self.field(field, change);
            }
        }
        for (subjects, reason, stuck) in together(&plan.holds) {
            let sign = if stuck { (Tone::Bad, "! ") } else { (Tone::Plain, "… ") };
            self.put(2, sign, &format!("{}: {reason}", subjects.join(", ")), Tone::Plain);
        }
    }

    /// An object and where it is declared: beside it, where all objects have room for that.
    fn object(&mut self, change: &Planned, longest: usize) {
        let Planned { object, action, source, .. } = change;
        let (sign, tone) = match action {
            Action::Create => ("+ ", Tone::Good),
            Action::Change => ("~ ", Tone::Plain),
            Action::Delete => ("- ", Tone::Bad),
            Action::GiveBack => ("< ", Tone::Bad),
        };
        let note = match action {
            Action::Create | Action::Change => change.place(),
            Action::Delete | Action::GiveBack => {
                let held = if change.held { "held; " } else { "" };
                let back = if *action == Action::GiveBack { "given back; " } else { "" };
                let cause = change.cause.clone().unwrap_or_else(|| format!("gone from {source}"));
                format!("{held}{back}{cause}")
            }
        };
        let note = printable(&note);
        let wide = 4 + longest + 2 + note.chars().count() > self.width;
        if wide || note.is_empty() {
            self.put(2, (tone, sign), object, tone);
            if !note.is_empty() {
                self.put(6, (Tone::Plain, ""), &note, Tone::Faint);
            }
            return;
        }
        let head = self.look.paint(tone, &format!("{sign}{}", printable(object)));
        let padding = " ".repeat(longest - object.chars().count());
        let _ = writeln!(self.out, "  {head}{padding}  {}", self.look.paint(Tone::Faint, &note)); // nor here
    }

    /// A field with its values.
    fn field(&mut self, field: &Field, change: &Planned) {
        if field.is_item() {
            return self.item(field, change);
        }
        let Field { path, from, to, .. } = field;
        let notes = notes(field, change);
        let path = printable(path);
        let (from, to) = (whole(from.as_ref().unwrap_or(&Value::Null)), whole(to));
        let values = |room: usize| {
            let half = room.saturating_sub(3) / 2;
            let from = cut_end(&from, half.max(room.saturating_sub(3 + to.chars().count())));
            let to = cut_end(&to, room.saturating_sub(3 + from.chars().count()));
            format!("{from} → {to}")
        };
        let used = 6 + path.chars().count() + 2;
        let short = format!("{from} → {to}").chars().count();
        let room = self.width.saturating_sub(used);
        let text = if short <= room || room >= 2 * FEW {
            format!("      {path}: {}", values(room))
        } else {
            let _ = writeln!(self.out, "      {}:", cut(&path, self.width - 7)); // nor here
            format!("        {}", values(self.width - 8))
        };
        self.noted(text, &notes);
    }

    /// What comes into a list or goes from it.
    fn item(&mut self, field: &Field, change: &Planned) {
        let Field { path, from, to, .. } = field;
        let (sign, value) = from.as_ref().map_or(('+', to), |from| ('-', from));
        let path = cut(&printable(path), self.width.saturating_sub(9 + FEW));
        let room = self.width.saturating_sub(10 + path.chars().count());
        let text = format!("      {sign} {path}: {}", cut_end(&about(&field.path, value), room));
        self.noted(text, &notes(field, change));
    }

    /// A line with notes behind it, or below where it has no room for them.
    fn noted(&mut self, text: String, notes: &str) {
        let beside = notes.is_empty() || text.chars().count() + 3 + notes.chars().count() <= self.width;
        let line = if beside { format!("{text}   {notes}") } else { text };
        let _ = writeln!(self.out, "{}", line.trim_end()); // nor here
        if !beside {
            self.put(8, (Tone::Plain, ""), notes, Tone::Faint);
        }
    }
}

/// Who else owns a field, and where it comes from, if that is elsewhere than the object.
fn notes(field: &Field, change: &Planned) -> String {
    let Field { owners, source, line, .. } = field;
    let mut notes = Vec::new();
    if !owners.is_empty() {
        notes.push(format!("! also {}", owners.join(", ")));
    }
    if (source, line) != (&change.source, &change.line) && !source.is_empty() {
        notes.push(match (source == &change.source, line) {
            (true, 0) => String::new(),
            (true, line) => format!("(line {line})"),
            (false, 0) => source.clone(),
            (false, line) => format!("{source}:{line}"),
        });
    }
    printable(notes.join("   ").trim_end())
}

/// An item of a list, in words where it has some.
fn about(path: &str, item: &Value) -> String {
    words(path, item).map_or_else(|| whole(item), |words| printable(&words))
}

/// What waits for the same, in one line: where a peer's half is broken, that is all that belongs to it.
pub(super) fn together(holds: &[Waiting]) -> Vec<(Vec<&str>, &str, bool)> {
    let mut all: Vec<(Vec<&str>, &str, bool)> = Vec::new();
    for Waiting { subject, reason, stuck } in holds {
        match all.iter_mut().find(|(_, known, of)| known == reason && of == stuck) {
            Some((subjects, ..)) => subjects.push(subject),
            None => all.push((vec![subject], reason, *stuck)),
        }
    }
    all
}

impl Planned {
    /// Path and line of the declaration.
    pub(super) fn place(&self) -> String {
        if self.line == 0 { self.source.clone() } else { format!("{}:{}", self.source, self.line) }
    }
}

/// What cannot be broken loses its beginning: of a path the end tells more. The kind of an object stays.
fn cut(text: &str, room: usize) -> String {
    let length = text.chars().count();
    if length <= room {
        return text.to_owned();
    }
    let is_kind = |first: &str| first.starts_with(|c: char| c.is_ascii_uppercase()) && first.chars().count() + FEW <= room;
    if let Some((kind, rest)) = text.split_once('/').filter(|(first, _)| is_kind(first)) {
        return format!("{kind}/{}", cut(rest, room - kind.chars().count() - 1));
    }
    std::iter::once('…').chain(text.chars().skip(length + 1 - room)).collect()
}

/// A value loses its end.
fn cut_end(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

fn whole(value: &Value) -> String {
    printable(&match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// An item of a list in a cell.
pub(super) fn item(path: &str, item: &Value) -> String {
    cut_end(&about(path, item), MAX_VALUE)
}

/// A value in a cell.
pub(super) fn value(value: &Value) -> String {
    cut_end(&whole(value), MAX_VALUE)
}
