//! Events reach the API server, and nothing waits for them.

use meshfed::decide::Event;
use serde_json::{Value, json};

use super::{Lab, connect_to, key, kubectl, mk_config_map, until};
use crate::stage::eventually;

/// The events about a ConfigMap, as `kubectl describe` looks for them: by its UID.
fn events_about(lab: &Lab, namespace: &str, uid: &str) -> Vec<Value> {
    let selector = format!("involvedObject.uid={uid}");
    let list = kubectl(lab, &["get", "events", "-n", namespace, "--field-selector", &selector, "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

fn mk_event(namespace: &str, note: &str) -> Event {
    Event::about(("v1", "ConfigMap"), namespace, "a", "Tried", note)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_found_at_its_object_and_counts_up_when_it_is_told_again() {
    let lab = Lab::shared();
    let cluster = connect_to(lab, "edge-events").await;
    cluster.apply(&mk_config_map("edge-events", "a", &json!({"k": "v"})), false).await.unwrap();
    let live = until(&cluster.view(), "the object", |view| view.get(&key("edge-events", "a"))).await;
    let recorder = cluster.recorder("quiet-mesh");
    // One that cannot be written is in nobody's way.
    recorder.record(mk_event("no-such-namespace", "nobody reads this"));
    for _ in 0..3 {
        recorder.record(mk_event("edge-events", "it was tried").warning());
    }
    recorder.record(mk_event("edge-events", "another\u{1b}[31m thing"));
    let events = eventually("two events, one of them told three times", || {
        let events = events_about(lab, "edge-events", &live.uid);
        let told: Vec<u64> = events.iter().filter_map(|event| event["series"]["count"].as_u64()).collect();
        if events.len() == 2 && told == [3] { Ok(events) } else { Err(format!("{events:#?}")) }
    });
    let series = events.iter().find(|event| event["series"].is_object()).unwrap();
    let seen = ["type", "reason", "message", "reportingComponent", "reportingInstance"].map(|field| series[field].as_str());
    assert_eq!(seen, ["Warning", "Tried", "it was tried", "meshfed", "quiet-mesh"].map(Some));
    let other = events.iter().find(|event| !event["series"].is_object()).unwrap();
    assert_eq!((&other["type"], &other["message"]), (&json!("Normal"), &json!("another [31m thing")));
}
