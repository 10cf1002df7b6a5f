//! The verifier against histories in real Git repositories, made with `git` and `ssh-keygen`. The tests are named after the threats
//! that they show to be met.

mod agreement;
mod commands;
mod key_rotation;
mod main_branch;
mod published_branch;
pub mod repository;
mod structure;
