//! `spec.probe`: other CA roots are believed once the peer's ingress has shown a certificate from them.

use std::collections::BTreeSet;

use super::pair::Pair;
use crate::federation::steps::{ARO, ROSA};
use crate::lab::certs::Authority;
use crate::stage::{eventually, example};

/// Aro's roots as rosa's control plane has them.
fn trusted(pair: &Pair) -> BTreeSet<String> {
    let map = pair.stage.site(ROSA).get("configmap", ROSA, "aro-stg-mesh-ca-root-cert").unwrap_or_default();
    blocks(map["data"]["root-cert.pem"].as_str().unwrap_or_default())
}

/// The bodies of the certificates in a text, however they are indented.
fn blocks(text: &str) -> BTreeSet<String> {
    let bodies = text.split("-----BEGIN CERTIFICATE-----").skip(1).filter_map(|rest| rest.split("-----END").next());
    bodies.map(|body| body.split_whitespace().collect()).collect()
}

#[test]
fn t10_a_root_that_the_ingress_does_not_show_is_not_believed_and_one_that_it_shows_is() {
    let mut pair = Pair::start(20, "{settle: 1s}");
    let half = format!("meshes/{ROSA}/peers/{ARO}.yaml");
    let text = example(&half).replacen("spec:\n", "spec:\n  probe: true\n", 1);
    pair.stage.git.commit("Look before believing", &[(&half, Some(&text))]);
    let before = trusted(&pair);

    // Somebody with the key of aro's agent publishes a root of their own.
    pair.aro.process.kill();
    let branch = format!("published/{ARO}");
    let facts = pair.stage.git.show(&format!("{branch}:published.yaml")).unwrap();
    let [own] = blocks(&facts).into_iter().collect::<Vec<_>>().try_into().unwrap();
    let start = facts.lines().find(|line| line.contains("BEGIN CERTIFICATE")).unwrap();
    let indent = &start[..start.len() - start.trim_start().len()];
    let evil = Authority::new("evil").root();
    let (from, to) = (facts.find("-----BEGIN").unwrap(), facts.rfind("-----END CERTIFICATE-----").unwrap() + 25);
    let swapped = format!("{}{}{}", &facts[..from], evil.trim().replace('\n', &format!("\n{indent}")), &facts[to..]);
    assert!(!blocks(&swapped).contains(&own) && blocks(&swapped).len() == 1);
    pair.stage.git.commit_on(&branch, "Swap the root", &[("published.yaml", Some(&swapped))]);
    pair.rosa.wait_for("its certificates end in none of the published roots");
    assert_eq!(trusted(&pair), before);
    eventually("the status says why", || match pair.stage.git.show(&format!("published/{ROSA}:status.yaml")) {
        Some(status) if status.contains("(`spec.probe` in") => Ok(()),
        status => Err(format!("{status:?}")),
    });

    // The agent is back, and its CA is another one: what it publishes now the ingress shows.
    pair.aro = pair.stage.agent(ARO);
    pair.stage.replace_ca(ARO);
    eventually("rosa trusts the new root", || match trusted(&pair) {
        now if now.iter().any(|root| !before.contains(root) && !blocks(&evil).contains(root)) => Ok(()),
        now => Err(format!("{now:?}\n{}", pair.rosa.process.log_tail())),
    });
    pair.split(20);
}
