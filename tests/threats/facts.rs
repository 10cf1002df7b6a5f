//! T22: what a peer publishes as its roots is broken. Only that peer is held, as it was.

use crate::lab::certs::Authority;
use crate::solo::{self, Solo};
use crate::stage::eventually;

fn roots(solo: &Solo, peer: &str) -> Option<String> {
    let map = solo.get("configmap", &format!("{peer}-ca-root-cert"))?;
    Some(map["data"]["root-cert.pem"].as_str()?.to_owned())
}

fn wait_for_roots(solo: &Solo, peer: &str, root: &str) {
    eventually(&format!("the root of {peer}"), || match roots(solo, peer) {
        Some(found) if found == root => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn t22_a_peers_malformed_roots_hold_only_that_peer() {
    let solo = Solo::new("threat-roots");
    let root = solo::root();
    for peer in ["bad", "good"] {
        solo.commit_peer(peer, &root);
    }
    let agent = solo.agent();
    wait_for_roots(&solo, "bad", &root);
    let other = Authority::new("other");
    let malformed = [
        "garbage".to_owned(),
        String::new(),
        other.server(&["x"]).key,
        other.server(&["x"]).certificate,
        format!("{root}{}", other.server(&["x"]).key),
        root.replacen("MII", "MIJ", 1),
        root.trim_end().trim_end_matches("-----END CERTIFICATE-----").to_owned(),
        (0..200).map(|_| solo::root()).collect(),
    ];
    for (number, bundle) in malformed.iter().enumerate() {
        let sound = solo::root();
        solo.publish_facts("bad", bundle, "192.0.2.8");
        solo.publish_facts("good", &sound, "192.0.2.7");
        wait_for_roots(&solo, "good", &sound);
        assert_eq!(roots(&solo, "bad").as_deref(), Some(&*root), "{number}: {}", agent.process.log_tail());
        let address = &solo.get("servicemeshpeer", "bad").unwrap()["spec"]["remote"]["addresses"][0];
        eventually("the status says why", || match solo.status() {
            status if status.contains("the facts on published/bad have an error; what is there stays") => Ok(()),
            status => Err(status),
        });
        assert!(address == "192.0.2.7" || address == "192.0.2.8", "{address}");
    }
    let sound = solo::root();
    solo.publish_facts("bad", &sound, "192.0.2.7");
    wait_for_roots(&solo, "bad", &sound);
}

#[test]
fn t10_a_root_that_jumps_is_held_until_a_person_lists_its_fingerprint() {
    let solo = Solo::new("threat-jump");
    let federation = format!("{}spec: {{caPolicy: continuous}}\n", solo::federation());
    solo.git.commit("Continuous roots", &[("federation.yaml", Some(&federation))]);
    let old = solo::root();
    for peer in ["jumping", "good"] {
        solo.commit_peer(peer, &old);
    }
    let _agent = solo.agent();
    wait_for_roots(&solo, "jumping", &old);
    let (new, other) = (solo::root(), solo::root());
    solo.publish_facts("jumping", &new, "203.0.113.66");
    solo.publish_facts("good", &format!("{old}{other}"), "192.0.2.7");
    eventually("an overlapping set is followed", || match roots(&solo, "good") {
        Some(found) if found.contains(&other) && found.contains(&old) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let status = eventually("the status says what to do", || match solo.status() {
        status if status.contains("RootJump") => Ok(status),
        status => Err(status),
    });
    let fingerprint = meshfed::facts::roots::parse(&new, jiff::Timestamp::now()).unwrap()[0].fingerprint.clone();
    for word in [&*fingerprint, "meshes/threat-jump/peers/jumping.yaml"] {
        assert!(status.contains(word), "{word}: {status}");
    }
    assert_eq!(roots(&solo, "jumping").as_deref(), Some(&*old));
    let addresses = solo.get("servicemeshpeer", "jumping").unwrap()["spec"]["remote"]["addresses"].clone();
    assert_eq!(addresses, serde_json::json!(["192.0.2.7"]));
    let accepted = format!("{}  acceptRoots: ['{fingerprint}']\n", solo.peer_half("jumping"));
    solo.commit("peers/jumping.yaml", Some(&accepted));
    wait_for_roots(&solo, "jumping", &new);
}
