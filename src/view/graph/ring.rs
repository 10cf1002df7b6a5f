//! Many meshes: their names stand around a ring like hours on a clock, peers side by side where that is possible, and peerings are arcs inside of it. A
//! hundred of them fit a screen.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::TAU;
use std::fmt::Write;

use super::svg::{CHARACTER, Drawing, GAP, LINE, real};
use super::{Node, State, markup};
use crate::view::federation::PeeringView;

/// Smallest ring: arcs in a smaller one cannot be told apart.
const MIN_RADIUS: f64 = 160.0;

/// Radius of the dot of a mesh.
const DOT: f64 = 5.0;

/// From the ring to a name.
const TO_NAME: f64 = 12.0;

/// How far an arc bends towards the centre: 0 all the way, 1 not at all.
const STRAIGHT: f64 = 0.5;

/// The ring with its names.
pub(super) fn draw(nodes: &[Node], peerings: &[PeeringView]) -> Drawing {
    let order = side_by_side(nodes, peerings);
    let label = |node: &Node| format!("{}  {}", node.name, node.detail);
    let longest = nodes.iter().map(|node| label(node).chars().count()).max().unwrap_or(0);
    let radius = (real(nodes.len()) * LINE / TAU).max(MIN_RADIUS);
    let half = radius + TO_NAME + real(longest) * CHARACTER + GAP;
    let angle = |place: usize| TAU * real(place) / real(nodes.len()) - TAU / 4.0;
    let point = |angle: f64, radius: f64| (half + radius * angle.cos(), half + radius * angle.sin());
    let places: BTreeMap<&str, (f64, f64)> =
        order.iter().enumerate().map(|(place, node)| (node.name, point(angle(place), radius))).collect();
    let mut out = String::new();
    for peering in peerings {
        let (Some(a), Some(b)) = (places.get(&*peering.meshes[0]), places.get(&*peering.meshes[1])) else { continue };
        let state = State::of(peering);
        let bend = |a: f64, b: f64| half + (f64::midpoint(a, b) - half) * STRAIGHT;
        let _ = writeln!(
            out,
            "<path d=\"M {:.1} {:.1} Q {:.1} {:.1} {:.1} {:.1}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" stroke-dasharray=\"{}\"/>",
            a.0,
            a.1,
            bend(a.0, b.0),
            bend(a.1, b.1),
            b.0,
            b.1,
            state.colour(),
            state.dashes()
        ); // writing to a String cannot fail
    }
    for (place, node) in order.iter().enumerate() {
        let angle = angle(place);
        let (dot, name) = (point(angle, radius), point(angle, radius + TO_NAME));
        // No name stands on its head: those of the left half read towards the ring.
        let left = angle.cos() < -1e-9;
        let (turn, anchor) = if left { (angle + TAU / 2.0, "end") } else { (angle, "start") };
        let (colour, fill) = (node.state.colour(), if node.state == State::Good { node.state.colour() } else { "white" });
        let _ = writeln!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{DOT}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            dot.0, dot.1
        ); // the same
        let _ = writeln!(
            out,
            "<text transform=\"translate({:.1} {:.1}) rotate({:.1})\" y=\"4\" text-anchor=\"{anchor}\"><tspan font-weight=\"bold\">{}</tspan>  {}</text>",
            name.0,
            name.1,
            turn.to_degrees(),
            markup(node.name),
            markup(&node.detail)
        ); // the same
    }
    Drawing { marks: out, width: 2.0 * half, height: 2.0 * half }
}

/// The meshes so that peers are neighbours where that can be: after each comes, of those that are left, the one that has most peers among those that
/// stand already, the last of them before all.
fn side_by_side<'a>(nodes: &'a [Node<'a>], peerings: &[PeeringView]) -> Vec<&'a Node<'a>> {
    let mut peers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for [a, b] in peerings.iter().map(|peering| &peering.meshes) {
        peers.entry(a).or_default().insert(b);
        peers.entry(b).or_default().insert(a);
    }
    let mut left: Vec<&Node> = nodes.iter().collect();
    let mut order: Vec<&Node> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let best = left.iter().enumerate().max_by_key(|(at, node)| {
            let of = peers.get(node.name);
            let is_peer = |other: &&Node| of.is_some_and(|of| of.contains(other.name));
            let standing = order.iter().filter(|other| is_peer(other)).count();
            (order.last().is_some_and(is_peer), standing, usize::MAX - at)
        });
        let Some((at, _)) = best else { break };
        order.push(left.remove(at));
    }
    order
}
