//! `trust/` as one commit has it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::commit::Links;
use super::object::{Id, Kind, Objects, read};
use super::policy::{Policy, ROOT};
use super::refusal::{Fault, Rule, Violation};
use super::signers::{Revoked, Signers};
use super::tree::{MAX_FILE_BYTES, Mode, changes, entry};
use crate::model::Diagnostic;
use crate::object::unhex;

/// The folder that says who may change what.
pub const FOLDER: &str = "trust";

/// What is read in it. Other files may lie there, and count for the digest.
const FILES: [&str; 3] = ["allowed_signers", "policy.yaml", "revoked_keys"];

/// Who may sign, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `allowed_signers`.
    pub signers: Signers,
    /// `policy.yaml`.
    pub policy: Policy,
    /// `revoked_keys`; empty if the file is missing.
    pub revoked: Revoked,
}

impl Rules {
    /// The rules that a commit has; `None` where it has no `trust/`.
    pub fn of(objects: &dyn Objects, commit: Id) -> Result<Option<Self>, Fault> {
        folder(objects, Links::load(objects, commit)?.tree)?.map(|folder| Self::load(objects, folder)).transpose()
    }

    /// The rules in a commit's tree. Both files must be there and readable, and somebody with a key that is not revoked must be `root`
    /// and able to change `trust/`, or nobody could ever mend it.
    pub(super) fn load(objects: &dyn Objects, folder: Id) -> Result<Self, Fault> {
        let broken = |finding: Box<Diagnostic>| Violation::at(Rule::TrustBroken, &finding.path, finding.to_string());
        let [signers, policy, revoked] = FILES.map(|name| (format!("{FOLDER}/{name}"), text(objects, folder, name)));
        let signers = Signers::parse(&signers.0, &required(&signers.0, signers.1?)?).map_err(broken)?;
        let policy = Policy::parse(&policy.0, &required(&policy.0, policy.1?)?).map_err(broken)?;
        let revoked = Revoked::parse(&revoked.0, &revoked.1?.unwrap_or_default()).map_err(broken)?;
        let rules = Self { signers, policy, revoked };
        if rules.somebody_can_change_them() {
            return Ok(rules);
        }
        let detail = format!("no key that is not revoked belongs to a member of `{ROOT}` who may change every file of {FOLDER}/");
        Err(Violation::at(Rule::TrustBroken, &format!("{FOLDER}/policy.yaml"), detail).into())
    }

    fn somebody_can_change_them(&self) -> bool {
        let files = FILES.map(|name| format!("{FOLDER}/{name}"));
        let able = |name: &str| self.policy.has_role(name, ROOT) && files.iter().all(|path| self.policy.allows(name, path));
        self.signers.iter().any(|(key, signer)| !self.revoked.contains(key) && able(&signer.name))
    }
}

fn text(objects: &dyn Objects, folder: Id, name: &str) -> Result<Option<String>, Fault> {
    let text = match entry(objects, folder, name)? {
        None => return Ok(None),
        Some((Mode::File, id)) => String::from_utf8(read(objects, id, Kind::Blob, MAX_FILE_BYTES)?).ok(),
        Some((Mode::Folder, _)) => None,
    };
    match text {
        Some(text) => Ok(Some(text)),
        None => Err(Violation::at(Rule::TrustBroken, &format!("{FOLDER}/{name}"), "it is not a text file").into()),
    }
}

fn required(path: &str, text: Option<String>) -> Result<String, Violation> {
    text.ok_or_else(|| Violation::at(Rule::TrustBroken, path, "it is missing"))
}

/// The id of the folder `trust` in a commit's tree.
pub(super) fn folder(objects: &dyn Objects, tree: Id) -> Result<Option<Id>, Fault> {
    match entry(objects, tree, FOLDER)? {
        Some((Mode::Folder, id)) => Ok(Some(id)),
        _ => Ok(None),
    }
}

/// The rules of the last folder asked for: commits in a row mostly share it.
#[derive(Debug, Default)]
pub(super) struct Cache(Option<(Id, Arc<Rules>)>);

impl Cache {
    /// The rules that a commit's tree holds.
    pub fn rules(&mut self, objects: &dyn Objects, tree: Id) -> Result<Arc<Rules>, Fault> {
        let missing = || Violation::at(Rule::TrustBroken, FOLDER, "the folder is missing");
        let folder = folder(objects, tree)?.ok_or_else(missing)?;
        if let Some((_, rules)) = self.0.as_ref().filter(|(id, _)| *id == folder) {
            return Ok(rules.clone());
        }
        let rules = Arc::new(Rules::load(objects, folder)?);
        self.0 = Some((folder, rules.clone()));
        Ok(rules)
    }
}

/// Digest of a commit's `trust/`: the SHA-256 of what `sha256sum` prints for its files in the order of their paths' bytes, so that
/// people make it with tools they have:
///
/// ```text
/// git archive <commit> trust | tar x && find trust -type f | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `trust/` in a tree.
    pub(super) fn of(objects: &dyn Objects, tree: Id) -> Result<Self, Fault> {
        let mut files = Vec::new();
        if let Some(folder) = folder(objects, tree)? {
            for change in changes(objects, None, folder)? {
                files.extend(change.now.map(|file| (format!("{FOLDER}/{}", change.path), file)));
            }
        }
        files.sort();
        let mut all = Sha256::new();
        for (path, file) in files {
            let content = Sha256::digest(read(objects, file, Kind::Blob, MAX_FILE_BYTES)?);
            all.update(format!("{content:x}  {path}\n"));
        }
        Ok(Self(all.finalize().into()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", HEXLOWER.encode(&self.0))
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix("sha256:").and_then(|digits| unhex(digits.as_bytes()));
        bytes.map(Self).ok_or_else(|| "a digest is sha256: and 64 hexadecimal digits".to_owned())
    }
}
