//! Meshes, peerings, services and weights as a picture: what states say, lines say by their style as well as by their colour.

mod ring;
mod svg;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::federation::{FederationStatus, PeeringView};
use crate::words::printable;
pub use svg::svg;

/// How a peering, or a mesh, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    Bad,
    Resting,
}

impl State {
    fn of(peering: &PeeringView) -> Self {
        match (peering.ready, peering.suspended) {
            (_, true) => Self::Resting,
            (true, _) => Self::Good,
            (false, _) => Self::Bad,
        }
    }

    /// Colours that are told apart by most who see few (Okabe and Ito's palette).
    fn colour(self) -> &'static str {
        match self {
            Self::Good => "#009E73",
            Self::Bad => "#D55E00",
            Self::Resting => "#777777",
        }
    }

    /// Lines without breaks work, dashed ones do not, dotted ones rest.
    fn dashes(self) -> &'static str {
        match self {
            Self::Good => "none",
            Self::Bad => "10 6",
            Self::Resting => "2 5",
        }
    }

    fn style(self) -> &'static str {
        match self {
            Self::Good => "solid",
            Self::Bad => "dashed",
            Self::Resting => "dotted",
        }
    }
}

/// A mesh as all formats show it.
struct Node<'a> {
    name: &'a str,
    detail: String,
    state: State,
}

fn nodes(status: &FederationStatus) -> Vec<Node<'_>> {
    let node = |mesh: &'_ super::federation::MeshView| {
        let well = mesh.agent.is_some() && !mesh.silent && !mesh.is_late();
        let trouble = match (&mesh.agent, mesh.silent, mesh.behind) {
            (None, ..) => ", never seen".to_owned(),
            (_, true, _) => ", silent".to_owned(),
            (_, _, Some(behind)) if mesh.is_late() => format!(", {behind} behind"),
            _ => String::new(),
        };
        (format!("{}{trouble}", mesh.platform), if well { State::Good } else { State::Bad })
    };
    let all = status.meshes.iter();
    all.map(|mesh| {
        let (detail, state) = node(mesh);
        Node { name: &mesh.name, detail, state }
    })
    .collect()
}

/// What crosses a peering: `aro-stg-mesh exports details 20 → 0 %`, a line each.
fn crossings(peering: &PeeringView) -> Vec<String> {
    let short = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let services = peering.services.iter().map(|service| {
        let weight = match (service.declared_weight, service.effective_weight) {
            (Some(declared), Some(effective)) if declared == effective => format!(" {declared} %"),
            (Some(declared), Some(effective)) => format!(" {declared} → {effective} %"),
            (Some(declared), None) => format!(" {declared} → ? %"),
            (None, _) => String::new(),
        };
        let when = if service.when.is_empty() { String::new() } else { format!(" where {}", service.when) };
        let taken = if service.imported_as.is_none() { " (not imported)" } else { "" };
        printable(&format!("{} → {}: {}{weight}{when}{taken}", service.exporter, service.importer, short(&service.service)))
    });
    services.collect()
}

/// For a README: <https://mermaid.js.org/syntax/flowchart.html>.
pub fn mermaid(status: &FederationStatus) -> String {
    let mut out = String::from("flowchart LR\n");
    let nodes = nodes(status);
    let ids: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(number, node)| (node.name, number)).collect();
    for (number, Node { name, detail, state }) in nodes.iter().enumerate() {
        let _ = writeln!(out, "  m{number}[\"{}<br>{}\"]", markup(name), markup(detail)); // writing to a String cannot fail
        let _ = writeln!(out, "  style m{number} stroke:{},stroke-width:2px,stroke-dasharray:{}", state.colour(), dash(*state)); // the same
    }
    let drawn = status
        .peerings
        .iter()
        .filter_map(|peering| Some((peering, ids.get(&*peering.meshes[0])?, ids.get(&*peering.meshes[1])?)));
    for (number, (peering, a, b)) in drawn.enumerate() {
        let words: Vec<String> = crossings(peering).iter().map(|line| markup(line)).collect();
        let label = if words.is_empty() { String::new() } else { format!("|\"{}\"|", words.join("<br>")) };
        let state = State::of(peering);
        let _ = writeln!(out, "  m{a} ---{label} m{b}"); // the same
        let _ = writeln!(out, "  linkStyle {number} stroke:{},stroke-width:2px,stroke-dasharray:{}", state.colour(), dash(state)); // the same
    }
    out
}

/// Dashes as mermaid takes them: a comma would end the setting.
fn dash(state: State) -> &'static str {
    if state == State::Good { "0" } else { state.dashes() }
}

/// For Graphviz: <https://graphviz.org/doc/info/lang.html>.
pub fn dot(status: &FederationStatus) -> String {
    let mut out = String::from(
        "graph federation {\n  layout=circo; overlap=false; splines=true;\n  node [shape=box, fontname=\"sans-serif\"];\n",
    );
    for Node { name, detail, state } in nodes(status) {
        let (name, detail) = (escaped(name), escaped(&detail));
        let (colour, style) = (state.colour(), state.style());
        let _ = writeln!(out, "  \"{name}\" [label=\"{name}\\n{detail}\", color=\"{colour}\", style=\"{style}\"];"); // the same
    }
    for peering in &status.peerings {
        let [a, b] = [&peering.meshes[0], &peering.meshes[1]].map(|name| escaped(name));
        let state = State::of(peering);
        let label: Vec<String> = crossings(peering).iter().map(|line| escaped(line)).collect();
        let (colour, style, label) = (state.colour(), state.style(), label.join("\\n"));
        let _ = writeln!(out, "  \"{a}\" -- \"{b}\" [label=\"{label}\", color=\"{colour}\", style=\"{style}\"];"); // the same
    }
    out + "}\n"
}

fn markup(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// For a text in quotes in dot.
fn escaped(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests;
