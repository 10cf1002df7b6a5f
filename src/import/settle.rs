//! Which documents say the same as the objects. All that might are written, derived from as an agent does it, and held against the objects;
//! those that do not hold are taken back, until all that are left do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::candidates::Candidate;
use super::compare::rest;
use super::meshes::{Plane, is};
use super::mistakes::{twins, widest};
use super::peer::Reason;
use super::read::Given;
use super::scene::Scene;
use super::traffic;
use super::{Fate, Inputs};
use crate::derive::{Derived, Inputs as From, Observed, derive, kinds};
use crate::facts::Facts;
use crate::model::{Cache, Code, ContentId, Diagnostic, Federation, Severity, UNASSIGNED};
use crate::object::Key;

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub files: BTreeMap<String, String>,
    pub stubs: BTreeSet<String>,
    pub facts: BTreeMap<String, Facts>,
    pub fates: Vec<Fate>,
    /// ServiceMeshPeers whose addresses are in a document after all.
    pub addressed: BTreeSet<usize>,
    /// What the documents cannot say of how peers reach a mesh.
    pub found: Vec<Diagnostic>,
    /// Meshes whose control plane no Mesh document can say, and why.
    pub refused: BTreeMap<usize, String>,
    /// Files of the imported meshes that are in the repository and that the import knows nothing of.
    pub beside: Vec<String>,
}

/// Why a document cannot take the place of its objects.
struct Failure {
    /// The object that it is about; all of them where there is none.
    object: Option<usize>,
    /// It follows from what is wrong elsewhere, and may be gone once that is.
    follows: bool,
    words: Reason,
}

/// Loads the documents of a repository.
pub(super) fn load(files: &BTreeMap<String, String>) -> (Federation, Vec<Diagnostic>) {
    let entries = files.keys().map(|path| (path.clone(), ContentId([0; 20]))).collect();
    crate::model::load(
        &entries,
        &mut |path, _| files.get(path).map(|text| text.clone().into_bytes()).ok_or_else(|| "it is not there".to_owned()),
        &mut Cache::default(),
    )
}

/// One state of the repository, and what follows from it.
pub(super) struct Round {
    pub files: BTreeMap<String, String>,
    stubs: BTreeSet<String>,
    found: Vec<Diagnostic>,
    pub derived: BTreeMap<usize, Derived>,
    /// Files of objects that stay as they are.
    pub placed: BTreeMap<usize, String>,
}

