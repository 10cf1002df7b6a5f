//! Facts as they travel: what is sound is used, what is not voids only itself.

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::published::{MAX_ADDRESSES, read, write};
use super::{Endpoint, Facts, roots};
use crate::model::Diagnostic;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn ca(until: i32) -> String {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn mk_facts() -> Facts {
    let bundle = roots::parse(&format!("{}{}", ca(2030), ca(2040)), now()).unwrap();
    let endpoint =
        Endpoint { addresses: vec!["20.1.2.3".into(), "a.elb.example.com".into()], discovery_port: 8188, service_port: 15443 };
    Facts {
        claims: ["another-uid".to_owned()].into(),
        cluster_uid: Some("0b5e-1".into()),
        retiring: [(bundle[1].fingerprint.clone(), now())].into(),
        announced: [bundle[0].fingerprint.clone()].into(),
        roots: bundle,
        ingress: [("a".to_owned(), endpoint.clone()), ("c".to_owned(), endpoint)].into(),
        broken: false,
    }
}

fn read_b(text: &str) -> (Facts, Vec<Diagnostic>) {
    read("b", "published.yaml", text, &[], now())
}

fn edited(from: &str, to: &str) -> (Facts, String) {
    let text = write("b", &mk_facts()).unwrap();
    assert!(text.contains(from), "{text}");
    let (facts, found) = read_b(&text.replacen(from, to, 1));
    assert!(facts.broken);
    (facts, found.into_iter().map(|found| found.message).collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_is_written_is_read_and_the_same_facts_give_the_same_bytes() {
    let facts = mk_facts();
    let text = write("b", &facts).unwrap();
    let (read, found) = read_b(&text);
    assert_eq!((&read, found.len()), (&facts, 0));
    assert_eq!(write("b", &read).unwrap(), text);
    assert_eq!(read_b(&write("b", &Facts::default()).unwrap()), (Facts::default(), vec![]));
}

#[test]
fn what_a_newer_agent_adds_is_tolerated() {
    let text = write("b", &mk_facts()).unwrap().replace("spec:\n", "signed: true\nspec:\n  gossip: [1]\n");
    let (facts, found) = read_b(&text);
    assert_eq!((facts, found.len()), (mk_facts_like(&text), 0));
}

/// The facts in a text without the newer fields.
fn mk_facts_like(text: &str) -> Facts {
    read_b(&text.replace("signed: true\n", "").replace("  gossip: [1]\n", "")).0
}

#[test]
fn a_bad_address_voids_only_that_peers_addresses() {
    for (bad, message) in [
        (r"20.1.2.3\n- evil", r"`20.1.2.3\n- evil` is neither an IP address nor a DNS name"),
        ("20.1.2.3:8188", "`20.1.2.3:8188` is neither an IP address nor a DNS name"),
        ("127.0.0.1", "127.0.0.1 leads back to whoever uses it (loopback, link-local, multicast or unspecified)"),
    ] {
        let (facts, said) = edited("20.1.2.3", bad);
        assert_eq!(said, message);
        assert_eq!(facts.ingress.keys().collect::<Vec<_>>(), ["c"]);
        assert_eq!(facts.roots.len(), 2);
    }
}

#[test]
fn a_bad_root_voids_all_roots_and_nothing_else() {
    let key = KeyPair::generate().unwrap().serialize_pem();
    for (bad, expected) in [("{{ROOT}}".to_owned(), "holds no PEM"), (key, "PRIVATE KEY")] {
        let mut facts = mk_facts();
        facts.roots[1].pem = bad;
        let (read, found) = read_b(&write("b", &facts).unwrap());
        assert!(found[0].message.contains(expected), "{}", found[0]);
        assert!(read.broken && read.roots.is_empty() && read.ingress.len() == 2);
    }
}

#[test]
fn a_root_that_has_expired_since_does_not_void_its_successor() {
    let text = write("b", &mk_facts()).unwrap();
    let (facts, found) = read("b", "published.yaml", &text, &[], "2035-01-01T00:00:00Z".parse().unwrap());
    assert_eq!((facts.roots.len(), facts.broken, found.len()), (1, false, 0));
    let (facts, found) = read("b", "published.yaml", &text, &[], "2045-01-01T00:00:00Z".parse().unwrap());
    assert_eq!((facts.roots.len(), facts.broken), (0, true));
    assert!(found[0].message.ends_with("every root has expired"));
}

#[test]
fn facts_that_cannot_be_read_say_so() {
    for bad in ["", "spec: [", "kind: Published\nmetadata: {name: b}\n"] {
        let (facts, found) = read_b(bad);
        assert_eq!((facts, found.len()), (Facts { broken: true, ..Facts::default() }, 1), "{bad}");
    }
    let (facts, said) = edited("name: b", "name: x");
    assert!(facts.roots.is_empty());
    assert_eq!(said, "these are facts of `x`, not of `b`");
    let mut many = mk_facts();
    many.ingress.get_mut("a").unwrap().addresses = vec!["10.0.0.1".into(); MAX_ADDRESSES + 1];
    let (facts, found) = read_b(&write("b", &many).unwrap());
    assert!(facts.broken && !facts.ingress.contains_key("a") && facts.ingress.contains_key("c"));
    assert_eq!(found[0].message, format!("more than {MAX_ADDRESSES} addresses"));
}
