//! `meshfed trust add`.

use std::collections::BTreeMap;
use std::path::Path;

use super::path;
use crate::cli::clone::{CloneArgs, Judge, public_key};
use crate::error::{Error, Exit};
use crate::repo::Contribution;
use crate::trust::{self, Rules, Signers, edit};

/// Let somebody sign: add a key to trust/allowed_signers, and its name to a role
///
/// A role that is called like a mesh may change the mesh's folder, by the policy that introduce writes. Example:
/// meshfed trust add rob@example.com rob.pub --role rosa-prod-mesh
#[derive(clap::Args, Debug)]
pub struct Add {
    /// Name of the signer, as an address
    name: String,
    /// The public key: its file, or the line itself in quotes
    #[arg(value_name = "KEY")]
    public: String,
    /// Role to add the name to; made if absent
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    #[command(flatten)]
    clone: CloneArgs,
}

impl Add {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let Self { name, public, role, clone } = self;
        let clone = clone.open()?;
        let (_, rules) = clone.rules()?;
        let key = match trust::public_key(&public) {
            Ok(key) => key,
            Err(_) => public_key(Path::new(&public))?,
        };
        if rules.revoked.contains(&key) {
            let message = format!("{} was revoked", key.fingerprint());
            return Err(Error::usage(message, "what is revoked stays so: make a new key"));
        }
        let mut files = BTreeMap::new();
        if rules.signers.get(&key).is_none_or(|signer| signer.name != name) {
            let signers = path("allowed_signers");
            let text = edit::with_signer(&clone.text(&signers)?, &name, &key);
            Signers::parse(&signers, &text).map_err(|finding| Error::usage(finding.message, finding.help))?;
            files.insert(signers, text);
        }
        if let Some(role) = role.as_ref().filter(|role| !rules.policy.has_role(&name, role)) {
            let policy = path("policy.yaml");
            let text = edit::with_member(&policy, &clone.text(&policy)?, role, &name).map_err(|error| Error::usage(error, ""))?;
            files.insert(policy, text);
        }
        if files.is_empty() {
            tell!("nothing to do: {name} can sign with this key already");
            return Ok(Exit::Fine);
        }
        let what = role.as_ref().map_or(String::new(), |role| format!(" as {role}"));
        let message = format!("Let {name} sign{what}\n\nKey {}", key.fingerprint());
        clone.commit(&Contribution { files, message }, Judge::Parent)?;
        hint(&rules, &name, role.as_deref());
        Ok(Exit::Fine)
    }
}

/// What the key still needs before it lets anybody do something.
fn hint(rules: &Rules, name: &str, role: Option<&str>) {
    let named =
        |role: &str| rules.policy.rules().any(|(_, allow)| allow.iter().any(|allowed| allowed == role || allowed == "{mesh}"));
    match role {
        None if rules.policy.roles().all(|(_, members)| !members.contains(name)) => {
            tell!("note: {name} is in no role and may change nothing yet: --role ROLE adds it to one");
        }
        Some(role) if !named(role) => tell!("note: no rule of trust/policy.yaml names {role} yet, so it may change nothing"),
        _ => {}
    }
}
