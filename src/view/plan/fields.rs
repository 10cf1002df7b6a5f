//! Which fields differ between two states of an object. Items of a list are known by what they are about, not by where they stand: else
//! one that comes or goes would change all that follow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::Field;
use super::routes::{conditions, destination};

/// Adds the fields below `path` that differ.
pub(super) fn differences(from: &Value, to: &Value, path: &str, fields: &mut Vec<Field>) {
    let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (from, to) {
        _ if from == to => {}
        (Value::Object(before), Value::Object(after)) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                either(before.get(name), after.get(name), inside(name), fields);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.iter().chain(after).all(|item| !item.is_string()) => {
            items(before, after, path, fields);
        }
        _ => fields.push(field(path.to_owned(), Some(from), Some(to))),
    }
}

fn either(from: Option<&Value>, to: Option<&Value>, path: String, fields: &mut Vec<Field>) {
    match (from, to) {
        (Some(from), Some(to)) => differences(from, to, &path, fields),
        (from, to) => fields.push(field(path, from, to)),
    }
}

fn field(path: String, from: Option<&Value>, to: Option<&Value>) -> Field {
    let (from, to) = (from.cloned(), to.cloned().unwrap_or_default());
    Field { path, from, to, owners: Vec::new(), source: String::new(), line: 0 }
}

/// An item bears the number that it has then; one that goes, the number that it has now.
fn items(before: &[Value], after: &[Value], path: &str, fields: &mut Vec<Field>) {
    let pairs = pairs(path, before, after);
    for (was, is) in &pairs {
        let Some(number) = is.or(*was) else { continue };
        either(was.map(|was| &before[was]), is.map(|is| &after[is]), format!("{path}[{number}]"), fields);
    }
    let stay = || pairs.iter().filter_map(|(was, is)| was.zip(*is));
    if !stay().is_sorted() {
        let mut was: Vec<usize> = stay().map(|(was, _)| was).collect();
        was.sort_unstable();
        let before: Vec<String> = was.into_iter().map(|was| about(path, &before[was])).collect();
        let after: Vec<String> = stay().map(|(_, is)| about(path, &after[is])).collect();
        fields.push(field(format!("{path}[order]"), Some(&json!(before)), Some(&json!(after))));
    }
}

/// Where an item is before and after, in the order of what is after; at the end what goes.
type Pairs = Vec<(Option<usize>, Option<usize>)>;

fn pairs(path: &str, before: &[Value], after: &[Value]) -> Pairs {
    let known = |items: &[Value]| items.iter().map(|item| identity(path, item)).collect::<Option<Vec<String>>>();
    match (known(before), known(after)) {
        (Some(before), Some(after)) => by_identity(before, &after),
        _ => by_place(before, after),
    }
}

fn by_identity(before: Vec<String>, after: &[String]) -> Pairs {
    let mut places: BTreeMap<String, VecDeque<usize>> = BTreeMap::new();
    for (place, identity) in before.into_iter().enumerate() {
        places.entry(identity).or_default().push_back(place);
    }
    let mut find = |identity: &String| places.get_mut(identity).and_then(VecDeque::pop_front);
    let mut pairs: Pairs = after.iter().enumerate().map(|(place, identity)| (find(identity), Some(place))).collect();
    let gone: BTreeSet<usize> = places.into_values().flatten().collect();
    pairs.extend(gone.into_iter().map(|place| (Some(place), None)));
    pairs
}

/// What is the same at the beginning and at the end stays; between them place by place.
fn by_place(before: &[Value], after: &[Value]) -> Pairs {
    let same = |(a, b): &(&Value, &Value)| a == b;
    let head = before.iter().zip(after).take_while(same).count();
    let tail = before[head..].iter().rev().zip(after[head..].iter().rev()).take_while(same).count();
    let (old, new) = (before.len() - tail, after.len() - tail);
    let place = |number: usize, end: usize| (number < end).then_some(number);
    let between = (head..old.max(new)).map(|number| (place(number, old), place(number, new)));
    between.collect()
}

/// What an item is about, whatever else it says of it; `None` where only its place tells.
fn identity(list: &str, item: &Value) -> Option<String> {
    match name(list) {
        "exportRules" | "importRules" => {
            let (name, label) = (&item["nameSelector"], &item["labelSelector"]);
            let parts = [&name["namespace"], &name["name"], &label["namespace"], &label["selector"]];
            Some(parts.map(Value::to_string).join(" "))
        }
        "http" => Some(item["match"].to_string()),
        "route" => Some(item["destination"].to_string()),
        _ => item.get("name").and_then(Value::as_str).map(str::to_owned),
    }
}

