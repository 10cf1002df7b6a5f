//! The command line: one file a command; the doc comments of arguments are the help text.

mod agent;

use clap::{Parser, Subcommand};

use crate::error::{Error, Exit};

/// Federates service meshes through one Git repository
///
/// Exit codes: 0 fine, 1 findings or changes, 2 usage, 3 could not find out. Data goes to stdout, talk to stderr.
#[derive(Parser, Debug)]
#[command(name = "meshfed", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Agent(agent::Agent),
}

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> Result<Exit, Error> {
    match cli.command {
        Command::Agent(command) => command.run(),
    }
}
