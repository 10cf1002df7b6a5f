//! How peers reach a mesh, as their objects have it. In a repository its own Mesh says so, and its agent publishes it for them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Fate;
use super::documents::Ingress;
use super::meshes::text;
use super::read::Given;
use super::scene::Scene;
use super::settle::load;
use crate::model::{Code, Diagnostic, Federation, Span, address, defaults};

/// Ports of discovery and of services.
type Ports = (u16, u16);

const USUAL: Ports = (defaults::DISCOVERY_PORT, defaults::SERVICE_PORT);

/// How one peer reaches a mesh.
struct Dialled<'a> {
    /// The ServiceMeshPeer that says it.
    peer: usize,
    ports: Ports,
    /// `None` where not every one could be published.
    addresses: Option<Vec<String>>,
    /// The ingress gateway that answers.
    gateway: Option<&'a Value>,
}

impl Dialled<'_> {
    /// Whether the cluster cannot say these addresses: it knows those of load balancers, and those answer at the ports of their Service.
    fn is_fixed(&self) -> bool {
        match self.gateway.and_then(service_type) {
            Some("NodePort") => true,
            Some("ClusterIP") => self.addresses.is_some(),
            _ => self.ports != USUAL && self.gateway.is_none_or(|gateway| numbers(gateway, "port") != Some(self.ports)),
        }
    }

    /// Whether a Mesh of type NodePort makes this gateway as it is.
    fn is_node_port(&self) -> bool {
        let (one, other) = self.ports;
        let gateway = self.gateway.filter(|gateway| service_type(gateway) == Some("NodePort"));
        let free = one != other && [one, other].iter().all(|port| defaults::NODE_PORTS.contains(port));
        // Ports that the cluster chose are those that peers dial.
        free && gateway.is_some_and(|gateway| numbers(gateway, "nodePort").is_none_or(|ports| ports == self.ports))
    }
}

fn service_type(gateway: &Value) -> Option<&str> {
    text(gateway, "/service/type")
}

/// Numbers of the ports that lead to discovery and to services: `port` or `nodePort` of each; an entry without a target is its own.
fn numbers(gateway: &Value, field: &str) -> Option<Ports> {
    let entries = gateway.pointer("/service/ports")?.as_array()?;
    let number = |entry: &Value, field: &str| entry.get(field).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
    let leading = |to: u16| {
        let target = |entry: &&Value| number(entry, "targetPort").or_else(|| number(entry, "port")) == Some(to);
        entries.iter().filter(target).find_map(|entry| number(entry, field))
    };
    Some((leading(USUAL.0)?, leading(USUAL.1)?))
}

/// What all say, where they say one thing.
fn agreed<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

impl<'a> Scene<'a> {
    /// How peers reach a mesh: all of it, or nothing where a Mesh cannot say all of it.
    pub fn ingress(&self, plane: usize) -> Ingress {
        let dialled = self.dialled(plane);
        let Some(ports) = agreed(dialled.iter().map(|one| one.ports)) else { return Ingress::default() };
        let fixed = dialled.iter().any(Dialled::is_fixed);
        let addresses = agreed(dialled.iter().map(|one| one.addresses.clone())).flatten().filter(|_| fixed);
        if fixed && addresses.is_none() {
            return Ingress::default();
        }
        // The gateways of several peers cannot all have the same node ports.
        let node_port = self.peers(plane).count() == 1 && dialled.iter().all(Dialled::is_node_port);
        let port = |given: u16, usual: u16| (given != usual).then_some(given);
        Ingress {
            service_type: node_port.then_some("NodePort"),
            addresses: addresses.unwrap_or_default(),
            discovery_port: port(ports.0, USUAL.0),
            service_port: port(ports.1, USUAL.1),
        }
    }

    /// ServiceMeshPeers whose addresses a Mesh says.
    pub fn addressed(&self) -> BTreeSet<usize> {
        let planes = (0..self.planes.len()).filter(|plane| self.wanted(*plane) && !self.ingress(*plane).addresses.is_empty());
        planes.flat_map(|plane| self.dialled(plane)).map(|one| one.peer).collect()
    }

