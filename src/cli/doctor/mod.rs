//! `meshfed doctor`.

mod cluster;
mod git;
mod peers;

use std::path::PathBuf;

use jiff::Timestamp;

use super::output::{self, Format};
use super::remote::{ClusterArgs, RepoArgs, TrustArgs, block_on};
use crate::cluster::LeasePlace;
use crate::decide::{Presence, Status, presence};
use crate::error::{Error, Exit};
use crate::view::doctor::{self as view, Check, Outcome, Report};

/// Look for what keeps a mesh from working, and say what to do
///
/// Looks at the repository, at what the mesh's agent says, and from here at the ingress of each peer: whether it answers, and whether its certificate ends in
/// the CA roots that the peer publishes. With --kubeconfig or --context, or in a pod, also at the cluster: definitions, permissions of
/// whoever asks, control plane and clock. Takes the agent's environment, so that it sees what the agent sees when it runs in the
/// agent's pod. Changes nothing. Exit code 1 means that something does not work, 3 that something could not be found out.
///
/// Example: meshfed doctor --mesh gcp-dev-mesh
///
/// Example: meshfed doctor --mesh rosa-prod-mesh --context rosa --signing-key rosa-agent.key
#[derive(clap::Args, Debug)]
pub struct Doctor {
    /// The mesh
    #[arg(long, env = "MESHFED_MESH")]
    mesh: String,
    #[command(flatten)]
    repo: RepoArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// The agent's private key: is it one that mesh.yaml lists, and may its owner push? Nothing is written
    #[arg(long, env = "MESHFED_SIGNING_KEY", value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// The agent's Lease as [NAMESPACE/]NAME: may whoever asks choose a leader by it?
    #[arg(long, env = "MESHFED_LEASE", value_name = "NAME")]
    lease: Option<LeasePlace>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

impl Doctor {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let report = self.examine()?;
        match self.output {
            Format::Text => output::print(&view::render(&report, output::look()))?,
            Format::Json => output::print_json(&report)?,
        }
        Ok(match (report.count(Outcome::Failure), report.count(Outcome::Unknown)) {
            (0, 0) => Exit::Fine,
            (0, _) => Exit::Unknown,
            _ => Exit::Findings,
        })
    }

    fn examine(&self) -> Result<Report, Error> {
        let mut checks = Vec::new();
        let now = Timestamp::now();
        let seen = self.repository(now, &mut checks)?;
        let nobody = Status::default();
        let declared = seen.as_ref().map(|seen| {
            let status = seen.published.get(&self.mesh).map_or(&nobody, |published| &published.status);
            (seen, presence(&seen.federation, &self.mesh, status))
        });
        block_on(async {
            self.cluster(declared.as_ref().map(|(seen, presence)| (*seen, presence)), &mut checks).await;
            match &declared {
                Some((seen, Presence::Declared(_))) => peers::look(seen, &self.mesh, now, &mut checks).await,
                Some(_) => {}
                None => checks.push(Check::unknown("peers", "they are in the repository, which could not be read", "")),
            }
        })?;
        Ok(Report { mesh: self.mesh.clone(), checks })
    }
}
