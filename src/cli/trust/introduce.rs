//! `meshfed trust introduce`.

use std::collections::BTreeMap;

use super::path;
use crate::cli::clone::{Clone, CloneArgs, Judge};
use crate::error::{Error, Exit};
use crate::repo::Contribution;
use crate::trust::{FOLDER, Id, PublicKey, Signers, edit};

/// Begin to verify: write trust/ with yourself as root, in a signed commit, and print what agents are started with
///
/// From this commit on every commit must be signed by somebody whom trust/ allows to change what it changes. Give the printed flags to
/// each agent, and by another way than this repository: they are what an agent believes first. Example:
/// meshfed trust introduce --name ada@example.com --key ~/.ssh/federation
#[derive(clap::Args, Debug)]
pub struct Introduce {
    /// Your name as a signer [default: Git's user.email]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    clone: CloneArgs,
}

impl Introduce {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let mut clone = self.clone.open()?;
        if clone.rules().is_ok() {
            let message = format!("{FOLDER}/ is there already");
            return Err(Error::usage(message, "meshfed trust show explains it; add, revoke and accept change it"));
        }
        let name = signer_name(&clone, self.name)?;
        let files = first_files(&name, &clone.public_key()?)?;
        clone.name = Some(name.clone());
        let contribution = Contribution { files, message: format!("Let {name} say who may change what") };
        let commit = clone.commit(&contribution, Judge::Introduction)?;
        clone.print_anchor(Id::from(commit))?;
        tell!("then: start every agent with these flags, and have its key under agent.keys in its mesh.yaml");
        tell!("      meshfed trust add NAME KEY --role MESH for each team");
        Ok(Exit::Fine)
    }
}

/// Whoever is to be the first root.
pub(in crate::cli) fn signer_name(clone: &Clone, given: Option<String>) -> Result<String, Error> {
    given.or_else(|| clone.checkout.setting("user.email")).ok_or_else(|| {
        let hint = "say --name ada@example.com, or tell Git once: git config --global user.email ada@example.com";
        Error::usage("nobody says what you are called", hint)
    })
}

/// The first files of `trust/`.
pub(in crate::cli) fn first_files(name: &str, key: &PublicKey) -> Result<BTreeMap<String, String>, Error> {
    let signers = edit::first_signers(name, key);
    Signers::parse(&path("allowed_signers"), &signers).map_err(|finding| Error::usage(finding.message, finding.help))?;
    let files = [
        ("allowed_signers", signers),
        ("policy.yaml", edit::first_policy(name)),
        ("revoked_keys", edit::FIRST_REVOKED.to_owned()),
    ];
    Ok(files.map(|(name, text)| (path(name), text)).into())
}
