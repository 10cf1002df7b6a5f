//! Why one object is as it is.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::log::MAX_WHO;
use super::table::{self, Cell, wrap};
use super::{Look, Tone};
use crate::words::printable;

/// An object, and where everything in it comes from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `Kind/namespace/name`.
    pub object: String,
    /// The mesh that it belongs to.
    pub mesh: String,
    /// Why it is derived.
    pub rule: &'static str,
    /// What it follows from, field by field.
    pub parts: Vec<Part>,
    /// What must be there before it is applied.
    pub needs: Vec<String>,
    /// What it waits for, as the mesh's agent says, or as follows from what is in Git.
    pub waits: Vec<String>,
}

/// A field and what it follows from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Path of the field; `*` for the whole object.
    pub field: String,
    /// What is taken from there.
    pub what: String,
    /// `meshes/a/mesh.yaml:5`, or `published/a:published.yaml`.
    pub place: String,
    /// The commit that wrote that line; null where it is not there.
    pub commit: Option<Brought>,
}

/// Who wrote something.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Brought {
    /// Whole id.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// The author's address, or the agent.
    pub by: String,
    /// First paragraph of the message.
    pub subject: String,
}

/// The explanation as text.
pub fn render(explanation: &Explanation, look: Look) -> String {
    let Explanation { object, mesh, rule, parts, needs, waits } = explanation;
    let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(2));
    let mut out = format!(
        "{} of {}\n  {}\n\n",
        look.paint(Tone::Strong, &printable(object)),
        printable(mesh),
        wrap(rule, room).join("\n  ")
    );
    let row = |part: &Part| {
        let commit = part.commit.as_ref();
        let short = commit.map_or("-", |commit| commit.id.get(..7).unwrap_or(&commit.id));
        let day = commit.map_or_else(|| "-".to_owned(), |commit| commit.at.strftime("%Y-%m-%d").to_string());
        let mut who = Cell::from(commit.map_or("-", |commit| &commit.by));
        who.shorten(look.width.map_or(usize::MAX, |_| MAX_WHO));
        vec![Cell::from(short), day.into(), who, told(part).into()]
    };
    let rows: Vec<Vec<Cell>> = parts.iter().map(row).collect();
    out.push_str(&table::render(&["COMMIT", "DATE", "BY", "FIELD ← WHAT (WHERE)"], &rows, look));
    let waits: &Vec<String> =
        &waits.iter().map(|line| line.strip_prefix(&format!("{object}: ")).unwrap_or(line).to_owned()).collect();
    for (title, lines, tone) in [("needs", needs, Tone::Plain), ("waits", waits, Tone::Bad)] {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{}", look.paint(Tone::Strong, title)); // writing to a String cannot fail
        }
        for line in lines.iter().flat_map(|line| wrap(&printable(line), room)) {
            let _ = writeln!(out, "  {}", look.paint(tone, &line)); // the same
        }
    }
    out
}

fn told(part: &Part) -> String {
    format!("{} ← {} ({})", part.field, part.what, part.place)
}

/// Whether a field is the one asked for, above it or below it: `spec.http` has `spec.http[0].route[1]` in it.
pub fn concerns(field: &str, asked: &str) -> bool {
    let below = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    field == "*" || below(field, asked) || below(asked, field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_leads_from_each_field_to_who_wrote_it() {
        let part = |field: &str, what: &str, place: &str, by: Option<&str>| {
            let commit = by.map(|by| Brought {
                id: "9f2c1ab000000000000000000000000000000000".into(),
                at: "2026-11-20T10:14:03Z".parse().unwrap(),
                by: by.into(),
                subject: "x".into(),
            });
            Part { field: field.into(), what: what.into(), place: place.into(), commit }
        };
        let explanation = Explanation {
            object: "ServiceMeshPeer/rosa-prod-mesh/aro-stg-mesh".into(),
            mesh: "rosa-prod-mesh".into(),
            rule: "each peering that both sides declare has a ServiceMeshPeer, once the peer's CA roots are known",
            parts: vec![
                part("spec.remote", "ingress address", "published/aro-stg-mesh:published.yaml", Some("agent of aro-stg-mesh")),
                part(
                    "spec.security.clientID",
                    "egress x",
                    "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml:5",
                    Some("ada@example.com"),
                ),
                part("spec.gateways", "x", "meshes/rosa-prod-mesh/peers/aro-stg-mesh.yaml:5", None),
            ],
            needs: vec!["ConfigMap/rosa-prod-mesh/aro-stg-mesh-ca-root-cert applied".into()],
            waits: vec!["for the CA root of aro-stg-mesh on published/aro-stg-mesh".into()],
        };
        insta::assert_snapshot!(render(&explanation, Look { width: Some(100), colour: false }));
    }

    #[test]
    fn a_field_has_those_below_it() {
        for (field, asked) in [("spec.a[0].b", "spec.a"), ("spec.a", "spec.a[0].b"), ("*", "spec"), ("spec", "spec")] {
            assert!(concerns(field, asked), "{field} {asked}");
        }
        assert!(!concerns("spec.ab", "spec.a") && !concerns("spec.a", "spec.ab"));
    }
}
