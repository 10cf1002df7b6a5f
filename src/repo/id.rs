//! Ids of commits and blobs: small values that can be keys, and that cannot be mistaken for each other.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::object::unhex;

/// Bytes of a SHA-1 object id, the only kind that libgit2 reads without experimental flags.
const LEN: usize = 20;

/// Text that is not 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object id is 40 hexadecimal digits")]
pub struct ParseIdError;

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; LEN]);

        impl $name {
            /// The first seven digits, as people know them from `git log --oneline`.
            pub fn short(&self) -> String {
                self.to_string()[..7].to_owned()
            }

            /// The id itself.
            pub fn bytes(self) -> [u8; LEN] {
                self.0
            }

            pub(super) fn from_oid(oid: git2::Oid) -> Self {
                let mut bytes = [0; LEN];
                bytes.copy_from_slice(&oid.as_bytes()[..LEN]);
                Self(bytes)
            }

            /// Never fails: the length is right by construction; the zero id stands in for what cannot happen.
            pub(super) fn oid(self) -> git2::Oid {
                git2::Oid::from_bytes(&self.0).unwrap_or_else(|_| git2::Oid::ZERO_SHA1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                unhex(text.as_bytes()).map(Self).ok_or(ParseIdError)
            }
        }
    };
}

object_id!(
    /// A commit.
    CommitId
);
object_id!(
    /// A file's content. Equal ids mean equal bytes, so it is the key under which parsed documents are cached.
    BlobId
);

impl CommitId {
    pub(super) fn new(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_through_text() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        let id: CommitId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.short(), "0123456");
        assert_eq!(CommitId::from_oid(id.oid()), id);
        assert_eq!(format!("{id:?}"), format!("CommitId({text})"));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "0123", &"g".repeat(40), &"é".repeat(20), &"0".repeat(41)] {
            assert_eq!(text.parse::<BlobId>(), Err(ParseIdError), "{text}");
        }
    }
}
