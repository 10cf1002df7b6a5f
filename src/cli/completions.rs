//! `meshfed completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, output};
use crate::error::{Error, Exit};

/// Print a script that completes the command line in a shell
///
/// Example: meshfed completions bash > ~/.local/share/bash-completion/completions/meshfed
#[derive(clap::Args, Debug)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "meshfed", &mut script);
        output::print(&String::from_utf8(script).map_err(Error::other)?)?;
        Ok(Exit::Fine)
    }
}
