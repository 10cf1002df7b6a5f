//! Whatever is wrong ends in one clear message with its place and what to do; the rest goes on, and what was applied stays.

use serde_json::{Value, json};

use crate::lab::cluster::Cluster;
use crate::solo::{self, Solo, federation};
use crate::stage::{Agent, eventually};

#[path = "bad_input_repository.rs"]
mod repository;

/// Messages of an event that contain all of the words.
fn messages(agent: &Agent, event: &str, words: &[&str]) -> Vec<String> {
    let events = agent.events().into_iter().filter(|found| found["event"] == event);
    let messages = events.filter_map(|found| Some(found["message"].as_str()?.to_owned()));
    messages.filter(|message| words.iter().all(|word| message.contains(word))).collect()
}

/// Waits for a message with all of the words, and proves that it is said once.
fn said_once(agent: &Agent, event: &str, words: &[&str]) {
    eventually(&format!("a message with {words:?}"), || match messages(agent, event, words).as_slice() {
        [] => Err(agent.process.log_tail()),
        [one] if one.contains('\n') => panic!("not one line: {one}"),
        [_] => Ok(()),
        many => panic!("said {} times: {}", many.len(), many[0]),
    });
}

/// The names of the gateways that the live control plane declares.
fn gateways(solo: &Solo) -> Vec<String> {
    let control_plane = solo.get("smcp", &solo.mesh).unwrap_or_default();
    let sides = ["additionalEgress", "additionalIngress"].map(|side| control_plane["spec"]["gateways"][side].clone());
    sides.iter().filter_map(Value::as_object).flat_map(|side| side.keys().cloned()).collect()
}

/// Everything of a peering, with the moment of its last change.
fn peering(solo: &Solo, peer: &str) -> Vec<Option<Value>> {
    let kinds = [
        ("configmap", format!("{peer}-ca-root-cert")),
        ("servicemeshpeer", peer.into()),
        ("exportedserviceset", peer.into()),
        ("importedserviceset", peer.into()),
    ];
    kinds.iter().map(|(kind, name)| Some(solo.get(kind, name)?["metadata"]["uid"].clone())).collect()
}

/// A mesh with one peer called `partner`, all applied.
fn with_partner(mesh: &str) -> (Solo, Agent) {
    let solo = Solo::new(mesh);
    solo.commit_peer("partner", &solo::root());
    let agent = solo.agent();
    eventually("all of the peering", || match peering(&solo, "partner") {
        found if found.iter().all(Option::is_some) => Ok(()),
        found => Err(format!("{found:?}\n{}", agent.process.log_tail())),
    });
    (solo, agent)
}

#[test]
fn each_mistake_in_a_document_is_one_message_and_the_rest_goes_on() {
    let (solo, agent) = with_partner("bad-documents");
    let before = (peering(&solo, "partner"), gateways(&solo));
    assert_eq!(before.1, ["partner-egress", "partner-ingress"]);
    let theirs = solo.git.show("main:meshes/partner/mesh.yaml").unwrap();
    let ours = solo.peer_half("partner");
    let twice = ours.replace("exports: [", "exports: [{service: bad-documents-apps/shop, as: x/y}, ");
    let own = "meshes/bad-documents/peers/partner.yaml";
    let stranger = solo.peer_half("nobody");
    let mistakes: [(&str, &str, Option<&str>, &[&str]); 5] = [
        ("meshes/partner/mesh.yaml", "kind: Mesh\nspec: [\n", Some(&theirs), &["meshes/partner/mesh.yaml:", "error[MF001]"]),
        (
            "meshes/bad-documents/peers/nobody.yaml",
            &stranger,
            None,
            &["meshes/bad-documents/peers/nobody.yaml:3:", "error[MF005]", "there is no mesh `nobody`", "partner"],
        ),
        (own, &twice, Some(&ours), &[own, ":5:", "error[MF006]", "`bad-documents-apps/shop` is already exported in line 5"]),
        (own, "kind: Peer\nspec: {imports: [}\n", Some(&ours), &[own, ":2:", "error[MF001]"]),
        (own, &format!("{ours}  import: []\n"), Some(&ours), &[own, ":7:3", "error[MF001]", "unknown field `import`"]),
    ];
    for (number, (path, mistake, repaired, words)) in mistakes.into_iter().enumerate() {
        let value = format!("value-{number}");
        let canary = solo.config_map("canary", &value);
        let changes = [(path, Some(mistake)), ("meshes/bad-documents/manifests/canary.yaml", Some(&*canary))];
        solo.git.commit("A mistake", &changes);
        solo.wait_for_value("canary", Some(&value));
        said_once(&agent, "problem", words);
        assert_eq!((peering(&solo, "partner"), gateways(&solo)), before, "what was applied stays: {path}");
        eventually("the published status tells it", || {
            let status = solo.status();
            if status.contains(words[0]) || path.starts_with("meshes/partner") { Ok(()) } else { Err(status) }
        });
        solo.git.commit("Repaired", &[(path, repaired)]);
        eventually("it is solved", || match messages(&agent, "solved", words).len() {
            1 => Ok(()),
            count => Err(format!("{count} times\n{}", agent.process.log_tail())),
        });
    }
    assert_eq!((peering(&solo, "partner"), gateways(&solo)), before);
}

