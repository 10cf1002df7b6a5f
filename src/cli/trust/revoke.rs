//! `meshfed trust revoke`.

use std::collections::BTreeMap;
use std::path::Path;

use super::path;
use crate::cli::clone::{Clone, CloneArgs, Judge, public_key};
use crate::error::{Error, Exit};
use crate::model::names;
use crate::repo::Contribution;
use crate::trust::{self, PublicKey, Rules, edit};

/// Let a key sign no more: add it to trust/revoked_keys
///
/// Commits after this one are refused when that key signed them, whatever date they bear; earlier ones stay as they are. A revoked key
/// stays revoked. Keys of agents can be revoked too. Example: meshfed trust revoke rob@example.com
#[derive(clap::Args, Debug)]
pub struct Revoke {
    /// A signer's name, which revokes all keys of that name; or one key: its file, the line in quotes, or SHA256:…
    #[arg(value_name = "KEY|NAME")]
    whose: String,
    #[command(flatten)]
    clone: CloneArgs,
}

impl Revoke {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let clone = self.clone.open()?;
        let (_, rules) = clone.rules()?;
        let keys = self.keys(&clone, &rules)?;
        let keys: Vec<PublicKey> = keys.into_iter().filter(|key| !rules.revoked.contains(key)).collect();
        if keys.is_empty() {
            tell!("nothing to do: revoked already");
            return Ok(Exit::Fine);
        }
        let revoked = path("revoked_keys");
        let text = keys.iter().fold(clone.text(&revoked)?, |text, key| edit::with_revoked(&text, key));
        let whose = |key: &PublicKey| rules.signers.get(key).map_or("nobody listed", |signer| &signer.name).to_owned();
        let lines: Vec<String> = keys.iter().map(|key| format!("Key {} of {}", key.fingerprint(), whose(key))).collect();
        let what =
            if keys.len() == 1 { format!("Revoke a key of {}", whose(&keys[0])) } else { format!("Revoke {} keys", keys.len()) };
        let contribution =
            Contribution { files: BTreeMap::from([(revoked, text)]), message: format!("{what}\n\n{}", lines.join("\n")) };
        clone.commit(&contribution, Judge::Parent)?;
        tell!(
            "note: it holds when it is on main; commits that this key signed and that\n      are not there yet must be made anew"
        );
        Ok(Exit::Fine)
    }

    fn keys(&self, clone: &Clone, rules: &Rules) -> Result<Vec<PublicKey>, Error> {
        let whose = &*self.whose;
        let named: Vec<PublicKey> = rules
            .signers
            .iter()
            .filter(|(key, signer)| signer.name == whose || key.fingerprint() == whose)
            .map(|(key, _)| key.clone())
            .collect();
        if !named.is_empty() {
            return Ok(named);
        }
        if let Ok(key) = trust::public_key(whose) {
            return Ok(vec![key]);
        }
        if Path::new(whose).is_file() {
            return Ok(vec![public_key(Path::new(whose))?]);
        }
        let agents = clone.agent_keys()?;
        if let Some(key) = agents.into_iter().find(|key| key.fingerprint() == whose) {
            return Ok(vec![key]);
        }
        let mut known: Vec<&str> = rules.signers.iter().map(|(_, signer)| signer.name.as_str()).collect();
        known.dedup();
        Err(Error::usage(format!("{whose:?} is no signer, key or file with a key"), names::closest(whose, &known)))
    }
}
