//! `meshfed status`.

use std::collections::BTreeMap;

use clap::ValueEnum;
use jiff::Timestamp;

use super::output;
use super::remote::RepoArgs;
use crate::agent::declarations::{self, Branch};
use crate::decide::STATUS_PATH;
use crate::error::{Error, Exit};
use crate::facts::published::FACTS_PATH;
use crate::model::{Cidr, Code, Diagnostic, Severity, Span};
use crate::policy::Cache;
use crate::repo::{CommitId, Mirror, RepoError, Verification};
use crate::view::federation::{CommitView, FederationStatus, Gathered, Published};
use crate::view::status;

/// Show the whole federation, from Git alone
///
/// Exit code 1 means that something is degraded: a peering is not ready, or a mesh is behind, silent, or has something that waits.
/// Example: meshfed status --repo https://git.example.com/platform/meshes.git
#[derive(clap::Args, Debug)]
pub struct Status {
    #[command(flatten)]
    repo: RepoArgs,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One screen
    Text,
    /// Whole names, all addresses, every line
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

impl Status {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let remote = self.repo.fetch()?;
        let now = Timestamp::now();
        let status = gather(&remote.mirror, &self.repo.branch, now)?;
        match self.output {
            Format::Text => output::print(&status::render(&status, now, false, output::look()))?,
            Format::Wide => output::print(&status::render(&status, now, true, output::look()))?,
            Format::Json => output::print_json(&status)?,
            Format::Yaml => output::print_yaml(&status)?,
        }
        Ok(Exit::findings(status.degraded))
    }
}

/// Reads `main` and every published branch.
fn gather(mirror: &Mirror, branch: &str, now: Timestamp) -> Result<FederationStatus, Error> {
    let tip = mirror.main()?;
    let snapshot = mirror
        .snapshot(tip, &|path| path == "federation.yaml" || path.starts_with("meshes/") || path.starts_with("policies/"))?;
    let loaded = declarations::federation_of(mirror, &snapshot, &mut Cache::default());
    let (federation, found) = (loaded.federation, loaded.problems);
    let mut published = BTreeMap::new();
    for (mesh, commit) in &mirror.refs().published {
        published.insert(mesh.clone(), read_published(mirror, mesh, *commit, tip, &federation.allow_addresses, now)?);
    }
    let commit = CommitView {
        id: tip.to_string(),
        author: snapshot.commit.author_email.clone(),
        committed_at: snapshot.commit.committed_at,
        verification: snapshot.verified.to_string(),
        verified: !matches!(snapshot.verified, Verification::Off),
    };
    let repository = mirror.url();
    Ok(FederationStatus::new(Gathered {
        repository,
        branch: branch.to_owned(),
        commit,
        federation: &federation,
        found: &found,
        published: &published,
        now,
    }))
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