/// `http` of `spec.http`.
fn name(list: &str) -> &str {
    list.rsplit('.').next().unwrap_or(list)
}

/// An item for people: what it is about where that has words, else all of it.
pub(super) fn words(path: &str, item: &Value) -> Option<String> {
    let list = path.strip_suffix(']').and_then(|path| path.rsplit_once('['))?.0;
    match name(list) {
        "http" => Some(about(list, item)),
        "exportRules" | "importRules" => selected(item),
        "route" => Some(match item["weight"].as_u64() {
            Some(weight) => format!("{} {weight} %", destination(&item["destination"])),
            None => destination(&item["destination"]),
        }),
        _ => None,
    }
}

fn about(list: &str, item: &Value) -> String {
    let when = || match conditions(&item["match"]) {
        when if when.is_empty() => "all other requests".to_owned(),
        when => format!("where {when}"),
    };
    match name(list) {
        "http" => when(),
        "exportRules" | "importRules" => selected(item).unwrap_or_else(|| item.to_string()),
        "route" => destination(&item["destination"]),
        _ => item.get("name").and_then(Value::as_str).map_or_else(|| item.to_string(), str::to_owned),
    }
}

/// `inv/stock as store/stock-oslo`; `None` for a selector.
fn selected(rule: &Value) -> Option<String> {
    let name = |of: &Value| Some(format!("{}/{}", of["namespace"].as_str()?, of["name"].as_str()?));
    let selector = &rule["nameSelector"];
    let service = name(selector)?;
    let alias = name(&selector["alias"]).filter(|alias| *alias != service);
    Some(alias.map_or(service.clone(), |alias| format!("{service} as {alias}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, from: &Value, to: &Value) -> Vec<String> {
        let mut fields = Vec::new();
        differences(from, to, path, &mut fields);
        let value = |path: &str, value: &Value| words(path, value).unwrap_or_else(|| value.to_string());
        let line = |Field { path, from, to, .. }: &Field| match (from, to) {
            (None, to) => format!("+ {path} {}", value(path, to)),
            (Some(from), Value::Null) => format!("- {path} {}", value(path, from)),
            (Some(from), to) => format!("{path} {from} {to}"),
        };
        fields.iter().map(line).collect()
    }

    fn rule(name: &str, alias: &str) -> Value {
        json!({"nameSelector": {"namespace": "n", "name": name, "alias": {"namespace": "n", "name": alias}}})
    }

    #[test]
    fn a_rule_that_comes_or_goes_changes_no_other() {
        let (a, b) = (rule("a", "a"), rule("b", "x"));
        let rules = |from: Value, to: Value| told("spec.exportRules", &from, &to);
        assert_eq!(rules(json!([b]), json!([a, b])), ["+ spec.exportRules[0] n/a"]);
        assert_eq!(rules(json!([b, a]), json!([a])), ["- spec.exportRules[0] n/b as n/x"]);
        assert_eq!(rules(json!([b, a]), json!([rule("b", "y"), a])), ["spec.exportRules[0].nameSelector.alias.name \"x\" \"y\""]);
        let order = "spec.exportRules[order] [\"n/b as n/x\",\"n/a\"] [\"n/a\",\"n/b as n/x\"]";
        assert_eq!(rules(json!([b, a]), json!([a, b])), [order]);
    }

    #[test]
    fn routes_are_known_by_match_and_destination() {
        let route = |to: &str, weight: u64| json!({"destination": {"host": to}, "weight": weight});
        let canary = json!({"match": [{"headers": {"x": {"exact": "1"}}}], "route": [route("a", 100)]});
        let from = json!([{"route": [route("a", 70), route("b", 30)]}]);
        let to = json!([canary, {"route": [route("b", 100)]}]);
        let found = told("spec.http", &from, &to);
        assert_eq!(
            found,
            ["+ spec.http[0] where x = 1", "spec.http[1].route[0].weight 30 100", "- spec.http[1].route[0] a 70 %"]
        );
    }

    #[test]
    fn items_without_a_name_are_held_together_by_what_surrounds_them() {
        let lists = |from: Value, to: Value| told("l", &from, &to);
        assert_eq!(lists(json!([1, 2, 3]), json!([0, 1, 2, 3])), ["+ l[0] 0"]);
        assert_eq!(lists(json!([1, 2, 3]), json!([1, 3])), ["- l[1] 2"]);
        assert_eq!(lists(json!([1, 1]), json!([1])), ["- l[1] 1"]);
        assert_eq!(
            lists(json!([{"name": "a", "p": 1}]), json!([{"name": "b"}, {"name": "a", "p": 2}])),
            ["+ l[0] {\"name\":\"b\"}", "l[1].p 1 2"]
        );
    }
}
