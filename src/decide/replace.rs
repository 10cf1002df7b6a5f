//! Another gateway for a peer, without an outage that people did not ask for.
//!
//! The control plane takes another egress over, but never another ingress: its ServiceMeshPeer has to be deleted and made anew
//! (maistra/istio `federation/server` keeps the first object). Everything here is read from live objects, so that an agent that
//! starts in the middle goes on:
//!
//! 1. the new gateway is added beside the old one; until it has an address, nothing else changes
//! 2. traffic to the peer moves away, the service sets go, then the ServiceMeshPeer, in the order of every removal
//! 3. the ServiceMeshPeer is made anew with the new gateway, the service sets and the traffic follow
//! 4. when both control planes are connected as before, the old gateway goes

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Origin, World, addresses};
use crate::derive::{Observed, PeerState, Replacement, kinds};
use crate::model::documents::ServiceType;
use crate::model::{Mesh, MeshFolder, Peer};
use crate::object::{FIELD_MANAGER, Key};

const INGRESS: &str = "additionalIngress";

/// What is known of one mesh's gateways.
struct Site<'a> {
    world: &'a World<'a>,
    mesh: &'a Mesh,
    inventory: &'a BTreeMap<Key, Origin>,
}

/// Finds the peers whose gateways change, and the gateways that must not go yet.
pub(super) fn observe(world: &World, folder: &MeshFolder, inventory: &BTreeMap<Key, Origin>, observed: &mut Observed) {
    let Some(mesh) = &folder.mesh else { return };
    let site = Site { world, mesh, inventory };
    for peer in folder.peers.values().filter(|peer| !peer.suspend) {
        let name = &*peer.name.value;
        let named = site.named(name);
        let old = named.as_ref().and_then(|named| site.replacement(peer, named));
        for (side, gateway) in site.undeclared(peer, observed) {
            if let Some(why) = site.keep(peer, side, &gateway, named.as_ref(), observed.peers.get(name)) {
                observed.kept.insert((side, gateway), why);
            }
        }
        observed.replaced.extend(old.map(|old| (name.to_owned(), old)));
    }
}

/// The gateways that a live ServiceMeshPeer names.
struct Named {
    ingress: String,
    egress: String,
}

