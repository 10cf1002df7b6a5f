//! What only `check` says, because an agent neither needs it nor sees both sides: advice across the two sides of a peering, roots that expire, and
//! plain objects against the schemas of their kinds. Nothing here changes what is applied.

mod by_hand;
mod derived_too;
mod nowhere;
mod one_sided;
mod platform;
mod roots;
mod schema;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::facts::Facts;
use crate::model::{At, Diagnostic, Federation, Node, Place, yaml};
use crate::object::Kind;
pub use by_hand::nearness;
pub use platform::AWS_TYPE;
use schema::Schemas;

/// All that there is to look at.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The documents that can be used.
    pub federation: &'a Federation,
    /// Texts of all files, by path.
    pub texts: &'a BTreeMap<&'a str, &'a str>,
    /// Every file holds plain objects, wherever it lies: there is no federation.
    pub plain: bool,
    /// What meshes publish, as far as it is known.
    pub facts: &'a BTreeMap<String, Facts>,
    /// When.
    pub now: Timestamp,
}

/// A plain object, and where it stands.
#[derive(Clone, Debug)]
pub struct Plain<'a> {
    /// Path of its file; one under `meshes/<mesh>/` says whose it is.
    pub path: &'a str,
    /// Kind.
    pub kind: Kind,
    /// All of it.
    pub object: At<Node>,
}

/// All advice.
pub fn lint(inputs: Inputs) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    derived_too::check(inputs.federation, &mut found);
    one_sided::check(inputs.federation, &mut found);
    nowhere::check(inputs.federation, &mut found);
    platform::check(inputs.federation, &mut found);
    roots::check(inputs, &mut found);
    if !inputs.plain {
        waiting::check(inputs.texts, &mut found);
    }
    objects(inputs, &mut found);
    found
}

/// Plain objects, each against the schema of its kind, and those of federations against each other.
fn objects(inputs: Inputs, found: &mut Vec<Diagnostic>) {
    let mut schemas = Schemas::default();
    for (path, text) in inputs.texts.iter().filter(|(path, _)| Place::of(path) == Place::Definition) {
        schema::read(path, text, &mut schemas, found);
    }
    let all = plain(inputs, found);
    judge(inputs.federation, &all, &schemas, found);
}

/// What is wrong with objects that people wrote by hand, beside the documents of a federation.
pub fn lint_objects(federation: &Federation, objects: &[Plain]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    judge(federation, objects, &Schemas::default(), &mut found);
    found
}

fn judge(federation: &Federation, objects: &[Plain], schemas: &Schemas, found: &mut Vec<Diagnostic>) {
    for plain in objects {
        found.extend(schema::check(plain.path, &plain.kind, &plain.object, schemas));
    }
    by_hand::check(federation, objects, found);
}

/// All plain objects: those of `manifests/`, and the control planes that Mesh documents begin. What cannot be read is reported where it is loaded.
fn plain<'a>(inputs: Inputs<'a>, found: &mut Vec<Diagnostic>) -> Vec<Plain<'a>> {
    let mut all = Vec::new();
    for (path, text) in inputs.texts {
        let place = Place::of(path);
        if !inputs.plain && !matches!(place, Place::Manifests { .. } | Place::Mesh(_)) {
            continue;
        }
        let objects = yaml::nodes(path, text).unwrap_or_else(|finding| {
            found.extend(inputs.plain.then_some(*finding));
            Vec::new()
        });
        for object in objects {
            if matches!(place, Place::Mesh(_)) {
                let base = object.at(&["spec", "controlPlane", "base"]).cloned();
                let kind = Kind::new("maistra.io/v2", "ServiceMeshControlPlane");
                all.extend(base.map(|object| Plain { path, kind, object }));
            } else if let (Some(version), Some(kind)) = (text_of(&object, "apiVersion"), text_of(&object, "kind")) {
                all.push(Plain { path, kind: Kind::new(version, kind), object });
            }
        }
    }
    all
}

fn text_of<'a>(node: &'a Node, field: &str) -> Option<&'a str> {
    node.get(field)?.text()
}
