//! Real servers for the tests: Kubernetes API servers (with etcd, and the controllers if asked for), Git servers over HTTP and SSH.
//!
//! The lab knows nothing of the program under test: it shares no code with it, and speaks to the servers only as anybody else would.
//! Whatever it starts ends with the process that started it, even when that process is killed.
#![allow(dead_code, unused_imports, reason = "included by three crates, none of which uses all of it")]

pub mod audit;
pub mod certs;
pub mod cluster;
pub mod collector;
pub mod crds;
pub mod debian;
pub mod dns;
pub mod git_server;
pub mod git_store;
pub mod http;
pub mod kubeconfig;
pub mod process;
pub mod servers;
pub mod ssh_server;
pub mod standin;
pub mod tls;

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

/// A TCP port on 127.0.0.1 that was free a moment ago.
///
/// It lies below the range from which the kernel gives ports to outgoing connections, so a server that is stopped gets its port back later.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let random = RandomState::new().hash_one(0u8) % 12_000;
        let port = 20_000 + u16::try_from(random).expect("less than 12,000 fits into 16 bits");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free TCP port between 20000 and 32000 on 127.0.0.1");
}

/// Asks again and again until the answer is there; `None` when `limit` has passed.
pub fn poll<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
