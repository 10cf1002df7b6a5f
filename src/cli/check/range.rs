//! `meshfed check --range A..B`: a merge request, before it is merged.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use crate::cli::clone::fault;
use crate::cli::{committed, offline, output};
use crate::error::{Error, Exit};
use crate::model::Severity;
use crate::repo::{Checkout, CommitId};
use crate::trust::{Refusal, Rule, Rules, Verifier};
use crate::view::findings;
use crate::view::trust::mend;
use crate::words::count;

pub(super) fn run(path: &Path, range: &str) -> Result<Exit, Error> {
    let start = Instant::now();
    let checkout = Checkout::discover(path)?;
    let (from, tip) = ends(&checkout, range)?;
    let (commits, refusals) = commits(&checkout, from, tip)?;
    for refusal in &refusals {
        output::print(&format!("{refusal}\n  help: {}\n\n", help(refusal)))?;
    }
    let loaded = committed::load(&checkout, tip)?;
    let mut found = loaded.problems;
    found.extend(offline::violations(&loaded.federation, &loaded.policies));
    found.sort();
    let mut texts = BTreeMap::new();
    for finding in &found {
        if !texts.contains_key(&finding.path) {
            texts.insert(finding.path.clone(), checkout.text(tip, &finding.path).ok().flatten());
        }
    }
    let text = |path: &str| texts.get(path).and_then(Option::as_deref);
    output::print(&findings::render(&found, "", &text, output::look()))?;
    let verified = if refusals.is_empty() { commits } else { format!("{}, {commits}", count(refusals.len(), "refusal")) };
    eprintln!("{}; {verified} ({} ms)", findings::summary(&found, loaded.files), start.elapsed().as_millis());
    Ok(Exit::findings(!refusals.is_empty() || found.iter().any(|finding| finding.severity == Severity::Error)))
}

/// Where the two histories part, and the tip.
fn ends(checkout: &Checkout, range: &str) -> Result<(CommitId, CommitId), Error> {
    let wrong = || Error::usage(format!("{range:?} is no range"), "write it as main..feature");
    let (from, to) = range.split_once("..").filter(|(from, to)| !from.is_empty() && !to.starts_with('.')).ok_or_else(wrong)?;
    let from = checkout.resolve(from)?;
    let tip = checkout.resolve(if to.is_empty() { "HEAD" } else { to })?;
    let base = checkout.merge_base(from, tip)?;
    base.map(|base| (base, tip)).ok_or_else(|| Error::usage(format!("{range:?}: the two have no history in common"), ""))
}

/// How many commits were judged, in words, and every one that is refused.
fn commits(checkout: &Checkout, from: CommitId, tip: CommitId) -> Result<(String, Vec<Refusal>), Error> {
    if Rules::of(checkout, from.into()).map_err(fault)?.is_none() {
        return Ok(("no commit verified, as there is no trust/".to_owned(), Vec::new()));
    }
    let mut verifier = Verifier::new();
    let mut ask = |from: CommitId, to: CommitId| verifier.main(checkout, from.into(), to.into()).map_err(Error::other);
    let verdict = ask(from, tip)?;
    let Some(first) = verdict.refusal else {
        return Ok((format!("{} verified", count(line(checkout, from, tip)?.len(), "commit")), Vec::new()));
    };
    if [Rule::SourceRewound, Rule::SourceForked].contains(&first.rule) {
        return Ok(("none verified".to_owned(), vec![first]));
    }
    let line = line(checkout, from, tip)?;
    let mut refusals = Vec::new();
    let mut parent = from;
    for commit in &line {
        refusals.extend(ask(parent, *commit)?.refusal);
        parent = *commit;
    }
    Ok((format!("{} judged", count(line.len(), "commit")), refusals))
}

/// The commits after one along first parents, oldest first.
fn line(checkout: &Checkout, from: CommitId, tip: CommitId) -> Result<Vec<CommitId>, Error> {
    let (mut line, mut next) = (Vec::new(), tip);
    while next != from {
        line.push(next);
        match checkout.commit(next)?.parents.first() {
            Some(parent) => next = *parent,
            None => break,
        }
    }
    line.reverse();
    Ok(line)
}

fn help(refusal: &Refusal) -> &'static str {
    match refusal.rule {
        Rule::SourceForked | Rule::SourceRewound => {
            "rebase the branch onto the one that it is for (git rebase -S), so that its own commits can be judged"
        }
        rule => mend(rule),
    }
}
