//! `meshfed plan`.

mod live;
mod revisions;

use std::path::PathBuf;

use clap::ValueEnum;

use super::output;
use super::remote::{ClusterArgs, RepoArgs};
use crate::error::{Error, Exit};
use crate::model::{Diagnostic, Severity};
use crate::view::plan::{self, Plans};

/// Show what a change of the repository would do in each mesh, without changing anything
///
/// Compares two revisions, or a revision with the files as they are, without any cluster: every import counts as working, and addresses and CA
/// roots are those that the meshes publish now. With --live, shows what the agent of a mesh would change in its cluster now. Exit code 1
/// means that there is something to change, or an error.
///
/// Example: meshfed plan main..feature/ratings
///
/// Example: meshfed plan --live --mesh rosa-prod-mesh --context rosa
#[derive(clap::Args, Debug)]
pub struct Plan {
    /// A..B compares two revisions, A...B what B changed since it left A, A compares it with the files as they are [default: the
    /// branch that people write]
    #[arg(value_name = "RANGE", conflicts_with = "live")]
    range: Option<String>,
    /// Only this mesh
    #[arg(long, env = "MESHFED_MESH")]
    mesh: Option<String>,
    #[command(flatten)]
    repo: RepoArgs,
    /// Folder with facts of the peers, instead of those in published branches: <DIR>/<mesh>.yaml or <DIR>/<mesh>/published.yaml
    #[arg(long, value_name = "DIR")]
    facts: Option<PathBuf>,
    /// Compare with the mesh's cluster; needs --mesh
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Objects and their fields
    Text,
    /// For programs
    Json,
    /// Markdown, for the comment of a merge request
    Md,
}

/// What is wrong with the documents, a line each.
fn errors(problems: &[Diagnostic]) -> Vec<String> {
    problems.iter().filter(|problem| problem.severity == Severity::Error).map(ToString::to_string).collect()
}

impl Plan {
    pub(super) fn run(mut self) -> Result<Exit, Error> {
        self.repo.repo = self.repo.here(self.live)?;
        let plans = match (&self.mesh, self.live) {
            (Some(mesh), true) => self.live(mesh)?,
            (None, true) => return Err(Error::usage("the mesh is not given", "set --mesh or MESHFED_MESH")),
            (_, false) => self.between()?,
        };
        self.print(&plans)?;
        Ok(Exit::findings(plans.any() || !plans.errors.is_empty()))
    }

    fn print(&self, plans: &Plans) -> Result<(), Error> {
        match self.output {
            Format::Text => output::print(&plan::render(plans, output::look())),
            Format::Json => output::print_json(plans),
            Format::Md => output::print(&plan::markdown(plans)),
        }
    }
}
