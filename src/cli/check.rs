//! `meshfed check`.

mod pre_receive;
mod range;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use jiff::Timestamp;

use super::remote::{Remote, RepoArgs};
use super::tree::Tree;
use super::{offline, output};
use crate::agent::declarations::{self, Branch};
use crate::error::{Error, Exit};
use crate::facts::Facts;
use crate::lint::{self, lint};
use crate::model::{Code, Diagnostic, Federation, Severity};
use crate::policy::Loaded;
use crate::view::findings::{self, Finding};

/// Find mistakes in the documents of a federation, without a cluster
///
/// A folder is checked as its files are, committed or not; with --repo, main and what the meshes publish. A file or folder that belongs to no
/// federation, but has objects of one that somebody wrote by hand, is checked too. With --range, the commits of a merge request are judged by the
/// rules in trust/, and then the documents of its tip; with --pre-receive the same for a push, on the server, before it lands. Exit code 1
/// means that at least one finding is an error.
///
/// Example: meshfed check repo-layout
///
/// Example: meshfed check --range main..feature/ratings
#[derive(clap::Args, Debug)]
pub struct Check {
    /// The folder that has federation.yaml, or anything in it [default: .]
    path: Option<PathBuf>,
    #[command(flatten)]
    repo: RepoArgs,
    /// Judge a merge request: the commits of B that A does not have, and the documents of B
    #[arg(long, value_name = "A..B", conflicts_with = "output")]
    range: Option<String>,
    /// Judge a push, as the server's pre-receive hook; repo-layout/README.md says how to install it
    #[arg(long, conflicts_with_all = ["path", "range", "output"])]
    pre_receive: bool,
    /// Say what a number means, with an example and how to mend it, and check nothing
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// Format of the findings
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// With the lines concerned
    Text,
    /// One array of {path, line, column, severity, code, title, message, help, also}
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
    /// Workflow commands of GitHub Actions, one a line
    Github,
}

impl Check {
    pub(super) fn run(self) -> Result<Exit, Error> {
        if let Some(code) = &self.explain {
            return explain(code);
        }
        if self.pre_receive {
            return pre_receive::run(&self.repo.branch);
        }
        if let Some(range) = &self.range {
            return range::run(self.path.as_deref().unwrap_or(Path::new(".")), range);
        }
        let start = Instant::now();
        let remote = (self.path.is_none() && self.repo.given()).then(|| self.repo.fetch()).transpose()?;
        let tree = match &remote {
            Some(Remote { mirror, .. }) => Tree::at(mirror, mirror.main()?)?,
            None => Tree::read(self.path.as_deref().unwrap_or(Path::new(".")))?,
        };
        let now = Timestamp::now();
        let Loaded { federation, policies, problems: mut found } = tree.load();
        let facts = remote.map(|remote| published(&remote, &federation, now, &mut found)).transpose()?.unwrap_or_default();
        found.extend(offline::violations(&federation, &policies));
        if tree.plain() {
            found.retain(|finding| finding.code != Code::NoFederation);
        }
        let (texts, plain) = (tree.texts(), tree.plain());
        found.extend(lint(lint::Inputs { federation: &federation, texts: &texts, plain, facts: &facts, now }));
        found.sort();
        found.dedup();
        self.print(&found, &tree)?;
        eprintln!("{} ({} ms)", findings::summary(&found, tree.len()), start.elapsed().as_millis());
        if !found.is_empty() {
            eprintln!("{}", findings::more(&found));
        }
        Ok(Exit::findings(found.iter().any(|finding| finding.severity == Severity::Error)))
    }

    fn print(&self, found: &[Diagnostic], tree: &Tree) -> Result<(), Error> {
        let prefix = tree.prefix();
        match self.output {
            Format::Text => output::print(&findings::render(found, &prefix, &|path| tree.text(path), output::look())),
            Format::Json => output::print_json(&found.iter().map(Finding::from).collect::<Vec<_>>()),
            Format::Sarif => output::print_json(&findings::sarif(found, &prefix)),
            Format::Github => output::print(&findings::github(found, &prefix)),
        }
    }
}

fn explain(code: &str) -> Result<Exit, Error> {
    let Some(known) = Code::parse(code) else {
        let all = Code::ALL.iter().map(|code| format!("{} {}", code.number(), code.title())).collect::<Vec<_>>();
        return Err(Error::usage(
            format!("there is no code `{}`", code.escape_debug()),
            format!("there are:\n  {}", all.join("\n  ")),
        ));
    };
    output::print(known.page())?;
    Ok(Exit::Fine)
}

/// What every mesh publishes.
fn published(
    remote: &Remote,
    federation: &Federation,
    now: Timestamp,
    found: &mut Vec<Diagnostic>,
) -> Result<BTreeMap<String, Facts>, Error> {
    let mut facts = BTreeMap::new();
    for mesh in remote.mirror.refs().published.keys() {
        let branch = declarations::branch(&remote.mirror, mesh, &federation.allow_addresses, now)?;
        let Branch { facts: known, status: _, found: problems } = branch.unwrap_or_default();
        facts.extend(known.map(|known| (mesh.clone(), known)));
        found.extend(problems);
    }
    Ok(facts)
}
