//! `meshfed check`.

mod history;
mod pre_receive;
mod subject;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use jiff::Timestamp;

use self::history::History;
use self::subject::Subject;
use super::remote::{RepoArgs, TrustArgs};
use super::{offline, output};
use crate::agent::declarations;
use crate::error::{Error, Exit};
use crate::facts::published::FACTS_PATH;
use crate::lint::{self, lint};
use crate::model::{Code, Diagnostic, Severity, once};
use crate::policy::{self, Loaded};
use crate::repo::PUBLISHED;
use crate::view::findings::{self, Finding};

/// Find mistakes in the documents of a federation, without a cluster
///
/// A folder is checked as its files are, committed or not, with --rev as a commit has them; with --repo, main or that revision of another
/// repository. A file or folder that belongs to no federation, but has objects of one that somebody wrote by hand, is checked too. Commits are
/// verified by the rules in trust/, and what the meshes publish by their keys: from --trust-anchor on, else from the oldest commit that has
/// trust/, which shows mistakes and proves nothing to somebody who doubts the host. With --range, the commits of a merge request are judged, and
/// the documents of its tip; with --pre-receive the same for a push, on the server, before it lands. Exit code 1 means that at least one finding
/// is an error.
///
/// Example: meshfed check repo-layout
///
/// Example: meshfed check --repo https://git.example.com/mesh/federation.git --rev feature/ratings
///
/// Example: meshfed check --range main..feature/ratings -o github
#[derive(clap::Args, Debug)]
pub struct Check {
    /// The folder that has federation.yaml, or anything in it [default: .]
    path: Option<PathBuf>,
    #[command(flatten)]
    repo: RepoArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// The commit, branch or tag whose files are checked, instead of those in the folder
    #[arg(long, value_name = "REV")]
    rev: Option<String>,
    /// Judge a merge request: the commits of B that A does not have, and the documents of B
    #[arg(long, value_name = "A..B", conflicts_with = "rev")]
    range: Option<String>,
    /// Judge a push, as the server's pre-receive hook; repo-layout/README.md says how to install it
    #[arg(long, conflicts_with_all = ["path", "rev", "range", "output"])]
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
        let start = Instant::now();
        let subject = Subject::of(&self)?;
        let tree = &subject.tree;
        let now = Timestamp::now();
        let Loaded { federation, policies, problems: mut found } = tree.load();
        let (mut texts, mut facts) = (tree.texts(), BTreeMap::new());
        let published = subject.published()?;
        let paths: BTreeMap<&str, String> =
            published.keys().map(|mesh| (mesh.as_str(), format!("{PUBLISHED}{mesh}:{FACTS_PATH}"))).collect();
        for (mesh, files) in &published {
            let said = declarations::said(mesh, files, &federation.allow_addresses, now);
            facts.extend(said.facts.map(|known| (mesh.clone(), known)));
            found.extend(said.found);
            texts.extend(paths.get(mesh.as_str()).zip(files.get(FACTS_PATH)).map(|(path, text)| (path.as_str(), text.as_str())));
        }
        let History { found: refused, words: verified, .. } = subject.history(&self, &federation)?;
        found.extend(refused);
        found.extend(offline::violations(&federation, &policies));
        if tree.plain() {
            found.retain(|finding| finding.code != Code::NoFederation);
        }
        found.extend(lint(lint::Inputs { federation: &federation, texts: &texts, plain: tree.plain(), facts: &facts, now }));
        found.extend(tree.misspelt());
        found.sort();
        found.dedup();
        policy::say_once(&mut found);
        once(&mut found);
        self.print(&found, &tree.prefix(), &texts)?;
        let verified = if verified.is_empty() { verified } else { format!(", {verified}") };
        tell!("{}{verified} ({} ms)", findings::summary(&found, tree.len()), start.elapsed().as_millis());
        if !found.is_empty() {
            tell!("{}", findings::more(&found));
        }
        Ok(Exit::findings(found.iter().any(|finding| finding.severity == Severity::Error)))
    }

    fn print(&self, found: &[Diagnostic], prefix: &str, texts: &BTreeMap<&str, &str>) -> Result<(), Error> {
        match self.output {
            Format::Text => output::print(&findings::render(found, prefix, &|path| texts.get(path).copied(), output::look())),
            Format::Json => output::print_json(&found.iter().map(Finding::from).collect::<Vec<_>>()),
            Format::Sarif => output::print_json(&findings::sarif(found, prefix)),
            Format::Github => output::print(&findings::github(found, prefix)),
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
    output::print(&findings::fit(known.page(), output::wide_look()))?;
    Ok(Exit::Fine)
}
