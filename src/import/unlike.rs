//! What documents say otherwise than an object, and why they may say nothing of it at all.

use serde_json::Value;

use super::candidates::Candidate;
use super::compare::{Difference, differences};
use super::meshes::{is, text};
use super::peer::Reason;
use super::scene::Scene;
use super::settle::Round;
use crate::derive::kinds;

impl Scene<'_> {
    /// What documents say otherwise than an object; an error where that is too much.
    pub fn unlike(&self, i: usize, candidate: &Candidate, round: &Round) -> Result<Vec<Difference>, Reason> {
        let given = &self.objects[i];
        let derived = &round.derived[&candidate.plane];
        let Some(wanted) = derived.wanted.get(&given.key) else {
            let hold = derived.holds.iter().find(|hold| hold.key.as_ref() == Some(&given.key));
            let hold = hold.or_else(|| {
                derived
                    .holds
                    .iter()
                    .find(|hold| candidate.peer.as_ref().is_some_and(|peer| hold.subject == format!("peering {peer}")))
            });
            let reason = || hold.map_or_else(|| "documents do not make it".to_owned(), |hold| hold.reason.clone());
            return Err(self.other_half(candidate, round).unwrap_or_else(reason));
        };
        let skip = self.facts_of(i, candidate);
        let found = differences(&given.value, &wanted.object.value(), &skip);
        let tolerable =
            |difference: &&Difference| self.inputs.adapt && (candidate.peer.is_some() || difference.instead.is_some());
        match found.iter().find(|difference| !tolerable(difference)) {
            Some(Difference { path, written, instead: Some(instead) }) => {
                Err(format!("{path} is {}, and a document says {}", words(written), words(instead)))
            }
            Some(Difference { path, .. }) => Err(format!("{path}: a document has nothing for it")),
            None => Ok(found),
        }
    }

    /// That a peering waits for its other half, where that is among the objects and no document says it.
    fn other_half(&self, candidate: &Candidate, round: &Round) -> Option<Reason> {
        let path = format!("meshes/{}/peers/{}.yaml", candidate.peer.as_ref()?, self.planes[candidate.plane].mesh);
        if round.files.contains_key(&path) {
            return self.other_exports(candidate);
        }
        let theirs = self.planes.iter().position(|plane| candidate.peer.as_ref() == Some(&plane.mesh))?;
        let me = self.planes[candidate.plane].domain.as_ref()?;
        let back = |i: &usize| text(self.value(*i), "/spec/security/trustDomain") == Some(me);
        let back = self.peers(theirs).find(back)?;
        Some(format!("no document says the other half of the peering, {}", self.objects[back].key))
    }

    /// That what a peer exports is in no document, so that none can say what is imported.
    fn other_exports(&self, candidate: &Candidate) -> Option<Reason> {
        let me = &self.planes[candidate.plane].mesh;
        let theirs = |i: &&usize| {
            is(&self.objects[**i], kinds::EXPORTED)
                && *self.objects[**i].key.name == **me
                && self.owners[**i].is_some_and(|owner| candidate.peer.as_ref() == Some(&self.planes[owner].mesh))
        };
        let set = self.apart.iter().find(theirs)?;
        Some(format!("no document says what the peer exports, {}", self.objects[*set].key))
    }

    /// Fields that are facts, which peers publish and nobody declares.
    fn facts_of(&self, i: usize, candidate: &Candidate) -> Vec<&'static str> {
        if is(&self.objects[i], kinds::CONFIG_MAP) {
            return vec!["data[root-cert.pem]"];
        }
        let (said, _) = self.peer(candidate.plane, candidate.objects[0]);
        if candidate.peer.is_some() && is(&self.objects[i], kinds::PEER) && said.endpoint().is_none() {
            vec!["spec.remote"]
        } else {
            vec![]
        }
    }
}

/// A value in a sentence.
fn words(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// Longest value in a sentence, in characters: an identity fits.
const MAX_VALUE: usize = 120;
