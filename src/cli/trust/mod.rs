//! `meshfed trust …`: who may change what in the shared repository.

mod accept;
mod add;
mod introduce;
mod keygen;
mod revoke;
mod show;

use clap::Subcommand;

pub(super) use introduce::{first_files, signer_name};

use crate::error::{Error, Exit};
use crate::trust::FOLDER;

/// Say who may change what in the shared repository, and see whether its history keeps to it
///
/// Each subcommand that changes something makes one signed commit in your clone and prints how to push it. A key with a passphrase, in hardware
/// or in ssh-agent signs by ssh-keygen, as with Git. Example: meshfed trust show
#[derive(clap::Args, Debug)]
pub struct Trust {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Keygen(keygen::Keygen),
    Introduce(introduce::Introduce),
    Add(add::Add),
    Revoke(revoke::Revoke),
    Accept(accept::Accept),
    Show(show::Show),
}

impl Trust {
    pub(super) fn run(self) -> Result<Exit, Error> {
        match self.command {
            Command::Keygen(command) => command.run(),
            Command::Introduce(command) => command.run(),
            Command::Add(command) => command.run(),
            Command::Revoke(command) => command.run(),
            Command::Accept(command) => command.run(),
            Command::Show(command) => command.run(),
        }
    }
}

/// A file of the folder.
fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}
