//! A picture that needs nothing else: boxes on a circle, or in a crowd a ring of names; the words for what crosses the lines below.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fmt::Write;

use super::{Node, State, crossings, markup, nodes, ring};
use crate::view::federation::{FederationStatus, PeeringView};
use crate::words::printable;

/// Width and height of a mesh's box.
const BOX: (f64, f64) = (190.0, 44.0);

/// Free space between two boxes, and around all of them.
pub(super) const GAP: f64 = 30.0;

/// Meshes from which on the words below are about what does not work alone.
const CROWDED: usize = 6;

/// Meshes from which on they are names on a ring: boxes would make a picture that no screen shows at once.
const RING: usize = 10;

/// Most lines about what does not work: what a screen shows below the picture. `meshfed status` has all.
const MAX_TROUBLE: usize = 40;

/// Height of a line of words.
pub(super) const LINE: f64 = 18.0;

/// Width of a character in the font of the words, at most.
pub(super) const CHARACTER: f64 = 7.5;

/// Most characters in a line of a box: what [`BOX`] has room for, without the sign that something is left out.
const MAX_TEXT: usize = 24;

/// Marks, and the room that they take.
pub(super) struct Drawing {
    pub marks: String,
    pub width: f64,
    pub height: f64,
}

/// A picture that needs nothing else.
pub fn svg(status: &FederationStatus) -> String {
    let nodes = nodes(status);
    let Drawing { marks, width, height: top } =
        if nodes.len() > RING { ring::draw(&nodes, &status.peerings) } else { boxes(&nodes, &status.peerings) };
    let legend: Vec<(Option<State>, String)> = legend(status);
    let widest = real(legend.iter().map(|(_, line)| line.chars().count()).max().unwrap_or(0)) * CHARACTER + 2.0 * GAP + 40.0;
    let (width, height) = (width.max(widest), top + (real(legend.len()) + 1.0) * LINE);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{marks}"
    );
    for (number, (state, words)) in legend.iter().enumerate() {
        let y = top + real(number) * LINE;
        if let Some(state) = state {
            let _ = writeln!(out, "{}", line(*state, (GAP, y), (GAP + 30.0, y))); // writing to a String cannot fail
        }
        let _ = writeln!(out, "<text x=\"{:.0}\" y=\"{:.1}\">{}</text>", GAP + 40.0, y + 4.0, markup(words)); // the same
    }
    out + "</svg>\n"
}

/// What the lines mean, and what crosses them; in a crowd only why some do not work.
fn legend(status: &FederationStatus) -> Vec<(Option<State>, String)> {
    let mut lines = vec![
        (Some(State::Good), "works".to_owned()),
        (Some(State::Bad), "does not work".to_owned()),
        (Some(State::Resting), "suspended".to_owned()),
    ];
    let crowded = status.meshes.len() > CROWDED;
    let mut trouble = Vec::new();
    for peering in status.peerings.iter().filter(|peering| !crowded || !peering.ready) {
        let state = Some(State::of(peering));
        if !crowded {
            trouble.extend(crossings(peering).into_iter().map(|line| (state, line)));
        }
        if !peering.why.is_empty() {
            trouble.push((state, printable(&format!("{} <-> {}: {}", peering.meshes[0], peering.meshes[1], peering.why))));
        }
    }
    let more = trouble.len().saturating_sub(MAX_TROUBLE);
    lines.extend(trouble.into_iter().take(MAX_TROUBLE));
    if more > 0 {
        lines.push((None, format!("… and {more} more: meshfed status")));
    }
    lines
}

/// Boxes on a circle that grows with their number, so that no two meet.
fn boxes(nodes: &[Node], peerings: &[PeeringView]) -> Drawing {
    let places = places(nodes.len());
    let half = places.iter().fold((0.0f64, 0.0f64), |(x, y), place| (x.max(place.0.abs()), y.max(place.1.abs())));
    let centre = (half.0 + BOX.0 / 2.0 + GAP, half.1 + BOX.1 / 2.0 + GAP);
    let by_name: BTreeMap<&str, (f64, f64)> =
        nodes.iter().zip(&places).map(|(node, (x, y))| (node.name, (centre.0 + x, centre.1 + y))).collect();
    let mut out = String::new();
    for peering in peerings {
        let (Some(a), Some(b)) = (by_name.get(&*peering.meshes[0]), by_name.get(&*peering.meshes[1])) else { continue };
        let _ = writeln!(out, "{}", line(State::of(peering), *a, *b)); // writing to a String cannot fail
    }
    for node in nodes {
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
    Drawing { marks: out, width: 2.0 * centre.0, height: 2.0 * centre.1 }
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
pub(super) fn real(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}
