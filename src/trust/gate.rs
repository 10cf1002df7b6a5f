//! Which commits of which branches are served: the verifier with what it has to remember.
//!
//! What was verified once is a floor: a branch may not go back below it, whatever a host shows later. The floor is remembered in several
//! places ([`Marks`]), each of which may be lost or behind. All marks of a branch must lie on one line of first parents, and the newest
//! counts; so a lost mark lowers nothing, and one that does not fit freezes the branch rather than being overruled.

use std::collections::{BTreeMap, BTreeSet};

use super::commit::Links;
use super::history::{MAX_STEPS, Verdict, Verifier, steps};
use super::object::{Id, Objects, Unreadable};
use super::published::{Publisher, published};
use super::refusal::{Fault, Refusal, Rule, Violation};
use super::rules::Digest;
use super::signers::Revoked;

/// Whether signatures decide what is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Nothing is served that is not verified.
    Enforce(Introduction),
    /// Everything is served, and what would be refused is told.
    Warn(Introduction),
    /// Nobody looks.
    #[default]
    Off,
}

/// How somebody who knows nothing yet is introduced to a repository: there is no trust on first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// A commit of `main` that people have looked at.
    pub anchor: Id,
    /// The digest of `trust/` in it.
    pub digest: Digest,
}

impl Verification {
    fn introduction(self) -> Option<Introduction> {
        match self {
            Self::Enforce(introduction) | Self::Warn(introduction) => Some(introduction),
            Self::Off => None,
        }
    }

    /// Whether what is refused is not served.
    pub fn enforces(self) -> bool {
        matches!(self, Self::Enforce(_))
    }

    /// Whether nobody looks.
    pub fn is_off(self) -> bool {
        self == Self::Off
    }
}

/// Positions up to which branches are remembered to be verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Of `main`.
    pub main: BTreeSet<Id>,
    /// Of `published/<mesh>`, by mesh.
    pub published: BTreeMap<String, BTreeSet<Id>>,
}

impl Marks {
    /// Takes in other ones.
    pub fn extend(&mut self, other: Self) {
        self.main.extend(other.main);
        for (mesh, marks) in other.published {
            self.published.entry(mesh).or_default().extend(marks);
        }
    }
}

/// What is served of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The commit to read; `None` where nothing of the branch can be believed, or there is no branch.
    pub serve: Option<Id>,
    /// The newest verified commit, as far as it is known.
    pub verified: Option<Id>,
    /// The branch as the host shows it; `None` where it is gone.
    pub tip: Option<Id>,
    /// Why the tip is not verified.
    pub refusal: Option<Refusal>,
}

impl Passage {
    /// A branch nobody looks at.
    fn open(tip: Option<Id>) -> Self {
        Self { serve: tip, verified: None, tip, refusal: None }
    }

    fn new(verification: Verification, tip: Option<Id>, verdict: Verdict) -> Self {
        let Verdict { verified, refusal } = verdict;
        let serve = if verification.enforces() || refusal.is_none() { verified } else { tip.or(verified) };
        Self { serve, verified, tip, refusal }
    }
}

/// Keeps watch over the branches that one agent reads.
#[derive(Debug, Default)]
pub struct Gate {
    verification: Verification,
    verifier: Verifier,
    introduced: bool,
    /// Others have told what they remember. Until then a host may show what was true once, and nothing that is judged counts for later.
    heard: bool,
    marks: Marks,
    /// By mesh, as last known: the last word of a mesh that has left `main` is still its own.
    publishers: BTreeMap<String, Publisher>,
}

impl Gate {
    /// Knows nothing but its introduction.
    pub fn new(verification: Verification) -> Self {
        Self { verification, ..Self::default() }
    }

    /// How it looks.
    pub fn verification(&self) -> Verification {
        self.verification
    }

    /// Takes in positions that were remembered elsewhere. They can raise a floor and never lower it. Whoever asks must not act on an
    /// answer from before the first of them.
    pub fn remember(&mut self, marks: Marks) {
        if !std::mem::replace(&mut self.heard, true) {
            (self.marks, self.introduced) = (Marks::default(), false);
        }
        self.marks.extend(marks);
    }

    /// What of `main` is served.
    pub fn main(&mut self, objects: &dyn Objects, tip: Id) -> Result<Passage, Unreadable> {
        let Some(introduction) = self.verification.introduction() else { return Ok(Passage::open(Some(tip))) };
        let verdict = match self.floor(objects, introduction, tip)? {
            Ok(floor) => self.verifier.main(objects, floor, tip)?,
            Err(refusal) => Verdict { verified: None, refusal: Some(refusal) },
        };
        if let Some(id) = verdict.verified {
            self.marks.main = BTreeSet::from([id]); // all others lie below it
        }
        Ok(Passage::new(self.verification, Some(tip), verdict))
    }

    /// Keys that may sign no more, by the verified `main`; `None` where nothing of it is verified.
    pub fn revoked(&mut self, objects: &dyn Objects, main: &Passage) -> Result<Option<Revoked>, Unreadable> {
        let Some(commit) = main.verified else { return Ok(None) };
        match self.verifier.rules(objects, commit) {
            Ok(rules) => Ok(Some(rules.revoked.clone())),
            Err(Fault::Unreadable(unreadable)) => Err(unreadable),
            Err(Fault::Violation(_)) => Ok(None), // not in a verified commit
        }
    }

    /// From now on this is who writes `published/<mesh>`.
    pub fn expect(&mut self, mesh: &str, publisher: Publisher) {
        self.publishers.insert(mesh.to_owned(), publisher);
    }

