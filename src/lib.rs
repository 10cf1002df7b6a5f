//! meshfed
pub mod decide;
pub mod derive;
pub mod facts;
pub mod model;
pub mod object;
pub mod repo;
