//! Whose object is it, and whose field: what was there before is not overwritten, and what is given back is left as others want it.

use serde_json::json;

use crate::solo::{Solo, managers};
use crate::stage::{Agent, eventually};

/// A mesh whose namespaces are there before anything is declared.
fn prepared(mesh: &str) -> Solo {
    let solo = Solo::new(mesh);
    solo.make_namespaces();
    solo
}

/// Waits until the agent holds something, with all of these words.
fn held(agent: &Agent, words: &[&str]) {
    eventually(&format!("held with {words:?}"), || {
        let held = agent.events().into_iter().filter(|event| event["event"] == "held");
        let mut messages = held.filter_map(|event| Some(event["message"].as_str()?.to_owned()));
        messages.find(|message| words.iter().all(|word| message.contains(word))).ok_or_else(|| agent.process.log_tail())
    });
}

fn uid(solo: &Solo, name: &str) -> Option<String> {
    Some(solo.get_app("configmap", name)?.pointer("/metadata/uid")?.as_str()?.to_owned())
}

#[test]
fn what_was_there_with_other_values_is_reported_and_not_overwritten() {
    let solo = prepared("own-other");
    solo.kubectl_file(&["create", "--field-manager=somebody"], &solo.config_map("a", "theirs"));
    solo.commit("manifests/all.yaml", Some(&format!("{}{}", solo.config_map("a", "ours"), solo.config_map("b", "ours"))));
    let agent = solo.agent();
    solo.wait_for_value("b", Some("ours"));
    held(&agent, &["ConfigMap/own-other-apps/a", "`somebody` owns data.key", "meshfed.dev/force"]);
    assert_eq!(solo.value("a").as_deref(), Some("theirs"));
    eventually("the status names the owner", || match solo.status() {
        status if status.contains("`somebody` owns data.key") => Ok(()),
        status => Err(status),
    });

    let forced = solo.config_map("a", "ours").replace("namespace:", "annotations: {meshfed.dev/force: \"true\"}, namespace:");
    solo.commit("manifests/all.yaml", Some(&format!("{forced}{}", solo.config_map("b", "ours"))));
    solo.wait_for_value("a", Some("ours"));
    let uid_before = uid(&solo, "a");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("b", "ours")));
    agent.wait_for("given back: ConfigMap/own-other-apps/a");
    assert_eq!(uid(&solo, "a"), uid_before, "an object that was there before is never deleted");
}

#[test]
fn what_was_there_with_equal_values_is_adopted_and_given_back() {
    let solo = prepared("own-equal");
    let theirs = solo.config_map("a", "same").replace("\ndata: {", "\ndata: {other: theirs, ");
    solo.kubectl_file(&["create", "--field-manager=somebody"], &theirs);
    let before = uid(&solo, "a");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "same")));
    let agent = solo.agent();
    let adopted =
        || solo.get("configmap", "meshfed").and_then(|state| Some(state["data"]["core.ConfigMap"].as_str()?.to_owned()));
    eventually("it is in the inventory as adopted", || match adopted() {
        Some(lines) if lines.contains("adopted own-equal-apps/a") => Ok(()),
        other => Err(format!("{other:?}\n{}", agent.process.log_tail())),
    });

    solo.commit("manifests/all.yaml", None);
    agent.wait_for("given back: ConfigMap/own-equal-apps/a");
    let left = solo.get_app("configmap", "a").unwrap();
    assert_eq!(left["data"], json!({"key": "same", "other": "theirs"}), "the fields of others stay");
    assert!(!left.to_string().contains("meshfed"), "no trace of us is left: {left}");
    assert_eq!(uid(&solo, "a"), before);
}

#[test]
fn fields_that_join_an_object_of_somebody_else_leave_it_again() {
    let solo = prepared("own-join");
    let theirs = solo.config_map("a", "x").replace("data: {key: x}", "data: {theirs: one}");
    solo.kubectl_file(&["create", "--field-manager=somebody"], &theirs);
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "ours")));
    let agent = solo.agent();
    solo.wait_for_value("a", Some("ours"));
    assert_eq!(solo.get_app("configmap", "a").unwrap()["data"], json!({"key": "ours", "theirs": "one"}));
    solo.commit("manifests/all.yaml", None);
    agent.wait_for("given back: ConfigMap/own-join-apps/a");
    assert_eq!(solo.get_app("configmap", "a").unwrap()["data"], json!({"theirs": "one"}));
}

