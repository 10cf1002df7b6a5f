//! `meshfed log`.

mod filter;
mod marks;
mod walk;

use jiff::Timestamp;

use self::filter::Filter;
pub(super) use self::filter::Peering;
use self::marks::Marks;
use self::walk::Walk;
use super::output::{self, Format};
use super::remote::{RepoArgs, TrustArgs};
use crate::error::{Error, Exit};
use crate::view::log;

/// Commits shown where people do not say how many: a few screens.
const DEFAULT_COUNT: usize = 50;

/// Show who changed what in the federation, and when each mesh had applied it
///
/// The history of main and of all published branches, in the terms of a federation, newest first. Each commit is marked: ✔ signed by
/// somebody who may change what it changes, ✘ refused, … good by itself but not in force, ? nobody can say. Without --trust-anchor the
/// verification starts at the oldest commit that has trust/, which proves nothing to somebody who doubts the host: then the mark is (✔).
/// Times are UTC. Example: meshfed log --since 2w --peering rosa-prod-mesh:aro-stg-mesh
#[derive(clap::Args, Debug)]
pub struct Log {
    #[command(flatten)]
    repo: RepoArgs,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    trust: TrustArgs,
    /// At most this many commits
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = DEFAULT_COUNT)]
    max_count: usize,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

impl Log {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let remote = self.repo.fetch()?;
        let mirror = &remote.mirror;
        let since = self.filter.since(Timestamp::now())?;
        let (marks, basis) = Marks::begin(mirror, self.trust.introduction())?;
        let mut walk = Walk::new(mirror, &self.repo.branch, marks)?;
        let (mut entries, mut more) = (Vec::new(), false);
        while let Some(found) = walk.next(since.from)? {
            if !since.holds(found.entry.at) {
                continue;
            }
            let Some(entry) = self.filter.apply(found) else { continue };
            more = entries.len() == self.max_count;
            if more {
                break;
            }
            entries.push(entry);
        }
        let entries = walk.with_applied(entries);
        if !more && let Some(mesh) = self.filter.unknown(&entries) {
            tell!("nothing here is about a mesh `{}`", mesh.escape_debug());
        }
        match self.output {
            Format::Text => {
                output::print(&log::render(&entries, output::look()))?;
                tell!("{}", log::summary(&entries, more, &basis));
            }
            Format::Json => output::print_json(&entries)?,
        }
        Ok(Exit::Fine)
    }
}
