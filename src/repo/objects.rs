//! The object store as the verifier of histories reads it: raw objects whose ids libgit2 has checked, never a checkout.

use git2::{ErrorCode, ObjectType, Repository};

use super::checkout::Checkout;
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
        header(self.repository(), id).map_err(|error| self.unreadable(id, &error))
    }

    fn read(&self, id: Id) -> Result<Vec<u8>, Unreadable> {
        read(self.repository(), id).map_err(|error| self.unreadable(id, &error))
    }
}

impl Mirror {
    /// A missing object is no damage: a host that lost or hid history sends none.
    fn unreadable(&self, id: Id, error: &git2::Error) -> Unreadable {
        if error.code() != ErrorCode::NotFound {
            let _ = self.damaged(error);
        }
        unreadable(id, error)
    }
}

impl Objects for Checkout {
    fn header(&self, id: Id) -> Result<(Kind, usize), Unreadable> {
        header(self.repository(), id).map_err(|error| unreadable(id, &error))
    }

    fn read(&self, id: Id) -> Result<Vec<u8>, Unreadable> {
        read(self.repository(), id).map_err(|error| unreadable(id, &error))
    }
}

fn header(repo: &Repository, id: Id) -> Result<(Kind, usize), git2::Error> {
    repo.odb()?.read_header(CommitId::from(id).oid()).map(|(size, kind)| (Kind::from(kind), size))
}

fn read(repo: &Repository, id: Id) -> Result<Vec<u8>, git2::Error> {
    repo.odb()?.read(CommitId::from(id).oid()).map(|object| object.data().to_vec())
}

fn unreadable(id: Id, error: &git2::Error) -> Unreadable {
    Unreadable { id, reason: one_line(error.message()) }
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
