//! Parses arguments, runs the command, turns an error into a message and an exit code.

use std::process::ExitCode;

use meshfed::cli;

fn main() -> ExitCode {
    match cli::run(cli::parse()) {
        Ok(exit) => exit.into(),
        Err(error) => {
            if let Some(message) = error.message() {
                cli::complain(&message);
            }
            error.code().into()
        }
    }
}
