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
