//! meshfed federates service meshes through one Git repository.
//!
//! The map, from people to clusters; imports point only downwards:
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`], [`config`], [`error`] | arguments, settings, exit codes |
//! | [`agent`] | the loop: gather, decide, perform |
//! | [`view`] | what people see, as text; pure |
//! | [`repo`], [`cluster`] | the edges: Git and the Kubernetes API |
//! | [`changes`] | what happened between two states, in the terms of a federation; pure |
//! | [`decide`] | declarations, facts, live objects and memory → one decision; pure |
//! | [`import`] | objects that people wrote by hand → documents; pure |
//! | [`lint`] | what only `check` says: advice across documents, schemas of plain objects; pure |
//! | [`policy`] | what policies forbid, of declarations and of objects; pure |
//! | [`derive`] | declarations and facts → objects; pure |
//! | [`trust`] | who may change what in the repository: the verifier of its history; pure |
//! | [`facts`] | what only a cluster knows and its peers need; pure |
//! | [`model`] | declarations: what people write on `main`; pure |
//! | [`object`] | Kubernetes objects as plain data |
//! | [`words`] | text from elsewhere, fit for a message |

#![warn(clippy::print_stderr)] // `tell!` of `cli` does not panic where nobody listens

pub mod agent;
pub mod changes;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod decide;
pub mod derive;
pub mod error;
pub mod facts;
pub mod import;
pub mod lint;
pub mod model;
pub mod object;
pub mod policy;
pub mod repo;
pub mod trust;
pub mod view;
pub mod words;
