//! Each row of a table is one edit of a small federation, and what is told of it.

use jiff::Timestamp;

use super::{Change, Topic, Word, declared, files, published};
use crate::decide::{Mode, PeeringStatus, ShareStatus, Status, TrafficStatus};
use crate::facts::{Endpoint, Facts, Root};
use crate::model::load_some;
use crate::model::testing::{Repo, pair};

/// Two meshes, of which `a` imports a service of `b` and sends it a share.
fn mk_repo() -> Repo {
    pair()
        .with("//- meshes/a/peers/b.yaml\nkind: Peer\nmetadata: {name: b}\nspec:\n  imports:\n  - service: apps/details-v2\n")
        .with("//- meshes/b/peers/a.yaml\nkind: Peer\nmetadata: {name: a}\nspec:\n  exports:\n  - service: shop/details\n    as: apps/details-v2\n")
        .with(
            "//- meshes/a/traffic/details.yaml\nkind: Traffic\nmetadata: {name: details}\nspec:\n  service: apps/details\n  routes:\n  \
             - {local: {subset: v1}, weight: 80}\n  - {peer: b, service: apps/details-v2, weight: 20}\n",
        )
        .with("//- meshes/a/manifests/app.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: apps}\ndata: {x: '1'}\n")
}

fn words(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.words.as_str()).collect()
}

/// Path, text, what takes its place; then what is told, with its topic and the service concerned.
type Row<'a> = (&'a str, &'a str, &'a str, &'a [(Topic, &'a str, Option<&'a str>)]);

const ROWS: &[Row] = &[
    (
        "federation.yaml",
        "{name: test}",
        "{name: test}\nspec: {guards: {peerings: 30%}}",
        &[(Topic::Federation, "federation: peerings that may go at once: 50 % → 30 %", None)],
    ),
    ("meshes/a/mesh.yaml", "a.example", "a.test", &[(Topic::Mesh, "a: trust domain: a.example → a.test", None)]),
    (
        "meshes/a/mesh.yaml",
        "[apps]",
        "[shop]",
        &[(Topic::Mesh, "a: new member shop", None), (Topic::Mesh, "a: apps is no longer a member", None)],
    ),
    (
        "meshes/a/mesh.yaml",
        "members: [apps]",
        "members: [apps]\n  suspend: true",
        &[(Topic::Mesh, "a: suspended: nothing changes", None)],
    ),
    (
        "meshes/a/mesh.yaml",
        "members: [apps]",
        "members: [apps]\n  ingress: {addresses: [192.0.2.7]}",
        &[(Topic::Ingress, "a: declared ingress addresses: 192.0.2.7", None)],
    ),
    (
        "meshes/a/peers/b.yaml",
        "details-v2",
        "ratings\n    as: apps/stars",
        &[
            (Topic::Import, "a no longer imports apps/details-v2 from b", Some("apps/details-v2")),
            (Topic::Import, "a imports apps/ratings from b as apps/stars", Some("apps/stars")),
        ],
    ),
    (
        "meshes/a/peers/b.yaml",
        "details-v2",
        "details-v2\n    as: apps/d",
        &[(Topic::Import, "a imports apps/details-v2 from b as apps/d (before: under its own name)", Some("apps/d"))],
    ),
    (
        "meshes/a/peers/b.yaml",
        "spec:",
        "spec:\n  suspend: true",
        &[(Topic::Peering, "a: peering with b: suspended: nothing changes", None)],
    ),
    (
        "meshes/b/peers/a.yaml",
        "    as: apps/details-v2\n",
        "",
        &[(Topic::Export, "b exports shop/details to a under its own name (before: as apps/details-v2)", Some("shop/details"))],
    ),
    (
        "meshes/a/traffic/details.yaml",
        "80}\n  - {peer: b, service: apps/details-v2, weight: 20}",
        "60}\n  - {peer: b, service: apps/details-v2, weight: 40}",
        &[(Topic::Traffic, "a: details: b 20 → 40 %", Some("apps/details"))],
    ),
    (
        "meshes/a/traffic/details.yaml",
        "  routes:",
        "  timeout: 3s\n  matches:\n  - headers: {user: {exact: jason}}\n    routes: [{local: {subset: v1}}]\n  routes:",
        &[
            (Topic::Traffic, "a: details: local v1 0 → 100 % where user = jason", Some("apps/details")),
            (Topic::Traffic, "a: details: timeout: 3s", Some("apps/details")),
        ],
    ),
    (
        "meshes/a/traffic/details.yaml",
        "local: {subset: v1}, weight: 80",
        "local: {subset: v3}, weight: 80",
        &[
            (Topic::Traffic, "a: details: local v1 80 → 0 %, local v3 0 → 80 %", Some("apps/details")),
            (Topic::Traffic, "a: details: subsets: v1 (version=v1) → v3 (version=v3)", Some("apps/details")),
        ],
    ),
    ("meshes/a/manifests/app.yaml", "'1'", "'2'", &[(Topic::Manifest, "a changes ConfigMap/apps/app", None)]),
    (
        "meshes/a/peers/b.yaml",
        "imports",
        "impotrs",
        &[(Topic::Peering, "meshes/a/peers/b.yaml has an error: what it said before stays", None)],
    ),
];

