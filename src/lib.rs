//! meshfed
pub mod object;
pub mod repo;
