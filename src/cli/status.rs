//! `meshfed status`.

use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use jiff::Timestamp;

use super::live::{Declared, decide_now};
use super::log::Peering;
use super::remote::{ClusterArgs, RepoArgs, TrustArgs};
use super::seen::Seen;
use super::{output, render};
use crate::decide::Status as MeshStatus;
use crate::error::{Error, Exit};
use crate::repo::Mirror;
use crate::view::federation::{FederationStatus, MeshView};
use crate::view::live::LiveView;
use crate::view::status;

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
    /// Join it with what the cluster of a mesh says now; needs --mesh
    #[arg(long, requires = "mesh", conflicts_with_all = ["watch", "wait"])]
    live: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    trust: TrustArgs,
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
    /// That it does not hold yet.
    fn missing(self) -> &'static str {
        match self {
            Self::Healthy => "something is degraded",
            Self::Applied => "not every mesh has applied the tip",
        }
    }

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
            if output::is_terminal() && !condition.holds(&status) {
                tell!("{}: waiting for at most {}", condition.missing(), humantime::format_duration(self.timeout));
            }
            while !condition.holds(&status) && start.elapsed() < self.timeout {
                thread::sleep(LOOK_AGAIN.min(self.timeout));
                remote.mirror.fetch()?;
                status = self.look(&remote.mirror)?;
            }
            self.show(&status)?;
            if !condition.holds(&status) {
                tell!("{} after {}", condition.missing(), humantime::format_duration(self.timeout));
            }
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
                    output::print(if output::is_terminal() { CLEAR } else { "\n" })?;
                    self.show(&status)?;
                }
                // A host that is away for a moment ends no watch.
                Err(error) => tell!("{error}"),
            }
        }
    }

    /// What is asked for, as of now.
    fn look(&self, mirror: &Mirror) -> Result<FederationStatus, Error> {
        let now = Timestamp::now();
        let mut seen = Seen::read(mirror, &self.repo.branch, now)?;
        if let Some(verified) = self.trust.verify(mirror)? {
            (seen.commit.verification, seen.commit.verified) = verified.words();
        }
        let live =
            self.live.then_some(self.mesh.as_ref()).flatten().map(|mesh| self.ask(mesh, mirror, &mut seen, now)).transpose()?;
        let mut status = seen.status(now);
        live.into_iter().for_each(|live| status.join(live));
        if self.mesh.is_none() && self.peering.is_none() {
            return Ok(status);
        }
        let names = self.mesh.iter().chain(self.peering.iter().flat_map(|Peering(a, b)| [a, b]));
        if let Some(unknown) = names.into_iter().find(|name| !status.meshes.iter().any(|mesh| mesh.name == **name)) {
            let known: Vec<&str> = status.meshes.iter().map(|mesh| mesh.name.as_str()).collect();
            return Err(render::no_mesh(unknown, &known));
        }
        if let Some(pair) = &self.peering
            && !status.peerings.iter().any(|peering| pair.is(&peering.meshes[0], &peering.meshes[1]))
        {
            let Peering(a, b) = pair;
            return Err(Error::unavailable(
                format!("{a} and {b} are no peers"),
                format!("meshfed peer {a} {b} makes them peers"),
            ));
        }
        let (mesh, pair) = (self.mesh.as_deref(), self.peering.as_ref());
        let both = |name: &str| pair.is_none_or(|Peering(a, b)| [a, b].contains(&&name.to_owned()));
        status.narrow(
            |name| mesh.is_none_or(|mesh| mesh == name) && both(name),
            |a, b| mesh.is_none_or(|mesh| [a, b].contains(&mesh)) && pair.is_none_or(|pair| pair.is(a, b)),
        );
        Ok(status)
    }

    /// Puts what the cluster of a mesh says now in place of what its agent published.
    fn ask(&self, mesh: &str, mirror: &Mirror, seen: &mut Seen, now: Timestamp) -> Result<LiveView, Error> {
        let declared = Declared::committed(mirror, mesh, now)?;
        render::find(&declared.federation, mesh)?;
        let live = decide_now(&self.cluster, mesh, &declared, true)?;
        let published = seen.published.entry(mesh.to_owned()).or_default();
        let was = std::mem::take(&mut published.status);
        let leader = live.leader.unwrap_or_else(|error| {
            tell!("which replica of the agent writes cannot be said: {error}");
            None
        });
        let view = LiveView::new(mesh, &live.url, &was, &live.decision.status, leader);
        // What the cluster cannot know stays as it was published.
        let MeshStatus { agent, main, mode, rotation, ca_roots, ingress, .. } = was;
        published.status =
            MeshStatus { agent, main, mode, rotation, ca_roots, ingress, would_do: Vec::new(), ..live.decision.status };
        Ok(view)
    }

    fn show(&self, status: &FederationStatus) -> Result<(), Error> {
        let now = Timestamp::now();
        match self.output {
            Format::Text => output::print(&status::render(status, now, false, output::look())),
            Format::Wide => output::print(&status::render(status, now, true, output::wide_look())),
            Format::Json => output::print_json(status),
            Format::Yaml => output::print_yaml(status),
        }
    }
}
