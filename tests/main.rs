//! Tests of the whole program against real API servers and a real Git server.

mod cluster_edge;
mod lab;
mod lab_works;
mod standin_works;
