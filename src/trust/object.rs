//! Ids, and what the verifier asks of a Git object store.

use std::fmt;
use std::str::FromStr;

use super::refusal::{Fault, Rule, Violation};

/// Name of a Git object: the SHA-1 of its content, which the store has checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 20]);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl FromStr for Id {
    type Err = ();

    /// 40 lower-case hexadecimal digits, as Git writes them; no abbreviation.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.as_bytes();
        let mut id = [0; 20];
        if digits.len() != 40 || digits.iter().any(u8::is_ascii_uppercase) {
            return Err(());
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(());
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Self(id))
    }
}

/// Kinds of Git object that a history is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A folder.
    Tree,
    /// A file.
    Blob,
    /// Anything else.
    Other,
}

/// An object is missing or damaged. This says nothing about the history: it is asked for again once the store is whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("object {id} cannot be read: {reason}")]
pub struct Unreadable {
    /// The object.
    pub id: Id,
    /// What the store said, one line.
    pub reason: String,
}

/// A store of Git objects. It must check that an object's content has the id asked for.
pub trait Objects {
    /// Kind and size in bytes, without reading the content.
    fn header(&self, id: Id) -> Result<(Kind, usize), Unreadable>;
    /// The content, without Git's own header.
    fn read(&self, id: Id) -> Result<Vec<u8>, Unreadable>;
}

/// The content of an object that must be of this kind and has at most `limit` bytes.
pub(super) fn read(objects: &dyn Objects, id: Id, kind: Kind, limit: usize) -> Result<Vec<u8>, Fault> {
    check(objects, id, kind, limit)?;
    Ok(objects.read(id)?)
}

/// Kind and size, as [`read`] demands them.
pub(super) fn check(objects: &dyn Objects, id: Id, kind: Kind, limit: usize) -> Result<(), Fault> {
    let (found, size) = objects.header(id)?;
    if found != kind {
        return Err(Violation::new(Rule::Malformed, format!("object {id} is a {found:?} where a {kind:?} belongs")).into());
    }
    if size > limit {
        return Err(Violation::new(Rule::TooLarge, format!("object {id} has {size} bytes; the limit is {limit}")).into());
    }
    Ok(())
}
