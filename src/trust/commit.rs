//! A commit's bytes, read strictly: whatever two programs could read differently is refused.
//!
//! The format is that of Git's `Documentation/gitformat-signature` and `commit.c`: lines `tree`, `parent`…, `author`, `committer`,
//! then others in any order, each with continuation lines that begin with a space; an empty line; the message. What was signed
//! is all of it without the header `gpgsig`.

use std::collections::BTreeSet;

use super::object::{Id, Kind, Objects, read};
use super::refusal::{Fault, Rule, Violation};
use super::signature;
use crate::model::PublicKey;

/// Largest commit, in bytes: a merge of signed tags repeats them in its headers; a message that long is no message.
pub const MAX_COMMIT_BYTES: usize = 256 << 10;

/// Headers that may stand more than once: one for each parent, and one for each signed tag that a merge took in.
const REPEATABLE: [&[u8]; 2] = [b"parent", b"mergetag"];

/// Where a commit stands in history: read first, and of every commit, also of one that breaks rules.
#[derive(Clone, Debug)]
pub(super) struct Links {
    pub tree: Id,
    pub parents: Vec<Id>,
    raw: Vec<u8>,
}

/// What a commit says, as far as it is judged.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    /// The committer's date, in seconds since 1970. Nothing but the committer's word.
    pub committed_at: i64,
    /// The armoured signature, if there is one.
    pub signature: Option<Vec<u8>>,
    /// What the signature is over.
    pub payload: Vec<u8>,
    /// Where the message begins in the payload.
    message: usize,
}

impl Links {
    pub fn load(objects: &dyn Objects, id: Id) -> Result<Self, Fault> {
        let raw = read(objects, id, Kind::Commit, MAX_COMMIT_BYTES)?;
        let mut lines = raw.split(|byte| *byte == b'\n');
        let tree =
            lines.next().and_then(|line| link(line, b"tree ")).ok_or_else(|| malformed("it does not begin with its tree"))?;
        let parents = lines.map_while(|line| link(line, b"parent ")).collect();
        Ok(Self { tree, parents, raw })
    }

    pub fn commit(&self) -> Result<Commit, Violation> {
        if self.raw.contains(&0) {
            return Err(malformed("it has a NUL byte, at which some programs stop reading"));
        }
        let end =
            self.raw.windows(2).position(|two| two == b"\n\n").ok_or_else(|| malformed("no empty line ends its headers"))?;
        let (head, message) = self.raw.split_at(end + 1);
        let mut payload = Vec::with_capacity(self.raw.len());
        let (mut signature, mut date, mut names) = (None, None, BTreeSet::new());
        let mut in_signature = false;
        for (index, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if let Some(more) = line.strip_prefix(b" ") {
                match &mut signature {
                    Some(armour) if in_signature => Vec::extend_from_slice(armour, more),
                    _ if index > 0 => payload.extend_from_slice(line),
                    _ => return Err(malformed("it begins with a continuation line")),
                }
                continue;
            }
            let space = line.iter().position(|byte| *byte == b' ').ok_or_else(|| malformed("a header has no value"))?;
            let (name, value) = (&line[..space], &line[space + 1..]);
            if (!names.insert(name) && !REPEATABLE.contains(&name)) || !in_order(index, self.parents.len(), name) {
                let name = String::from_utf8_lossy(&name[..name.len().min(40)]);
                return Err(malformed(format!("its header `{}` is repeated or out of place", name.escape_debug())));
            }
            in_signature = name == b"gpgsig";
            if in_signature {
                signature = Some(value.to_vec());
                continue;
            }
            // Git leaves lines that begin so out of what it checks, whatever follows.
            if name.starts_with(b"gpgsig") {
                return Err(Violation::new(Rule::BadSignature, "it has a second kind of signature"));
            }
            if name == b"committer" {
                date = seconds(value);
            }
            payload.extend_from_slice(line);
        }
        let committed_at = date.ok_or_else(|| malformed("it has no committer with a date"))?;
        let at = payload.len();
        payload.extend_from_slice(message);
        Ok(Commit { committed_at, signature, payload, message: at })
    }
}

impl Commit {
    /// The key that signed it. Whether it may is not asked here.
    pub fn key(&self) -> Result<PublicKey, Violation> {
        let armour = self.signature.as_ref().ok_or_else(|| Violation::new(Rule::Unsigned, "it is not signed"))?;
        signature::verify(armour, &self.payload)
    }

    /// Values of a trailer: lines `Name: value` in the last paragraph of the message (git-interpret-trailers(1)).
    pub fn trailers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let message = str::from_utf8(&self.payload[self.message..]).unwrap_or_default().trim_end();
        let last = message.rsplit_once("\n\n").map_or("", |(_, last)| last);
        last.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }
}

/// The first headers are always these, in this order.
fn in_order(index: usize, parents: usize, name: &[u8]) -> bool {
    match name {
        b"tree" => index == 0,
        b"parent" => (1..=parents).contains(&index),
        b"author" => index == parents + 1,
        b"committer" => index == parents + 2,
        _ => index > parents + 2,
    }
}

fn link(line: &[u8], name: &[u8]) -> Option<Id> {
    str::from_utf8(line.strip_prefix(name)?).ok()?.parse().ok()
}

/// The seconds of `Name <address> seconds ±zone`.
fn seconds(person: &[u8]) -> Option<i64> {
    let text = str::from_utf8(&person[person.iter().rposition(|byte| *byte == b'>')? + 1..]).ok()?;
    let (seconds, zone) = text.trim_end_matches('\n').strip_prefix(' ')?.split_once(' ')?;
    let digits = zone.strip_prefix(['+', '-'])?;
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits.len() == 4 && all_digits(digits) && all_digits(seconds)).then(|| seconds.parse().ok())?
}

fn malformed(detail: impl Into<String>) -> Violation {
    Violation::new(Rule::Malformed, detail)
}
