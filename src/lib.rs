//! meshfed
pub mod cluster;
pub mod object;
