//! The command line: one file a command; the doc comments of arguments are the help text.

#[macro_use]
mod output; // first, for its macro

mod agent;
mod check;
mod clone;
mod committed;
mod completions;
mod doctor;
mod explain;
mod facts;
mod graph;
mod import;
mod init;
mod join;
mod live;
mod log;
mod man;
mod offline;
mod peer;
mod plan;
mod policies;
mod reconcile;
mod remote;
mod render;
mod schema;
mod seen;
mod status;
mod tree;
mod trust;
mod trusted;

use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Error, Exit};
use crate::view::table::wrap;

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
    Import(import::Import),
    Agent(Box<agent::Agent>),
    Check(check::Check),
    Render(render::Render),
    Plan(plan::Plan),
    Policies(policies::Policies),
    Status(status::Status),
    Reconcile(reconcile::Reconcile),
    Log(log::Log),
    Explain(explain::Explain),
    Graph(graph::Graph),
    Doctor(Box<doctor::Doctor>),
    Trust(trust::Trust),
    Schema(schema::Schema),
    Completions(completions::Completions),
    Man(man::Man),
}

/// As which `kubectl` finds a plugin in the path.
const PLUGIN: &str = "kubectl-meshfed";

/// Reads the command line; ends the process where it asks for help or cannot be meant. Under its name as a plugin, help speaks of
/// `kubectl meshfed`.
pub fn parse() -> Cli {
    let name = std::env::args_os().next().map(PathBuf::from);
    let plugin = name.as_ref().and_then(|name| name.file_stem()).is_some_and(|name| name == PLUGIN);
    let command = if plugin { Cli::command().bin_name("kubectl meshfed") } else { Cli::command() };
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// Says on standard error what went wrong.
pub fn complain(message: &str) {
    tell!("{}", fit_for_stderr(message));
}

/// A message as standard error wants it: broken between words to fit a terminal; whole elsewhere, so that what looks for it finds it.
fn fit_for_stderr(message: &str) -> String {
    let Some(width) = output::width_of_stderr() else { return message.to_owned() };
    let indented = |line: &str| line.chars().take_while(|c| *c == ' ').count();
    let fit = |line: &str| {
        let indent = indented(line) + 2;
        wrap(line.trim_start(), width.saturating_sub(indent)).join(&format!("\n{}", " ".repeat(indent)))
    };
    message.lines().map(|line| format!("{}{}", " ".repeat(indented(line)), fit(line))).collect::<Vec<_>>().join("\n")
}

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> Result<Exit, Error> {
    match cli.command {
        Command::Init(command) => command.run(),
        Command::Join(command) => command.run(),
        Command::Peer(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Agent(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Render(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Policies(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Reconcile(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Graph(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Trust(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    }
}
