//! How federations fail, as far as it can be seen without a cluster: each such failure is planted, and found. The numbers are those of the list
//! of failure modes by which `check` was designed; what an agent derives cannot be wrong in documents, and names the test that holds it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use insta::assert_snapshot;

use super::by_hand::{BY_HAND, by_hand};
use super::{advice_with, mk_root_until, now};
use crate::facts::published;
use crate::model::testing::{Repo, pair, show};

/// How a failure is found.
enum Held {
    /// `check` says these lines of a repository in which it is planted.
    Said(String),
    /// It cannot be declared, or is seen elsewhere: the test that shows it.
    ByTest(&'static str),
}

use Held::ByTest;

/// Everything that `check` says of a repository.
fn all(repo: &Repo) -> Held {
    let (federation, mut found) = repo.load();
    let texts: BTreeMap<&str, &str> =
        repo.files.iter().map(|(path, bytes)| (path.as_str(), std::str::from_utf8(bytes).unwrap())).collect();
    let facts = BTreeMap::new();
    found.extend(super::lint(super::Inputs { federation: &federation, texts: &texts, plain: false, facts: &facts, now: now() }));
    found.sort();
    Held::Said(show(&found))
}

fn with(files: &str) -> Held {
    all(&pair().with(files))
}

fn hand(path: &str, from: &str, to: &str) -> Held {
    Held::Said(by_hand(&Repo::new(BY_HAND).edit(path, from, to)))
}

/// What `check` says of facts that `b` publishes.
fn facts(spec: &str) -> Held {
    let text = format!("apiVersion: meshfed.dev/v1alpha1\nkind: Published\nmetadata: {{name: b}}\nspec:\n{spec}");
    Held::Said(show(&published::read("b", "published/b:published.yaml", &text, &[], now()).1))
}

fn expiring() -> Held {
    let root = mk_root_until((2026, 12, 2));
    let known = crate::facts::Facts { roots: crate::facts::roots::parse(&root, now()).unwrap(), ..Default::default() };
    let lines = root.lines().flat_map(|line| ["    ", line, "\n"]).collect::<String>();
    let text =
        format!("apiVersion: meshfed.dev/v1alpha1\nkind: Published\nmetadata: {{name: b}}\nspec:\n  caRoots:\n  - |\n{lines}");
    let repo = pair().with(&format!("//- published/b:published.yaml\n{text}"));
    let said = advice_with(&repo, &BTreeMap::from([("b".to_owned(), known)]));
    let shown = said.split(" the CA root").next().unwrap().to_owned() + " …";
    assert!(said.contains("expires in 9 days") && said.lines().count() == 1, "{said}");
    Held::Said(shown)
}

fn mesh(spec: &str) -> String {
    format!("//- meshes/a/mesh.yaml\nkind: Mesh\nmetadata: {{name: a}}\nspec:\n{spec}")
}

fn peer(of: &str, name: &str, spec: &str) -> String {
    format!("//- meshes/{of}/peers/{name}.yaml\nkind: Peer\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

fn traffic(spec: &str) -> String {
    format!("//- meshes/a/traffic/x.yaml\nkind: Traffic\nmetadata: {{name: x}}\nspec:\n  service: apps/x\n{spec}")
}

/// `a` imports `shop/x` from `b`.
fn imported(more: &str) -> String {
    peer("a", "b", &format!("  imports: [{{service: shop/x{more}}}]\n")) + &peer("b", "a", "  exports: [{service: shop/x}]\n")
}

fn manifest(text: &str) -> String {
    format!("//- meshes/a/manifests/x.yaml\n{text}")
}

type Failure = (u8, &'static str, Held);

fn failures() -> Vec<Failure> {
    [peers_and_gateways(), services(), traffic_and_places(), the_rest()].into_iter().flatten().collect()
}

fn peers_and_gateways() -> Vec<Failure> {
    let third = "//- meshes/c/mesh.yaml\nkind: Mesh\nmetadata: {name: c}\nspec: {trustDomain: c.example, members: [box]}\n";
    let shared = |name: &str| peer("a", name, "  gateways: {ingress: same}\n");
    vec![
        (1, "clientID with spiffe://", hand("one/smp.yaml", "clientID: two", "clientID: spiffe://two")),
        (1, "derived clientID", ByTest("both_sides_of_every_peering_agree")),
        (
            2,
            "clientID of our own egress",
            hand("one/smp.yaml", "two.local/ns/two-mesh/sa/egress-one", "one.local/ns/one-mesh/sa/egress-two"),
        ),
        (3, "trust domain twice", all(&pair().edit("meshes/b/mesh.yaml", "b.example", "a.example"))),
        (3, "the default trust domain", all(&pair().edit("meshes/b/mesh.yaml", "b.example", "cluster.local"))),
        (3, "trust domain of nobody", hand("one/smp.yaml", "trustDomain: two.local", "trustDomain: tow.local")),
        (4, "a root that was never filled in", facts("  caRoots: ['{{ROOT}}']\n")),
        (4, "a root that soon expires", expiring()),
        (4, "the key in the ConfigMap", ByTest("roots_written_by_hand_are_read")),
        (5, "a rotated root", ByTest("what_a_peer_reports_is_what_its_control_plane_was_given")),
        (6, "a gateway without port 8188", hand("one/smcp.yaml", ", {port: 8188, name: http-discovery}", "")),
        (
            6,
            "a gateway that is not enabled",
            hand("two/smcp.yaml", "        enabled: true\n        requested", "        requested"),
        ),
        (7, "a gateway of two peers", with(&format!("{third}{}{}", shared("b"), shared("c")))),
        (7, "a reserved name", with(&peer("a", "b", "  gateways: {egress: istio-egressgateway}\n"))),
        (8, "the wrong network", hand("one/smcp.yaml", "network-two-mesh", "two-mesh-network")),
    ]
}

fn services() -> Vec<Failure> {
    vec![
        (
            9,
            "alias where aliases belongs",
            with(&manifest(
                "apiVersion: federation.maistra.io/v1\nkind: ExportedServiceSet\nmetadata: {name: b, namespace: a}\nspec: {exportRules: [{type: LabelSelector, labelSelector: {namespace: apps, alias: {name: x}}}]}\n",
            )),
        ),
        (
            10,
            "an import that nobody exports",
            with(&(peer("a", "b", "  imports: [{service: shop/y}]\n") + &peer("b", "a", "  exports: [{service: shop/x}]\n"))),
        ),
        (
            11,
            "two services under one name",
            with(&peer("a", "b", "  exports: [{service: apps/x}, {service: apps/y, as: apps/x}]\n")),
        ),
        (
            11,
            "one service under two names",
            with(&peer("a", "b", "  exports: [{service: apps/x}, {service: apps/x, as: apps/y}]\n")),
        ),
        (
            11,
            "two imports under one name",
            with(
                &(peer("a", "b", "  imports: [{service: shop/x}, {service: shop/y, as: shop/x}]\n")
                    + &peer("b", "a", "  exports: [{service: shop/x}, {service: shop/y}]\n")),
            ),
        ),
        (12, "a local import of no namespace here", with(&imported(", asLocal: true"))),
        (
            12,
            "importAsLocal without an alias",
            hand(
                "one/iss.yaml",
                "importAsLocal: false, nameSelector: {namespace: shop, name: details-v2, alias: {namespace: shop}}",
                "importAsLocal: true, nameSelector: {namespace: shop, name: details-v2}",
            ),
        ),
        (13, "a service set of nobody", hand("one/iss.yaml", "name: two-mesh", "name: two")),
        (13, "a peer in another namespace", hand("one/smp.yaml", "namespace: one-mesh", "namespace: shop")),
    ]
}

fn traffic_and_places() -> Vec<Failure> {
    vec![
        (
            14,
            "a destination that is not imported",
            with(&traffic("  routes: [{local: {}, weight: 80}, {peer: b, service: shop/x, weight: 20}]\n")),
        ),
        (
            14,
            "weights that are not 100",
            with(&(imported("") + &traffic("  routes: [{local: {}, weight: 80}, {peer: b, service: shop/x, weight: 10}]\n"))),
        ),
        (14, "a subset that is not defined", hand("one/vs.yaml", "subset: v1}, weight", "subset: v2}, weight")),
        (
            14,
            "a subset of an import",
            with(
                &(imported("")
                    + &traffic("  routes: [{local: {}, weight: 80}, {peer: b, service: shop/x, subset: v2, weight: 20}]\n")),
            ),
        ),
        (
            14,
            "two VirtualServices for one host",
            with(
                &(imported("")
                    + &traffic("  routes: [{local: {}}]\n")
                    + &manifest(
                        "apiVersion: networking.istio.io/v1beta1\nkind: VirtualService\nmetadata: {name: y, namespace: apps}\nspec: {hosts: [x]}\n",
                    )),
            ),
        ),
        (14, "a mirror of nothing", hand("one/vs.yaml", "mirror: {host: details-v2.", "mirror: {host: details-v3.")),
        (
            15,
            "failover that cannot be reached",
            with(
                &(mesh("  trustDomain: a.example\n  members: [apps]\n  locality: {region: one}\n")
                    + &traffic("  failover: {to: [b]}\n")),
            ),
        ),
        (
            15,
            "failover in one region",
            with(
                &(mesh("  trustDomain: a.example\n  members: [apps]\n  locality: {region: one}\n")
                    + &peer("a", "b", "  locality: {region: one}\n  imports: [{service: shop/x, as: apps/x, asLocal: true}]\n")
                    + &peer("b", "a", "  exports: [{service: shop/x}]\n")
                    + &traffic("  failover: {to: [b]}\n")),
            ),
        ),
        (16, "an export of no member", with(&peer("a", "b", "  exports: [{service: other/x}]\n"))),
        (
            17,
            "an address that was never filled in",
            with(&mesh("  trustDomain: a.example\n  ingress: {addresses: ['{{ADDRESS}}']}\n")),
        ),
        (
            17,
            "a URL for an address",
            with(&mesh("  trustDomain: a.example\n  ingress: {addresses: ['https://192.0.2.7:8188']}\n")),
        ),
        (
            17,
            "an address of our own",
            facts("  ingress: {a: {addresses: [127.0.0.1], discoveryPort: 8188, servicePort: 15443}}\n"),
        ),
        (17, "private addresses", ByTest("the_api_server_and_we_judge_alike")),
    ]
}

fn the_rest() -> Vec<Failure> {
    let long = "a-name-of-a-mesh-that-is-longer-than-any-label-of-kubernetes-can-be";
    vec![
        (
            18,
            "aws with another load balancer",
            with(&mesh(
                "  trustDomain: a.example\n  platform: aws\n  ingress: {annotations: {service.beta.kubernetes.io/aws-load-balancer-type: classic}}\n",
            )),
        ),
        (
            18,
            "aws by hand, without the annotation",
            Held::Said(by_hand(
                &Repo::new(BY_HAND)
                    .edit(
                        "one/smcp.yaml",
                        "            annotations: {service.beta.kubernetes.io/aws-load-balancer-type: nlb}\n",
                        "",
                    )
                    .edit("two/smp.yaml", "a1b2.elb.example.com", "a1b2.elb.eu-west-1.amazonaws.com"),
            )),
        ),
        (18, "aws without the annotation", ByTest("an_annotation_that_people_wrote_wins_over_the_platforms")),
        (19, "no address yet", ByTest("what_waits_while_nobody_has_published_anything")),
        (
            20,
            "a peer deleted with its exports",
            ByTest("an_exporter_that_leaves_waits_for_its_user_then_empties_its_exports_before_the_peer_goes"),
        ),
        (21, "a peer called like our cluster", all(&pair().edit("meshes/a/mesh.yaml", "members", "cluster: b\n  members"))),
        (22, "a version before federation", hand("one/smcp.yaml", "spec:\n  security", "spec:\n  version: v2.0\n  security")),
        (22, "a version after it", with(&mesh("  trustDomain: a.example\n  controlPlane: {base: {spec: {version: v3.0}}}\n"))),
        (
            22,
            "a version that nobody knows yet",
            with(&mesh("  trustDomain: a.example\n  controlPlane: {base: {spec: {version: v2.9}}}\n")),
        ),
        (22, "no version", with(&mesh("  trustDomain: a.example\n  controlPlane: {base: {spec: {version: '2.5'}}}\n"))),
        (24, "TCP on one port", ByTest("tcp_services_of_two_peers_can_share_an_address")),
        (25, "an export of everything", ByTest("the_api_server_and_we_judge_alike")),
        (25, "an export to nobody", with(&peer("a", "d", "  exports: [{service: apps/x}]\n"))),
        (
            0,
            "a name that is too long",
            with(&format!(
                "//- meshes/{long}/mesh.yaml\nkind: Mesh\nmetadata: {{name: {long}}}\nspec: {{trustDomain: d.example}}\n"
            )),
        ),
        (
            0,
            "a secret",
            with(&manifest(
                "apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: apps}\nstringData: {password: hunter2}\n",
            )),
        ),
        (
            0,
            "a key of an agent that is none",
            with(&mesh("  trustDomain: a.example\n  agent: {keys: [ssh-ed25519 AAAA agent of a]}\n")),
        ),
    ]
}

/// Only live: whether a watch that says connected is stale.
const LIVE: [u8; 1] = [23];

#[test]
fn each_failure_that_can_be_seen_without_a_cluster_is_found() {
    let failures = failures();
    for number in (1..=25).filter(|number| !LIVE.contains(number)) {
        assert!(failures.iter().any(|(of, ..)| *of == number), "failure {number} is not planted");
    }
    let mut shown = String::new();
    for (number, what, held) in &failures {
        let said = match held {
            Held::Said(said) => said.clone(),
            ByTest(name) => format!("held by {name}"),
        };
        assert!(!said.is_empty(), "{number}, {what}: nothing is found");
        let _ = writeln!(shown, "{number:>2} {what}\n   {}", said.replace('\n', "\n   ")); // writing to a String cannot fail
    }
    assert_snapshot!(shown);
}

#[test]
fn the_tests_that_hold_the_rest_are_there() {
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    for folder in ["src", "tests"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut text);
    }
    for (_, what, held) in failures() {
        if let ByTest(name) = held {
            assert!(text.contains(&format!("fn {name}(")), "{what}: there is no test {name}");
        }
    }
}
