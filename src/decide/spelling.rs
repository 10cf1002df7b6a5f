//! What people leave out because it goes without saying, derived objects say. Where a live object means the same, its own words stay: an
//! object that was made by hand is taken over as it is.

use serde_json::{Map, Value, json};

use crate::derive::kinds;
use crate::model::defaults::{DISCOVERY_PORT, SERVICE_PORT};
use crate::object::Kind;

/// Says in the words of `live` what means the same there. Lists that nobody shares are taken over whole, or not at all.
pub(super) fn follow(kind: &Kind, wanted: &mut Value, live: &Value) {
    let is = |known| *kind == kinds::kind(known);
    if is(kinds::IMPORTED) {
        follow_list(wanted, live, "/spec/importRules", import_rule);
    } else if is(kinds::EXPORTED) {
        follow_list(wanted, live, "/spec/exportRules", full_alias);
    } else if is(kinds::VIRTUAL_SERVICE) {
        follow_list(wanted, live, "/spec/http", sole_destination);
    } else if is(kinds::PEER)
        && let Some(remote) = wanted.pointer_mut("/spec/remote").and_then(Value::as_object_mut)
    {
        // federation.maistra.io: zero and nothing are these.
        for (port, default) in [("discoveryPort", DISCOVERY_PORT), ("servicePort", SERVICE_PORT)] {
            follow_port(remote, live.pointer("/spec/remote"), port, default);
        }
    }
}

fn follow_list(wanted: &mut Value, live: &Value, list: &str, full: fn(&mut Map<String, Value>)) {
    let Some((wanted, live)) = wanted.pointer_mut(list).zip(live.pointer(list)) else { return };
    let in_full = |list: &Value| {
        let mut list = list.clone();
        list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut).for_each(full);
        list
    };
    if in_full(wanted) == in_full(live) {
        wanted.clone_from(live);
    }
}

/// An import stays remote unless its rule says otherwise. Only then may its alias be left out: an import as local needs one.
fn import_rule(rule: &mut Map<String, Value>) {
    if rule.entry("importAsLocal").or_insert(json!(false)) == false {
        full_alias(rule);
    }
}

/// Whatever an alias does not say keeps its name (federation.maistra.io: nothing and `*` mean the same there).
fn full_alias(rule: &mut Map<String, Value>) {
    let Some(selector) = rule.get_mut("nameSelector").and_then(Value::as_object_mut) else { return };
    let said = |of: &Value, part: &str| {
        of.get(part).and_then(Value::as_str).filter(|text| !text.is_empty()).map_or("*".to_owned(), str::to_owned)
    };
    let names = Value::Object(selector.clone());
    let alias = selector.get("alias").cloned().unwrap_or_default();
    let full = ["namespace", "name"].map(|part| match said(&alias, part) {
        kept if kept == "*" => (part, said(&names, part)),
        renamed => (part, renamed),
    });
    for part in ["namespace", "name"] {
        selector.insert(part.to_owned(), said(&names, part).into());
    }
    // Whatever else an alias may say makes it another one.
    let mut alias = alias.as_object().cloned().unwrap_or_default();
    alias.extend(full.map(|(part, name)| (part.to_owned(), Value::from(name))));
    selector.insert("alias".to_owned(), Value::Object(alias));
}

/// Istio, `HTTPRouteDestination.weight`: a destination without others gets everything.
fn sole_destination(route: &mut Map<String, Value>) {
    if let Some([destination]) = route.get_mut("route").and_then(Value::as_array_mut).map(Vec::as_mut_slice)
        && let Some(destination) = destination.as_object_mut()
    {
        destination.entry("weight").or_insert(json!(100));
    }
}

