//! `meshfed graph`.

use std::collections::BTreeSet;

use clap::ValueEnum;
use jiff::Timestamp;

use super::output;
use super::remote::RepoArgs;
use super::render::no_mesh;
use super::seen::Seen;
use crate::error::{Error, Exit};
use crate::view::graph;

/// Draw meshes, peerings, services and weights, with how they do, from Git alone
///
/// Lines without breaks work, dashed ones do not, dotted ones are suspended; so they do without colour. Example:
/// meshfed graph -o svg > federation.svg
#[derive(clap::Args, Debug)]
pub struct Graph {
    #[command(flatten)]
    repo: RepoArgs,
    /// Only this mesh, its peers, and what crosses between them
    #[arg(long, value_name = "MESH")]
    mesh: Option<String>,
    /// Format
    #[arg(short, long, default_value = "mermaid")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A flowchart that Git hosts show in a README
    Mermaid,
    /// For Graphviz
    Dot,
    /// A picture
    Svg,
}

impl Graph {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let remote = self.repo.fetch()?;
        let now = Timestamp::now();
        let mut status = Seen::read(&remote.mirror, &self.repo.branch, now)?.status(now);
        if let Some(mesh) = &self.mesh {
            let all: Vec<&str> = status.meshes.iter().map(|view| view.name.as_str()).collect();
            if !all.contains(&mesh.as_str()) {
                return Err(no_mesh(mesh, &all));
            }
            let pairs = status.peerings.iter().map(|peering| &peering.meshes).filter(|pair| pair.contains(mesh));
            let near: BTreeSet<String> = pairs.flatten().chain([mesh]).cloned().collect();
            status.narrow(|name| near.contains(name), |a, b| [a, b].contains(&mesh.as_str()));
        }
        output::print(&match self.output {
            Format::Mermaid => graph::mermaid(&status),
            Format::Dot => graph::dot(&status),
            Format::Svg => graph::svg(&status),
        })?;
        Ok(Exit::Fine)
    }
}
