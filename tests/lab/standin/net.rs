//! The lab's internet: loopback addresses for each mesh, and names for those clouds that give their load balancers names.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use super::{locked, wire::DISCOVERY_PORT};

/// Names that clouds have given to their load balancers, shared by all stand-ins of one lab.
///
/// It takes the place of DNS, because the names of the lab exist in no other, and `*.localhost` does not resolve everywhere.
#[derive(Clone, Debug, Default)]
pub struct Dns(Arc<Mutex<BTreeMap<String, IpAddr>>>);

impl Dns {
    /// What a peer's address means: itself, or what the name stands for now.
    pub fn lookup(&self, address: &str) -> Option<IpAddr> {
        address.parse().ok().or_else(|| locked(&self.0).get(address).copied())
    }

    /// Gives a name to an address.
    pub fn set(&self, name: &str, address: IpAddr) {
        locked(&self.0).insert(name.to_owned(), address);
    }

    /// Forgets a name.
    pub fn remove(&self, name: &str) {
        locked(&self.0).remove(name);
    }
}

/// A network `127.x.y.0/24` that belongs to one stand-in alone.
///
/// The network's first address is kept busy on the discovery port, so that lab processes on one machine never take the same one.
#[derive(Clone, Debug)]
pub struct Pool {
    base: [u8; 3],
    _reservation: Arc<TcpListener>,
}

impl Pool {
    /// A network that nobody else uses.
    pub fn any() -> Self {
        let random = RandomState::new().hash_one(0u8).to_be_bytes();
        let start = u16::from_be_bytes([random[0], random[1]]);
        // 127.0.0.0/16 is left to everything else on the machine.
        let networks = (0..=u16::MAX).map(|step| start.wrapping_add(step).to_be_bytes()).filter(|[x, _]| (1..255).contains(x));
        let mut free = networks.filter_map(|[x, y]| Self::at([127, x, y]));
        free.next().expect("a network of 127.0.0.0/8 is free")
    }

    /// This network, if nobody else uses it; for a lab whose addresses people read.
    pub fn at(base: [u8; 3]) -> Option<Self> {
        let first = Ipv4Addr::new(base[0], base[1], base[2], 1);
        let reservation = TcpListener::bind((first, DISCOVERY_PORT)).ok()?;
        Some(Self { base, _reservation: Arc::new(reservation) })
    }

    /// The address of a load balancer, counted from 0.
    pub fn balancer(&self, number: u8) -> Ipv4Addr {
        self.host(10 + number % 240)
    }

    /// Where the cluster's own connections come from, as if by its NAT: peers tell each other apart by it.
    pub fn source(&self) -> Ipv4Addr {
        self.host(2)
    }

    /// The address of the cluster's node, for gateways that are reached by node ports.
    pub fn node(&self) -> Ipv4Addr {
        self.host(1)
    }

    fn host(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.base;
        Ipv4Addr::new(a, b, c, last)
    }
}
