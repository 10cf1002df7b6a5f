//! Reports about objects in every order.

use super::*;
use crate::object::Kind;
use serde_json::json;

fn mk_live(name: &str, version: u64) -> Live {
    let metadata = json!({"name": name, "namespace": "n", "uid": format!("uid-{name}"), "resourceVersion": version.to_string()});
    Live::new(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).unwrap()
}

fn config_maps() -> Scope {
    Scope::namespaced(Kind::new("v1", "ConfigMap"), "n")
}

fn single(name: &str) -> Scope {
    Scope::single(Kind::new("v1", "ConfigMap"), Some("n"), name)
}

/// A view that listed these objects.
fn mk_view(scope: &Scope, objects: &[(&str, u64)], version: &str) -> View {
    let view = View::new();
    view.begin(scope);
    view.listed(scope, objects.iter().map(|(name, version)| Arc::new(mk_live(name, *version))).collect(), version);
    view.pending.lock().unwrap().keys.clear();
    view.pending.lock().unwrap().watches = false;
    view
}

fn shown(view: &View) -> Vec<String> {
    view.snapshot().objects().values().map(|live| format!("{}@{}", live.key.name, live.resource_version)).collect()
}

fn changed(view: &View) -> Vec<String> {
    std::mem::take(&mut *view.pending()).keys.iter().map(|key| key.name.to_string()).collect()
}

#[test]
fn an_event_that_is_older_than_our_own_write_changes_nothing() {
    let view = mk_view(&config_maps(), &[("a", 1)], "1");
    view.wrote(&Arc::new(mk_live("a", 5)));
    view.seen(&config_maps(), mk_live("a", 4));
    view.gone(&config_maps(), &mk_live("a", 3));
    view.seen(&config_maps(), mk_live("a", 5));
    assert_eq!((shown(&view), changed(&view)), (vec!["a@5".into()], vec![]));
    view.seen(&config_maps(), mk_live("a", 6));
    assert_eq!((shown(&view), changed(&view)), (vec!["a@6".into()], vec!["a".into()]));
}

#[test]
fn an_answer_that_comes_after_the_object_went_does_not_bring_it_back() {
    let view = mk_view(&config_maps(), &[], "1");
    view.seen(&config_maps(), mk_live("a", 2));
    view.gone(&config_maps(), &mk_live("a", 3));
    view.wrote(&Arc::new(mk_live("a", 2)));
    assert_eq!(shown(&view), Vec::<String>::new());
}

#[test]
fn what_no_watch_shows_is_not_kept() {
    let view = mk_view(&single("a"), &[], "1");
    view.wrote(&Arc::new(mk_live("b", 2)));
    assert_eq!(shown(&view), Vec::<String>::new());
    assert!(view.snapshot().knows_of(&mk_live("a", 1).key) && !view.snapshot().knows_of(&mk_live("b", 1).key));
}

#[test]
fn a_new_listing_names_only_what_changed_and_keeps_what_is_newer() {
    let view = mk_view(&config_maps(), &[("changed", 1), ("gone", 2), ("same", 3)], "3");
    view.wrote(&Arc::new(mk_live("ours", 9)));
    let objects = vec![view.intern(mk_live("changed", 5)), view.intern(mk_live("same", 3))];
    assert!(Arc::ptr_eq(&objects[1], &view.get(&objects[1].key).unwrap()), "no second copy");
    view.listed(&config_maps(), objects, "6");
    assert_eq!(shown(&view), ["changed@5", "ours@9", "same@3"]);
    assert_eq!(changed(&view), ["changed", "gone"]);
}

#[test]
fn a_cluster_that_was_set_back_to_a_backup_is_believed() {
    let view = mk_view(&config_maps(), &[("a", 90), ("b", 91)], "100");
    view.listed(&config_maps(), vec![Arc::new(mk_live("a", 40))], "50");
    assert_eq!(shown(&view), ["a@40"]);
    view.seen(&config_maps(), mk_live("a", 51));
    assert_eq!(shown(&view), ["a@51"]);
}

#[test]
fn ending_a_watch_forgets_only_what_no_other_shows() {
    let view = mk_view(&config_maps(), &[("a", 1), ("b", 2)], "2");
    view.begin(&single("a"));
    view.listed(&single("a"), vec![Arc::new(mk_live("a", 1))], "2");
    view.end(&config_maps());
    assert_eq!(shown(&view), ["a@1"]);
}
