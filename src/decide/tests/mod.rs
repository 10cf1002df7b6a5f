//! Decisions, performed on an API server in memory, until nothing is left to do.

mod addresses;
mod adoption;
mod claims;
mod continuity;
mod deletions;
mod freezing;
mod gating;
mod guards;
mod history;
mod leaving;
mod ownership;
mod policies;
mod publishing;
mod random;
mod removal;
mod replace;
mod rotation;
mod server;
mod sim;
mod steady;
mod telling;
mod traffic;
mod views;
