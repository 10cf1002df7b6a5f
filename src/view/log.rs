//! What happened in a federation, the newest first.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::table::wrap;
use super::{Look, Tone};
use crate::changes::Change;
use crate::words::{count, printable, some};

/// Indentation of what belongs to a commit, and of a line that goes on.
const INDENT: [usize; 2] = [4, 6];

/// Changes shown of one commit: more than people make at once, and less than a commit that brings in a whole federation.
const MAX_CHANGES: usize = 40;

/// Meshes named of those that have not applied a commit.
const NAMED: usize = 4;

/// One commit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Whole id.
    pub commit: String,
    /// `main`, or the published branch of a mesh.
    pub branch: String,
    /// When it was committed, by the clock of whoever did.
    pub at: Timestamp,
    /// The author's address, as Git has it, or the agent.
    pub author: String,
    /// First paragraph of its message; empty for an agent's.
    pub subject: String,
    /// Whether it is what it claims to be.
    pub verification: Mark,
    /// What it changed.
    pub changes: Vec<Change>,
    /// By mesh that it concerns: when its agent said that it had applied it; null where it has not yet. Empty for an agent's.
    pub applied: BTreeMap<String, Option<Timestamp>>,
}

/// What verification said of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Mark {
    /// Nobody looked, and why.
    #[default]
    NotVerified,
    /// It is before what people have checked by hand, or its branch has no key that could be asked.
    Unknown {
        /// In words.
        reason: String,
    },
    /// Signed by who may change what it changes.
    Verified {
        /// Who signed it.
        signer: String,
        /// By an anchor that somebody gave; else by one that the history itself names, which proves nothing to somebody who doubts the host.
        proven: bool,
    },
    /// It breaks a rule.
    Refused {
        /// Which one.
        reason: String,
        /// Who signed it, where a known key did.
        signer: Option<String>,
        /// The commit by which a person took it as it is.
        accepted: Option<String>,
    },
    /// It is good by itself, and follows one that is refused.
    Waits {
        /// Who signed it.
        signer: String,
        /// In words.
        reason: String,
    },
}

impl Mark {
    /// Who signed it, where that is known.
    pub fn signer(&self) -> Option<&str> {
        match self {
            Self::Verified { signer, .. } | Self::Waits { signer, .. } => Some(signer),
            Self::Refused { signer, .. } => signer.as_deref(),
            Self::NotVerified | Self::Unknown { .. } => None,
        }
    }

    fn sign(&self) -> (Tone, &'static str) {
        match self {
            Self::NotVerified => (Tone::Faint, "not verified"),
            Self::Unknown { .. } => (Tone::Faint, "?"),
            Self::Verified { proven: true, .. } => (Tone::Good, "✔"),
            Self::Verified { proven: false, .. } => (Tone::Faint, "(✔)"),
            Self::Refused { .. } => (Tone::Bad, "✘"),
            Self::Waits { .. } => (Tone::Bad, "…"),
        }
    }

    /// What there is to say besides the sign.
    fn words(&self) -> Option<String> {
        match self {
            Self::NotVerified | Self::Verified { .. } => None,
            Self::Unknown { reason } => Some(format!("not verified: {reason}")),
            Self::Refused { reason, accepted: None, .. } => Some(format!("refused: {reason}")),
            Self::Refused { reason, accepted: Some(by), .. } => {
                Some(format!("refused: {reason}; accepted in {}", by.get(..7).unwrap_or(by)))
            }
            Self::Waits { reason, .. } => Some(format!("not in force: {reason}")),
        }
    }
}

/// All entries as text.
pub fn render(entries: &[Entry], look: Look) -> String {
    let mut out = String::new();
    for entry in entries {
        out.push_str(&head(entry, look));
        let mut lines: Vec<String> = entry.verification.words().into_iter().collect();
        lines.extend(entry.changes.iter().take(MAX_CHANGES).map(|change| change.words.clone()));
        if let Some(more) = entry.changes.len().checked_sub(MAX_CHANGES).filter(|more| *more > 0) {
            lines.push(format!("… and {more} more: --mesh and --service narrow it down, -o json has all"));
        }
        lines.extend(applied(entry));
        for line in lines {
            let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(INDENT[1]));
            for (number, part) in wrap(&printable(&line), room).iter().enumerate() {
                let _ = writeln!(out, "{}{part}", " ".repeat(INDENT[number.min(1)])); // writing to a String cannot fail
            }
        }
    }
    out
}

/// Most characters of a name, so that the screen has room for what was done.
pub(super) const MAX_WHO: usize = 36;

/// `9f2c1ab  2026-11-20 10:14  platform@example.com  ✔  Shift details`, cut where the screen ends.
fn head(entry: &Entry, look: Look) -> String {
    let Entry { commit, at, author, subject, verification, .. } = entry;
    let who = verification.signer().filter(|_| !subject.is_empty()).unwrap_or(author);
    let (tone, sign) = verification.sign();
    let who = cut(&printable(who), look.width.map_or(usize::MAX, |_| MAX_WHO));
    let (short, time) = (commit.get(..7).unwrap_or(commit), at.strftime("%Y-%m-%d %H:%M"));
    let used = format!("{short}  {time}  {who}  {sign}  ").chars().count();
    let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(used));
    let subject = cut(&printable(subject), room);
    let line = format!(
        "{}  {time}  {who}  {}  {}",
        look.paint(Tone::Strong, short),
        look.paint(tone, sign),
        look.paint(Tone::Faint, &subject)
    );
    format!("{}\n", line.trim_end())
}

fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    if kept.is_empty() { kept } else { format!("{}…", kept.trim_end()) }
}

/// `applied: rosa-prod-mesh 10:14:31; not yet: gcp-dev-mesh`.
fn applied(entry: &Entry) -> Option<String> {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let time = |at: Timestamp| {
        let format = if day(at) == day(entry.at) { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        at.strftime(format).to_string()
    };
    let done: Vec<String> = entry.applied.iter().filter_map(|(mesh, at)| Some(format!("{mesh} {}", time((*at)?)))).collect();
    let not_yet: Vec<&str> = entry.applied.iter().filter(|(_, at)| at.is_none()).map(|(mesh, _)| mesh.as_str()).collect();
    let done =
        (!done.is_empty()).then(|| format!("applied: {}", some(&done.iter().map(String::as_str).collect::<Vec<_>>(), NAMED)));
    let not_yet = (!not_yet.is_empty()).then(|| format!("not yet applied by {}", some(&not_yet, NAMED)));
    match (done, not_yet) {
        (None, None) => None,
        (done, not_yet) => Some(done.into_iter().chain(not_yet).collect::<Vec<_>>().join("; ")),
    }
}

/// What the marks rest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// An anchor that somebody gave.
    Given,
    /// A commit that the history itself names.
    Found {
        /// Its short id.
        from: String,
    },
    /// Nothing is verified.
    None {
        /// In words.
        why: String,
    },
}

/// What is said on the side: how much there is, and what the marks are worth.
pub fn summary(entries: &[Entry], more: bool, basis: &Basis) -> String {
    let mut words = count(entries.len(), "commit");
    if more {
        words.push_str("; there are older ones: -n, --since");
    }
    match basis {
        Basis::Given => words,
        Basis::Found { from } => {
            words + &format!("\n(✔): verified from {from} on, as this history itself says; --trust-anchor proves it")
        }
        Basis::None { why } => words + &format!("; signatures are not verified: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Topic;

    fn mk_entry(verification: Mark, words: &[&str]) -> Entry {
        let change = |words: &&str| Change {
            topic: Topic::Traffic,
            mesh: Some("rosa-prod-mesh".into()),
            peer: None,
            service: None,
            words: (*words).to_owned(),
        };
        Entry {
            commit: "9f2c1ab000000000000000000000000000000000".into(),
            branch: "main".into(),
            at: "2026-11-20T10:14:03Z".parse().unwrap(),
            author: "ada@example.com".into(),
            subject: "Send more of the requests for details to the staging mesh, in which they are answered sooner".into(),
            verification,
            changes: words.iter().map(change).collect(),
            applied: BTreeMap::new(),
        }
    }

    #[test]
    fn a_log_reads_like_one() {
        let verified = |proven| Mark::Verified { signer: "platform@example.com".into(), proven };
        let mut first = mk_entry(
            verified(true),
            &[
                "rosa-prod-mesh imports stg-bookinfo/ratings from aro-stg-mesh as prod-bookinfo/ratings, joining the local service",
                "x",
            ],
        );
        first.applied = BTreeMap::from([
            ("aro-stg-mesh".into(), "2026-11-21T00:00:10Z".parse().ok()),
            ("gcp-dev-mesh".into(), None),
            ("rosa-prod-mesh".into(), "2026-11-20T10:14:31Z".parse().ok()),
        ]);
        let refused = |accepted: Option<&str>| Mark::Refused {
            reason: "UnknownSigner: its key is not in trust/allowed_signers".into(),
            signer: None,
            accepted: accepted.map(str::to_owned),
        };
        let waits = Mark::Waits { signer: "root@example.com".into(), reason: "it follows 1234567".into() };
        let mut agent = mk_entry(Mark::NotVerified, &["aro-stg-mesh: new CA root 9D:77 beside 41:0B"]);
        agent.author = "agent of aro-stg-mesh".into();
        agent.subject.clear();
        let entries = [
            first,
            mk_entry(verified(false), &[]),
            mk_entry(waits, &[]),
            mk_entry(refused(None), &["a"]),
            mk_entry(refused(Some("6b1d0c2aa")), &["b"]),
            agent,
        ];
        insta::assert_snapshot!(render(&entries, Look { width: Some(100), colour: false }));
    }

    #[test]
    fn foreign_text_cannot_reach_the_terminal() {
        let mut entry = mk_entry(Mark::NotVerified, &["a\u{1b}[2Jb"]);
        entry.subject = "c\u{1b}d".into();
        entry.author = "e\u{1b}f".into();
        assert!(!render(&[entry], Look::default()).contains('\u{1b}'));
    }
}
