//! The repository edge against real repositories.

mod fetching;
mod news;
mod publishing;
mod watching;
