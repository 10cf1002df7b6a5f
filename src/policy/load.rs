//! Files in, federation, policies and findings out: what the agent, `check`, `plan` and `render` begin with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Judge, Policies};
use crate::model::{self, ContentId, Diagnostic, Federation, Reader, withdraw};

/// What was read and judged before, so that only what changed is read and judged again.
#[derive(Debug, Default)]
pub struct Cache {
    documents: model::Cache,
    judge: Judge,
}

/// The files of a repository, understood.
#[derive(Debug, Default)]
pub struct Loaded {
    /// All documents in which nothing is wrong and that no policy forbids.
    pub federation: Federation,
    /// The policies.
    pub policies: Arc<Policies>,
    /// What is wrong, sorted by place.
    pub problems: Vec<Diagnostic>,
}

/// Loads the documents and judges them. `refused` are paths that were not taken, each with the reason; they count as broken, so that what
/// stood there before stays.
pub fn load(entries: &BTreeMap<String, ContentId>, refused: &[Diagnostic], read: &mut Reader, cache: &mut Cache) -> Loaded {
    let (mut federation, mut problems) = model::load(entries, read, &mut cache.documents);
    let paths: BTreeSet<&str> = refused.iter().map(|finding| finding.path.as_str()).collect();
    let policies = cache.judge.judge(entries, &paths, read, &federation, &mut problems);
    problems.extend(refused.iter().cloned());
    problems.sort();
    problems.dedup();
    withdraw(&mut federation, &problems);
    Loaded { federation, policies, problems }
}
