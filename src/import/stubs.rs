//! What one mesh's objects say of its peers, for peers that have no documents yet: without them its own mean nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::candidates::Candidate;
use super::documents::{ControlPlane, Export, Gateways, MeshSpec, PeerSpec, write};
use super::meshes::Plane;
use super::peer::Identity;
use super::scene::Scene;
use crate::model::defaults;

/// Begins a document that says of a mesh only what another one's objects say of it.
pub(super) const STUB: &str =
    "# As the objects of a peer have it. Whoever looks after this mesh writes the whole of it: meshfed import, or by hand.\n";

impl Scene<'_> {
    /// Documents that a peer must have so that ours mean something, where it has none.
    pub fn stubs(&self, candidates: &[Candidate], files: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut meshes: BTreeMap<String, (Identity, BTreeSet<String>)> = BTreeMap::new();
        let mut stubs = BTreeMap::new();
        for candidate in candidates {
            let Some(peer) = &candidate.peer else { continue };
            let own = |(i, plane): (usize, &Plane)| plane.mesh == *peer && self.wanted(i);
            let (said, _) = self.peer(candidate.plane, candidate.objects[0]);
            let Ok(identity) = said.identity() else { continue };
            if self.planes.iter().enumerate().any(own) {
                continue;
            }
            let mesh = &self.planes[candidate.plane].mesh;
            let half = format!("meshes/{peer}/peers/{mesh}.yaml");
            let imported = said.imported();
            if files.get(&half).is_none_or(|text| text.starts_with(STUB)) {
                let egress = (identity.egress != defaults::egress_gateway(mesh)).then(|| identity.egress.clone());
                let exports = imported.iter().map(|service| Export { service: Some(service.clone()), ..Export::default() });
                let spec =
                    PeerSpec { gateways: Gateways { ingress: None, egress }, exports: exports.collect(), ..PeerSpec::default() };
                stubs.insert(half, format!("{STUB}{}", write("Peer", mesh, &spec)));
            }
            let namespaces = imported.iter().filter_map(|service| Some(service.split_once('/')?.0.to_owned()));
            meshes.entry(peer.clone()).or_insert((identity, BTreeSet::new())).1.extend(namespaces);
        }
        for (peer, (Identity { domain, namespace, .. }, mut members)) in meshes {
            let path = format!("meshes/{peer}/mesh.yaml");
            if files.get(&path).is_none_or(|text| text.starts_with(STUB)) {
                members.remove(&namespace);
                let namespace = (namespace != peer).then_some(namespace);
                let control_plane =
                    namespace.map(|namespace| ControlPlane { namespace: Some(namespace), ..ControlPlane::default() });
                let members = members.into_iter().collect();
                let spec =
                    MeshSpec { trust_domain: Some(domain), members, control_plane, suspend: Some(true), ..MeshSpec::default() };
                stubs.insert(path, format!("{STUB}{}", write("Mesh", &peer, &spec)));
            }
        }
        stubs
    }
}
