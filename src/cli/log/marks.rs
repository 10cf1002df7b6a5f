//! What verification says of each commit, while the histories are walked from the newest commit backwards.

use std::collections::{BTreeMap, HashMap};

use crate::cli::clone::fault;
use crate::cli::trusted::{Verified, found, verify};
use crate::error::Error;
use crate::model::{Cache, ContentId, Federation, Place, load_some};
use crate::repo::{Commit, Mirror};
use crate::trust::{Id, Introduction, Publisher, Revoked, Verifier, published};
use crate::view::log::{Basis, Mark};

/// The verifier, and where on `main` the walk is.
pub(super) struct Marks<'a> {
    mirror: &'a Mirror,
    verifier: Verifier,
    verified: Verified,
    /// Whether somebody gave the anchor, or the history itself names it.
    proven: bool,
    part: Part,
    /// Commit that a person accepted → the commit that says so.
    accepted: HashMap<Id, Id>,
    /// Who writes for each mesh: all keys that verified commits listed for its agent, as far as the walk has come.
    publishers: BTreeMap<String, Publisher>,
}

/// Parts of `main`, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    NotInForce,
    Verified,
    BeforeAnchor,
}

impl<'a> Marks<'a> {
    /// Verifies `main` from the anchor that somebody gave, or else from the oldest commit with `trust/`.
    pub fn begin(mirror: &'a Mirror, given: Option<Introduction>) -> Result<(Option<Self>, Basis), Error> {
        if let Some(introduction) = given {
            return Ok((Some(Self::new(mirror, introduction, true)?), Basis::Given));
        }
        // The history is told even where it says nothing sound of itself.
        let none = |why: String| Ok((None, Basis::None { why }));
        match found(mirror, mirror.main()?.into()) {
            Ok(Some(introduction)) => match Self::new(mirror, introduction, false) {
                Ok(marks) => Ok((Some(marks), Basis::Found { from: introduction.anchor.short() })),
                Err(error) => none(error.to_string()),
            },
            Ok(None) => none("main has no trust/".to_owned()),
            Err(why) => none(fault(why).to_string()),
        }
    }

    /// Verifies `main` from the anchor to its tip.
    fn new(mirror: &'a Mirror, introduction: Introduction, proven: bool) -> Result<Self, Error> {
        let verified = verify(mirror, introduction, mirror.main()?.into())?;
        let Some(newest) = verified.newest else {
            let why = verified.refusal.map(|refusal| refusal.to_string()).unwrap_or_default();
            return Err(if proven {
                let message = format!("the anchor is not the one that is meant: {why}");
                Error::unavailable(message, "ask whoever gave you anchor and digest")
            } else {
                Error::unavailable(format!("the oldest trust/ is no good: {why}"), "")
            });
        };
        let snapshot = mirror.snapshot(newest.into(), &|path| {
            path == "meshes/"
                || matches!(Place::of(path), Place::Mesh(_))
                || (path.starts_with("meshes/") && path.matches('/').count() == 2 && path.ends_with('/'))
        })?;
        let mut marks = Self {
            mirror,
            verifier: Verifier::new(),
            verified,
            proven,
            part: Part::NotInForce,
            accepted: HashMap::new(),
            publishers: BTreeMap::new(),
        };
        let meshes = snapshot.entries.iter().filter(|(path, _)| matches!(Place::of(path), Place::Mesh(_)));
        let meshes = meshes.map(|(path, id)| (path.clone(), ContentId(id.bytes()))).collect();
        let mut read = |path: &str, _: ContentId| match snapshot.entries.get(path) {
            Some(id) => mirror.read(*id).map_err(|error| error.to_string()),
            None => Err("not in this commit".to_owned()),
        };
        marks.learn(&load_some(&meshes, &mut read, &mut Cache::default()));
        Ok(marks)
    }

    /// Keys that agents had before a verified commit are keys of theirs until then.
    pub fn learn(&mut self, before: &Federation) {
        if self.part == Part::BeforeAnchor {
            return;
        }
        for mesh in before.meshes.values().filter_map(|folder| folder.mesh.as_ref()) {
            let publisher = self.publishers.entry(mesh.name.clone()).or_default();
            publisher.keys.extend(mesh.keys.iter().cloned());
        }
    }

    /// The next older commit of `main`.
    pub fn main(&mut self, commit: &Commit) -> Result<Mark, Error> {
        let id = Id::from(commit.id);
        if self.part == Part::NotInForce && self.verified.newest == Some(id) {
            self.part = Part::Verified;
        }
        if id == self.verified.anchor {
            self.part = Part::BeforeAnchor;
            let signer = if self.proven { "the trust anchor" } else { "the oldest trust/" };
            return Ok(Mark::Verified { signer: signer.to_owned(), proven: self.proven });
        }
        if self.part == Part::BeforeAnchor {
            let anchor = if self.proven { "the trust anchor" } else { "there was a trust/" };
            return Ok(Mark::Unknown { reason: format!("it is before {anchor}") });
        }
        let Some(parent) = commit.parents.first() else {
            return Ok(Mark::Unknown { reason: "it does not descend from the trust anchor".to_owned() });
        };
        let step = self.verifier.step(self.mirror, (*parent).into(), id).map_err(Error::other)?;
        self.accepted.extend(step.accepts.into_iter().map(|accepted| (accepted, id)));
        let first_bad = self.verified.refusal.as_ref().map(|refusal| refusal.commit.to_string()).unwrap_or_default();
        Ok(match (step.refusal, step.signer) {
            (Some(refusal), signer) => {
                let path = refusal.path.map(|path| format!("{path}: ")).unwrap_or_default();
                let accepted = self.accepted.get(&id).map(ToString::to_string);
                Mark::Refused { reason: format!("{path}{} ({})", refusal.detail, refusal.rule), signer, accepted }
            }
            (None, signer) if self.part == Part::Verified => {
                Mark::Verified { signer: signer.unwrap_or_default(), proven: self.proven }
            }
            (None, signer) => {
                let reason = format!("{} before it is refused", first_bad.get(..7).unwrap_or_default());
                Mark::Waits { signer: signer.unwrap_or_default(), reason }
            }
        })
    }

    /// A commit of a published branch.
    pub fn published(&self, mesh: &str, commit: &Commit) -> Result<Mark, Error> {
        let Some(publisher) = self.publishers.get(mesh).filter(|publisher| !publisher.keys.is_empty()) else {
            return Ok(Mark::Unknown { reason: format!("meshes/{mesh}/mesh.yaml lists no key of its agent") });
        };
        let parent = commit.parents.first().map(|parent| Id::from(*parent));
        let none = Revoked::default();
        let revoked = self.verified.revoked.as_ref().unwrap_or(&none);
        let verdict = published(self.mirror, publisher, revoked, parent, commit.id.into()).map_err(Error::other)?;
        Ok(match verdict.refusal {
            None => Mark::Verified { signer: format!("agent of {mesh}"), proven: self.proven },
            Some(refusal) => {
                Mark::Refused { reason: format!("{} ({})", refusal.detail, refusal.rule), signer: None, accepted: None }
            }
        })
    }
}
