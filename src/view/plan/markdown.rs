//! For the comment of a merge request.

use std::fmt::Write;

use super::text::{item, together, value};
use super::{Action, Field, Plan, Planned, Plans};
use crate::words::printable;

/// Bytes of all sections: a comment on GitHub has 65,536 characters, and the names of a hundred meshes need their room too.
const MAX_COMMENT: usize = 56_000;

/// All plans as Markdown: what needs thought first, then each mesh in a section that can be closed.
pub fn markdown(plans: &Plans) -> String {
    let mut out = format!("### meshfed plan: {} → {}\n\n**{}**\n", inline(&plans.from), inline(&plans.to), plans.summary());
    let warned = plans.meshes.iter().flat_map(|plan| plan.changes.iter().map(move |change| (&plan.mesh, change)));
    let warnings: Vec<String> = warned
        .flat_map(|(mesh, change)| {
            change
                .warnings
                .iter()
                .map(move |warning| format!("- ⚠️ {}, {}: {}", inline(mesh), inline(&change.object), escape(warning)))
        })
        .collect();
    let errors = plans.errors.iter().map(|error| format!("- ❌ {}", escape(error)));
    let settings = plans.settings.iter().map(|setting| format!("- {}", escape(setting)));
    let notes: Vec<String> = errors.chain(warnings).chain(settings).collect();
    if !notes.is_empty() {
        let _ = writeln!(out, "\n{}", notes.join("\n")); // writing to a String cannot fail
    }
    let mut left_out = Vec::new();
    for plan in plans.meshes.iter().filter(|plan| plan.any() || !plan.holds.is_empty()) {
        let mut text = String::new();
        section(&mut text, plan);
        if out.len() + text.len() > MAX_COMMENT {
            left_out.push(inline(&plan.mesh));
        } else {
            out.push_str(&text);
        }
    }
    if !left_out.is_empty() {
        let _ = writeln!(out, "\nA comment has no room for what changes in {}.", left_out.join(", ")); // nor here
    }
    let unchanged: Vec<String> =
        plans.meshes.iter().filter(|plan| !plan.any() && plan.holds.is_empty()).map(|plan| inline(&plan.mesh)).collect();
    if !unchanged.is_empty() {
        let _ = writeln!(out, "\nNo change in {}.", unchanged.join(", ")); // nor here
    }
    out
}

fn section(out: &mut String, plan: &Plan) {
    let _ = writeln!(out, "\n<details open><summary><b>{}</b>: {}</summary>\n", escape(&plan.mesh), plan.title()); // nor here
    for setting in &plan.settings {
        let _ = writeln!(out, "- {}", escape(setting)); // nor here
    }
    if !plan.settings.is_empty() {
        out.push('\n');
    }
    if !plan.changes.is_empty() {
        out.push_str("| | object | change | declared in |\n|---|---|---|---|\n");
    }
    for change in &plan.changes {
        let sign = match change.action {
            Action::Create => "➕",
            Action::Change => "✏️",
            Action::Delete => "🗑️",
            Action::GiveBack => "↩️",
        };
        let what = what(change);
        let _ = writeln!(out, "| {sign} | {} | {what} | {} |", inline(&change.object), inline(&change.place())); // nor here
    }
    for (subjects, reason, stuck) in together(&plan.holds) {
        let sign = if stuck { "✋" } else { "⏳" };
        let subjects: Vec<String> = subjects.into_iter().map(inline).collect();
        let _ = writeln!(out, "\n{sign} {} {}", subjects.join(", "), escape(reason)); // nor here
    }
    out.push_str("\n</details>\n");
}

fn what(change: &Planned) -> String {
    let field = |field: &Field| {
        let Field { path, from, to, owners: _, source, line } = field;
        let at = match (source == &change.source, line) {
            (true, line) if *line == change.line || *line == 0 => String::new(),
            (true, line) => format!(" (line {line})"),
            (false, 0) => format!(" ({})", inline(source)),
            (false, line) => format!(" ({})", inline(&format!("{source}:{line}"))),
        };
        let at = if source.is_empty() { String::new() } else { at };
        let known = from.as_ref().unwrap_or(&serde_json::Value::Null);
        if field.is_item() {
            let (sign, one) = if from.is_none() { ('+', to) } else { ('−', known) };
            return format!("{sign} {}: {}{at}", inline(path), inline(&item(path, one)));
        }
        format!("{}: {} → {}{at}", inline(path), inline(&value(known)), inline(&value(to)))
    };
    match change.action {
        Action::Create => "new".to_owned(),
        Action::Change => change.fields.iter().map(field).collect::<Vec<_>>().join("<br>"),
        Action::Delete => {
            let held = if change.held { "held: " } else { "" };
            format!("{held}{}", change.cause.as_deref().map_or("nothing declares it any more".to_owned(), escape))
        }
        Action::GiveBack => "given back: nothing declares it any more".to_owned(),
    }
}

/// As code: nothing in it means anything to Markdown. A `|` would end a table's cell even so.
fn inline(text: &str) -> String {
    format!("`{}`", printable(text).replace('`', "'").replace('|', "\\|"))
}

/// As text: what a repository says must not become a link, a mention or HTML in somebody's name.
fn escape(text: &str) -> String {
    printable(text).chars().fold(String::new(), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '|' | '[' | ']' | '!' | '*' | '_' | '~' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
        out
    })
}
