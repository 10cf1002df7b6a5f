//! What a VirtualService does with requests otherwise than before. Lists of routes are known by what they match, not by where they stand.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::words::count;

/// A list of routes: where its requests go.
struct List {
    /// Which requests; empty for all that are left.
    when: String,
    /// Percent by destination.
    weights: BTreeMap<String, u64>,
}

/// What changes of each list of routes; one that is in both is told by how many percent of its requests go elsewhere.
pub(super) fn shift(from: &Value, to: &Value) -> Vec<String> {
    let (before, after) = (lists(from), lists(to));
    let was = |list: &List| before.iter().find(|other| other.when == list.when);
    let mut found: Vec<String> = after
        .iter()
        .filter_map(|list| match was(list) {
            Some(was) => moved(was, list),
            None => Some(added(list)),
        })
        .collect();
    let is_kept = |list: &&List| after.iter().any(|other| other.when == list.when);
    found.extend(before.iter().filter(|list| !is_kept(list)).map(gone));
    let order = |of: &[List], other: &[List]| -> Vec<String> {
        let shared = of.iter().filter(|list| other.iter().any(|other| other.when == list.when));
        shared.map(|list| list.when.clone()).collect()
    };
    if order(&before, &after) != order(&after, &before) {
        found.push("lists of routes in another order: the first that matches a request counts".to_owned());
    }
    found
}

fn lists(value: &Value) -> Vec<List> {
    let all = value.pointer("/spec/http").and_then(Value::as_array).into_iter().flatten();
    all.map(|list| List { when: conditions(&list["match"]), weights: weights(list) }).collect()
}

fn moved(was: &List, is: &List) -> Option<String> {
    let gain = |(to, weight): (&String, &u64)| {
        let more = weight.saturating_sub(was.weights.get(to).copied().unwrap_or(0));
        (more > 0).then(|| format!("{} of traffic to {to}", count(usize::try_from(more).unwrap_or(usize::MAX), "point")))
    };
    let gains: Vec<String> = is.weights.iter().filter_map(gain).collect();
    let when = if is.when.is_empty() { String::new() } else { format!(" where {}", is.when) };
    (!gains.is_empty()).then(|| format!("moves {}{when}", gains.join(" and ")))
}

fn added(List { when, weights }: &List) -> String {
    let shares: Vec<String> = weights.iter().map(|(to, weight)| format!("{weight} % to {to}")).collect();
    let which = if when.is_empty() { "all other requests".to_owned() } else { format!("where {when}") };
    format!("{which}: {}, which is new", shares.join(" and "))
}

fn gone(List { when, .. }: &List) -> String {
    if when.is_empty() {
        "no routes any more for all other requests".to_owned()
    } else {
        format!("no routes of their own any more where {when}")
    }
}

/// Weights by destination; a lone route takes everything.
fn weights(list: &Value) -> BTreeMap<String, u64> {
    let mut weights = BTreeMap::new();
    for route in list["route"].as_array().into_iter().flatten() {
        *weights.entry(destination(&route["destination"])).or_default() += route["weight"].as_u64().unwrap_or(100);
    }
    weights
}

/// `host (subset)`.
pub(super) fn destination(destination: &Value) -> String {
    let host = destination["host"].as_str().unwrap_or_default();
    destination["subset"].as_str().map_or_else(|| host.to_owned(), |subset| format!("{host} ({subset})"))
}

/// `uri = /v2* and x-tenant = nordic`, as a Traffic is told; empty where every request matches.
pub(super) fn conditions(matches: &Value) -> String {
    let each = matches.as_array().into_iter().flatten().map(condition);
    each.collect::<Vec<_>>().join(", or ")
}

fn condition(one: &Value) -> String {
    let fields = one.as_object().into_iter().flatten();
    let (headers, others): (Vec<_>, Vec<_>) = fields.partition(|(name, value)| *name == "headers" && value.is_object());
    let headers = headers.into_iter().filter_map(|(_, value)| value.as_object()).flatten();
    others.into_iter().chain(headers).map(|(name, value)| text(name, value)).collect::<Vec<_>>().join(" and ")
}

/// A condition on a text in Istio's three forms, or anything else as it stands there.
fn text(name: &str, value: &Value) -> String {
    let form = |form: &str| value.get(form).and_then(Value::as_str);
    match (form("exact"), form("prefix"), form("regex")) {
        (Some(text), ..) => format!("{name} = {text}"),
        (_, Some(text), _) => format!("{name} = {text}*"),
        (.., Some(text)) => format!("{name} ~ {text}"),
        _ => format!("{name}: {value}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(lists: &Value) -> Value {
        json!({"spec": {"http": lists}})
    }

    fn list(when: Option<&str>, shares: &[(&str, u64)]) -> Value {
        let route: Vec<Value> =
            shares.iter().map(|(to, weight)| json!({"destination": {"host": "x", "subset": to}, "weight": weight})).collect();
        match when {
            Some(tenant) => {
                json!({"match": [{"headers": {"x-tenant": {"exact": tenant}}, "uri": {"prefix": "/a"}}], "route": route})
            }
            None => json!({"route": route}),
        }
    }

    #[test]
    fn lists_of_routes_are_known_by_what_they_match() {
        let rest = list(None, &[("v1", 70), ("v2", 30)]);
        let (nordic, canary) = (list(Some("nordic"), &[("v3", 100)]), list(Some("canary"), &[("v2", 100)]));
        let before = service(&json!([nordic, rest]));
        let changes = |lists: Value| shift(&before, &service(&lists));
        assert_eq!(
            changes(json!([canary, nordic, rest])),
            ["where uri = /a* and x-tenant = canary: 100 % to x (v2), which is new"]
        );
        assert_eq!(changes(json!([rest])), ["no routes of their own any more where uri = /a* and x-tenant = nordic"]);
        assert_eq!(changes(json!([nordic, list(None, &[("v1", 69), ("v2", 31)])])), ["moves 1 point of traffic to x (v2)"]);
        let moved = list(Some("nordic"), &[("v2", 100)]);
        let words = "moves 100 points of traffic to x (v2) where uri = /a* and x-tenant = nordic";
        assert_eq!(changes(json!([moved, rest])), [words]);
    }

    #[test]
    fn the_order_of_lists_counts() {
        let (nordic, canary) = (list(Some("nordic"), &[("v3", 100)]), list(Some("canary"), &[("v2", 100)]));
        let found = shift(&service(&json!([nordic, canary])), &service(&json!([canary, nordic])));
        assert_eq!(found, ["lists of routes in another order: the first that matches a request counts"]);
    }

    #[test]
    fn any_condition_has_words() {
        let matches = json!([{"uri": {"regex": "a.*"}, "port": 80}, {"method": {"exact": "GET"}}]);
        assert_eq!(conditions(&matches), "port: 80 and uri ~ a.*, or method = GET");
    }
}
