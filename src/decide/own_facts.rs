//! What this mesh tells its peers: read from the live cluster, never replaced by nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::addresses::{self, Settling};
use super::rotation::{self, Rotation, RotationStatus, Trusted};
use super::{Memory, World};
use crate::derive::{Hold, Observed};
use crate::facts::{Endpoint, Facts};
use crate::model::{Mesh, MeshFolder};

/// The facts of a mesh now, and how they came about.
#[derive(Debug, Default)]
pub(super) struct OwnFacts {
    pub facts: Facts,
    pub rotation: RotationStatus,
    /// By peer: fingerprints of its CA roots that our control plane trusts.
    pub trusted: BTreeMap<String, Vec<String>>,
    /// By peer: load balancers that have changed lately.
    pub addresses: BTreeMap<String, Settling>,
    pub holds: Vec<Hold>,
    /// When time alone changes something.
    pub wake_at: Option<Timestamp>,
}

/// The facts of a mesh now, given those that it published before.
pub(super) fn gather(world: &World, memory: &Memory, folder: &MeshFolder, mesh: &Mesh, observed: &Observed) -> OwnFacts {
    let Rotation { roots, retiring, announced, status: rotation, holds, wake_at } = rotation::rotate(world, mesh, memory);
    let cluster_uid = Some(world.cluster_uid.to_owned());
    let facts = Facts { cluster_uid, roots, retiring, announced, ..Facts::default() };
    let mut own = OwnFacts { facts, rotation, holds, wake_at, ..OwnFacts::default() };
    for peer in folder.peers.values() {
        let name = &*peer.name.value;
        // The gateway that the control plane answers this peer at now.
        let gateway = observed.replaced.get(name).and_then(|replaced| replaced.ingress.as_ref()).unwrap_or(&peer.ingress);
        own.endpoint(world, memory, mesh, name, gateway);
        let Trusted { roots, wake_at } = rotation::trusted(world, mesh, name);
        own.trusted.insert(name.to_owned(), roots);
        own.wake_at = [own.wake_at, wake_at].into_iter().flatten().min();
    }
    own
}

impl OwnFacts {
    /// Those that were published before, where nothing can be said now.
    pub fn before(world: &World, memory: &Memory) -> Self {
        let (facts, rotation) = (world.own_facts.clone(), world.own_status.rotation.clone());
        let peerings = world.own_status.peerings.iter();
        let trusted = peerings.map(|(peer, peering)| (peer.clone(), peering.trusted_roots.clone())).collect();
        Self { facts, rotation, trusted, addresses: memory.addresses.clone(), ..Self::default() }
    }

    fn endpoint(&mut self, world: &World, memory: &Memory, mesh: &Mesh, peer: &str, gateway: &str) {
        let known = world.own_facts.ingress.get(peer);
        let (discovery_port, service_port) = (mesh.ingress.discovery_port, mesh.ingress.service_port);
        if !mesh.ingress.addresses.is_empty() {
            let addresses = mesh.ingress.addresses.iter().map(|address| address.value.clone()).collect();
            let endpoint = Endpoint { addresses, discovery_port, service_port };
            self.facts.ingress.insert(peer.to_owned(), endpoint);
            return;
        }
        let published = known.map(|endpoint| endpoint.addresses.as_slice()).unwrap_or_default();
        let answer = addresses::of_service(world.live, mesh, gateway);
        let nowhere = answer.is_empty();
        let settled = addresses::settle(memory.addresses.get(peer), published, answer, world.now);
        let endpoint = match known {
            Some(known) if nowhere && settled.addresses == known.addresses => known.clone(), // its ports go with its addresses
            _ => Endpoint { addresses: settled.addresses, discovery_port, service_port },
        };
        if !endpoint.addresses.is_empty() {
            self.facts.ingress.insert(peer.to_owned(), endpoint);
        }
        self.addresses.extend(settled.memory.map(|memory| (peer.to_owned(), memory)));
        self.holds.extend(settled.why.map(|why| Hold::part(format!("Service/{gateway}"), why)));
        self.wake_at = [self.wake_at, settled.wake_at].into_iter().flatten().min();
    }
}
