//! The repository edge against real repositories.

mod fetching;
mod hostile;
mod news;
mod publishing;
mod watching;
