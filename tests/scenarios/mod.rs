//! What federated meshes are for, each use case from its first commit to its last.

mod burst;
mod compliance;
mod continuity;
mod cost;
mod disaster;
mod migration;
pub mod pair;
mod probe;
