//! `meshfed trust keygen`.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::cli::output;
use crate::error::{Error, Exit};
use crate::repo::SigningKey;

/// Make an ed25519 key that signs commits, for a person or an agent
///
/// The private key is written in OpenSSH's format, for you alone (mode 0600); a file that is there is never replaced. The public half is
/// printed and goes to FILE.pub, as it stands in trust/allowed_signers behind a name, or under agent.keys in mesh.yaml. Example:
/// meshfed trust keygen ~/.ssh/federation
#[derive(clap::Args, Debug)]
pub struct Keygen {
    /// File for the private key
    file: PathBuf,
    /// Remark in the key, for people
    #[arg(long, default_value = "meshfed")]
    comment: String,
}

impl Keygen {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let mut public = self.file.clone().into_os_string();
        public.push(".pub");
        let public = PathBuf::from(public);
        let failed = |error: io::Error| Error::unavailable(format!("{} cannot be written: {error}", public.display()), "");
        if public.try_exists().map_err(failed)? {
            return Err(Error::usage(format!("{} is there already, and is not replaced", public.display()), "name another file"));
        }
        let key = SigningKey::create_new(&self.file, &self.comment)?;
        let line = format!("{}\n", key.public_line(&self.comment));
        fs::write(&public, &line).map_err(failed)?;
        output::print(&line)?;
        tell!("wrote {}, the private key, which stays on this machine, and {}", self.file.display(), public.display());
        tell!("next: a person's key goes to meshfed trust introduce or add,\n      an agent's under agent.keys in mesh.yaml");
        Ok(Exit::Fine)
    }
}
