//! What would change, mesh by mesh and object by object: with a pass of the agent, or between two revisions.

mod between;
mod fields;
mod held;
mod markdown;
mod origin;
mod routes;
mod text;
mod warnings;

use serde::Serialize;
use serde_json::Value;

use crate::decide::compare::{Change, Owner};
use crate::decide::{Comparisons, Decision, LiveObjects};
use crate::model::Federation;
use crate::object::{Key, Object, SOURCE_ANNOTATION};
use crate::words::count;
use between::is_note;
pub use between::{Half, between, kept, settings};
pub use held::{Held, held};
pub use markdown::markdown;
pub use origin::{Place, place};
pub use text::render;
use warnings::warnings;

/// What would change in some meshes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plans {
    /// What there is: a revision, the files as they are, or the cluster.
    pub from: String,
    /// What is compared with it.
    pub to: String,
    /// Errors in the documents, a line each: what they concern stays as it is.
    pub errors: Vec<String>,
    /// What changes for the whole federation, in its own terms.
    pub settings: Vec<String>,
    /// Mesh by mesh.
    pub meshes: Vec<Plan>,
}

impl Plans {
    /// Whether anything would change.
    pub fn any(&self) -> bool {
        !self.settings.is_empty() || self.meshes.iter().any(Plan::any)
    }

    /// `0 to add, 2 to change, 1 to delete in 2 meshes; 1 waiting`. What is held is not counted among what happens.
    pub fn summary(&self) -> String {
        let goes = || self.meshes.iter().flat_map(|plan| &plan.changes).filter(|change| !change.held);
        let number = |action| goes().filter(|change| change.action == action).count();
        let back = match number(Action::GiveBack) {
            0 => String::new(),
            number => format!(", {number} to give back"),
        };
        let (add, change, delete) = (number(Action::Create), number(Action::Change), number(Action::Delete));
        let changed = self.meshes.iter().filter(|plan| plan.changes.iter().any(|change| !change.held)).count();
        let meshes = if changed == 1 { "1 mesh".to_owned() } else { format!("{changed} meshes") };
        let held = match self.meshes.iter().map(Plan::held).sum::<usize>() {
            0 => String::new(),
            number => format!("{} held, ", count(number, "deletion")),
        };
        // That deletions are held is one of the holds.
        let waiting: usize = self.meshes.iter().map(|plan| plan.holds.len() - usize::from(plan.held() > 0)).sum();
        format!("{add} to add, {change} to change, {delete} to delete{back} in {meshes}; {held}{waiting} waiting")
    }
}

/// What would change in one mesh.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The mesh.
    pub mesh: String,
    /// What its documents say otherwise, in the terms of a federation, beside the objects: who it is, who its agent is, its peerings.
    pub settings: Vec<String>,
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
    /// Whether it waits for people: it stays until they say that it is meant.
    pub held: bool,
    /// Of a deletion: what has gone where its own declaration has not; null where that has.
    pub cause: Option<String>,
    /// Path of its declaration; for a deletion the one that it had.
    pub source: String,
    /// Line in it; 0 where it is not known.
    pub line: u32,
    /// What people should think about first.
    pub warnings: Vec<String>,
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
    /// Then; null where it goes.
    pub to: Value,
    /// Who else owns it.
    pub owners: Vec<String>,
    /// Path of the document that it comes from, or the facts; empty where it is not known.
    pub source: String,
    /// Line in it; 0 where it is not known.
    pub line: u32,
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
    /// From a decision and the live objects that it was made from, by the documents of `federation`; `text` gives a document's text.
    pub fn new<'a>(
        mesh: &str,
        federation: &Federation,
        decision: &Decision,
        live: &LiveObjects,
        comparisons: &mut Comparisons,
        text: &dyn Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let applied = decision.apply.iter().map(|apply| {
            let object = &apply.object;
            let (action, fields) = match live.get(&object.key) {
                None => (Action::Create, Vec::new()),
                Some(live) => {
                    let mut fields: Vec<Field> = comparisons.get(object, live).changes.iter().map(Field::from).collect();
                    fields.retain(|field| !is_note(&field.path));
                    fields
                        .iter_mut()
                        .for_each(|field| field.comes_from(place(federation, mesh, object, &field.path, text(&object.source))));
                    (Action::Change, fields)
                }
            };
            let now = live.get(&object.key).map(|live| live.value());
            let warnings = warnings(&object.key, now.as_ref(), Some(&object.value()));
            let Place { source, line } = declared(federation, mesh, object);
            Planned { object: object.key.to_string(), action, held: false, cause: None, source, line, warnings, fields }
        });
        let source = |body: Value| {
            let source = body.pointer("/metadata/annotations").and_then(|all| all.get(SOURCE_ANNOTATION)).and_then(Value::as_str);
            source.unwrap_or_default().to_owned()
        };
        let gone = |key: &Key, action, now: Value| {
            let warnings = warnings(key, Some(&now), None);
            let (object, source) = (key.to_string(), source(now));
            Planned { object, action, held: false, cause: None, source, line: 0, warnings, fields: Vec::new() }
        };
        let deleted = decision.delete.iter().map(|live| gone(&live.key, Action::Delete, live.value()));
        let released = decision
            .release
            .iter()
            .map(|(key, _)| gone(key, Action::GiveBack, live.get(key).map(|live| live.value()).unwrap_or_default()));
        let mut changes: Vec<Planned> = applied.chain(deleted).chain(released).collect();
        changes.sort_by(|a, b| a.object.cmp(&b.object));
        let holds = decision.holds.iter().map(|hold| Waiting {
            subject: hold.subject.clone(),
            reason: hold.reason.clone(),
            stuck: hold.stuck,
        });
        Self { mesh: mesh.to_owned(), settings: Vec::new(), changes, holds: holds.collect() }
    }

    /// Whether anything would change.
    fn any(&self) -> bool {
        !self.changes.is_empty() || !self.settings.is_empty()
    }

    /// Deletions that wait for people.
    fn held(&self) -> usize {
        self.changes.iter().filter(|change| change.held).count()
    }

    /// `2 changes`, `no change`, of objects.
    fn title(&self) -> String {
        let held = self.held();
        match (self.changes.len() - held, held, self.settings.len()) {
            (0, 0, 0) => "no change".to_owned(),
            (0, 0, _) => "no object changes".to_owned(),
            (0, held, _) => format!("{} held", count(held, "deletion")),
            (number, 0, _) => count(number, "change"),
            (number, held, _) => format!("{}, {} held", count(number, "change"), count(held, "deletion")),
        }
    }
}

/// Where an object is declared.
fn declared(federation: &Federation, me: &str, object: &Object) -> Place {
    let line = federation.meshes.get(me).map_or(0, |folder| folder.place_of(object).line);
    Place { source: object.source.to_string(), line }
}

impl Field {
    /// Whether it is an item of a list, or an entry under a name, that comes or goes as a whole.
    fn is_item(&self) -> bool {
        self.path.ends_with(']') && (self.from.is_none() || self.to.is_null())
    }

    fn comes_from(&mut self, Place { source, line }: Place) {
        (self.source, self.line) = (source, line);
    }
}

impl From<&Change> for Field {
    fn from(change: &Change) -> Self {
        let Change { path, from, to, owners, ours: _ } = change;
        let owners = owners.iter().map(|Owner { manager, .. }| manager.clone()).collect();
        Self {
            path: path.trim_start_matches('.').to_owned(),
            from: from.clone(),
            to: to.clone(),
            owners,
            source: String::new(),
            line: 0,
        }
    }
}

#[cfg(test)]
mod tests;
