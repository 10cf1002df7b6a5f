//! What the repository says of the whole federation at one moment.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::agent::declarations::{self, Branch};
use crate::decide::STATUS_PATH;
use crate::error::Error;
use crate::facts::published::FACTS_PATH;
use crate::model::{Cidr, Code, Diagnostic, Federation, Severity, Span};
use crate::policy::Cache;
use crate::repo::{CommitId, Mirror, RepoError};
use crate::view::federation::{CommitView, FederationStatus, Gathered, Published};
use crate::view::verification::verification;

/// `main` and every published branch, read.
pub(super) struct Seen {
    repository: String,
    branch: String,
    pub(super) commit: CommitView,
    pub(super) federation: Federation,
    pub(super) found: Vec<Diagnostic>,
    pub(super) published: BTreeMap<String, Published>,
}

impl Seen {
    /// Reads what the mirror has.
    pub(super) fn read(mirror: &Mirror, branch: &str, now: Timestamp) -> Result<Self, Error> {
        let tip = mirror.main()?;
        let snapshot = mirror
            .snapshot(tip, &|path| path == "federation.yaml" || path.starts_with("meshes/") || path.starts_with("policies/"))?;
        let loaded = declarations::federation_of(mirror, &snapshot, &mut Cache::default());
        let (federation, found) = (loaded.federation, loaded.problems);
        let mut published = BTreeMap::new();
        for (mesh, commit) in &mirror.refs().published {
            published.insert(mesh.clone(), read_published(mirror, mesh, *commit, tip, &federation.allow_addresses, now)?);
        }
        let id = tip.to_string();
        let (words, verified) = verification(&id, &published);
        let commit = CommitView {
            id,
            author: snapshot.commit.author_email.clone(),
            committed_at: snapshot.commit.committed_at,
            verification: words,
            verified,
        };
        Ok(Self { repository: mirror.url(), branch: branch.to_owned(), commit, federation, found, published })
    }

    /// Put together for people.
    pub(super) fn status(&self, now: Timestamp) -> FederationStatus {
        let Self { repository, branch, commit, federation, found, published } = self;
        FederationStatus::new(Gathered {
            repository: repository.clone(),
            branch: branch.clone(),
            commit: commit.clone(),
            federation,
            found,
            published,
            now,
        })
    }
}

fn read_published(
    mirror: &Mirror,
    mesh: &str,
    commit: CommitId,
    main: CommitId,
    allow: &[Cidr],
    now: Timestamp,
) -> Result<Published, RepoError> {
    let at = mirror.commit(commit)?.committed_at;
    let Branch { facts, status, mut found } = declarations::branch(mirror, mesh, allow, now)?.unwrap_or_default();
    let path = |name: &str| format!("published/{mesh}:{name}");
    for (there, path) in [(facts.is_some(), path(FACTS_PATH)), (status.is_some(), path(STATUS_PATH))] {
        if !there && !found.iter().any(|finding| finding.path == path) {
            found.push(missing(&path));
        }
    }
    let (facts, status) = (facts.unwrap_or_default(), status.unwrap_or_default());
    let behind = match status.main.applied.parse::<CommitId>() {
        Ok(applied) => mirror.distance(applied, main)?,
        Err(_) => None, // nothing applied yet
    };
    let problems = found.iter().filter(|finding| finding.severity == Severity::Error).map(ToString::to_string).collect();
    Ok(Published { at, status, facts, behind, problems })
}

fn missing(path: &str) -> Diagnostic {
    Diagnostic::error(path, Span::default(), Code::BadFact, "the file is missing", "the mesh's agent must publish again")
}