pub(super) fn settle(
    objects: &[Given],
    planes: &[Plane],
    (owners, rivals): (&[Option<usize>], &[Vec<usize>]),
    inputs: Inputs,
) -> Settled {
    let used = (0..objects.len()).collect();
    let (said, refused) = (BTreeMap::new(), BTreeMap::new());
    let mut scene = Scene { objects, planes, owners, rivals, inputs, used, said, apart: BTreeSet::new(), refused };
    let mut reasons: BTreeMap<usize, Reason> = BTreeMap::new();
    for group in twins(objects, owners) {
        let wide = widest(objects, &group);
        for i in group.iter().copied().filter(|i| wide != Some(*i)) {
            scene.used.remove(&i);
            match wide {
                Some(wide) => drop(scene.said.insert(i, wide)),
                None => drop(reasons.insert(i, format!("{} objects have this name", group.len()))),
            }
        }
    }
    // What is wrong with a mesh by itself is not its peerings' fault.
    let mut alone = scene.ground();
    alone.extend(scene.planes_wanted().map(|plane| (scene.mesh_path(plane), scene.mesh(plane, &json!({})))));
    scene.refused = scene.refusals(&load(&alone).1);
    let mut candidates = scene.candidates(&mut reasons);
    loop {
        let round = scene.round(&candidates);
        let mut failed = scene.failed(&candidates, &round);
        if failed.values().any(|failure| !failure.follows) {
            failed.retain(|_, failure| !failure.follows);
        }
        if failed.is_empty() {
            let refused = scene.refusals(&round.found);
            if refused.is_empty() {
                return scene.settled(&candidates, round, &reasons);
            }
            scene.refused.extend(refused);
        }
        let mended: BTreeMap<usize, Candidate> = failed
            .iter()
            .filter_map(|(i, failure)| Some((*i, scene.without_set(&candidates[*i], failure, &mut reasons)?)))
            .collect();
        for (i, reason) in failed.iter().filter(|(i, _)| !mended.contains_key(i)) {
            for object in &candidates[*i].objects {
                let with = |first: &usize| format!("it goes with {}", objects[*first].key);
                let own = reason.object.is_none_or(|first| first == *object);
                let reason = if own { reason.words.clone() } else { reason.object.as_ref().map(with).unwrap_or_default() };
                reasons.entry(*object).or_insert(reason);
            }
        }
        let mut number = 0..;
        candidates.retain(|_| number.next().is_none_or(|i| !failed.contains_key(&i)));
        candidates.extend(mended.into_values());
        candidates.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

impl Scene<'_> {
    /// Meshes whose document is found to be wrong.
    fn refusals(&self, found: &[Diagnostic]) -> BTreeMap<usize, String> {
        let error = |plane: usize| {
            if self.planes[plane].homeless {
                return Some("it names no namespace".to_owned());
            }
            if self.planes[plane].domain.is_none() {
                return Some("it has no `spec.security.trust.domain`, so its trust domain is that of every other".to_owned());
            }
            let path = self.mesh_path(plane);
            let mut errors = found.iter().filter(|finding| finding.severity == Severity::Error);
            errors.find(|finding| finding.path == path).map(|finding| finding.message.clone())
        };
        let new = self.planes_wanted().filter(|plane| !self.refused.contains_key(plane));
        new.filter_map(|plane| Some((plane, error(plane)?))).collect()
    }

    /// The document of a peering without the service set for which it fails.
    fn without_set(
        &mut self,
        candidate: &Candidate,
        failure: &Failure,
        reasons: &mut BTreeMap<usize, Reason>,
    ) -> Option<Candidate> {
        let set = failure
            .object
            .filter(|i| is(&self.objects[*i], kinds::EXPORTED) || is(&self.objects[*i], kinds::IMPORTED))
            .filter(|_| candidate.peer.is_some())?;
        self.apart.insert(set);
        reasons.entry(set).or_insert_with(|| failure.words.clone());
        self.half(candidate.plane, candidate.objects[0], reasons).ok().map(|(mended, _)| mended)
    }

    fn planes_wanted(&self) -> impl Iterator<Item = usize> {
        (0..self.planes.len()).filter(|plane| self.wanted(*plane))
    }

    /// The repository without the meshes that are imported.
    fn ground(&self) -> BTreeMap<String, String> {
        let mut files = self.inputs.repository.clone();
        files.retain(|path, _| !path.starts_with(UNASSIGNED)); // what is there now is found again, or left as it is
        for plane in self.planes_wanted() {
            let folder = format!("meshes/{}/", self.planes[plane].mesh);
            files.retain(|path, _| !path.starts_with(&folder));
        }
        files.entry("federation.yaml".to_owned()).or_insert_with(|| crate::model::template::federation("imported"));
        files
    }

    fn round(&self, candidates: &[Candidate]) -> Round {
        let mut files = self.ground();
        let stubs = self.stubs(candidates, &files);
        let names = stubs.keys().cloned().collect();
        files.extend(stubs);
        files.extend(candidates.iter().map(|candidate| (candidate.path.clone(), candidate.text.clone())));
        let placed = self.leftovers(candidates, &mut files);
        let mut bases: BTreeMap<usize, Value> = self.planes_wanted().map(|plane| (plane, json!({}))).collect();
        // First without what is in no document, to see what that is; then with it.
        for last in [false, true] {
            for (plane, base) in &bases {
                files.insert(self.mesh_path(*plane), self.mesh(*plane, base));
            }
            let (federation, found) = load(&files);
            let derived: BTreeMap<usize, Derived> =
                self.planes_wanted().map(|plane| (plane, self.derive(plane, &federation))).collect();
            if last {
                return Round { files, stubs: names, found, derived, placed };
            }
            for (plane, base) in &mut bases {
                let Some(i) = self.control_plane(*plane) else { continue };
                let object =
                    derived[plane].wanted.get(&self.objects[i].key).map(|wanted| wanted.object.value()).unwrap_or_default();
                *base = self.value(i).get("spec").and_then(|spec| rest(spec, &object["spec"])).unwrap_or_else(|| json!({}));
            }
        }
        unreachable!("the second pass returns")
    }

    fn derive(&self, plane: usize, federation: &Federation) -> Derived {
        let me = &self.planes[plane].mesh;
        let observed = federation.meshes.get(me).map(Observed::assumed).unwrap_or_default();
        derive(From { federation, me, facts: &self.facts(plane, true), observed: &observed })
    }

    /// Candidates that cannot take the place of their objects, and why.
    fn failed(&self, candidates: &[Candidate], round: &Round) -> BTreeMap<usize, Failure> {
        let mut failed = BTreeMap::new();
        for (number, candidate) in candidates.iter().enumerate() {
            if let Some(refusal) = self.refused.get(&candidate.plane) {
                failed.insert(number, Failure { object: None, follows: false, words: format!("its Mesh is refused: {refusal}") });
                continue;
            }
            let errors = round.found.iter().filter(|finding| finding.severity == Severity::Error);
            let about = |finding: &&Diagnostic| {
                let mesh = &self.planes[candidate.plane].mesh;
                let stub = |path: &str| {
                    candidate.peer.as_ref().is_some_and(|peer| {
                        [format!("meshes/{peer}/mesh.yaml"), format!("meshes/{peer}/peers/{mesh}.yaml")]
                            .iter()
                            .any(|stub| stub == path)
                    })
                };
                finding.path == candidate.path || (stub(&finding.path) && round.stubs.contains(&finding.path))
            };
            if let Some(error) = errors.clone().find(about) {
                let set = candidate.set_at(error.span.line).filter(|_| error.path == candidate.path);
                let object = set.and_then(|kind| self.set(candidate.plane, candidate.objects[0], kind));
                let words = self.rivals_for_host(candidate, error).unwrap_or_else(|| error.message.clone());
                failed.insert(number, Failure { object, follows: false, words });
                continue;
            }
            let follows = |i: &usize| !round.derived[&candidate.plane].wanted.contains_key(&self.objects[*i].key);
            let unlike = |i: &usize| {
                Some(Failure { object: Some(*i), follows: follows(i), words: self.unlike(*i, candidate, round).err()? })
            };
            failed.extend(candidate.objects.iter().find_map(unlike).map(|failure| (number, failure)));
        }
        for (plane, derived) in &round.derived {
            let given: BTreeSet<&Key> =
                self.used.iter().filter(|i| self.owners[**i] == Some(*plane)).map(|i| &self.objects[*i].key).collect();
            for (key, wanted) in derived.wanted.iter().filter(|(key, _)| !given.contains(key) && &*key.kind != "ConfigMap") {
                if let Some(number) = candidates.iter().position(|candidate| candidate.path == *wanted.object.source) {
                    let words = format!("a document would also make {key}, which is not there");
                    failed.entry(number).or_insert(Failure { object: None, follows: false, words });
                }
            }
        }
        failed
    }

    /// Objects that only one Traffic could say, where each would be one: the documents that an error names are never written.
    fn rivals_for_host(&self, candidate: &Candidate, error: &Diagnostic) -> Option<Reason> {
        let service = candidate.service.as_ref().filter(|_| error.code == Code::Duplicate)?;
        let both = self.of(candidate.plane, kinds::VIRTUAL_SERVICE).chain(self.of(candidate.plane, kinds::DESTINATION_RULE));
        let objects: Vec<usize> = both.filter(|i| traffic::is_for(&self.objects[*i], service)).collect();
        let of = |kind| objects.iter().copied().filter(|i| is(&self.objects[*i], kind)).collect::<Vec<_>>();
        let (routes, rules) = (of(kinds::VIRTUAL_SERVICE), of(kinds::DESTINATION_RULE));
        Some(match (routes.len(), rules.len()) {
            (_, 2..) => format!("{} DestinationRules are for host {service}: {}", number(rules.len()), self.places(&rules)),
            (2.., _) => format!("{} VirtualServices are for host {service}: {}", number(routes.len()), self.places(&routes)),
            _ => format!(
                "one Traffic makes all for host {service} under one name, and these have several: {}",
                self.places(&objects)
            ),
        })
    }

    /// Where objects are written: `a.yaml:3 and :9`.
    fn places(&self, objects: &[usize]) -> String {
        let mut last = "";
        let places: Vec<String> = objects
            .iter()
            .map(|i| {
                let given = &self.objects[*i];
                let path = if given.path == std::mem::replace(&mut last, given.path) { "" } else { given.path };
                format!("{path}:{}", given.span.line)
            })
            .collect();
        places.split_last().map_or_else(String::new, |(last, first)| match first {
            [] => last.clone(),
            first => format!("{} and {last}", first.join(", ")),
        })
    }

    fn settled(&self, candidates: &[Candidate], round: Round, reasons: &BTreeMap<usize, Reason>) -> Settled {
        let fates: Vec<Fate> = (0..self.objects.len()).map(|i| self.fate(i, candidates, &round, reasons)).collect();
        let found = self.unpublished(&fates);
        let mut facts: BTreeMap<String, Facts> = BTreeMap::new();
        for plane in self.planes_wanted() {
            // What an object keeps that stays as it is, is in no need of facts.
            let said = |peer: &String| {
                candidates.iter().any(|candidate| candidate.plane == plane && candidate.peer.as_ref() == Some(peer))
            };
            for (peer, own) in self.facts(plane, false).into_iter().filter(|(peer, _)| said(peer)) {
                let all = facts.entry(peer).or_default();
                all.ingress.extend(own.ingress);
                let known: BTreeSet<String> = all.roots.iter().map(|root| root.fingerprint.clone()).collect();
                all.roots.extend(own.roots.into_iter().filter(|root| !known.contains(&root.fingerprint)));
            }
        }
        facts.retain(|_, facts| !facts.roots.is_empty() || !facts.ingress.is_empty());
        let mut files = round.files;
        let beside = self.inputs.repository.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        files.retain(|path, text| self.inputs.repository.get(path) != Some(text));
        Settled {
            files,
            stubs: round.stubs,
            facts,
            fates,
            found,
            addressed: self.addressed(),
            beside,
            refused: self.refused.clone(),
        }
    }
}

/// A number in a sentence.
fn number(count: usize) -> String {
    if count == 2 { "two".to_owned() } else { count.to_string() }
}
