//! The repository edge against real repositories.

mod fetching;
mod hostile;
mod publishing;
mod watching;
