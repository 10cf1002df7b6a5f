//! meshfed
pub mod object;