impl Site<'_> {
    fn key(&self, kind: (&str, &str), name: &str) -> Key {
        kinds::key(kind, &self.mesh.namespace, name)
    }

    fn named(&self, peer: &str) -> Option<Named> {
        let value = self.world.live.get(&self.key(kinds::PEER, peer))?.value();
        let gateway = |side| value.pointer(&format!("/spec/gateways/{side}/name")).and_then(Value::as_str);
        let text = |side| gateway(side).unwrap_or_default().to_owned();
        Some(Named { ingress: text("ingress"), egress: text("egress") })
    }

    /// What of a ServiceMeshPeer must stay as it is for now; `None` where it names what people declare.
    fn replacement(&self, peer: &Peer, named: &Named) -> Option<Replacement> {
        let Named { ingress, egress } = named;
        let mut replacement = Replacement::default();
        if !egress.is_empty() && *egress != peer.egress && !self.world.live.contains_key(&self.key(kinds::SERVICE, &peer.egress))
        {
            replacement.egress = Some(egress.clone());
            replacement.why = format!("{egress} stays until Service/{} is there", peer.egress);
        }
        if !ingress.is_empty() && *ingress != peer.ingress {
            replacement.ingress = Some(ingress.clone());
            if let Some(foreign) = self.foreign(&peer.name) {
                replacement.stuck = true;
                replacement.why =
                    format!("{foreign} was not made by meshfed; delete it to have it made anew with {}", peer.ingress);
            } else if !self.can_be_made_anew(&peer.name) {
                replacement.why = format!("{ingress} stays until all that {} declares and publishes can be read", *peer.name);
            } else if self.can_be_reached(&peer.ingress) {
                replacement.taking_down = true;
                replacement.why = format!("is made anew with {}, because {ingress} cannot be changed in place", peer.ingress);
            } else {
                replacement.why = format!("{ingress} stays until Service/{} has an address", peer.ingress);
            }
        }
        (replacement.ingress.is_some() || replacement.egress.is_some()).then_some(replacement)
    }

    /// An object of the peering that is not ours to delete.
    fn foreign(&self, peer: &str) -> Option<Key> {
        let keys = [kinds::PEER, kinds::EXPORTED, kinds::IMPORTED].map(|kind| self.key(kind, peer));
        let made = |key: &Key| matches!(self.inventory.get(key), Some(Origin::Created(_)));
        keys.into_iter().find(|key| self.world.live.contains_key(key) && !made(key))
    }

    /// Whether everything is there that a ServiceMeshPeer is derived from.
    fn can_be_made_anew(&self, peer: &str) -> bool {
        let World { federation, me, facts, .. } = self.world;
        let declared = federation.mesh(peer).is_some() && federation.peer(peer, me).is_some();
        declared && facts.get(peer).is_some_and(|facts| !facts.roots.is_empty() && !facts.broken)
    }

    fn can_be_reached(&self, gateway: &str) -> bool {
        let ingress = &self.mesh.ingress;
        if ingress.service_type == ServiceType::NodePort {
            return true; // it can only come when the old one has gone, on the same node ports
        }
        let exists = self.world.live.contains_key(&self.key(kinds::SERVICE, gateway));
        exists && (!ingress.addresses.is_empty() || !addresses::of_service(self.world.live, self.mesh, gateway).is_empty())
    }

    /// Gateways for a peer that we made and nobody declares any more.
    fn undeclared(&self, peer: &Peer, observed: &Observed) -> Vec<(&'static str, String)> {
        let name = &*peer.name.value;
        let all = observed.gateways.keys().filter(|(of, _, _)| of == name);
        let others = all.filter(|(_, side, gateway)| *gateway != if *side == INGRESS { &*peer.ingress } else { &*peer.egress });
        let others: Vec<(&'static str, String)> = others.map(|(_, side, gateway)| (*side, gateway.clone())).collect();
        if others.is_empty() {
            return others; // nothing is parsed again
        }
        let control_plane = self.world.live.get(&self.key(kinds::CONTROL_PLANE, &self.mesh.control_plane));
        let value = control_plane.map(|live| live.value()).unwrap_or_default();
        others.into_iter().filter(|(side, gateway)| is_ours(&value, side, gateway)).collect()
    }

    /// Why a gateway that nothing declares any more must stay.
    fn keep(&self, peer: &Peer, side: &str, gateway: &str, named: Option<&Named>, state: Option<&PeerState>) -> Option<String> {
        let name = &*peer.name.value;
        if named.is_some_and(|named| gateway == if side == INGRESS { &named.ingress } else { &named.egress }) {
            return Some(format!("ServiceMeshPeer/{name} uses it"));
        }
        if side == INGRESS && self.mesh.ingress.service_type == ServiceType::NodePort {
            return None;
        }
        self.world.live.get(&self.key(kinds::CONFIG_MAP, &kinds::roots_name(name)))?; // else the peering itself is gone
        let back = state.is_some_and(|state| {
            (peer.imports.is_empty() || state.connected) && (peer.exports.is_empty() || state.remote_connected)
        });
        let successor = if side == INGRESS { &peer.ingress } else { &peer.egress };
        (named.is_none() || !back).then(|| format!("{name} is not connected through {successor} yet"))
    }
}

/// Whether our field manager has a gateway of a control plane.
fn is_ours(control_plane: &Value, side: &str, gateway: &str) -> bool {
    let managers = control_plane.pointer("/metadata/managedFields").and_then(Value::as_array);
    let path = ["f:spec".to_owned(), "f:gateways".to_owned(), format!("f:{side}"), format!("f:{gateway}")];
    let owns = |entry: &Value| {
        let fields = path.iter().try_fold(&entry["fieldsV1"], |fields, part| fields.get(part));
        entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply" && fields.is_some()
    };
    managers.into_iter().flatten().any(owns)
}