#[test]
fn facts_that_cannot_be_used_leave_the_peer_as_it_was() {
    let (solo, agent) = with_partner("bad-facts");
    let address = || solo.get("servicemeshpeer", "partner").unwrap()["spec"]["remote"]["addresses"].clone();
    let roots = || solo.get("configmap", "partner-ca-root-cert").unwrap()["data"]["root-cert.pem"].clone();
    let before = (address(), roots());
    assert_eq!(before.0, json!(["192.0.2.7"]));
    solo.commit_peer("other", &solo::root());
    let root = before.1.as_str().unwrap();
    let facts: [(&str, &str, &[&str]); 3] = [
        ("not a certificate", "192.0.2.8", &["published/partner:published.yaml:", "error[MF011]", "holds no PEM certificate"]),
        (&solo::root().replace("MII", "M!I"), "192.0.2.9", &["published/partner:published.yaml:", "error[MF011]", "not PEM"]),
        (root, "192.0.2.1\n evil", &["published/partner:published.yaml:", "error[MF011]", "192.0.2.1\\n evil"]),
    ];
    for (number, (root, address_now, words)) in facts.into_iter().enumerate() {
        solo.publish_facts("partner", root, address_now);
        said_once(&agent, "problem", words);
        let elsewhere = format!("198.51.100.{number}");
        solo.publish_facts("other", &solo::root(), &elsewhere);
        eventually("the other peer's facts are used", || {
            match &solo.wait_for("servicemeshpeer", "other")["spec"]["remote"]["addresses"] {
                found if *found == json!([elsewhere]) => Ok(()),
                found => Err(format!("{found}\n{}", agent.process.log_tail())),
            }
        });
        assert_eq!((address(), roots()), before);
    }
    let root = solo::root();
    solo.publish_facts("partner", &root, "192.0.2.10");
    eventually("good facts are used", || match (address(), roots()) {
        (address, roots) if address == json!(["192.0.2.10"]) && roots == root.replace("\r\n", "\n") => Ok(()),
        found => Err(format!("{found:?}")),
    });
}

#[test]
fn one_object_that_the_api_server_refuses_stops_no_other() {
    let solo = Solo::new("bad-object");
    let service = |port: u32| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: shop, namespace: {}}}\nspec: {{ports: [{{port: {port}}}]}}\n---\n",
            solo.apps
        )
    };
    let unknown = solo.config_map("unknown", "x").replace("\ndata:", "\ndta:");
    let documents = format!("{}{}{unknown}", service(99_999), solo.config_maps(10, "one"));
    solo.commit("manifests/all.yaml", Some(&documents));
    let agent = solo.agent();
    for number in 0..10 {
        solo.wait_for_value(&format!("map-{number}"), Some("one"));
    }
    let source = "meshes/bad-object/manifests/all.yaml";
    said_once(&agent, "held", &["Service/bad-object-apps/shop", source, "spec.ports[0].port", "99999"]);
    said_once(&agent, "held", &["ConfigMap/bad-object-apps/unknown", source, ".dta", "not declared in schema"]);
    eventually("the status tells it", || match solo.status() {
        status if status.contains("99999") && status.contains(".dta") => Ok(()),
        status => Err(status),
    });
    solo.commit("manifests/all.yaml", Some(&format!("{}{}", service(80), solo.config_maps(10, "two"))));
    eventually("the corrected object", || solo.get_app("service", "shop").ok_or_else(|| agent.process.log_tail()));
    solo.wait_for_value("map-9", Some("two"));
    assert!(solo.get_app("configmap", "unknown").is_none());
}

