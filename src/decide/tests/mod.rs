//! Decisions, performed on an API server in memory, until nothing is left to do.

mod addresses;
mod continuity;
mod guards;
mod ownership;
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