    /// What the other meshes' objects say of how they reach one.
    fn dialled(&self, plane: usize) -> Vec<Dialled<'a>> {
        let Some(domain) = &self.planes[plane].domain else { return Vec::new() };
        let others = (0..self.planes.len()).filter(|other| *other != plane);
        let towards = others.flat_map(|other| self.peers(other).map(move |peer| (other, peer)));
        let towards = towards.filter(|(_, peer)| text(self.value(*peer), "/spec/security/trustDomain") == Some(domain));
        towards.filter_map(|(other, peer)| self.dial(plane, other, peer)).collect()
    }

    fn dial(&self, plane: usize, other: usize, peer: usize) -> Option<Dialled<'a>> {
        let (said, _) = self.peer(other, peer);
        let publishable = |address: &String| !address::is_inside(address) || address.parse::<std::net::IpAddr>().is_ok();
        let addresses = said.endpoint().map(|endpoint| endpoint.addresses);
        let mut addresses = addresses.filter(|all| !all.is_empty() && all.iter().all(publishable));
        addresses.iter_mut().for_each(|all| all.sort());
        Some(Dialled { peer, ports: said.ports()?, addresses, gateway: self.gateway(plane, other) })
    }

    /// The ingress gateway of a mesh for another.
    fn gateway(&self, plane: usize, other: usize) -> Option<&'a Value> {
        let domain = self.planes[other].domain.as_deref();
        let mut peers = self.peers(plane);
        let peer = peers.find(|peer| domain.is_some() && text(self.value(*peer), "/spec/security/trustDomain") == domain)?;
        let name = text(self.value(peer), "/spec/gateways/ingress/name")?;
        self.value(self.control_plane(plane)?).pointer("/spec/gateways/additionalIngress")?.get(name)
    }

    /// Ways to reach a mesh that documents say otherwise than the objects whose place they take.
    pub fn unpublished(&self, fates: &[Fate]) -> Vec<Diagnostic> {
        let taken = |peer: &usize| matches!(fates[*peer], Fate::Document { .. });
        let mut found = Vec::new();
        for plane in (0..self.planes.len()).filter(|plane| self.wanted(*plane)) {
            let said = self.ingress(plane);
            let dialled = self.dialled(plane);
            for one in dialled.iter().filter(|one| taken(&one.peer) && !says(&said, one)) {
                found.push(self.several(plane, one, &dialled));
            }
            if dialled.is_empty() {
                found.extend(self.at_nodes(plane, self.peers(plane).filter(taken)));
            }
        }
        let (federation, _) = load(self.inputs.repository);
        for plane in (0..self.planes.len()).filter(|plane| self.wanted(*plane)) {
            let peers = self.peers(plane).filter(taken).filter(|peer| !self.is_imported(*peer));
            found.extend(peers.filter_map(|peer| self.elsewhere(plane, peer, &federation)));
        }
        found
    }

    /// A gateway for a peer that is reached at nodes, where nothing says their addresses: the cluster does not say them of a Service.
    fn at_nodes(&self, plane: usize, mut peers: impl Iterator<Item = usize>) -> Option<Diagnostic> {
        let given = &self.objects[self.control_plane(plane)?];
        let kind = peers.find_map(|peer| {
            let name = text(self.value(peer), "/spec/gateways/ingress/name")?;
            let kind = given.node.at(&["spec", "gateways", "additionalIngress", name, "service", "type"])?;
            (kind.text() == Some("NodePort")).then_some(kind)
        })?;
        let message = format!("no object says at which addresses peers reach the nodes of `{}`", self.planes[plane].mesh);
        let help =
            format!("its agent publishes none: write `ingress` with `addresses` and both ports into {}", self.mesh_path(plane));
        Some(Diagnostic::warning(given.path, kind.span, Code::ByHand, message, help))
    }

    /// Whether the mesh that a ServiceMeshPeer is about is among those that are imported.
    fn is_imported(&self, peer: usize) -> bool {
        let domain = text(self.value(peer), "/spec/security/trustDomain");
        let mut planes = (0..self.planes.len()).filter(|plane| self.wanted(*plane));
        planes.any(|plane| domain.is_some() && self.planes[plane].domain.as_deref() == domain)
    }

    fn several(&self, plane: usize, one: &Dialled, all: &[Dialled]) -> Diagnostic {
        let given = &self.objects[one.peer];
        let mesh = &self.planes[plane].mesh;
        let ports = agreed(all.iter().map(|one| one.ports)).is_none();
        let message = if ports {
            format!(
                "peers reach `{mesh}` at different ports, and a Mesh has one pair of them for all: no document says {}",
                words(one.ports)
            )
        } else {
            format!("no document says at which addresses `{mesh}` is reached: a Mesh has one list of them for all its peers")
        };
        let help = format!(
            "its agent publishes other ones: give all peers the same way, and write it as `ingress` into {}",
            self.mesh_path(plane)
        );
        let others = all.iter().filter(|other| other.peer != one.peer);
        let finding = Diagnostic::warning(given.path, place(given), Code::ByHand, message, help);
        others.fold(finding, |finding, other| {
            let given = &self.objects[other.peer];
            finding.also(given.path, place(given), "another peer")
        })
    }

    /// What a peer that is not imported has to publish, unless it is usual or its Mesh says it.
    fn elsewhere(&self, plane: usize, peer: usize, federation: &Federation) -> Option<Diagnostic> {
        let given = &self.objects[peer];
        let ports = self.peer(plane, peer).0.ports().filter(|ports| *ports != USUAL)?;
        let name = &given.key.name;
        let known = federation.mesh(name).map(|mesh| (mesh.ingress.discovery_port, mesh.ingress.service_port));
        if known == Some(ports) {
            return None;
        }
        let message = format!("no document says that `{name}` is reached at {}, for it is not imported here", words(ports));
        let help = format!(
            "before its agent publishes, write into meshes/{name}/mesh.yaml: ingress: {{discoveryPort: {}, servicePort: {}}}",
            ports.0, ports.1
        );
        Some(Diagnostic::warning(given.path, place(given), Code::ByHand, message, help))
    }
}

/// Whether peers that an agent tells so still dial the same.
fn says(said: &Ingress, one: &Dialled) -> bool {
    let ports = (said.discovery_port.unwrap_or(USUAL.0), said.service_port.unwrap_or(USUAL.1));
    ports == one.ports && (!one.is_fixed() || one.addresses.as_ref() == Some(&said.addresses))
}

/// Where a ServiceMeshPeer says its ports, or what there is of it.
fn place(given: &Given) -> Span {
    let paths = [&["spec", "remote", "discoveryPort"][..], &["spec", "remote", "servicePort"], &["spec", "remote"]];
    let places = paths.iter().filter_map(|path| given.node.at(path));
    places.map(|node| node.span).next().unwrap_or(given.span)
}

fn words((discovery, service): Ports) -> String {
    format!("{discovery} (discovery) and {service} (services)")
}