    /// What of `published/<mesh>` is served, by who is expected to write it. Where it is not known which keys are revoked, nothing new is
    /// verified.
    pub fn published(
        &mut self,
        objects: &dyn Objects,
        mesh: &str,
        revoked: Option<&Revoked>,
        tip: Option<Id>,
    ) -> Result<Passage, Unreadable> {
        if self.verification.is_off() {
            return Ok(Passage::open(tip));
        }
        let nobody = Publisher::default();
        let publisher = self.publishers.get(mesh).unwrap_or(&nobody);
        let marks = self.marks.published.entry(mesh.to_owned()).or_default();
        let known = match floor(objects, marks, &publisher.disowned, tip)? {
            Ok(known) => known,
            Err(lost) => {
                let named = |tip| Ok(lost.refusal(lost.mark(objects, tip)?));
                let verdict = Verdict { verified: None, refusal: tip.map(named).transpose()? };
                return Ok(Passage::new(self.verification, tip, verdict));
            }
        };
        let Some(revoked) = revoked else {
            let serve = if self.verification.enforces() { known } else { tip };
            return Ok(Passage { serve, verified: known, tip, refusal: None });
        };
        let verdict = match (tip, known) {
            (Some(tip), _) => published(objects, publisher, revoked, known, tip)?,
            (None, None) => Verdict { verified: None, refusal: None },
            (None, Some(id)) => {
                let violation = Violation::new(Rule::SourceRewound, "the branch is gone");
                Verdict { verified: known, refusal: Some(Refusal::new(id, None, violation)) }
            }
        };
        if let Some(id) = verdict.verified {
            *marks = BTreeSet::from([id]);
        }
        Ok(Passage::new(self.verification, tip, verdict))
    }

    /// Forgets the branches of other meshes than these: nobody reads them any more.
    pub fn retain(&mut self, read: impl Fn(&str) -> bool) {
        self.marks.published.retain(|mesh, _| read(mesh));
        self.publishers.retain(|mesh, _| read(mesh));
    }

    /// The commit of `main` from which on there is something to verify.
    fn floor(&mut self, objects: &dyn Objects, introduction: Introduction, tip: Id) -> Result<Result<Id, Refusal>, Unreadable> {
        let Introduction { anchor, digest } = introduction;
        if !self.introduced {
            if objects.header(anchor).is_err() {
                let violation = Violation::new(Rule::SourceForked, format!("the anchor {anchor} is not in the repository"));
                return Ok(Err(Refusal::new(tip, None, violation)));
            }
            if let Err(refusal) = self.verifier.introduce(objects, anchor, digest)? {
                return Ok(Err(refusal));
            }
            self.introduced = true;
            self.marks.main.insert(anchor);
        }
        Ok(newest(objects, &self.marks.main).map(|newest| newest.unwrap_or(anchor)).map_err(|lost| lost.refusal(tip)))
    }
}

/// Marks of which none is the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lost {
    /// This one, or what lies below it, is not in the store.
    Missing(Id),
    /// Neither of these lies on the other's line.
    Apart(Id, Id),
}

impl Lost {
    /// The mark that the branch does not go on from.
    fn mark(&self, objects: &dyn Objects, tip: Id) -> Result<Id, Unreadable> {
        Ok(match *self {
            Self::Apart(one, other) if steps(objects, Some(one), tip)?.is_ok() => other,
            Self::Missing(id) | Self::Apart(id, _) => id,
        })
    }

    fn refusal(&self, tip: Id) -> Refusal {
        let (rule, detail) = match self {
            Self::Missing(id) => (Rule::SourceRewound, format!("{id}, which was verified, is no longer in the repository")),
            Self::Apart(one, other) => {
                (Rule::SourceForked, format!("{one} and {other} were both verified, and neither follows the other"))
            }
        };
        Refusal::new(tip, None, Violation::new(rule, detail))
    }
}

/// The mark from which a published branch goes on. Where the newest cannot be told, those that the branch's people have disowned do not count:
/// nobody has them any more. Then the branch begins anew, since which keys signed between the others and now is not known; but it does not go
/// back behind them.
fn floor(
    objects: &dyn Objects,
    marks: &BTreeSet<Id>,
    disowned: &BTreeSet<Id>,
    tip: Option<Id>,
) -> Result<Result<Option<Id>, Lost>, Unreadable> {
    let all = newest(objects, marks);
    let rest = marks - disowned;
    if all.is_ok() || rest == *marks {
        return Ok(all);
    }
    let known = match newest(objects, &rest) {
        Ok(known) => known,
        lost => return Ok(lost),
    };
    let goes_on = match tip {
        Some(tip) => steps(objects, known, tip)?.is_ok(),
        None => false,
    };
    Ok(Ok(known.filter(|_| !goes_on)))
}

/// The mark on whose line of first parents all the others lie; none of no marks.
fn newest(objects: &dyn Objects, marks: &BTreeSet<Id>) -> Result<Option<Id>, Lost> {
    let mut rest = marks.clone();
    let mut newest: Option<Id> = None;
    while let Some(mark) = rest.pop_first() {
        let (mut id, mut met) = (mark, newest.is_none());
        for _ in 0..MAX_STEPS {
            let links = Links::load(objects, id).map_err(|_| Lost::Missing(mark))?;
            rest.remove(&id);
            met |= Some(id) == newest;
            // What lies below the one that was the newest so far has been seen.
            match links.parents.first() {
                Some(parent) if Some(id) != newest && !(met && rest.is_empty()) => id = *parent,
                _ => break,
            }
        }
        match newest {
            Some(other) if !met => return Err(Lost::Apart(mark, other)),
            _ => newest = Some(mark),
        }
    }
    Ok(newest)
}
