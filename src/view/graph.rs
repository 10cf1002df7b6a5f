//! Meshes, peerings, services and weights as a picture: what states say, lines say by their style as well as by their colour.
//!
//! Positions in the SVG follow from the number of meshes alone: they stand on a circle that grows with them, so that no two labels meet.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fmt::Write;

use super::federation::{FederationStatus, PeeringView};
use crate::words::printable;

/// Width and height of a mesh's box.
const BOX: (f64, f64) = (190.0, 44.0);

/// Free space between two boxes, and around all of them.
const GAP: f64 = 30.0;

/// Meshes from which on the picture shows no words on the lines: those below each picture say them.
const CROWDED: usize = 6;

/// Height of a line of words.
const LINE: f64 = 18.0;

/// Width of a character in the font of the words, at most.
const CHARACTER: f64 = 7.5;

/// Most characters in a line of a box: what [`BOX`] has room for, without the sign that something is left out.
const MAX_TEXT: usize = 24;

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

/// A picture that needs nothing else.
pub fn svg(status: &FederationStatus) -> String {
    let nodes = nodes(status);
    let places = places(nodes.len());
    let half = places.iter().fold((0.0f64, 0.0f64), |(x, y), place| (x.max(place.0.abs()), y.max(place.1.abs())));
    let centre = (half.0 + BOX.0 / 2.0 + GAP, half.1 + BOX.1 / 2.0 + GAP);
    let by_name: BTreeMap<&str, (f64, f64)> =
        nodes.iter().zip(&places).map(|(node, (x, y))| (node.name, (centre.0 + x, centre.1 + y))).collect();
    let legend: Vec<(State, String)> = legend(status);
    let widest = real(legend.iter().map(|(_, line)| line.chars().count()).max().unwrap_or(0)) * CHARACTER + 2.0 * GAP + 40.0;
    let (width, circle) = ((2.0 * centre.0).max(widest), 2.0 * centre.1);
    let height = circle + (real(legend.len()) + 1.0) * LINE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for peering in &status.peerings {
        let (Some(a), Some(b)) = (by_name.get(&*peering.meshes[0]), by_name.get(&*peering.meshes[1])) else { continue };
        let _ = writeln!(out, "{}", line(State::of(peering), *a, *b)); // the same
    }
    for node in &nodes {
        let Some((x, y)) = by_name.get(node.name) else { continue };
        let (left, top) = (x - BOX.0 / 2.0, y - BOX.1 / 2.0);
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"6\" fill=\"white\" stroke=\"{}\" stroke-width=\"2\" \
             stroke-dasharray=\"{}\"/>",
            BOX.0,
            BOX.1,
            node.state.colour(),
            node.state.dashes()
        ); // the same
        for (offset, weight, text) in [(-3.0, "bold", node.name), (14.0, "normal", &*node.detail)] {
            let text = markup(&cut(text));
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-weight=\"{weight}\">{text}</text>",
                y + offset
            ); // the same
        }
    }
    for (number, (state, words)) in legend.iter().enumerate() {
        let y = circle + real(number) * LINE;
        let _ = writeln!(out, "{}", line(*state, (GAP, y), (GAP + 30.0, y))); // the same
        let _ = writeln!(out, "<text x=\"{:.0}\" y=\"{:.1}\">{}</text>", GAP + 40.0, y + 4.0, markup(words)); // the same
    }
    out + "</svg>\n"
}

/// What the lines mean, and what crosses them; in a crowd only of peerings that do not work.
fn legend(status: &FederationStatus) -> Vec<(State, String)> {
    let mut lines = vec![
        (State::Good, "works".to_owned()),
        (State::Bad, "does not work".to_owned()),
        (State::Resting, "suspended".to_owned()),
    ];
    let crowded = status.meshes.len() > CROWDED;
    for peering in status.peerings.iter().filter(|peering| !crowded || !peering.ready) {
        let state = State::of(peering);
        lines.extend(crossings(peering).into_iter().map(|line| (state, line)));
        if !peering.why.is_empty() {
            lines.push((state, printable(&format!("{} <-> {}: {}", peering.meshes[0], peering.meshes[1], peering.why))));
        }
    }
    lines
}

/// Where the boxes' centres are, around the centre of them all. Neighbours on the circle are so far apart that the diagonal of a box
/// and the gap lie between them.
fn places(number: usize) -> Vec<(f64, f64)> {
    let apart = BOX.0.hypot(BOX.1) + GAP;
    let radius = match number {
        0 | 1 => 0.0,
        _ => (apart / (2.0 * (TAU / (2.0 * real(number))).sin())).max(apart / 2.0),
    };
    let angle = |at: usize| TAU * real(at) / real(number) - TAU / 4.0;
    (0..number).map(|at| (radius * angle(at).cos(), radius * angle(at).sin())).collect()
}

fn line(state: State, a: (f64, f64), b: (f64, f64)) -> String {
    format!(
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\"/>",
        a.0,
        a.1,
        b.0,
        b.1,
        state.colour(),
        state.dashes()
    )
}

/// Text that a box has room for.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A number of things, for computing places; a picture has room for far fewer.
fn real(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
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
