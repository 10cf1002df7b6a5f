//! `meshfed trust show`.

use std::path::PathBuf;

use crate::cli::clone::fault;
use crate::cli::output::{self, Format};
use crate::cli::remote::TrustArgs;
use crate::cli::trusted::{found, verify};
use crate::error::{Error, Exit};
use crate::repo::Checkout;
use crate::trust::{FOLDER, Rules, Verifier};
use crate::view::trust::{self as view, Anchor, Shown};

/// Show who may change what, and whether the history keeps to it
///
/// The history is verified from the anchor that the agents were given. Without --trust-anchor it starts at the oldest commit that has
/// trust/, which shows mistakes, and proves nothing to somebody who doubts the host. Exit code 1 means that a commit is refused. Example:
/// meshfed trust show --at origin/main
#[derive(clap::Args, Debug)]
pub struct Show {
    /// Branch or commit
    #[arg(long, value_name = "REV", default_value = "HEAD")]
    at: String,
    #[command(flatten)]
    trust: TrustArgs,
    /// Your clone of the shared repository, or a folder in it
    #[arg(long, value_name = "PATH", default_value = ".")]
    repo: PathBuf,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

impl Show {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let checkout = Checkout::discover(&self.repo)?;
        let tip = checkout.resolve(&self.at)?;
        let given = self.trust.introduction();
        let introduction = match given {
            Some(introduction) => introduction,
            None => found(&checkout, tip.into()).map_err(fault)?.ok_or_else(|| nothing(&self.at))?,
        };
        let history = verify(&checkout, introduction, tip.into())?;
        let serves = history.newest.unwrap_or(history.anchor);
        // What agents follow is what they serve: later rules hold for nobody yet.
        let rules = Rules::of(&checkout, serves).map_err(fault)?.ok_or_else(|| nothing(&self.at))?;
        let digest = Verifier::digest(&checkout, serves).map_err(fault)?;
        let refusal = history.refusal.as_ref().map(|refusal| (refusal, refusal.way_out(history.newest, Some(tip.into()))));
        let anchor = Anchor { commit: history.anchor, given: given.is_some() };
        let shown = Shown::new(&checkout.commit(serves.into())?.summary, serves, digest, &rules, anchor, refusal);
        match self.output {
            Format::Text => output::print(&view::render(&shown, output::look()))?,
            Format::Json => output::print_json(&shown)?,
        }
        Ok(Exit::findings(history.refusal.is_some()))
    }
}

fn nothing(at: &str) -> Error {
    Error::unavailable(format!("{at} has no {FOLDER}/: nothing is verified"), "meshfed trust introduce makes it")
}
