//! A person's clone, and the signed commits that commands make in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{committed, output};
use crate::error::Error;
use crate::model::Severity;
use crate::repo::{Checkout, CommitId, Contribution, DEFAULT_BRANCH, Head, OpenSshKey, PersonKey, SigningKey};
use crate::trust::{self, Digest, FOLDER, Fault, Id, PublicKey, Refusal, Rules, Verifier};

/// Largest file with a public key, in bytes; an RSA key of the longest kind has a fifth of it.
const MAX_PUBLIC_FILE: u64 = 4 << 10;

/// Which clone, and who signs.
#[derive(clap::Args, Debug)]
pub(super) struct CloneArgs {
    /// Your clone of the shared repository, or a folder in it
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(super) repo: PathBuf,
    /// OpenSSH key that signs the commit; one with a passphrase, in hardware or in ssh-agent by ssh-keygen [default: Git's
    /// user.signingkey where gpg.format is ssh]
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
}

/// A clone on a branch, and who signs there.
pub(super) struct Clone {
    pub(super) checkout: Checkout,
    pub(super) head: Head,
    /// What whoever signs is to be called, where `trust/` does not say it yet.
    pub(super) name: Option<String>,
    signer: Option<PersonKey>,
}

/// From where on the new commit must be one that agents follow.
pub(super) enum Judge {
    /// By the rules of its parent, where that has any.
    Parent,
    /// It accepts a bad commit, which has this parent.
    Accepts { bad: Id, parent: Id },
    /// It introduces the rules: they can be read, and leave somebody who can change them.
    Introduction,
}

impl CloneArgs {
    pub(super) fn open(&self) -> Result<Clone, Error> {
        let checkout = Checkout::discover(&self.repo)?;
        let signer = self.signer(&checkout)?;
        Ok(Clone { head: checkout.head()?, checkout, signer, name: None })
    }

