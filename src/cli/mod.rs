//! The command line: one file a command; the doc comments of arguments are the help text.

mod agent;
mod check;
mod clone;
mod committed;
mod explain;
mod facts;
mod graph;
mod init;
mod join;
mod log;
mod offline;
mod output;
mod peer;
mod plan;
mod remote;
mod render;
mod schema;
mod status;
mod tree;
mod trust;

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
    Init(init::Init),
    Join(join::Join),
    Peer(peer::Peer),
    Agent(Box<agent::Agent>),
    Check(check::Check),
    Render(render::Render),
    Plan(plan::Plan),
    Status(status::Status),
    Log(log::Log),
    Explain(explain::Explain),
    Graph(graph::Graph),
    Trust(trust::Trust),
    Schema(schema::Schema),
}

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> Result<Exit, Error> {
    match cli.command {
        Command::Init(command) => command.run(),
        Command::Join(command) => command.run(),
        Command::Peer(command) => command.run(),
        Command::Agent(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Render(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Graph(command) => command.run(),
        Command::Trust(command) => command.run(),
        Command::Schema(command) => command.run(),
    }
}
