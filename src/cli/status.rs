//! `meshfed status`.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use jiff::Timestamp;

use super::log::Peering;
use super::output;
use super::remote::RepoArgs;
use crate::agent::declarations::{self, Branch};
use crate::decide::STATUS_PATH;
use crate::error::{Error, Exit};
use crate::facts::published::FACTS_PATH;
use crate::model::{Cidr, Code, Diagnostic, Severity, Span};
use crate::policy::Cache;
use crate::repo::{CommitId, Mirror, RepoError};
use crate::view::federation::{CommitView, FederationStatus, Gathered, MeshView, Published};
use crate::view::status;
use crate::view::verification::verification;

/// Time between two looks at the repository: what people who wait do not notice, and a host does not mind.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Moves a terminal's cursor home and clears what is below (ECMA-48 CUP, ED).
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Show the whole federation, from Git alone
///
/// Exit code 1 means that something is degraded: a peering is not ready, or a mesh is behind, silent, or has something that waits.
/// Example: meshfed status --repo https://git.example.com/platform/meshes.git --wait=applied --timeout 10m
#[derive(clap::Args, Debug)]
pub struct Status {
    #[command(flatten)]
    repo: RepoArgs,
    /// Only this mesh and its peerings
    #[arg(long, value_name = "MESH")]
    mesh: Option<String>,
    /// Only the peering of two meshes, and those
    #[arg(long, value_name = "MESH:MESH")]
    peering: Option<Peering>,
    /// Stay, and show it again whenever it changes
    #[arg(long, conflicts_with = "wait")]
    watch: bool,
    /// Wait until nothing is degraded, or until the tip is applied; then exit 0, or 1 when the time is over
    #[arg(long, value_name = "CONDITION", num_args = 0..=1, require_equals = true, default_missing_value = "healthy")]
    wait: Option<Condition>,
    /// How long to wait, such as 90s or 10m
    #[arg(long, value_name = "TIME", default_value = "5m", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Condition {
    /// Nothing of what is shown is degraded
    Healthy,
    /// Every mesh that is shown has applied the tip
    Applied,
}

impl Condition {
    fn holds(self, status: &FederationStatus) -> bool {
        match self {
            Self::Healthy => !status.degraded,
            Self::Applied => !status.meshes.iter().any(MeshView::is_late),
        }
    }
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
        let mut remote = self.repo.fetch()?;
        let mut status = self.look(&remote.mirror)?;
        if let Some(condition) = self.wait {
            let start = Instant::now();
            while !condition.holds(&status) && start.elapsed() < self.timeout {
                thread::sleep(LOOK_AGAIN.min(self.timeout));
                remote.mirror.fetch()?;
                status = self.look(&remote.mirror)?;
            }
            self.show(&status)?;
            return Ok(Exit::findings(!condition.holds(&status)));
        }
        self.show(&status)?;
        if self.watch {
            return self.keep_watching(&mut remote.mirror);
        }
        Ok(Exit::findings(status.degraded))
    }

    /// Shows it again whenever a branch has moved, until somebody ends the command.
    fn keep_watching(&self, mirror: &mut Mirror) -> Result<Exit, Error> {
        loop {
            let before = mirror.refs().clone();
            thread::sleep(LOOK_AGAIN);
            match mirror.fetch() {
                Ok(refs) if refs == before => {}
                Ok(_) => {
                    let status = self.look(mirror)?;
                    output::print(if output::look().width.is_some() { CLEAR } else { "\n" })?;
                    self.show(&status)?;
                }
                // A host that is away for a moment ends no watch.
                Err(error) => eprintln!("{error}"),
            }
        }
    }

    /// What is asked for, as of now.
    fn look(&self, mirror: &Mirror) -> Result<FederationStatus, Error> {
        let mut status = gather(mirror, &self.repo.branch, Timestamp::now())?;
        if self.mesh.is_none() && self.peering.is_none() {
            return Ok(status);
        }
        let names = self.mesh.iter().chain(self.peering.iter().flat_map(|Peering(a, b)| [a, b]));
        if let Some(unknown) = names.into_iter().find(|name| !status.meshes.iter().any(|mesh| mesh.name == **name)) {
            let known: Vec<&str> = status.meshes.iter().map(|mesh| mesh.name.as_str()).collect();
            let message = format!("there is no mesh `{}`", unknown.escape_debug());
            return Err(Error::unavailable(message, format!("there is: {}", known.join(", "))));
        }
        let (mesh, pair) = (self.mesh.as_deref(), self.peering.as_ref());
        let both = |name: &str| pair.is_none_or(|Peering(a, b)| [a, b].contains(&&name.to_owned()));
        status.narrow(
            |name| mesh.is_none_or(|mesh| mesh == name) && both(name),
            |a, b| mesh.is_none_or(|mesh| [a, b].contains(&mesh)) && pair.is_none_or(|pair| pair.is(a, b)),
        );
        Ok(status)
    }

    fn show(&self, status: &FederationStatus) -> Result<(), Error> {
        let now = Timestamp::now();
        match self.output {
            Format::Text => output::print(&status::render(status, now, false, output::look())),
            Format::Wide => output::print(&status::render(status, now, true, output::look())),
            Format::Json => output::print_json(status),
            Format::Yaml => output::print_yaml(status),
        }
    }
}

/// Reads `main` and every published branch.
pub(super) fn gather(mirror: &Mirror, branch: &str, now: Timestamp) -> Result<FederationStatus, Error> {
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
