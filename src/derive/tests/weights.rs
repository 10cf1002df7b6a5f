//! Weights that nobody thought of, while any of their destinations is there or not.

use std::fmt::Write;

use super::*;
use crate::model::testing::pair;
use proptest::prelude::*;

/// A list of destinations, by number, with what people give each.
type List = Vec<(usize, u32)>;

/// Two subsets and the service itself here, then four imported services.
const DESTINATIONS: [&str; 7] = [
    "local: {}",
    "local: {subset: v1}",
    "local: {subset: v2}",
    "peer: b, service: shop/x0",
    "peer: b, service: shop/x1",
    "peer: b, service: shop/x2",
    "peer: b, service: shop/x3",
];

/// Where the imported ones begin.
const IMPORTED: usize = 3;

/// Lists of one to five destinations whose weights, some of them 0, sum to 100.
fn lists() -> impl Strategy<Value = List> {
    let chosen = prop::sample::subsequence((0..DESTINATIONS.len()).collect::<Vec<_>>(), 1..=5);
    (chosen.prop_shuffle(), prop::collection::vec(0u32..=100, 4)).prop_map(|(chosen, mut cuts)| {
        cuts.truncate(chosen.len() - 1);
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([100]);
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        chosen.into_iter().zip(ends.zip(starts).map(|(end, start)| end - start)).collect()
    })
}

fn repository(lists: &[List], keep: bool) -> Repo {
    let services = |field: &str| (0..4).fold(String::new(), |text, i| format!("{text}  {field}- service: shop/x{i}\n"));
    let mut text = format!(
        "//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {{name: b}}\nspec:\n  imports:\n{}//- meshes/b/peers/a.yaml\nkind: Peer\n\
         metadata: {{name: a}}\nspec:\n  exports:\n{}//- meshes/a/traffic/x.yaml\nkind: Traffic\nmetadata: {{name: x}}\nspec:\n  \
         service: apps/x\n  whenUnavailable: {}\n",
        services(""),
        services(""),
        if keep { "keep" } else { "redistribute" },
    );
    let routes = |list: &List| {
        let routes = list.iter().map(|(to, weight)| format!("{{{}, weight: {weight}}}", DESTINATIONS[*to]));
        format!("routes: [{}]", routes.collect::<Vec<_>>().join(", "))
    };
    let (last, matches) = lists.split_last().unwrap();
    if !matches.is_empty() {
        text.push_str("  matches:\n");
    }
    for (i, list) in matches.iter().enumerate() {
        let _ = writeln!(text, "  - uri: {{exact: /{i}}}\n    {}", routes(list));
    }
    let _ = writeln!(text, "  {}", routes(last));
    pair().with(&text)
}

/// Host and subset of a destination, as a route names them.
fn name(to: usize) -> (String, Option<String>) {
    match to {
        0 => ("x.apps.svc.cluster.local".into(), None),
        1 | 2 => ("x.apps.svc.cluster.local".into(), Some(format!("v{to}"))),
        imported => (format!("x{}.shop.svc.b-imports.local", imported - IMPORTED), None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn weights_sum_to_a_hundred_and_go_only_where_something_is(
        lists in prop::collection::vec(lists(), 1..4),
        live in prop::collection::vec(any::<bool>(), DESTINATIONS.len() - IMPORTED),
        keep in any::<bool>(),
    ) {
        let federation = repository(&lists, keep).valid();
        let is_there = |to: usize| keep || to < IMPORTED || live[to - IMPORTED];
        let hosts: Vec<String> = (IMPORTED..DESTINATIONS.len()).filter(|to| live[to - IMPORTED]).map(|to| name(to).0).collect();
        let observed = mk_live("b", &hosts.iter().map(String::as_str).collect::<Vec<_>>());
        let derived = derive_for(&federation, "a", &observed);
        let key = kinds::key(kinds::VIRTUAL_SERVICE, "apps", "x");

        let served = |list: &List| list.iter().filter(|(to, _)| is_there(*to)).map(|(_, weight)| weight).sum::<u32>();
        let Some(wanted) = derived.wanted.get(&key) else {
            prop_assert_eq!(served(lists.last().unwrap()), 0);
            prop_assert!(derived.holds.iter().any(|hold| hold.key.as_ref() == Some(&key)));
            return Ok(());
        };
        let spec = wanted.object.value()["spec"].clone();
        let http = spec["http"].as_array().unwrap();
        let expected: Vec<&List> = lists.iter().filter(|list| served(list) > 0).collect();
        prop_assert_eq!(http.len(), expected.len(), "a list without any destination is left out");
        for (rule, list) in http.iter().zip(expected) {
            let mut sum = 0;
            for route in rule["route"].as_array().unwrap() {
                let to = &route["destination"];
                let id = (to["host"].as_str().unwrap().to_owned(), to["subset"].as_str().map(str::to_owned));
                let (to, declared) = *list.iter().find(|(to, _)| name(*to) == id).unwrap();
                prop_assert!(is_there(to), "{id:?} is away");
                let weight = u32::try_from(route["weight"].as_u64().unwrap()).unwrap();
                let share = declared * 100; // of `served`: what it should get, but for rounding
                prop_assert!(weight > 0 && (weight * served(list)).abs_diff(share) < served(list), "{weight} of {declared}");
                sum += weight;
            }
            prop_assert_eq!(sum, 100);
        }
    }
}
