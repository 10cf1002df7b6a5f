//! Federations at random, for property tests.

use std::fmt::Write;

use proptest::prelude::*;

use crate::model::testing::Repo;

/// Names that are legal but not alike.
const NAMES: [&str; 6] = ["rosa-prod-mesh", "a", "b-2", "0c", "mesh", "gcp-dev"];

/// One half of a peering: (gateways of its own?, exports with alias?, imports, of which one under another name?).
type Half = (bool, [Option<bool>; 3], bool, bool);

/// Repositories of 2 to 6 meshes, every pair of which is a peering, half of one, or none; all valid.
pub fn federations() -> impl Strategy<Value = Repo> {
    let half = || proptest::option::weighted(0.8, any::<Half>());
    (2usize..=6).prop_flat_map(move |size| {
        (proptest::collection::vec(half(), size * size), proptest::collection::vec(any::<(bool, bool)>(), size))
            .prop_map(move |(halves, meshes)| repository(size, &halves, &meshes))
    })
}

fn repository(size: usize, halves: &[Option<Half>], meshes: &[(bool, bool)]) -> Repo {
    let mut text = String::from("//- federation.yaml\nkind: Federation\nmetadata: {name: random}\n");
    for (i, (own_namespace, aws)) in meshes.iter().enumerate() {
        let name = NAMES[i];
        let namespace = if *own_namespace { "{namespace: cp, name: basic}" } else { "{}" };
        let platform = if *aws { "aws" } else { "other" };
        let _ = write!(
            text,
            "//- meshes/{name}/mesh.yaml\nkind: Mesh\nmetadata: {{name: {name}}}\nspec:\n  trustDomain: td{i}.example\n  \
             members: [apps, more]\n  controlPlane: {namespace}\n  platform: {platform}\n"
        );
        for j in (0..size).filter(|j| *j != i) {
            if let Some(half) = &halves[i * size + j] {
                peer(&mut text, (name, i), (NAMES[j], j), half, halves[j * size + i].as_ref());
            }
        }
    }
    let repo = Repo::new(&text);
    repo.valid();
    repo
}

fn peer(text: &mut String, (me, i): (&str, usize), (other, j): (&str, usize), half: &Half, theirs: Option<&Half>) {
    let (gateways, exports, imports, renamed) = half;
    let _ = write!(
        text,
        "//- meshes/{me}/peers/{other}.yaml\nkind: Peer\nmetadata: {{name: {other}}}\nspec:\n  locality: {{region: r}}\n"
    );
    if *gateways || other.starts_with('0') {
        let _ = writeln!(text, "  gateways: {{ingress: in{j}, egress: out{j}}}");
    }
    if exports.iter().any(Option::is_some) {
        text.push_str("  exports:\n");
    }
    for (k, _) in exports.iter().enumerate().filter(|(_, export)| export.is_some()) {
        let _ = writeln!(text, "  - service: apps/s{k}{}", alias(exports, i, k));
    }
    let Some((_, offered, ..)) = theirs.filter(|_| *imports) else { return };
    let offered: Vec<usize> = (0..3).filter(|k| offered[*k].is_some()).collect();
    if !offered.is_empty() {
        text.push_str("  imports:\n");
    }
    let mut routes = String::new();
    for k in &offered {
        let exported = if offered_alias(theirs, *k) { format!("public/m{j}s{k}") } else { format!("apps/s{k}") };
        let local = if *renamed { format!("apps/from{j}s{k}") } else { exported.clone() };
        let _ = writeln!(text, "  - {{service: {exported}, as: {local}}}");
        let _ = writeln!(routes, "  - {{peer: {other}, service: {local}, weight: {}}}", 10 + k);
    }
    if let Some(sum) = (!offered.is_empty()).then(|| offered.iter().map(|k| 10 + k).sum::<usize>()) {
        let _ = write!(
            text,
            "//- meshes/{me}/traffic/t{j}.yaml\nkind: Traffic\nmetadata: {{name: t{j}}}\nspec:\n  service: apps/local{j}\n  \
             routes:\n  - {{local: {{subset: v1}}, weight: {}}}\n{routes}",
            100 - sum
        );
    }
}

fn alias(exports: &[Option<bool>; 3], i: usize, k: usize) -> String {
    if exports[k] == Some(true) { format!("\n    as: public/m{i}s{k}") } else { String::new() }
}

fn offered_alias(theirs: Option<&Half>, k: usize) -> bool {
    theirs.is_some_and(|(_, exports, ..)| exports[k] == Some(true))
}
