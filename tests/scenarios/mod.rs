//! What federated meshes are for, each use case from its first commit to its last.

mod migration;
