//! Facts: what only a cluster knows and its peers need, as it travels in `published/<mesh>`.
//!
//! Only CA roots and ingress addresses are facts. Names, identities and networks follow from people's documents, so a stolen
//! published branch cannot change them. Everything here is checked before use: [`address`] and [`roots`] hold the rules,
//! [`published`] reads and writes the file.

pub mod continuity;
pub mod probe;
pub mod published;
pub mod roots;

pub use crate::model::address;
pub use published::{Endpoint, Facts};
pub use roots::Root;

#[cfg(test)]
mod tests;
