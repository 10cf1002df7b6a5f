//! Tests of the whole program against real API servers and a real Git server.

mod addresses;
mod adoption;
mod architecture;
mod bad_input;
mod cluster_edge;
mod commands;
mod deploy;
mod docs;
mod federation;
mod fuzz;
mod lab;
mod lab_works;
mod lifecycle;
mod ownership;
mod policies;
mod publishing;
mod quiet;
mod replacing;
mod rotation;
mod scenarios;
mod schemas;
mod solo;
mod stage;
mod standin_works;
mod threats;
mod traffic;
