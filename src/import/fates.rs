//! What becomes of each object once the documents are settled: where those that stay as they are go, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::Fate;
use super::candidates::Candidate;
use super::compare::differences;
use super::manifests::{self, Folder};
use super::meshes::{Plane, is};
use super::peer::Reason;
use super::read::{Given, Text};
use super::scene::Scene;
use super::settle::Round;
use crate::derive::kinds;

impl Scene<'_> {
    /// Puts what no document says into files, and tells which object is where.
    pub fn leftovers(&self, candidates: &[Candidate], files: &mut BTreeMap<String, String>) -> BTreeMap<usize, String> {
        let mut taken: BTreeSet<usize> = candidates.iter().flat_map(|candidate| candidate.objects.iter().copied()).collect();
        taken.extend(self.said.keys());
        taken.extend((0..self.planes.len()).flat_map(|plane| self.foundations(plane)));
        let mut folders: BTreeMap<Folder, Vec<usize>> = BTreeMap::new();
        for i in (0..self.objects.len()).filter(|i| !taken.contains(i) && self.objects[*i].text != Text::Secret) {
            let folder = match self.owners[i] {
                Some(plane) if !self.wanted(plane) => continue,
                Some(plane) if self.idle(i, plane).is_some() => Folder::NotApplied(&self.planes[plane].mesh),
                Some(plane) => Folder::Applied(&self.planes[plane].mesh),
                None if self.rivals[i].iter().any(|plane| self.wanted(*plane)) => Folder::Unassigned,
                None => continue,
            };
            folders.entry(folder).or_default().push(i);
        }
        let mut placed = BTreeMap::new();
        for (folder, left) in folders {
            let objects: Vec<&Given> = left.iter().map(|i| &self.objects[*i]).collect();
            for ((i, object), path) in left.iter().zip(&objects).zip(manifests::paths(folder, &objects)) {
                manifests::add(files.entry(path.clone()).or_default(), object);
                placed.insert(*i, path);
            }
        }
        placed
    }

    /// Why no agent applies an object that stays as it is.
    fn idle(&self, i: usize, plane: usize) -> Option<String> {
        let doubled = !self.used.contains(&i) && !self.said.contains_key(&i);
        let doubled = doubled.then(|| "the agent applies none of them (MF006)".to_owned());
        manifests::refusal(&self.objects[i], &self.planes[plane]).or(doubled)
    }

    /// What became of an object.
    pub fn fate(&self, i: usize, candidates: &[Candidate], round: &Round, reasons: &BTreeMap<usize, Reason>) -> Fate {
        let of_others = self.rivals[i].iter().all(|plane| !self.wanted(*plane));
        if of_others {
            return Fate::LeftOut { reason: "it is another mesh's than the one that is asked for".to_owned() };
        }
        let i = *self.said.get(&i).unwrap_or(&i);
        let given = &self.objects[i];
        if let Some(candidate) = candidates.iter().find(|candidate| candidate.objects.contains(&i)) {
            let changes = self.unlike(i, candidate, round).unwrap_or_default();
            return Fate::Document { path: candidate.path.clone(), changes };
        }
        if let Some(plane) = self.owners[i].filter(|plane| self.foundations(*plane).contains(&i)) {
            let object = round.derived[&plane].wanted.get(&given.key).map(|wanted| wanted.object.value()).unwrap_or_default();
            return Fate::Document { path: self.mesh_path(plane), changes: differences(&given.value, &object, &[]) };
        }
        let Some(path) = round.placed.get(&i).cloned() else {
            return Fate::LeftOut { reason: "it holds a secret, which does not belong into a repository".to_owned() };
        };
        let Some(plane) = self.owners[i] else {
            return Fate::NotApplied { path, reason: doubt(&self.meshes(&self.rivals[i])) };
        };
        let mut reason = reasons.get(&i).cloned().unwrap_or_default();
        if let Some(refusal) = self.refused.get(&plane).filter(|_| self.control_plane(plane) == Some(i)) {
            reason =
                format!("a Mesh cannot say it: {refusal}. Until one can, the agent does nothing for {}", self.planes[plane].mesh);
        }
        match self.idle(i, plane) {
            Some(idle) if reason.is_empty() => Fate::NotApplied { path, reason: idle },
            Some(idle) => Fate::NotApplied { path, reason: format!("{reason}; {idle}") },
            None if reason.is_empty() => Fate::Manifest { path, reason: self.apart_by_itself(i, plane) },
            None => Fate::Manifest { path, reason },
        }
    }

    /// Why an object of a federation was never part of a document; empty where no document could be for it.
    fn apart_by_itself(&self, i: usize, plane: usize) -> Reason {
        let given = &self.objects[i];
        let Plane { mesh, namespace, .. } = &self.planes[plane];
        if self.roll(plane) == Some(i) {
            return format!("a Mesh has the members too, and makes no roll: it stays the list of {mesh}");
        }
        let of_federation = [kinds::PEER, kinds::EXPORTED, kinds::IMPORTED].into_iter().any(|kind| is(given, kind));
        if !of_federation {
            return Reason::new();
        }
        if given.key.namespace.as_deref() != Some(namespace) {
            return format!("the control plane of {mesh} looks for it in `{namespace}` only");
        }
        format!("there is no ServiceMeshPeer `{}` in `{namespace}` for it", given.key.name)
    }

    fn meshes(&self, planes: &[usize]) -> Vec<&str> {
        planes.iter().map(|plane| self.planes[*plane].mesh.as_str()).collect()
    }
}

/// Why an object is no mesh's.
pub(super) fn doubt(meshes: &[&str]) -> String {
    format!("nothing says which mesh it belongs to: {}", meshes.join(", "))
}