fn follow_port(wanted: &mut Map<String, Value>, live: Option<&Value>, port: &str, default: u16) {
    let live = live.and_then(|live| live.get(port));
    let goes_without_saying = live.is_none_or(|live| *live == 0);
    if goes_without_saying && wanted.get(port).is_some_and(|wanted| *wanted == default) {
        match live {
            Some(live) => wanted.insert(port.to_owned(), live.clone()),
            None => wanted.remove(port),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(alias: &Value) -> Value {
        json!({"type": "NameSelector", "nameSelector": {"namespace": "shop", "name": "a", "alias": alias}})
    }

    /// The rule of a set, after it followed what is live.
    fn followed(kind: (&str, &str), list: &str, wanted: &Value, live: &Value) -> Value {
        let set = |rule: &Value| json!({"spec": {list: [rule]}});
        let mut spelled = set(wanted);
        follow(&kinds::kind(kind), &mut spelled, &set(live));
        spelled["spec"][list][0].clone()
    }

    #[test]
    fn an_alias_that_renames_nothing_may_be_left_out() {
        let exported = |wanted: &Value, live: &Value| followed(kinds::EXPORTED, "exportRules", wanted, live);
        let bare = json!({"type": "NameSelector", "nameSelector": {"namespace": "shop", "name": "a"}});
        let full = rule(&json!({"namespace": "shop", "name": "a"}));
        for same in [bare.clone(), rule(&json!({"name": "a"})), rule(&json!({"namespace": "*", "name": ""}))] {
            assert_eq!(exported(&full, &same), same);
            assert_eq!(exported(&same, &full), full);
        }
        let other = rule(&json!({"namespace": "bank"}));
        assert_eq!(exported(&full, &other), full);
        let misspelt = rule(&json!({"nmae": "b"}));
        assert_eq!(exported(&full, &misspelt), full);
    }

    #[test]
    fn only_a_remote_import_may_leave_out_its_alias() {
        let imported = |wanted: &Value, live: &Value| followed(kinds::IMPORTED, "importRules", wanted, live);
        let bare = json!({"type": "NameSelector", "nameSelector": {"namespace": "shop", "name": "a"}});
        let full = |local: bool| {
            let mut full = rule(&json!({"namespace": "shop", "name": "a"}));
            full["importAsLocal"] = json!(local);
            full
        };
        assert_eq!(imported(&full(false), &bare), bare);
        assert_eq!(imported(&full(true), &bare), full(true));
        let mut local = bare.clone();
        local["importAsLocal"] = json!(true);
        assert_eq!(imported(&full(true), &local), full(true), "without its alias it is no import");
    }

    #[test]
    fn a_sole_destination_needs_no_weight() {
        let route = |weights: &[Option<u8>]| {
            let destination = |weight: &Option<u8>| match weight {
                Some(weight) => json!({"destination": {"host": "a"}, "weight": weight}),
                None => json!({"destination": {"host": "a"}}),
            };
            json!({"route": weights.iter().map(destination).collect::<Vec<_>>()})
        };
        let followed = |wanted: &Value, live: &Value| followed(kinds::VIRTUAL_SERVICE, "http", wanted, live);
        assert_eq!(followed(&route(&[Some(100)]), &route(&[None])), route(&[None]));
        assert_eq!(followed(&route(&[Some(60), Some(40)]), &route(&[Some(60), None])), route(&[Some(60), Some(40)]));
    }

    #[test]
    fn the_usual_ports_of_a_peer_go_without_saying() {
        let peer = |remote: Value| json!({"spec": {"remote": remote}});
        let followed = |live: Value| {
            let mut wanted = peer(json!({"addresses": ["a"], "discoveryPort": 8188, "servicePort": 30443}));
            follow(&kinds::kind(kinds::PEER), &mut wanted, &peer(live));
            wanted["spec"]["remote"].clone()
        };
        assert_eq!(followed(json!({})), json!({"addresses": ["a"], "servicePort": 30443}));
        assert_eq!(followed(json!({"discoveryPort": 0})), json!({"addresses": ["a"], "discoveryPort": 0, "servicePort": 30443}));
        assert_eq!(followed(json!({"discoveryPort": 1}))["discoveryPort"], 8188);
    }
}