#[test]
fn edits_are_told_in_the_terms_of_a_federation() {
    for (path, from, to, expected) in ROWS {
        let (before, after) = (mk_repo(), mk_repo().edit(path, from, to));
        // As the whole repository, and as the one document that differs.
        let only = |repo: &Repo| {
            let entries = repo.entries().into_iter().filter(|(name, _)| name == path).collect();
            load_some(&entries, &mut |path, _| Ok(repo.files[path].clone()), &mut crate::model::Cache::default())
        };
        for changes in [declared(&only(&before), &only(&after)), declared(&before.load().0, &after.load().0)] {
            let about_this_document: Vec<_> = changes
                .iter()
                .map(|change| (change.topic, change.words.as_str(), change.service.as_deref()))
                .filter(|(_, words, _)| !words.contains(" error") || words.starts_with(path))
                .collect();
            assert_eq!(about_this_document, *expected, "{path}: {from} → {to}");
        }
    }
}

#[test]
fn nothing_changed_says_nothing() {
    let federation = mk_repo().valid();
    assert_eq!(declared(&federation, &federation), []);
    assert_eq!(published("a", &Word::default(), &Word::default()), []);
}

#[test]
fn a_federation_begins_with_all_that_it_declares_and_a_mesh_leaves_with_it() {
    let (none, all) = (crate::model::Federation::default(), mk_repo().valid());
    insta::assert_snapshot!(words(&declared(&none, &all)).join("\n"), @r"
    the federation test begins
    a joins (trust domain a.example, members apps)
    a declares a peering with b
    a imports apps/details-v2 from b
    a: details: local v1 80 %, b 20 %
    a: details: subsets: v1 (version=v1)
    a adds ConfigMap/apps/app
    b joins (trust domain b.example, members shop)
    b declares a peering with a
    b exports shop/details to a as apps/details-v2
    ");
    let left = mk_repo().without("meshes/b/").load().0;
    insta::assert_snapshot!(words(&declared(&all, &left)).join("\n"), @r"
    b leaves
    b ends the peering with a
    b no longer exports shop/details to a
    meshes/a/peers/b.yaml has an error: what it said before stays
    ");
}

#[test]
fn a_key_is_added_replaced_and_removed() {
    let key = |of: &str| format!("members: [apps]\n  agent: {{keys: [{of}]}}");
    let keys: Vec<String> = (1..=2).map(|number| crate::trust::testing::public(&crate::trust::testing::key(number))).collect();
    let with = |text: &str| mk_repo().edit("meshes/a/mesh.yaml", "members: [apps]", &key(text)).valid();
    let (none, one, other) = (mk_repo().valid(), with(&keys[0]), with(&keys[1]));
    let both = with(&keys.join(", "));
    let told = |before, after| words(&declared(before, after)).join("; ");
    assert_eq!(told(&none, &one), "key of a's agent listed");
    assert_eq!(told(&one, &other), "key of a's agent replaced");
    assert_eq!(told(&one, &both), "another key of a's agent listed");
    assert_eq!(told(&both, &one), "a key of a's agent removed");
    assert_eq!(told(&one, &none), "key of a's agent removed: it has none");
}

#[test]
fn many_objects_are_counted_and_few_are_named() {
    let maps = (0..5).map(|n| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{n}, namespace: apps}}\n---\n"));
    let after = mk_repo().with(&format!("//- meshes/a/manifests/more.yaml\n{}", maps.collect::<String>())).valid();
    assert_eq!(
        words(&declared(&mk_repo().valid(), &after)),
        ["a adds 5 objects: ConfigMap/apps/m0, ConfigMap/apps/m1, ConfigMap/apps/m2 and 2 more"]
    );
}

#[test]
fn trust_and_policies_are_told_by_their_files() {
    let changed = [("trust/policy.yaml", true, true), ("policies/a.yaml", false, true), ("README.md", true, true)];
    let told: Vec<(Topic, String)> = files(changed.into_iter()).into_iter().map(|change| (change.topic, change.words)).collect();
    assert_eq!(told, [(Topic::Trust, "trust/policy.yaml changed".into()), (Topic::Policy, "policies/a.yaml added".into())]);
}

fn mk_root(fingerprint: &str) -> Root {
    Root { fingerprint: format!("{fingerprint}:00:11:22"), not_after: Timestamp::UNIX_EPOCH, ..Root::default() }
}

fn mk_endpoint(address: &str) -> Endpoint {
    Endpoint { addresses: vec![address.into()], discovery_port: 8188, service_port: 15443 }
}

#[test]
fn an_agent_tells_of_roots_addresses_weights_and_peerings() {
    let share =
        |effective, why: &str| ShareStatus { to: "b".into(), declared: 20, effective, why: why.into(), ..ShareStatus::default() };
    let traffic = |share| TrafficStatus { service: "apps/details".into(), routes: vec![share], ..TrafficStatus::default() };
    let mut before = Word::default();
    before.facts.roots = vec![mk_root("41:0B")];
    before.facts.ingress.insert("b".into(), mk_endpoint("20.71.4.9"));
    before.status.traffic.insert("details".into(), traffic(share(20, "")));
    before.status.peerings.insert("b".into(), PeeringStatus { ready: true, ..PeeringStatus::default() });
    let facts = Facts {
        roots: vec![mk_root("9D:77"), mk_root("41:0B")],
        ingress: [("b".to_owned(), mk_endpoint("20.71.4.10")), ("c".to_owned(), mk_endpoint("20.71.4.11"))].into(),
        retiring: [("41:0B:00:11:22".to_owned(), Timestamp::UNIX_EPOCH)].into(),
        ..Facts::default()
    };
    let mut status = Status { mode: Mode::Suspended, ..Status::default() };
    status.traffic.insert("details".into(), traffic(share(0, "b answers 503")));
    status.peerings.insert("b".into(), PeeringStatus { why: "b answers 503".into(), ..PeeringStatus::default() });
    insta::assert_snapshot!(words(&published("a", &before, &Word { facts, status })).join("\n"), @r"
    a: new CA root 9D:77:00:11 beside 41:0B:00:11
    a: CA root 41:0B:00:11 retires
    a: new ingress address for b: 20.71.4.9 → 20.71.4.10
    a: new ingress address for c: 20.71.4.11
    a: details in effect: b 20 → 0 % (b answers 503)
    a: peering with b is no longer ready: b answers 503
    a: its agent changes nothing: suspended
    ");
}
