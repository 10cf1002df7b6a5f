//! The object store as the verifier of histories reads it: raw objects whose ids libgit2 has checked, never a checkout.

use git2::{ErrorCode, ObjectType};

use super::error::one_line;
use super::id::CommitId;
use super::mirror::Mirror;
use crate::trust::{Id, Kind, Objects, Unreadable};

impl From<CommitId> for Id {
    fn from(id: CommitId) -> Self {
        Self(id.bytes())
    }
}

impl From<Id> for CommitId {
    fn from(id: Id) -> Self {
        Self::new(id.0)
    }
}

impl Objects for Mirror {
    fn header(&self, id: Id) -> Result<(Kind, usize), Unreadable> {
        self.object(id, |odb, oid| odb.read_header(oid).map(|(size, kind)| (Kind::from(kind), size)))
    }

    fn read(&self, id: Id) -> Result<Vec<u8>, Unreadable> {
        self.object(id, |odb, oid| odb.read(oid).map(|object| object.data().to_vec()))
    }
}

impl Mirror {
    /// A missing object is no damage: a host that lost or hid history sends none.
    fn object<T>(&self, id: Id, get: impl Fn(&git2::Odb<'_>, git2::Oid) -> Result<T, git2::Error>) -> Result<T, Unreadable> {
        let found = self.repository().odb().and_then(|odb| get(&odb, CommitId::from(id).oid()));
        found.map_err(|error| {
            if error.code() != ErrorCode::NotFound {
                let _ = self.damaged(&error);
            }
            Unreadable { id, reason: one_line(error.message()) }
        })
    }
}

impl From<ObjectType> for Kind {
    fn from(kind: ObjectType) -> Self {
        match kind {
            ObjectType::Commit => Self::Commit,
            ObjectType::Tree => Self::Tree,
            ObjectType::Blob => Self::Blob,
            _ => Self::Other,
        }
    }
}
