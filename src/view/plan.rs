//! What a pass of the agent would change, object by object.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::{Look, Tone};
use crate::decide::compare::{Change, Owner};
use crate::decide::{Comparisons, Decision, LiveObjects};
use crate::object::SOURCE_ANNOTATION;
use crate::words::{count, printable};

/// Longest value shown in a line, in characters; JSON output has it whole.
const MAX_VALUE: usize = 60;

/// What one mesh's agent would do now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The mesh.
    pub mesh: String,
    /// What the declarations are from: a commit, or the working tree.
    pub from: String,
    /// Objects to change, in the order of their names.
    pub changes: Vec<Planned>,
    /// What waits, and for what.
    pub holds: Vec<Waiting>,
}

/// What would become of one object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// `Kind/namespace/name`.
    pub object: String,
    /// What happens to it.
    pub action: Action,
    /// Path of its declaration; for a deletion the one that it had.
    pub source: String,
    /// Fields that change.
    pub fields: Vec<Field>,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is not there.
    Create,
    /// It says something else.
    Change,
    /// Nothing declares it any more.
    Delete,
    /// Nothing declares it any more, and it was there before us: our fields go.
    GiveBack,
}

/// One field that changes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// `spec.http[0].weight`.
    pub path: String,
    /// Now.
    pub from: Option<Value>,
    /// Then.
    pub to: Value,
    /// Who else owns it.
    pub owners: Vec<String>,
}

/// Something that waits.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// What.
    pub subject: String,
    /// For what.
    pub reason: String,
    /// Only people can end it.
    pub stuck: bool,
}

impl Plan {
    /// From a decision and the live objects that it was made from.
    pub fn new(mesh: &str, from: &str, decision: &Decision, live: &LiveObjects, comparisons: &mut Comparisons) -> Self {
        let applied = decision.apply.iter().map(|apply| {
            let object = &apply.object;
            let (action, fields) = match live.get(&object.key) {
                None => (Action::Create, Vec::new()),
                Some(live) => (Action::Change, comparisons.get(object, live).changes.iter().map(Field::from).collect()),
            };
            Planned { object: object.key.to_string(), action, source: object.source.to_string(), fields }
        });
        let source = |body: Value| {
            let source = body.pointer("/metadata/annotations").and_then(|all| all.get(SOURCE_ANNOTATION)).and_then(Value::as_str);
            source.unwrap_or_default().to_owned()
        };
        let gone = |object: String, action, source| Planned { object, action, source, fields: Vec::new() };
        let deleted = decision.delete.iter().map(|live| gone(live.key.to_string(), Action::Delete, source(live.value())));
        let released = decision.release.iter().map(|(key, _)| {
            let source = live.get(key).map(|live| source(live.value())).unwrap_or_default();
            gone(key.to_string(), Action::GiveBack, source)
        });
        let mut changes: Vec<Planned> = applied.chain(deleted).chain(released).collect();
        changes.sort_by(|a, b| a.object.cmp(&b.object));
        let holds = decision.holds.iter().map(|hold| Waiting {
            subject: hold.subject.clone(),
            reason: hold.reason.clone(),
            stuck: hold.stuck,
        });
        Self { mesh: mesh.to_owned(), from: from.to_owned(), changes, holds: holds.collect() }
    }

    fn number(&self, action: Action) -> usize {
        self.changes.iter().filter(|change| change.action == action).count()
    }
}

impl From<&Change> for Field {
    fn from(change: &Change) -> Self {
        let Change { path, from, to, owners, ours: _ } = change;
        let owners = owners.iter().map(|Owner { manager, .. }| manager.clone()).collect();
        Self { path: path.trim_start_matches('.').to_owned(), from: from.clone(), to: to.clone(), owners }
    }
}

/// The plan as text.
pub fn render(plan: &Plan, look: Look) -> String {
    let Plan { mesh, from, changes, holds } = plan;
    let mut out = String::new();
    let title = if changes.is_empty() { "no change".to_owned() } else { count(changes.len(), "change") };
    line(&mut out, &format!("{} ({title}, from {})", look.paint(Tone::Strong, mesh), printable(from)));
    let longest = changes.iter().map(|change| change.object.chars().count()).max().unwrap_or(0);
    for Planned { object, action, source, fields } in changes {
        let (sign, tone) = match action {
            Action::Create => ("+", Tone::Good),
            Action::Change => ("~", Tone::Plain),
            Action::Delete => ("-", Tone::Bad),
            Action::GiveBack => ("<", Tone::Bad),
        };
        let note = match action {
            Action::Create | Action::Change => source.clone(),
            Action::Delete => format!("nothing declares it any more (was {source})"),
            Action::GiveBack => format!("given back: nothing declares it any more (was {source})"),
        };
        let padding = " ".repeat(longest - object.chars().count());
        let head = look.paint(tone, &format!("{sign} {}", printable(object)));
        line(&mut out, &format!("  {head}{padding}  {}", look.paint(Tone::Faint, &printable(&note))));
        for Field { path, from, to, owners } in fields {
            let from = from.as_ref().map_or("(none)".to_owned(), value);
            let owners = if owners.is_empty() { String::new() } else { format!("   ! also {}", owners.join(", ")) };
            line(&mut out, &printable(&format!("      {path}: {from} → {}{owners}", value(to))));
        }
    }
    for Waiting { subject, reason, stuck } in holds {
        let sign = if *stuck { look.paint(Tone::Bad, "!") } else { "…".to_owned() };
        line(&mut out, &format!("  {sign} {}", printable(&format!("{subject}: {reason}"))));
    }
    let back = match plan.number(Action::GiveBack) {
        0 => String::new(),
        number => format!(", {number} to give back"),
    };
    let (add, change, delete) = (plan.number(Action::Create), plan.number(Action::Change), plan.number(Action::Delete));
    line(&mut out, &format!("{add} to add, {change} to change, {delete} to delete{back}; {} waiting", holds.len()));
    out
}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{}", text.trim_end()); // writing to a String cannot fail
}

fn value(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= MAX_VALUE {
        return text;
    }
    text.chars().take(MAX_VALUE).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_reads_like_one() {
        let planned = |object: &str, action, fields| Planned {
            object: object.into(),
            action,
            source: "meshes/a/traffic/x.yaml".into(),
            fields,
        };
        let field = Field {
            path: "spec.http".into(),
            from: Some(json!(20)),
            to: json!(["a", "b".repeat(80)]),
            owners: vec!["kubectl-edit".into()],
        };
        let plan = Plan {
            mesh: "a".into(),
            from: "9f2c1ab".into(),
            changes: vec![
                planned("ConfigMap/a/b-ca-root-cert", Action::Create, vec![]),
                planned("Namespace/n", Action::GiveBack, vec![]),
                planned("ServiceMeshPeer/a/b", Action::Delete, vec![]),
                planned("VirtualService/n/x", Action::Change, vec![field]),
            ],
            holds: vec![Waiting { subject: "ServiceMeshPeer/a/c".into(), reason: "waits for c".into(), stuck: false }],
        };
        insta::assert_snapshot!(render(&plan, Look::default()));
    }
}
