//! `meshfed trust show`.

use std::path::PathBuf;

use crate::cli::clone::fault;
use crate::cli::output::{self, Format};
use crate::error::{Error, Exit};
use crate::repo::Checkout;
use crate::trust::{Digest, FOLDER, Id, Rules, Verifier, oldest};
use crate::view::trust::{self as view, History, Shown};

/// Show who may change what, and whether the history keeps to it
///
/// The history is verified from the anchor that the agents were given. Without --anchor it starts at the oldest commit that has trust/,
/// which shows mistakes, and proves nothing to somebody who doubts the host. Exit code 1 means that a commit is refused. Example:
/// meshfed trust show --at origin/main
#[derive(clap::Args, Debug)]
pub struct Show {
    /// Branch or commit
    #[arg(long, value_name = "REV", default_value = "HEAD")]
    at: String,
    /// Commit from which the history is verified [default: the oldest one that has trust/]
    #[arg(long, value_name = "SHA")]
    anchor: Option<String>,
    /// What the digest of trust/ in the anchor must be
    #[arg(long, value_name = "DIGEST", requires = "anchor")]
    digest: Option<Digest>,
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
        let history = self.history(&checkout, tip.into())?;
        let serves = history.verified.unwrap_or(history.anchor);
        // What agents follow is what they serve: later rules hold for nobody yet.
        let rules = Rules::of(&checkout, serves).map_err(fault)?.ok_or_else(|| nothing(&self.at))?;
        let digest = Verifier::digest(&checkout, serves).map_err(fault)?;
        let shown = Shown::new(&checkout.commit(serves.into())?.summary, serves, digest, &rules, &history);
        match self.output {
            Format::Text => output::print(&view::render(&shown, output::look()))?,
            Format::Json => output::print_json(&shown)?,
        }
        Ok(Exit::findings(history.refusal.is_some()))
    }

    fn history(&self, checkout: &Checkout, tip: Id) -> Result<History, Error> {
        let anchor = match &self.anchor {
            Some(revision) => checkout.resolve(revision)?.into(),
            None => oldest(checkout, tip).map_err(fault)?.ok_or_else(|| nothing(&self.at))?,
        };
        let mut verifier = Verifier::new();
        let digest = match self.digest {
            Some(digest) => digest,
            None => Verifier::digest(checkout, anchor).map_err(fault)?,
        };
        let given = self.anchor.is_some();
        if let Err(refusal) = verifier.introduce(checkout, anchor, digest).map_err(Error::other)? {
            return Ok(History { anchor, given, tip, verified: None, refusal: Some(refusal) });
        }
        let verdict = verifier.main(checkout, anchor, tip).map_err(Error::other)?;
        Ok(History { anchor, given, tip, verified: verdict.verified, refusal: verdict.refusal })
    }
}

fn nothing(at: &str) -> Error {
    Error::unavailable(format!("{at} has no {FOLDER}/: nothing is verified"), "meshfed trust introduce makes it")
}
