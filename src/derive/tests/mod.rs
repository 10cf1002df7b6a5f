//! Whole objects, as they are sent: held against the rules of the control plane by eye, and against each other at random.

mod example;
mod sides;
mod traffic;
mod variants;
mod weights;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;
use crate::facts::{Endpoint, Root};
use crate::model::testing::Repo;

/// Facts of a mesh that is reached at `address`; the derivation does not look into the root.
fn mk_facts(name: &str, peers: &[&str]) -> Facts {
    let endpoint = |peer: &str| Endpoint {
        addresses: vec![format!("{name}-for-{peer}.example")],
        discovery_port: 8188,
        service_port: 15443,
    };
    let root = Root { pem: format!("root of {name}\n"), fingerprint: name.into(), ..Root::default() };
    Facts {
        roots: vec![root],
        ingress: peers.iter().map(|peer| ((*peer).to_owned(), endpoint(peer))).collect(),
        ..Facts::default()
    }
}

/// Facts of all meshes, each reachable for all others.
fn mk_all_facts(federation: &Federation) -> BTreeMap<String, Facts> {
    let names: Vec<&str> = federation.meshes.keys().map(String::as_str).collect();
    names.iter().map(|name| ((*name).to_owned(), mk_facts(name, &names))).collect()
}

/// A peer whose imports are live under these hosts.
fn mk_live(peer: &str, hosts: &[&str]) -> Observed {
    let imports = hosts.iter().map(|host| ((*host).to_owned(), ImportState::Live((*host).to_owned()))).collect();
    let state = PeerState { connected: true, imports, ..PeerState::default() };
    Observed { peers: BTreeMap::from([(peer.to_owned(), state)]), ..Observed::default() }
}

fn derive_for(federation: &Federation, me: &str, observed: &Observed) -> Derived {
    derive(Inputs { federation, me, facts: &mk_all_facts(federation), observed })
}

/// Derived objects as YAML, without what is the same in all of them, and what waits.
fn show_only(derived: &Derived, keep: impl Fn(&Key) -> bool) -> String {
    let mut text = String::new();
    for (_, wanted) in derived.wanted.iter().filter(|(key, _)| keep(key)) {
        let mut value = wanted.object.value();
        value["metadata"].as_object_mut().unwrap().remove("labels");
        value["metadata"]["annotations"].as_object_mut().unwrap().remove(crate::object::APPLIED_ANNOTATION);
        text.push_str("---\n");
        for need in &wanted.needs {
            let line = match need {
                Need::Exists(key) => format!("# after {key} exists\n"),
                Need::Applied(key) => format!("# after {key} is applied\n"),
            };
            text.push_str(&line);
        }
        text.push_str(&serde_saphyr::to_string(&value).unwrap());
    }
    for hold in &derived.holds {
        let stuck = if hold.stuck { " (stuck)" } else { "" };
        let _ = writeln!(text, "# {}: {}{stuck}", hold.subject, hold.reason);
    }
    text
}

/// Derives for `a` of a pair of meshes with these files added or replaced, and shows the objects of one kind.
fn pair_with(fixture: &str, kind: &str) -> String {
    let federation = crate::model::testing::pair().with(fixture).load().0;
    show_only(&derive_for(&federation, "a", &Observed::default()), |key| *key.kind == *kind)
}

fn loaded(repo: &Repo) -> Federation {
    repo.valid()
}
