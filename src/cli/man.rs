//! `meshfed man`.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;
use crate::error::{Error, Exit};

/// Write the manual pages, one for each command
///
/// Example: meshfed man ~/.local/share/man/man1
#[derive(clap::Args, Debug)]
pub struct Man {
    /// Folder to write to; made if absent
    dir: PathBuf,
}

impl Man {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let fail = |error: std::io::Error| Error::unavailable(format!("cannot write {}: {error}", self.dir.display()), "");
        fs::create_dir_all(&self.dir).map_err(fail)?;
        clap_mangen::generate_to(Cli::command(), &self.dir).map_err(fail)?;
        Ok(Exit::Fine)
    }
}
