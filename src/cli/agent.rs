//! `meshfed agent`.

use crate::agent::{self, Outcome};
use crate::config::AgentArgs;
use crate::error::{Error, Exit};

/// Look after one mesh: apply what the repository declares, publish what its peers need
///
/// Example: meshfed agent --mesh rosa-prod-mesh --repo https://git.example.com/platform/meshes.git
#[derive(clap::Args, Debug)]
pub struct Agent {
    #[command(flatten)]
    args: AgentArgs,
}

impl Agent {
    pub(super) fn run(self) -> Result<Exit, Error> {
        agent::log::init();
        match agent::run(self.args.resolve()?).map_err(Error::other)? {
            Outcome::Quiet | Outcome::Stopped => Ok(Exit::Fine),
            Outcome::Failed(reasons) => {
                for reason in reasons {
                    tell!("error: {reason}");
                }
                Ok(Exit::Findings)
            }
        }
    }
}
