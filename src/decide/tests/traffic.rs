//! Where requests go while people change their minds.

use std::collections::BTreeSet;

use super::sim::{Sim, example};
use serde_json::Value;

const ROSA: &str = "rosa-prod-mesh";
const TRAFFIC: &str = "meshes/rosa-prod-mesh/traffic/details.yaml";

/// Replaces what the Traffic of the example says of routes.
fn route(sim: &mut Sim, fields: &str) {
    let text = format!(
        "//- {TRAFFIC}\nkind: Traffic\nmetadata: {{name: details}}\nspec:\n  service: prod-bookinfo/details\n  {fields}\n"
    );
    sim.commit(|repo| repo.with(&text));
    assert_eq!(sim.problems, []);
}

fn spec(sim: &Sim, kind: &str) -> Value {
    let object =
        sim.sites[ROSA].server.live().into_values().find(|live| live.key.to_string() == format!("{kind}/prod-bookinfo/details"));
    object.map(|live| live.value()["spec"].clone()).unwrap_or_default()
}

/// Values of a key, wherever it stands.
fn values<'a>(value: &'a Value, key: &str, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
            Some(text) if name == key => _ = found.insert(text),
            _ => values(value, key, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
        _ => {}
    }
}

fn no_route_names_an_undefined_subset(sim: &Sim) {
    let (routes, rule) = (spec(sim, "VirtualService"), spec(sim, "DestinationRule"));
    let (mut named, mut defined) = (BTreeSet::new(), BTreeSet::new());
    values(&routes, "subset", &mut named);
    values(&rule["subsets"], "name", &mut defined);
    assert!(named.is_subset(&defined), "{named:?} of {defined:?}");
}

#[test]
fn a_subset_is_defined_as_long_as_a_route_names_it() {
    let mut sim = Sim::new(example());
    sim.settle();
    for fields in [
        "routes: [{local: {subset: v2}}]",
        "matches: [{uri: {prefix: /v3}, routes: [{local: {subset: v3}}]}]",
        "outlierDetection: {}",
        "routes: [{local: {subset: v1}}]",
        "routes: [{local: {}}]",
    ] {
        route(&mut sim, fields);
        for _ in 0..8 {
            let decision = sim.decide(ROSA);
            for i in 0..decision.apply.len() + decision.delete.len() {
                let mut number = 0..;
                sim.perform(ROSA, &decision, || number.next() == Some(i)); // this one alone
                no_route_names_an_undefined_subset(&sim);
            }
        }
        sim.settle();
        assert!(sim.decide(ROSA).leaves_cluster(), "{fields}");
    }
    assert_eq!(spec(&sim, "DestinationRule"), Value::Null);
}

#[test]
fn weights_of_every_list_are_in_the_status() {
    let mut sim = Sim::new(example());
    route(
        &mut sim,
        "matches: [{headers: {end-user: {exact: jason}}, routes: [{peer: aro-stg-mesh, service: prod-bookinfo/details-v2}]}]",
    );
    let shares = |sim: &mut Sim, when: &str| -> Vec<(String, u32, u32)> {
        let status = sim.decide(ROSA).status;
        let shares = status.traffic["details"].shares(when).unwrap();
        shares.iter().map(|share| (share.to.clone(), share.declared, share.effective)).collect()
    };
    let match_of = |effective| vec![("aro-stg-mesh".to_owned(), 100, effective)];
    assert_eq!(shares(&mut sim, "end-user = jason"), match_of(0), "not imported yet");
    sim.settle();
    assert_eq!(shares(&mut sim, "end-user = jason"), match_of(100));
    assert_eq!(shares(&mut sim, ""), [("local".to_owned(), 100, 100)]);
}

#[test]
fn the_old_side_stays_while_requests_may_lead_to_it() {
    let [workload, routes] = ["Deployment/prod-bookinfo/details-v1", "VirtualService/prod-bookinfo/details"];
    let mut sim = Sim::new(example());
    route(&mut sim, "routes: [{local: {subset: v1}}]");
    sim.settle();
    let imports = "ImportedServiceSet/rosa-prod-mesh/aro-stg-mesh";
    sim.site(ROSA).server.remove(imports); // the peer is away when people move everything to it
    let manifests = "meshes/rosa-prod-mesh/manifests/details.yaml";
    sim.commit(|repo| repo.without(manifests));
    route(&mut sim, "routes: [{peer: aro-stg-mesh, service: prod-bookinfo/details-v2}]");
    let decision = sim.decide(ROSA);
    let hold = decision.holds.iter().find(|hold| hold.subject == workload).expect("it waits");
    assert_eq!(hold.reason, format!("waits until {routes} is as declared, because it may lead there"));

    in_this_order(&mut sim, [&format!("apply {routes}"), &format!("delete {workload}")]);

    sim.commit(|repo| repo.with(&format!("//- {manifests}\n{DEPLOYMENT}")));
    sim.settle();
    sim.commit(|repo| repo.without(TRAFFIC).without(manifests));
    in_this_order(&mut sim, [&format!("delete {routes}"), &format!("delete {workload}")]);
}

const DEPLOYMENT: &str =
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: details-v1, namespace: prod-bookinfo}\nspec: {replicas: 1}\n";

/// Settles, and does the first of these before the second.
fn in_this_order(sim: &mut Sim, [first, second]: [&str; 2]) {
    let mark = sim.sites[ROSA].log.len();
    sim.settle();
    let log = &sim.sites[ROSA].log[mark..];
    let place = |what: &str| log.iter().position(|line| line == what).unwrap_or_else(|| panic!("never: {what}: {log:#?}"));
    assert!(place(first) < place(second), "{log:#?}");
}
