//! Documents that may take the place of objects.

use std::collections::{BTreeMap, BTreeSet};

use super::documents::{PeerSpec, write};
use super::meshes::{is, text};
use super::peer::{Identity, Objects, Reason};
use super::scene::Scene;
use super::traffic::{self, Imported};
use crate::derive::kinds;
use crate::object::Key;

/// A document that may take the place of objects.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub plane: usize,
    pub path: String,
    pub text: String,
    pub objects: Vec<usize>,
    /// The peer whose half it is; `None` for a Traffic.
    pub peer: Option<String>,
}

impl Scene<'_> {
    /// All of them; what can be in none gets its reason.
    pub fn candidates(&self, reasons: &mut BTreeMap<usize, Reason>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for plane in (0..self.planes.len()).filter(|plane| self.wanted(*plane)) {
            let mesh = &self.planes[plane].mesh;
            let mut imported = Vec::new();
            for peer in self.peers(plane) {
                let name = self.objects[peer].key.name.to_string();
                let (said, objects) = self.peer(plane, peer);
                match self.half(plane, &name, said) {
                    Ok(spec) => {
                        imported.extend(imports(&name, &spec));
                        let text = write("Peer", &name, &spec);
                        let path = format!("meshes/{mesh}/peers/{name}.yaml");
                        candidates.push(Candidate { plane, path, text, objects, peer: Some(name) });
                    }
                    Err(reason) => objects.into_iter().for_each(|i| drop(reasons.insert(i, reason.clone()))),
                }
            }
            self.traffic(plane, &imported, &mut candidates, reasons);
        }
        candidates
    }

    fn half(&self, plane: usize, name: &str, said: Objects) -> Result<PeerSpec, Reason> {
        let Identity { domain, .. } = said.identity()?;
        let other = self.planes.iter().enumerate().find(|(i, other)| *i != plane && other.domain.as_ref() == Some(&domain));
        if let Some((_, other)) = other.filter(|(i, other)| other.mesh != name && self.wanted(*i)) {
            return Err(format!("the mesh with this trust domain is `{}`, and has one name in the repository", other.mesh));
        }
        said.document(name)
    }

    fn traffic(
        &self,
        plane: usize,
        imported: &[Imported],
        candidates: &mut Vec<Candidate>,
        reasons: &mut BTreeMap<usize, Reason>,
    ) {
        let mesh = &self.planes[plane].mesh;
        let mut names: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for i in self.of(plane, kinds::VIRTUAL_SERVICE).chain(self.of(plane, kinds::DESTINATION_RULE)) {
            let Key { namespace, name, .. } = &self.objects[i].key;
            names.entry((namespace.as_deref().unwrap_or_default(), name)).or_default().push(i);
        }
        let mut files = BTreeSet::new();
        for ((namespace, name), objects) in names {
            let of = |kind| objects.iter().find(|i| is(&self.objects[**i], kind)).map(|i| self.value(*i));
            let document = if files.insert(name) {
                traffic::document(of(kinds::VIRTUAL_SERVICE), of(kinds::DESTINATION_RULE), namespace, imported)
            } else {
                Err(format!("another namespace has a Traffic `{name}` already"))
            };
            match document {
                Ok(spec) => {
                    let path = format!("meshes/{mesh}/traffic/{name}.yaml");
                    candidates.push(Candidate { plane, path, text: write("Traffic", name, &spec), objects, peer: None });
                }
                Err(reason) => objects.into_iter().for_each(|i| drop(reasons.insert(i, reason.clone()))),
            }
        }
    }
}

/// What a half of a peering takes, and under which hosts.
fn imports(peer: &str, spec: &PeerSpec) -> Vec<Imported> {
    let one = |import: &super::documents::Import| {
        let service = import.alias.as_ref().unwrap_or(&import.service).clone();
        let (namespace, name) = service.split_once('/')?;
        let host = match &import.domain_suffix {
            _ if import.as_local => format!("{name}.{namespace}.svc.cluster.local"),
            Some(suffix) => format!("{name}.{namespace}.{suffix}"),
            None => format!("{name}.{namespace}.svc.{peer}-imports.local"),
        };
        let region = spec.locality.as_ref().and_then(|locality| text(locality, "/region")).map(str::to_owned);
        Some(Imported { host, peer: peer.to_owned(), service: service.clone(), as_local: import.as_local, region })
    };
    spec.imports.iter().filter_map(one).collect()
}
