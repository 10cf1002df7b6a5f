//! The repository edge against real repositories.

mod fetching;
mod publishing;
mod watching;
