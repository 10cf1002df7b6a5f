//! What the pictures show, and that nothing in them lies on something else.

use proptest::prelude::*;

use super::svg::{CHARACTER, LINE, real};
use super::*;
use crate::view::status::testing::{mk_status, mk_status_of};

#[test]
fn three_formats_show_the_same_federation() {
    insta::assert_snapshot!("mermaid", mermaid(&mk_status()));
    insta::assert_snapshot!("dot", dot(&mk_status()));
    insta::assert_snapshot!("svg", svg(&mk_status()));
}

/// `name="…"` of a tag, as a number.
fn number(tag: &str, name: &str) -> f64 {
    let rest = tag.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("{tag} has no {name}")).1;
    rest.split('"').next().unwrap().parse().unwrap()
}

/// Left, top, right, bottom of all boxes, and of all words outside of them.
fn areas(picture: &str) -> Vec<[f64; 4]> {
    let boxes = picture.lines().filter(|line| line.contains(" rx=")).map(|tag| {
        let (x, y) = (number(tag, "x"), number(tag, "y"));
        [x, y, x + number(tag, "width"), y + number(tag, "height")]
    });
    let words = picture.lines().filter(|line| line.starts_with("<text") && !line.contains("text-anchor")).map(|tag| {
        let (x, y) = (number(tag, "x"), number(tag, "y"));
        let text = tag.split_once('>').unwrap().1.trim_end_matches("</text>").replace("&lt;", "<").replace("&gt;", ">");
        [x, y - 13.0, x + real(text.chars().count()) * CHARACTER, y]
    });
    boxes.chain(words).collect()
}

proptest! {
    #[test]
    fn nothing_lies_on_something_else(meshes in 1usize..=10) {
        let picture = svg(&mk_status_of(meshes));
        let areas = areas(&picture);
        prop_assert!(areas.len() > meshes);
        let (width, height) = (number(&picture, "width"), number(&picture, "height"));
        for (at, [left, top, right, bottom]) in areas.iter().enumerate() {
            prop_assert!(*left >= 0.0 && *top >= 0.0 && *right <= width && *bottom <= height, "{left} {top} {right} {bottom} in {width} {height}");
            for other in &areas[..at] {
                let apart = other[2] <= *left || *right <= other[0] || other[3] <= *top || *bottom <= other[1];
                prop_assert!(apart, "{other:?} and {:?}", areas[at]);
            }
        }
    }
}

/// What stands behind `translate(` or in `cx`, `cy`.
fn points(picture: &str, tag: &str) -> Vec<(f64, f64)> {
    let lines = picture.lines().filter(|line| line.starts_with(tag));
    lines.map(|tag| (number(tag, "cx"), number(tag, "cy"))).collect()
}

#[test]
fn the_names_of_many_meshes_have_room_around_a_ring_that_fits_a_screen() {
    for meshes in [11, 30, 60, 100] {
        let picture = svg(&mk_status_of(meshes));
        let dots = points(&picture, "<circle");
        assert_eq!(dots.len(), meshes);
        for (at, a) in dots.iter().enumerate() {
            for b in &dots[..at] {
                assert!((a.0 - b.0).hypot(a.1 - b.1) > 0.9 * LINE, "{meshes}: {a:?} {b:?}");
            }
        }
        let width = number(&picture, "width");
        let words = picture.lines().filter(|line| line.starts_with("<text transform"));
        let longest =
            words.map(|line| line.split_once("bold\">").unwrap().1.replace("</tspan>", "").len() - "</text>".len()).max();
        let edge = dots.iter().map(|dot| dot.0).fold(0.0, f64::max) + real(longest.unwrap()) * CHARACTER;
        assert!(edge < width && width < 1400.0, "{meshes}: {edge} {width}");
    }
}

#[test]
fn sixty_meshes_are_a_picture_too() {
    insta::assert_snapshot!("svg_of_sixty", svg(&mk_status_of(60)));
}

#[test]
fn names_cannot_leave_their_place() {
    let mut status = mk_status();
    status.meshes[0].name = "<script>\"&\\".into();
    assert!(!svg(&status).contains("<script>") && !mermaid(&status).contains("<script>"));
    assert!(dot(&status).contains("\\\"&\\\\"));
}
