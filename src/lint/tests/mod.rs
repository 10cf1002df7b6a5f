//! What `check` says beyond what an agent finds.

mod advice;
mod by_hand;
mod failures;
mod schemas;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::{Inputs, lint};
use crate::facts::Facts;
use crate::model::testing::{Repo, show};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// A root that is valid until the beginning of a day.
fn mk_root_until((year, month, day): (i32, u8, u8)) -> String {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn advice(repo: &Repo) -> String {
    advice_with(repo, &BTreeMap::new())
}

/// What is said of a repository in whose documents nothing is wrong.
fn advice_with(repo: &Repo, facts: &BTreeMap<String, Facts>) -> String {
    let federation = repo.valid();
    let texts = repo.files.iter().filter_map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(bytes).ok()?)));
    let mut found = lint(Inputs { federation: &federation, texts: &texts.collect(), plain: false, facts, now: now() });
    found.sort();
    show(&found)
}
