//! For a terminal.

use std::fmt::Write;

use serde_json::Value;

use super::{Action, Field, Plan, Planned, Plans, Waiting};
use crate::view::{Look, Tone};
use crate::words::printable;

/// Longest value shown in a line, in characters; JSON output has it whole.
const MAX_VALUE: usize = 60;

/// All plans as text.
pub fn render(plans: &Plans, look: Look) -> String {
    let mut out = String::new();
    line(&mut out, &look.paint(Tone::Faint, &format!("{} → {}", printable(&plans.from), printable(&plans.to))));
    for plan in &plans.meshes {
        mesh(&mut out, plan, look);
    }
    line(&mut out, &plans.summary());
    out
}

fn mesh(out: &mut String, plan: &Plan, look: Look) {
    line(out, &format!("{} ({})", look.paint(Tone::Strong, &plan.mesh), plan.title()));
    let longest = plan.changes.iter().map(|change| change.object.chars().count()).max().unwrap_or(0);
    for change in &plan.changes {
        let Planned { object, action, source, line: _, warnings, fields } = change;
        let (sign, tone) = match action {
            Action::Create => ("+", Tone::Good),
            Action::Change => ("~", Tone::Plain),
            Action::Delete => ("-", Tone::Bad),
            Action::GiveBack => ("<", Tone::Bad),
        };
        let note = match action {
            Action::Create | Action::Change => change.place(),
            Action::Delete => format!("gone from {source}"),
            Action::GiveBack => format!("given back; gone from {source}"),
        };
        let padding = " ".repeat(longest - object.chars().count());
        let head = look.paint(tone, &format!("{sign} {}", printable(object)));
        line(out, &format!("  {head}{padding}  {}", look.paint(Tone::Faint, &printable(&note))));
        for warning in warnings {
            line(out, &format!("      {} {}", look.paint(Tone::Bad, "!"), printable(warning)));
        }
        for field in fields {
            let Field { path, from, to, owners, line: at } = field;
            let owners = if owners.is_empty() { String::new() } else { format!("   ! also {}", owners.join(", ")) };
            let at = if *at == 0 || *at == change.line { String::new() } else { format!("   (line {at})") };
            let from = value(from.as_ref().unwrap_or(&Value::Null));
            line(out, &printable(&format!("      {path}: {from} → {}{owners}{at}", value(to))));
        }
    }
    for Waiting { subject, reason, stuck } in &plan.holds {
        let sign = if *stuck { look.paint(Tone::Bad, "!") } else { "…".to_owned() };
        line(out, &format!("  {sign} {}", printable(&format!("{subject}: {reason}"))));
    }
}

impl Planned {
    /// Path and line of the declaration.
    pub(super) fn place(&self) -> String {
        if self.line == 0 { self.source.clone() } else { format!("{}:{}", self.source, self.line) }
    }
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", text.trim_end()); // writing to a String cannot fail
}

/// A value in a line.
pub(super) fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= MAX_VALUE {
        return text;
    }
    text.chars().take(MAX_VALUE).chain(['…']).collect()
}
