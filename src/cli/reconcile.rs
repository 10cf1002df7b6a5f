//! `meshfed reconcile`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::output::print;
use super::remote::{ClusterArgs, block_on};
use crate::agent::reconcile::{HANDLED, REQUESTED, RESULT, Reconciled, annotation};
use crate::cluster::Cluster;
use crate::error::{Error, Exit};
use crate::model::names;
use crate::object::STATE_NAME;

/// Time between two looks for the answer: less than people notice.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Ask a running agent to look at the repository and to pass now
///
/// Writes an annotation on the agent's ConfigMap, in the cluster that kubectl would take, so you need `get` and `patch` on it. With --wait, exit code 1 means that something is left for
/// people to do.
/// Example: meshfed reconcile --mesh rosa-prod-mesh --wait
#[derive(Args, Debug)]
pub struct Reconcile {
    /// Name of the mesh
    #[arg(long, env = "MESHFED_MESH")]
    mesh: String,
    /// Namespace of its control plane [default: the mesh's name]
    #[arg(long, short)]
    namespace: Option<String>,
    /// Wait until the agent has answered, and say how it went
    #[arg(long)]
    wait: bool,
    /// How long to wait, such as 90s or 10m
    #[arg(long, value_name = "TIME", default_value = "1m", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Reconcile {
    pub(super) fn run(self) -> Result<Exit, Error> {
        names::mesh(&self.mesh).map_err(|message| Error::usage(message, "name the mesh by --mesh or MESHFED_MESH"))?;
        block_on(self.ask())?
    }

    async fn ask(&self) -> Result<Exit, Error> {
        let namespace = self.namespace.as_deref().unwrap_or(&self.mesh);
        let cluster = Cluster::connect(&self.cluster.options()).await?;
        let token = Timestamp::now().to_string();
        let Some(mut answer) = cluster.annotate_state(namespace, STATE_NAME, REQUESTED, &token).await? else {
            return Err(Error::unavailable(
                format!("there is no ConfigMap/{namespace}/{STATE_NAME} in the cluster at {}", cluster.url()),
                "an agent makes it with its first pass: look whether one runs, and name its namespace by --namespace",
            ));
        };
        if !self.wait {
            print(&format!("asked the agent of {}\n", self.mesh))?;
            return Ok(Exit::Fine);
        }
        let start = Instant::now();
        while annotation(&answer, HANDLED).as_ref() != Some(&token) {
            if start.elapsed() > self.timeout {
                return Err(Error::unavailable(
                    format!("the agent of {} has not answered within {}", self.mesh, humantime::format_duration(self.timeout)),
                    "look at its log: kubectl -n meshfed logs deployment/meshfed",
                ));
            }
            sleep(LOOK_AGAIN).await;
            answer = cluster.whole_state(namespace, STATE_NAME).await?.unwrap_or_default();
        }
        let result = annotation(&answer, RESULT).and_then(|text| serde_json::from_str::<Reconciled>(&text).ok());
        let result =
            result.ok_or_else(|| Error::unavailable("the agent's answer cannot be read", "is it of another version?"))?;
        print(&format!("{}: {}\n", self.mesh, result.words()))?;
        Ok(Exit::findings(!result.is_fine()))
    }
}
