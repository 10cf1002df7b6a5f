//! Ids, and what the verifier asks of a Git object store.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use super::refusal::{Fault, Rule, Violation};
use crate::object::unhex;

/// Name of a Git object: the SHA-1 of its content, which the store has checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 20]);

impl Id {
    /// The first seven digits, as people know them.
    pub fn short(self) -> String {
        self.to_string()[..7].to_owned()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl FromStr for Id {
    type Err = ();

    /// 40 hexadecimal digits; no abbreviation.
    fn from_str(text: &str) -> Result<Self, ()> {
        unhex(text.as_bytes()).map(Self).ok_or(())
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