#[test]
fn what_we_made_is_deleted_unless_somebody_made_it_anew() {
    let solo = prepared("own-anew");
    solo.commit("manifests/all.yaml", Some(&format!("{}{}", solo.config_map("a", "ours"), solo.config_map("b", "ours"))));
    let mut agent = solo.agent();
    solo.wait_for_value("a", Some("ours"));
    solo.wait_for_value("b", Some("ours"));
    agent.process.kill();
    solo.kubectl(&["delete", "configmap", "a", "-n", &solo.apps]);
    solo.kubectl_file(&["create", "--field-manager=somebody"], &solo.config_map("a", "theirs"));
    let theirs = uid(&solo, "a");
    solo.commit("manifests/all.yaml", None);
    let agent = solo.agent();
    solo.wait_for_value("b", None);
    agent.wait_for("deleted: ConfigMap/own-anew-apps/b");
    assert_eq!((solo.value("a").as_deref(), uid(&solo, "a")), (Some("theirs"), theirs));
}

#[test]
fn a_field_that_another_applier_claims_is_reported_and_left_to_it() {
    let solo = prepared("own-applier");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "ours")));
    let agent = solo.agent();
    solo.wait_for_value("a", Some("ours"));
    let theirs = solo.config_map("a", "theirs");
    solo.kubectl_file(&["apply", "--server-side", "--force-conflicts", "--field-manager=argo"], &theirs);
    held(&agent, &["ConfigMap/own-applier-apps/a", "`argo` owns data.key and wants it otherwise"]);
    assert_eq!(solo.value("a").as_deref(), Some("theirs"));
    // Once the other one has let go of it, it is ours again.
    let nothing = theirs.replace("data: {key: theirs}", "");
    solo.kubectl_file(&["apply", "--server-side", "--field-manager=argo"], &nothing);
    solo.wait_for_value("a", Some("ours"));
}

#[test]
fn an_edit_by_hand_is_repaired_and_what_people_add_stays() {
    let solo = prepared("own-edit");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "ours")));
    let agent = solo.agent();
    solo.wait_for_value("a", Some("ours"));
    let patch = r#"{"data":{"key":"edited","added":"by hand"}}"#;
    solo.kubectl(&["patch", "configmap", "a", "-n", &solo.apps, "--type=merge", "-p", patch]);
    solo.wait_for_value("a", Some("ours"));
    assert_eq!(solo.get_app("configmap", "a").unwrap()["data"], json!({"key": "ours", "added": "by hand"}));
    // An edit while nobody looks is found at the next start.
    let mut agent = agent;
    agent.process.kill();
    solo.kubectl(&["patch", "configmap", "a", "-n", &solo.apps, "--type=merge", "-p", patch]);
    let _agent = solo.agent();
    solo.wait_for_value("a", Some("ours"));
}

#[test]
fn a_control_plane_made_by_hand_keeps_what_others_put_into_it() {
    let solo = Solo::new("own-plane");
    let by_hand = solo.mesh_file().replace("controlPlane: {base: {spec: {version: v2.5}}}", "platform: other");
    solo.commit("mesh.yaml", Some(&by_hand));
    solo.commit_peer("partner", &crate::solo::root());
    let agent = solo.agent();
    held(&agent, &["ServiceMeshControlPlane/own-plane/own-plane", "does not exist yet"]);
    let theirs = json!({"enabled": true, "service": {"ports": [{"port": 443, "name": "https"}]}});
    let control_plane = json!({
        "apiVersion": "maistra.io/v2", "kind": "ServiceMeshControlPlane",
        "metadata": {"name": "own-plane", "namespace": "own-plane"},
        "spec": {"version": "v2.5", "gateways": {"additionalIngress": {"shop-ingress": theirs}}}});
    solo.kubectl_file(&["create", "--field-manager=admin"], &control_plane.to_string());
    let gateways = || solo.get("servicemeshcontrolplane", "own-plane").unwrap()["spec"]["gateways"].clone();
    eventually("our gateways join", || match gateways() {
        found if found["additionalEgress"]["partner-egress"]["enabled"] == true => Ok(()),
        found => Err(format!("{found}\n{}", agent.process.log_tail())),
    });
    assert_eq!(gateways()["additionalIngress"]["shop-ingress"], theirs);
    solo.wait_for("servicemeshpeer", "partner");

    solo.commit("peers/partner.yaml", None);
    eventually("our gateways leave", || match gateways() {
        found if !found.to_string().contains("partner") => Ok(()),
        found => Err(format!("{found}\n{}", agent.process.log_tail())),
    });
    assert_eq!(gateways()["additionalIngress"], json!({"shop-ingress": theirs}));
    let spec = solo.get("servicemeshcontrolplane", "own-plane").unwrap()["spec"].clone();
    assert_eq!((&spec["version"], &spec["security"]["trust"]["domain"]), (&json!("v2.5"), &json!("own-plane.local")));
    assert!(managers(&solo.get("servicemeshcontrolplane", "own-plane").unwrap()).contains(&"admin".to_owned()));
}
