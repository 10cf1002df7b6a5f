//! Documents that may take the place of objects.

use std::collections::{BTreeMap, BTreeSet};

use super::documents::{PeerSpec, write};
use super::meshes::{is, text};
use super::peer::{Identity, Objects, Reason, Refused};
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
    /// The service that a Traffic is about.
    pub service: Option<String>,
}

impl Candidate {
    /// The kind of service set that a line of the text is about.
    pub fn set_at(&self, line: u32) -> Option<(&'static str, &'static str)> {
        let above: Vec<&str> = self.text.lines().take(line as usize).collect();
        let part = above.iter().rfind(|line| line.starts_with("  ") && !line.starts_with("  -") && !line.starts_with("   "))?;
        match part.trim_end_matches(':').trim() {
            "exports" => Some(kinds::EXPORTED),
            "imports" | "locality" => Some(kinds::IMPORTED),
            _ => None,
        }
    }
}

impl Scene<'_> {
    /// All of them; what can be in none gets its reason.
    pub fn candidates(&mut self, reasons: &mut BTreeMap<usize, Reason>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for plane in 0..self.planes.len() {
            if !self.wanted(plane) {
                continue;
            }
            let mut imported = Vec::new();
            for peer in self.peers(plane).collect::<Vec<_>>() {
                match self.half(plane, peer, reasons) {
                    Ok((candidate, taken)) => {
                        imported.extend(taken);
                        candidates.push(candidate);
                    }
                    Err(reason) => {
                        let (_, objects) = self.peer(plane, peer);
                        objects.into_iter().for_each(|i| drop(reasons.insert(i, reason.clone())));
                    }
                }
            }
            self.traffic(plane, &imported, &mut candidates, reasons);
        }
        candidates
    }

    /// The document of a peer, with what it imports. A service set that it cannot say is left to stand beside it.
    pub fn half(
        &mut self,
        plane: usize,
        peer: usize,
        reasons: &mut BTreeMap<usize, Reason>,
    ) -> Result<(Candidate, Vec<Imported>), Reason> {
        let name = self.objects[peer].key.name.to_string();
        let path = format!("meshes/{}/peers/{name}.yaml", self.planes[plane].mesh);
        loop {
            let (said, objects) = self.peer(plane, peer);
            let spec = match self.spec(plane, &name, said) {
                Ok(spec) => spec,
                Err(Refused { set, words }) => {
                    let Some(set) = set.and_then(|kind| self.set(plane, peer, kind)) else { return Err(words) };
                    reasons.insert(set, words);
                    self.apart.insert(set);
                    continue;
                }
            };
            let (text, imported) = (write("Peer", &name, &spec), imports(&name, &spec));
            return Ok((Candidate { plane, path, text, objects, peer: Some(name), service: None }, imported));
        }
    }

    fn spec(&self, plane: usize, name: &str, said: Objects) -> Result<PeerSpec, Refused> {
        let Identity { domain, .. } = said.identity()?;
        let other = self.planes.iter().enumerate().find(|(i, other)| *i != plane && other.domain.as_ref() == Some(&domain));
        if let Some((_, other)) = other.filter(|(i, other)| other.mesh != name && self.wanted(*i)) {
            let words = format!("the mesh with this trust domain is `{}`, and has one name in the repository", other.mesh);
            return Err(words.into());
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
                    let text = write("Traffic", name, &spec);
                    candidates.push(Candidate { plane, path, text, objects, peer: None, service: Some(spec.service) });
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
