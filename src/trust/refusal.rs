//! The rules by name, and what is said when one is broken.

use std::fmt;

use super::object::{Id, Unreadable};

/// A rule of the history. The name is the code that people see and search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The branch went back to an ancestor of what was verified.
    SourceRewound,
    /// What was verified is not on the branch's line of first parents.
    SourceForked,
    /// Commit or tree is not as Git writes it.
    Malformed,
    /// No signature.
    Unsigned,
    /// Not exactly one good OpenSSH signature over this commit.
    BadSignature,
    /// The signature was made for something else than Git.
    WrongNamespace,
    /// A kind of key that is not taken, or too short.
    WeakKey,
    /// The key is not among those that may sign.
    UnknownSigner,
    /// The key was revoked by an earlier commit.
    RevokedKey,
    /// The commit's date is outside the key's `valid-after` and `valid-before`.
    OutsideValidity,
    /// The signer may not change this path.
    PathDenied,
    /// A symbolic link, a submodule, or another odd mode.
    NotRegular,
    /// A name that some system reads differently.
    BadName,
    /// Two names that differ only in case.
    CaseTwin,
    /// Over a limit on size, depth or number.
    TooLarge,
    /// `trust/` cannot be read, or leaves nobody who can change it.
    TrustBroken,
    /// A key left `trust/revoked_keys`.
    RevocationShrunk,
    /// A published branch has a merge, or begins anew.
    NotLinear,
    /// The anchor's `trust/` has another digest.
    WrongDigest,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A broken rule, before it is known in which commit and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The path concerned, printable.
    pub path: Option<String>,
    /// What is wrong, one printable line.
    pub detail: String,
}

impl Violation {
    /// One without a path.
    pub(super) fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self { rule, path: None, detail: detail.into() }
    }

    /// One at a path, whose unprintable characters are escaped.
    pub(super) fn at(rule: Rule, path: &str, detail: impl Into<String>) -> Self {
        Self { rule, path: Some(printable(path)), detail: detail.into() }
    }
}

/// Longest path shown, in characters.
const MAX_SHOWN: usize = 300;

fn printable(path: &str) -> String {
    let mut shown: String = path.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if path.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// Why a check did not pass: the history breaks a rule, or it could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A rule is broken.
    Violation(Box<Violation>),
    /// An object could not be read.
    Unreadable(Unreadable),
}

impl Fault {
    /// The broken rule. What could not be read says nothing about the history, and is passed on.
    pub(super) fn violation(self) -> Result<Violation, Unreadable> {
        match self {
            Self::Violation(violation) => Ok(*violation),
            Self::Unreadable(unreadable) => Err(unreadable),
        }
    }
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Self {
        Self::Violation(Box::new(violation))
    }
}

impl From<Unreadable> for Fault {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

/// The commit at which a branch is frozen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule broken.
    pub rule: Rule,
    /// The first bad commit. Where the branch was rewound or forked: the tip of `main`, the last verified commit of a published branch.
    pub commit: Id,
    /// Who signed it, where a known key did.
    pub signer: Option<String>,
    /// The first path concerned, printable.
    pub path: Option<String>,
    /// What is wrong, one printable line.
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(commit: Id, signer: Option<String>, violation: Violation) -> Self {
        let Violation { rule, path, detail } = violation;
        Self { rule, commit, signer, path, detail }
    }

    /// Why, without the name of the commit.
    pub fn reason(&self) -> String {
        let Self { rule, signer, path, detail, .. } = self;
        let path = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        let signer = signer.as_ref().map(|signer| format!(" (signed by {signer})")).unwrap_or_default();
        format!("{rule}: {path}{detail}{signer}")
    }

    /// Whether the branch does not go on from what was verified.
    pub fn is_lost(&self) -> bool {
        matches!(self.rule, Rule::SourceRewound | Rule::SourceForked)
    }
}

/// `commit 0123… PathDenied: federation.yaml: … (signed by rosa@example.com)`; one line, for logs and holds.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commit {} {}", self.commit, self.reason())
    }
}