#[test]
fn a_missing_kind_is_waited_for_and_picked_up_when_it_is_served() {
    let solo = Solo::new("bad-kind");
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.bad.example.org"},
        "spec": {"group": "bad.example.org", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
    .to_string();
    let widget = format!("apiVersion: bad.example.org/v1\nkind: Widget\nmetadata: {{name: w, namespace: {}}}\n---\n", solo.apps);
    solo.commit("manifests/all.yaml", Some(&format!("{widget}{}", solo.config_map("canary", "one"))));
    let agent = solo.agent();
    solo.wait_for_value("canary", Some("one"));
    let words = ["Widget/bad-kind-apps/w", "bad.example.org/v1 Widget", "install its CustomResourceDefinition or operator"];
    said_once(&agent, "held", &words);
    let there = || solo.get_app("widgets.bad.example.org", "w").map(|_| ()).ok_or_else(|| agent.process.log_tail());

    solo.kubectl_file(&["create"], &definition);
    eventually("the object of the new kind", there);
    solo.kubectl(&["delete", "crd", "widgets.bad.example.org"]);
    eventually("the kind is missed again", || match messages(&agent, "held", &words).len() {
        2 => Ok(()),
        _ => Err(agent.process.log_tail()),
    });
    solo.commit("manifests/more.yaml", Some(&solo.config_map("later", "two")));
    solo.wait_for_value("later", Some("two"));
    solo.kubectl_file(&["create"], &definition);
    eventually("the object comes back", there);
    solo.kubectl(&["delete", "crd", "widgets.bad.example.org"]);
}

#[test]
fn without_the_mesh_operators_kinds_all_else_is_applied() {
    let cluster = Cluster::builder("bad-bare").without_crds().start();
    let solo = Solo::new("bad-bare");
    solo.commit_peer("partner", &solo::root());
    solo.commit("manifests/canary.yaml", Some(&solo.config_map("canary", "one")));
    let agent = Agent::start(&solo.mesh, &solo.git.file_url(), cluster.kubeconfig(), &solo.scratch, &[]);
    eventually("what a bare cluster can take", || {
        let names = [(&solo.apps, "canary"), (&solo.mesh, "partner-ca-root-cert")];
        let all = names.iter().all(|(namespace, name)| solo::get(&cluster, "configmap", namespace, name).is_some());
        if all { Ok(()) } else { Err(agent.process.log_tail()) }
    });
    said_once(&agent, "held", &["ServiceMeshControlPlane/bad-bare/bad-bare", "install its CustomResourceDefinition or operator"]);
}

#[test]
fn a_broken_mesh_file_or_a_missing_federation_file_deletes_nothing() {
    let (solo, agent) = with_partner("bad-mesh");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("kept", "one")));
    solo.wait_for_value("kept", Some("one"));
    let before = (peering(&solo, "partner"), gateways(&solo));
    let gone = |path: &str| format!("meshes/bad-mesh/{path}");
    let (manifests, peer) = (gone("manifests/all.yaml"), gone("peers/partner.yaml"));

    let broken = [("meshes/bad-mesh/mesh.yaml", Some("kind: Mesh\nspec: {membrs: []}\n")), (&*manifests, None), (&*peer, None)];
    solo.git.commit("A broken mesh file, and nothing declared any more", &broken);
    said_once(&agent, "problem", &["meshes/bad-mesh/mesh.yaml:", "error[MF001]"]);
    said_once(&agent, "held", &["bad-mesh", "everything stays as it is"]);
    assert_eq!((solo.value("kept").as_deref(), peering(&solo, "partner"), gateways(&solo)), (Some("one"), before.0, before.1));

    let new = solo.config_map("added", "two");
    let added = gone("manifests/added.yaml");
    let mesh = solo.mesh_file();
    let changes = [("meshes/bad-mesh/mesh.yaml", Some(&*mesh)), ("federation.yaml", None), (&*added, Some(&*new))];
    solo.git.commit("The mesh file is good again, the federation file is gone", &changes);
    solo.wait_for_value("added", Some("two"));
    said_once(&agent, "problem", &["federation.yaml: error[MF013]", "the file is missing", "every federation has one"]);
    said_once(
        &agent,
        "held",
        &["deletions", "federation.yaml is missing", "1 of 1 peering (partner)", "ConfigMap/bad-mesh-apps/kept"],
    );
    assert_eq!(solo.value("kept").as_deref(), Some("one"));

    solo.git.commit("It is back", &[("federation.yaml", Some(federation()))]);
    solo.wait_for_value("kept", None);
    eventually("the peering is removed", || match (peering(&solo, "partner"), gateways(&solo)) {
        (objects, gateways) if objects.iter().all(Option::is_none) && gateways.is_empty() => Ok(()),
        found => Err(format!("{found:?}\n{}", agent.process.log_tail())),
    });
}
