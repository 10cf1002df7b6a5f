//! The two sides of a peering agree, in federations that nobody thought of.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::testing::federations;
use super::*;
use crate::model::{Cache, load};

fn object(derived: &Derived, of: (&str, &str), namespace: &str, name: &str) -> Option<Value> {
    derived.wanted.get(&kinds::key(of, namespace, name)).map(|wanted| wanted.object.value())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_of_every_peering_agree(repo in federations()) {
        let federation = repo.valid();
        let facts = mk_all_facts(&federation);
        let derived: BTreeMap<&String, Derived> =
            federation.meshes.keys().map(|me| (me, derive_for(&federation, me, &Observed::default()))).collect();
        for (me, ours) in &derived {
            let mesh = federation.mesh(me).unwrap();
            for peer in federation.meshes[*me].peers.keys() {
                let Some(smp) = object(ours, kinds::PEER, &mesh.namespace, peer) else { continue };
                let (other, theirs) = (federation.mesh(peer).unwrap(), &derived[peer]);
                let (td, identity) = (&smp["spec"]["security"]["trustDomain"], smp["spec"]["security"]["clientID"].as_str().unwrap());
                prop_assert_eq!(td, &**other.trust_domain);
                let account = identity.strip_prefix(&format!("{}/ns/{}/sa/", *other.trust_domain, other.namespace)).unwrap();
                let egress = account.strip_suffix("-service-account").unwrap();
                let control_plane = object(theirs, kinds::CONTROL_PLANE, &other.namespace, &other.control_plane).unwrap();
                let gateway = &control_plane["spec"]["gateways"]["additionalEgress"][egress];
                prop_assert_eq!(&gateway["requestedNetworkView"][0], &format!("network-{me}"));
                prop_assert_eq!(&gateway["service"]["metadata"]["labels"][kinds::EGRESS_FOR], me.as_str());
                let own = object(ours, kinds::CONTROL_PLANE, &mesh.namespace, &mesh.control_plane).unwrap();
                let ingress = smp["spec"]["gateways"]["ingress"]["name"].as_str().unwrap();
                let ports = own["spec"]["gateways"]["additionalIngress"][ingress]["service"]["ports"].to_string();
                prop_assert_eq!(ports, r#"[{"name":"tls","port":15443},{"name":"https-discovery","port":8188}]"#);
                prop_assert_eq!(&smp["spec"]["remote"]["addresses"], &serde_json::json!(facts[peer].ingress[*me].addresses));
                let roots = smp["spec"]["security"]["certificateChain"]["name"].as_str().unwrap();
                prop_assert!(object(ours, kinds::CONFIG_MAP, &mesh.namespace, roots).is_some());
                if let Some(set) = object(ours, kinds::IMPORTED, &mesh.namespace, peer) {
                    let exported = object(theirs, kinds::EXPORTED, &other.namespace, me).unwrap();
                    let shown = |rule: &Value| {
                        let selector = &rule["nameSelector"];
                        let shown = selector.get("alias").unwrap_or(selector);
                        (shown["namespace"].to_string(), shown["name"].to_string())
                    };
                    let names: BTreeSet<_> = exported["spec"]["exportRules"].as_array().unwrap().iter().map(shown).collect();
                    for rule in set["spec"]["importRules"].as_array().unwrap() {
                        let selector = &rule["nameSelector"];
                        prop_assert!(names.contains(&(selector["namespace"].to_string(), selector["name"].to_string())));
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(repo in federations()) {
        let federation = repo.valid();
        // The cache is warm for half of the files, which are therefore not parsed in the order of their paths.
        let mut cache = Cache::default();
        let half = repo.entries().into_iter().skip(1).step_by(2).collect();
        load(&half, &mut |path, _| Ok(repo.files[path].clone()), &mut cache);
        let other = repo.load_with(&mut cache).0;
        for me in federation.meshes.keys() {
            let (one, two) = (derive_for(&federation, me, &Observed::default()), derive_for(&other, me, &Observed::default()));
            let bytes = |derived: &Derived| derived.wanted.values().map(|wanted| wanted.object.body.clone()).collect::<Vec<_>>();
            prop_assert_eq!(bytes(&one), bytes(&two));
            prop_assert_eq!(one.holds, two.holds);
        }
    }

    /// Subscriptions are the one exception: they lie where OLM looks for them.
    #[test]
    fn no_object_is_outside_of_the_mesh(repo in federations()) {
        let federation = repo.valid();
        for (me, folder) in &federation.meshes {
            let namespaces: Vec<&str> = folder.mesh.as_ref().unwrap().namespaces().collect();
            for key in derive_for(&federation, me, &Observed::default()).wanted.keys() {
                prop_assert!(key.namespace.as_deref().is_some_and(|namespace| namespaces.contains(&namespace)), "{}", key);
            }
        }
    }

    #[test]
    fn weights_sum_to_a_hundred_and_flow_only_to_what_is_there(repo in federations(), live in proptest::collection::vec(any::<bool>(), 18)) {
        let federation = repo.valid();
        for me in federation.meshes.keys() {
            let mut observed = Observed::default();
            let mut live = live.iter().cycle();
            for (name, peer) in &federation.meshes[me].peers {
                let hosts: Vec<String> =
                    peer.imports.iter().filter(|_| *live.next().unwrap()).map(|i| i.host(name, i.imported_as().unwrap())).collect();
                let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
                observed.peers.extend(mk_live(name, &hosts).peers);
            }
            for wanted in derive_for(&federation, me, &observed).wanted.values().filter(|w| *w.object.kind.kind == *"VirtualService") {
                let value = wanted.object.value();
                let routes = value["spec"]["http"][0]["route"].as_array().unwrap();
                prop_assert_eq!(routes.iter().map(|route| route["weight"].as_u64().unwrap()).sum::<u64>(), 100);
                for host in routes.iter().map(|route| route["destination"]["host"].as_str().unwrap()) {
                    prop_assert!(host.ends_with(".svc.cluster.local") || observed.peers.values().any(|state| state.is_live(host)));
                }
            }
        }
    }
}
