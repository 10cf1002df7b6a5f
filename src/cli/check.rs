//! `meshfed check`.

mod pre_receive;
mod range;

use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;

use super::tree::Tree;
use super::{offline, output};
use crate::error::{Error, Exit};
use crate::model::Severity;
use crate::policy::Loaded;
use crate::repo::DEFAULT_BRANCH;
use crate::view::findings::{self, Finding};

/// Find mistakes in the documents of a federation, without a cluster or a network
///
/// With --range it judges the commits of a merge request by the rules in trust/ and then the documents of its tip; with --pre-receive
/// it does the same for a push, on the server, before it lands. Exit code 1 means that at least one finding is an error. Example: meshfed
/// check repo-layout
#[derive(clap::Args, Debug)]
pub struct Check {
    /// The folder that has federation.yaml, or anything in it
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Judge a merge request: the commits of B that A does not have, and the documents of B
    #[arg(long, value_name = "A..B", conflicts_with = "output")]
    range: Option<String>,
    /// Judge a push, as the server's pre-receive hook; repo-layout/README.md says how to install it
    #[arg(long, conflicts_with_all = ["path", "range", "output"])]
    pre_receive: bool,
    /// The branch that people write, for --pre-receive
    #[arg(long, value_name = "NAME", default_value = DEFAULT_BRANCH)]
    branch: String,
    /// Format of the findings
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// With the lines concerned
    Text,
    /// One array of {path, line, column, severity, code, message, help}
    Json,
}

impl Check {
    pub(super) fn run(self) -> Result<Exit, Error> {
        if self.pre_receive {
            return pre_receive::run(&self.branch);
        }
        if let Some(range) = &self.range {
            return range::run(&self.path, range);
        }
        let start = Instant::now();
        let tree = Tree::read(&self.path)?;
        let Loaded { federation, policies, problems: mut found } = tree.load();
        found.extend(offline::violations(&federation, &policies));
        found.sort();
        match self.output {
            Format::Json => output::print_json(&found.iter().map(Finding::from).collect::<Vec<_>>())?,
            Format::Text => {
                output::print(&findings::render(&found, &tree.prefix(), &|path| tree.text(path), output::look()))?;
                eprintln!("{} ({} ms)", findings::summary(&found, tree.len()), start.elapsed().as_millis());
            }
        }
        Ok(Exit::findings(found.iter().any(|finding| finding.severity == Severity::Error)))
    }
}
