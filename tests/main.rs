//! Tests of the whole program against real API servers and a real Git server.

mod architecture;
mod cluster_edge;
mod deploy;
mod docs;
mod lab;
mod lab_works;
mod schemas;
mod standin_works;
