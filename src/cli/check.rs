//! `meshfed check`.

use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;

use super::tree::Tree;
use super::{offline, output};
use crate::error::{Error, Exit};
use crate::model::Severity;
use crate::policy::Loaded;
use crate::view::findings::{self, Finding};

/// Find mistakes in the documents of a federation, without a cluster or a network
///
/// Exit code 1 means that at least one finding is an error. Example: meshfed check repo-layout
#[derive(clap::Args, Debug)]
pub struct Check {
    /// The folder that has federation.yaml, or anything in it
    #[arg(default_value = ".")]
    path: PathBuf,
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