    /// The key that is given, or that Git would take; none where neither says one.
    fn signer(&self, checkout: &Checkout) -> Result<Option<PersonKey>, Error> {
        if let Some(path) = &self.key {
            return key(path).map(Some);
        }
        let value = checkout.setting("user.signingkey").filter(|_| checkout.setting("gpg.format").as_deref() == Some("ssh"));
        let Some(value) = value else { return Ok(None) };
        // git-config(1), user.signingKey: a key itself is told by its beginning.
        let literal = value.strip_prefix("key::").or_else(|| value.starts_with("ssh-").then_some(&*value));
        if let Some(line) = literal {
            let public = trust::public_key(line).map_err(|error| Error::usage(error, "set user.signingkey"))?.line();
            return Ok(Some(PersonKey::OpenSsh(OpenSshKey::in_agent(public, None))));
        }
        let path = value.strip_prefix("~/").and_then(|below| Some(home()?.join(below)));
        key(&path.unwrap_or_else(|| PathBuf::from(&value))).map(Some)
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

/// The key in a file, which has its private half, or its public one: then the other lies beside it or in ssh-agent.
fn key(path: &Path) -> Result<PersonKey, Error> {
    let Ok(public) = public_key(path) else { return Ok(SigningKey::of_person(path)?) };
    Ok(match path.to_str().and_then(|path| path.strip_suffix(".pub")).map(Path::new).filter(|path| path.is_file()) {
        Some(private) => SigningKey::of_person(private)?,
        None => PersonKey::OpenSsh(OpenSshKey::in_agent(public.line(), Some(path))),
    })
}

/// Where OpenSSH keeps a person's keys, the usual first (ssh-keygen(1)).
const USUAL: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Nobody says which key signs.
fn no_key() -> Error {
    let usual = home().and_then(|home| USUAL.iter().map(|name| home.join(".ssh").join(name)).find(|file| file.is_file()));
    let file = match &usual {
        Some(file) => quoted(&file.display().to_string()),
        None => "FILE".to_owned(),
    };
    let give = format!(
        "give it with --key {file}, or tell Git once: git config --global gpg.format ssh && git config --global user.signingkey {file}"
    );
    let hint = if usual.is_some() { give } else { format!("meshfed trust keygen FILE makes one; {give}") };
    Error::usage("nobody knows which key signs", hint)
}

impl Clone {
    /// The key that signs here.
    pub(super) fn public_key(&self) -> Result<PublicKey, Error> {
        let public = self.signer.as_ref().ok_or_else(no_key)?.public_line();
        trust::public_key(&public).map_err(|error| Error::usage(format!("the signing key: {error}"), ""))
    }

    /// Who may sign, as the branch has it; an error where nothing was introduced yet.
    pub(super) fn rules(&self) -> Result<(Id, Rules), Error> {
        let missing = || Error::unavailable(format!("there is no {FOLDER}/ on this branch"), "meshfed trust introduce makes it");
        let head = Id::from(self.head.commit.ok_or_else(missing)?);
        Ok((head, Rules::of(&self.checkout, head).map_err(fault)?.ok_or_else(missing)?))
    }

    /// A file as the branch has it; empty where there is none.
    pub(super) fn text(&self, path: &str) -> Result<String, Error> {
        let text = self.head.commit.map(|commit| self.checkout.text(commit, path)).transpose()?;
        Ok(text.flatten().unwrap_or_default())
    }

    /// Makes the commit, if agents would follow it: a signed one, but where nobody verifies and nobody knows a key.
    pub(super) fn commit(&self, contribution: &Contribution, judge: Judge) -> Result<CommitId, Error> {
        self.checkout.is_ready(&self.head, contribution)?;
        let name = self.name.clone().or(self.name_of_key()?);
        let commit = self.checkout.draft(&self.head, contribution, self.signer.as_ref(), name.as_deref())?;
        if let Some(refusal) = self.refusal(commit, judge)? {
            let message = format!("no agent would follow this commit, so it was not made: {refusal}");
            return Err(Error::unavailable(message, refusal.rule.mend()));
        }
        self.checkout.take(&self.head, contribution, commit)?;
        let subject = contribution.message.lines().next().unwrap_or_default();
        tell!("committed {} {subject}", commit.short());
        if self.signer.is_none() {
            tell!("note: it is not signed, as no key is given and nobody verifies yet: meshfed trust introduce");
        }
        tell!("next: {}", self.push());
        Ok(commit)
    }

    /// What the branch calls whoever signs here; none where it knows nobody of this key. Without a key only a branch without trust/ is written.
    fn name_of_key(&self) -> Result<Option<String>, Error> {
        let head = self.head.commit.map(Id::from);
        let Some(rules) = head.map(|head| Rules::of(&self.checkout, head).map_err(fault)).transpose()?.flatten() else {
            return Ok(None);
        };
        Ok(rules.signers.get(&self.public_key()?).map(|signer| signer.name.clone()))
    }

    fn refusal(&self, commit: CommitId, judge: Judge) -> Result<Option<Refusal>, Error> {
        let (objects, commit) = (&self.checkout, Id::from(commit));
        let refusal = |from: Id| Ok::<_, Error>(Verifier::new().main(objects, from, commit).map_err(Error::other)?.refusal);
        match (judge, self.head.commit.map(Id::from)) {
            (Judge::Introduction, _) => {
                let digest = Verifier::digest(objects, commit).map_err(fault)?;
                Ok(Verifier::new().introduce(objects, commit, digest).map_err(Error::other)?.err())
            }
            // Others may wait to be accepted too.
            (Judge::Accepts { bad, parent }, _) => Ok(refusal(parent)?.filter(|refusal| [bad, commit].contains(&refusal.commit))),
            (Judge::Parent, Some(parent)) if Rules::of(objects, parent).map_err(fault)?.is_some() => refusal(parent),
            (Judge::Parent, _) => Ok(None),
        }
    }

    fn push(&self) -> String {
        let Head { branch, remote, .. } = &self.head;
        let remote = quoted(remote);
        let push = format!("git push {remote} {}", quoted(branch));
        match self.checkout.setting(&format!("remote.{}.url", self.head.remote)) {
            Some(_) => push,
            None => format!("git remote add {remote} URL, then {push}"),
        }
    }

    /// Whether there is the branch that agents read unless they are told of another.
    pub(super) fn has_main(&self) -> Result<bool, Error> {
        let there = format!("refs/remotes/{}/{DEFAULT_BRANCH}", self.head.remote);
        Ok(self.checkout.branch(DEFAULT_BRANCH)?.is_some() || self.checkout.resolve(&there).is_ok())
    }

    /// Keys of all agents, as the branch has them.
    pub(super) fn agent_keys(&self) -> Result<Vec<PublicKey>, Error> {
        let Some(commit) = self.head.commit else { return Ok(Vec::new()) };
        let federation = committed::load(&self.checkout, commit)?.federation;
        let meshes = federation.meshes.into_values().filter_map(|folder| folder.mesh);
        Ok(meshes.flat_map(|mesh| mesh.keys).collect())
    }

    /// That the documents to be written have no error. Warnings are told.
    pub(super) fn sound(&self, files: &BTreeMap<String, String>) -> Result<(), Error> {
        let found = committed::load_with(&self.checkout, self.head.commit, files)?.problems;
        let ours = || found.iter().filter(|finding| files.contains_key(&finding.path));
        if let Some(error) = ours().find(|finding| finding.severity == Severity::Error) {
            return Err(Error::usage(format!("{}: {}", error.path, error.message), error.help.clone()));
        }
        ours().for_each(|warning| tell!("{warning}"));
        Ok(())
    }

    /// Digest of `trust/` in a commit; `None` where there is none.
    pub(super) fn digest(&self, commit: Id) -> Result<Option<Digest>, Error> {
        let rules = Rules::of(&self.checkout, commit).map_err(fault)?;
        rules.map(|_| Verifier::digest(&self.checkout, commit).map_err(fault)).transpose()
    }

    /// What agents are started with to trust a commit; `None` without `trust/`.
    pub(super) fn anchor_flags(&self, commit: Id) -> Result<Option<String>, Error> {
        Ok(self.digest(commit)?.map(|digest| format!("--trust-anchor {commit} --trust-digest {digest}")))
    }

    /// Prints what agents are started with to trust a commit.
    pub(super) fn print_anchor(&self, commit: Id) -> Result<(), Error> {
        let Some(flags) = self.anchor_flags(commit)? else { return Ok(()) };
        // A screen has no room for both; what reads them elsewhere gets them in one line.
        let flags = if output::is_terminal() { flags.replace(" --trust-digest", " \\\n  --trust-digest") } else { flags };
        output::print(&format!("{flags}\n"))
    }
}

/// A history that could not be read, or rules that cannot be.
pub(super) fn fault(fault: Fault) -> Error {
    match fault {
        Fault::Violation(violation) => {
            let path = violation.path.map(|path| format!("{path}: ")).unwrap_or_default();
            Error::unavailable(format!("{}: {path}{}", violation.rule, violation.detail), "")
        }
        Fault::Unreadable(unreadable) => Error::other(unreadable),
    }
}

/// A public key in a file.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, Error> {
    let wrong = |reason: String| {
        Error::usage(format!("{}: {reason}", path.display()), "give the public key: a line like ssh-ed25519 AAAA…, or its file")
    };
    let size = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_PUBLIC_FILE {
        return Err(wrong(format!("{size} bytes are no public key")));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    if text.contains("PRIVATE KEY") {
        return Err(wrong("this is a private key, which nobody else should have".to_owned()));
    }
    trust::public_key(text.trim_end_matches(['\r', '\n'])).map_err(wrong)
}

/// As a shell takes it for one word.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
