//! A person's clone, and the signed commits that commands make in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{committed, output};
use crate::error::{Error, Exit};
use crate::model::Severity;
use crate::repo::{Checkout, CommitId, Contribution, Head, PersonKey, SigningKey};
use crate::trust::{self, Digest, FOLDER, Fault, Id, PublicKey, Refusal, Rules, Verifier};

/// Largest file with a public key, in bytes; an RSA key of the longest kind has a fifth of it.
const MAX_PUBLIC_FILE: u64 = 4 << 10;

/// Which clone, and who signs.
#[derive(clap::Args, Debug)]
pub(super) struct CloneArgs {
    /// Your clone of the shared repository, or a folder in it
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub(super) repo: PathBuf,
    /// OpenSSH private key that signs the commit [default: Git's user.signingkey where gpg.format is ssh]
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
}

/// Who signs.
enum Signer {
    /// A key file, here.
    Here(Box<SigningKey>),
    /// Only Git can, with the options that it needs for it.
    Git { public: Option<String>, why: String, options: String },
}

/// A clone on a branch, and who signs there.
pub(super) struct Clone {
    pub(super) checkout: Checkout,
    pub(super) head: Head,
    signer: Signer,
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

/// What became of a contribution.
pub(super) enum Made {
    /// It is the branch's newest commit.
    Committed(CommitId),
    /// Files are staged, and Git is to commit them.
    Prepared,
}

impl Made {
    pub(super) fn exit(&self) -> Exit {
        Exit::findings(matches!(self, Self::Prepared))
    }
}

impl CloneArgs {
    pub(super) fn open(&self) -> Result<Clone, Error> {
        let checkout = Checkout::discover(&self.repo)?;
        let signer = self.signer(&checkout)?;
        Ok(Clone { head: checkout.head()?, checkout, signer })
    }

    fn signer(&self, checkout: &Checkout) -> Result<Signer, Error> {
        if let Some(path) = &self.key {
            let options = format!("-c gpg.format=ssh -c user.signingkey={} ", quoted(&path.display().to_string()));
            return of_file(path, options);
        }
        let value = checkout.setting("user.signingkey").filter(|_| checkout.setting("gpg.format").as_deref() == Some("ssh"));
        let Some(value) = value else {
            let why = "no key is configured (--key FILE, or git config gpg.format ssh and git config user.signingkey FILE)";
            return Ok(Signer::Git { public: None, why: why.to_owned(), options: String::new() });
        };
        // git-config(1), user.signingKey: a key itself is told by its beginning.
        let literal = value.strip_prefix("key::").or_else(|| value.starts_with("ssh-").then_some(&*value));
        if let Some(key) = literal {
            let public = Some(trust::public_key(key).map_err(|error| Error::usage(error, "set user.signingkey"))?.line());
            return Ok(Signer::Git { public, why: "the key is in ssh-agent".to_owned(), options: String::new() });
        }
        let home = || std::env::var_os("HOME").map(PathBuf::from);
        let path = match value.strip_prefix("~/") {
            Some(below) => home().map_or_else(|| PathBuf::from(&value), |home| home.join(below)),
            None => PathBuf::from(&value),
        };
        let Ok(public) = public_key(&path) else { return of_file(&path, String::new()) };
        match path.to_str().and_then(|path| path.strip_suffix(".pub")).map(Path::new).filter(|path| path.is_file()) {
            Some(private) => of_file(private, String::new()),
            None => {
                let why = "only the public half of the key is in a file".to_owned();
                Ok(Signer::Git { public: Some(public.line()), why, options: String::new() })
            }
        }
    }
}

fn of_file(path: &Path, options: String) -> Result<Signer, Error> {
    Ok(match SigningKey::of_person(path)? {
        PersonKey::Here(key) => Signer::Here(key),
        PersonKey::Elsewhere { public, why } => Signer::Git { public: Some(public), why, options },
    })
}

impl Clone {
    /// The key that signs here.
    pub(super) fn public_key(&self) -> Result<PublicKey, Error> {
        let public = match &self.signer {
            Signer::Here(key) => key.public_line(""),
            Signer::Git { public: Some(public), .. } => public.clone(),
            Signer::Git { public: None, .. } => {
                let hint = "meshfed trust keygen FILE makes one; give it with --key FILE, or tell Git once: \
                            git config gpg.format ssh && git config user.signingkey FILE";
                return Err(Error::usage("nobody knows which key signs", hint));
            }
        };
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

    /// Makes the commit, if agents would follow it; or prepares it for Git, where only Git can sign.
    pub(super) fn commit(&self, contribution: &Contribution, judge: Judge) -> Result<Made, Error> {
        self.checkout.is_ready(&self.head, contribution)?;
        let key = match &self.signer {
            Signer::Here(key) => key,
            Signer::Git { why, options, .. } => {
                self.checkout.stage(&self.head, contribution)?;
                self.tell_to_commit(contribution, why, options);
                return Ok(Made::Prepared);
            }
        };
        let commit = self.checkout.draft(&self.head, contribution, key)?;
        if let Some(refusal) = self.refusal(commit, judge)? {
            let message = format!("no agent would follow this commit, so it was not made: {refusal}");
            return Err(Error::unavailable(message, refusal.rule.mend()));
        }
        self.checkout.take(&self.head, contribution, commit)?;
        let subject = contribution.message.lines().next().unwrap_or_default();
        eprintln!("committed {} {subject}", commit.short());
        eprintln!("next: {}", self.push());
        Ok(Made::Committed(commit))
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

    fn tell_to_commit(&self, contribution: &Contribution, why: &str, options: &str) {
        let files: Vec<&str> = contribution.files.keys().map(String::as_str).collect();
        let staged = if files.is_empty() { String::new() } else { format!("; staged {}", files.join(", ")) };
        eprintln!("not committed: {why}{staged}");
        let empty = if files.is_empty() { "--allow-empty " } else { "" };
        let message: Vec<String> =
            contribution.message.trim_end().split("\n\n").map(|paragraph| format!("-m {}", quoted(paragraph))).collect();
        eprintln!("next: git {options}commit -S {empty}{}", message.join(" "));
        eprintln!("then: {}", self.push());
    }

    fn push(&self) -> String {
        format!("git push {} {}", quoted(&self.head.remote), quoted(&self.head.branch))
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
        ours().for_each(|warning| eprintln!("{warning}"));
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
        self.anchor_flags(commit)?.map_or(Ok(()), |flags| output::print(&format!("{flags}\n")))
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
