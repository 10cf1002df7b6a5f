//! `main` and all published branches as one history, the newest commit first. Of each commit only what it changes is read.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::marks::Marks;
use crate::agent::declarations;
use crate::changes::{Change, Word, declared, files, published};
use crate::decide::STATUS_PATH;
use crate::error::Error;
use crate::facts::published::FACTS_PATH;
use crate::model::{Cache, ContentId, Federation, Place, load_some};
use crate::repo::{self, BlobId, Commit, CommitId, Mirror, PUBLISHED, RepoError};
use crate::view::log::{Entry, Mark};

/// A commit with all that it changed.
pub(super) struct Found {
    pub entry: Entry,
    /// Verification refused it.
    pub refused: bool,
}

/// How far the walk has come.
pub(super) struct Walk<'a> {
    mirror: &'a Mirror,
    marks: Option<Marks<'a>>,
    branch: String,
    main: Option<Commit>,
    published: BTreeMap<String, Published>,
    cache: Cache,
    /// Place of the commits of `main` on their line; 0 is the tip.
    places: BTreeMap<String, usize>,
    /// By mesh: what its agent said it had applied, and when; the newest first.
    applied: BTreeMap<String, Vec<(String, Timestamp)>>,
}

/// The next commit of a published branch, with what it says.
struct Published {
    commit: Commit,
    files: BTreeMap<String, BlobId>,
    word: Word,
}

impl<'a> Walk<'a> {
    /// From the tips of all branches.
    pub fn new(mirror: &'a Mirror, branch: &str, marks: Option<Marks<'a>>) -> Result<Self, Error> {
        let main = Some(mirror.commit(mirror.main()?)?);
        let mut published = BTreeMap::new();
        for (mesh, tip) in &mirror.refs().published {
            published.insert(mesh.clone(), Published::read(mirror, mesh, *tip, None)?);
        }
        let (cache, places, applied) = Default::default();
        Ok(Self { mirror, marks, branch: branch.to_owned(), main, published, cache, places, applied })
    }

    /// The next older commit that changes anything of the federation; nothing where the rest is older than `since`.
    pub fn next(&mut self, since: Option<Timestamp>) -> Result<Option<Found>, Error> {
        loop {
            let newest = self.published.iter().max_by_key(|(_, published)| published.commit.committed_at);
            let newest = newest.map(|(mesh, published)| (mesh.clone(), published.commit.committed_at));
            let main = self.main.as_ref().map(|commit| commit.committed_at);
            let at = newest.as_ref().map(|(_, at)| *at).max(main);
            if at.is_none() || at < since {
                return Ok(None);
            }
            // What an agent publishes follows from what is on main: within one second it comes later.
            let found = match newest {
                Some((mesh, at)) if main.is_none_or(|main| at >= main) => self.step_published(&mesh)?,
                _ => self.step_main()?,
            };
            if !found.entry.changes.is_empty() || found.refused {
                return Ok(Some(found));
            }
        }
    }

    fn step_main(&mut self) -> Result<Found, Error> {
        let Some(commit) = self.main.take() else { return Err(Error::unavailable("the history has ended", "")) };
        self.places.insert(commit.id.to_string(), self.places.len());
        self.main = commit.parents.first().map(|parent| self.mirror.commit(*parent)).transpose()?;
        let (before, after, mut changes) = self.documents(commit.id)?;
        let mark = match &mut self.marks {
            Some(marks) => {
                let mark = marks.main(&commit)?;
                marks.learn(&before);
                mark
            }
            None => Mark::NotVerified,
        };
        changes.extend(declared(&before, &after));
        let author = commit.author_email.clone();
        Ok(found(commit, self.branch.clone(), author, mark, changes))
    }

    /// The documents that a commit changes, as they were and as they are, and what else it changes.
    fn documents(&mut self, id: CommitId) -> Result<(Federation, Federation, Vec<Change>), RepoError> {
        let changed = self.mirror.changed(id)?;
        let documents: Vec<&repo::Change> =
            changed.iter().filter(|change| !matches!(Place::of(&change.path), Place::Foreign | Place::Unknown { .. })).collect();
        let blobs = documents.iter().flat_map(|change| [change.before, change.after]).flatten();
        let blobs: BTreeMap<_, BlobId> = blobs.map(|blob| (blob.bytes(), blob)).collect();
        let entries = |of: fn(&repo::Change) -> Option<BlobId>| {
            documents.iter().filter_map(|change| Some((change.path.clone(), ContentId(of(change)?.bytes())))).collect()
        };
        let mut read = |_: &str, id: ContentId| match blobs.get(&id.0) {
            Some(blob) => self.mirror.read(*blob).map_err(|error| error.to_string()),
            None => Err("not in this commit".to_owned()),
        };
        // What this commit found there is what an earlier one wrote: the cache has it when the walk comes to that.
        let after = load_some(&entries(|change| change.after), &mut read, &mut self.cache);
        let before = load_some(&entries(|change| change.before), &mut read, &mut self.cache);
        let others = files(changed.iter().map(|change| (&*change.path, change.before.is_some(), change.after.is_some())));
        Ok((before, after, others))
    }

    fn step_published(&mut self, mesh: &str) -> Result<Found, Error> {
        let Some(Published { commit, files, word }) = self.published.remove(mesh) else {
            return Err(Error::unavailable("the history has ended", ""));
        };
        let applied = word.status.main.applied.clone();
        self.applied.entry(mesh.to_owned()).or_default().push((applied, commit.committed_at));
        let mut before = Word::default();
        if let Some(parent) = commit.parents.first() {
            let older = Published::read(self.mirror, mesh, *parent, Some((&files, &word)))?;
            before = older.word.clone();
            self.published.insert(mesh.to_owned(), older);
        }
        let mark = self.marks.as_ref().map_or(Ok(Mark::NotVerified), |marks| marks.published(mesh, &commit))?;
        let changes = published(mesh, &before, &word);
        let commit = Commit { summary: String::new(), ..commit };
        Ok(found(commit, format!("{PUBLISHED}{mesh}"), format!("agent of {mesh}"), mark, changes))
    }

    /// Adds to each commit of `main` when the agents that it concerns had applied it.
    pub fn with_applied(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let first = self.applied.iter().map(|(mesh, said)| (mesh, self.first_applied(said)));
        let first: BTreeMap<&String, Vec<(usize, Timestamp)>> = first.collect();
        for entry in entries.iter_mut().filter(|entry| entry.branch == self.branch) {
            let Some(place) = self.places.get(&entry.commit) else { continue };
            let whole = entry.changes.iter().any(|change| change.mesh.is_none());
            let concerned: BTreeSet<&String> =
                entry.changes.iter().flat_map(|change| change.mesh.iter().chain(&change.peer)).collect();
            for (mesh, times) in first.iter().filter(|(mesh, _)| whole || concerned.contains(*mesh)) {
                let until = times.partition_point(|(other, _)| other <= place);
                let at = until.checked_sub(1).map(|last| times[last].1);
                entry.applied.insert((*mesh).clone(), at);
            }
        }
        entries
    }

    /// By place on `main`: when an agent first said that it had applied that commit or a newer one; sorted by place.
    fn first_applied(&self, said: &[(String, Timestamp)]) -> Vec<(usize, Timestamp)> {
        let known = said.iter().filter_map(|(commit, at)| Some((*self.places.get(commit)?, *at)));
        let mut oldest: BTreeMap<usize, Timestamp> = BTreeMap::new();
        for (place, at) in known {
            oldest.entry(place).and_modify(|known| *known = at.min(*known)).or_insert(at);
        }
        let earliest = oldest.into_iter().scan(Timestamp::MAX, |earliest, (place, at)| {
            *earliest = at.min(*earliest);
            Some((place, *earliest))
        });
        earliest.collect()
    }
}

impl Published {
    /// Reads a commit of the branch; of what is as in the newer one nothing.
    fn read(
        mirror: &Mirror,
        mesh: &str,
        id: CommitId,
        newer: Option<(&BTreeMap<String, BlobId>, &Word)>,
    ) -> Result<Self, RepoError> {
        let snapshot = mirror.snapshot(id, &|path| [FACTS_PATH, STATUS_PATH].contains(&path))?;
        let same = |path| newer.filter(|(files, _)| files.get(path) == snapshot.entries.get(path)).map(|(_, word)| word);
        let text = |path: &str| -> Result<BTreeMap<String, String>, RepoError> {
            let Some(id) = snapshot.entries.get(path) else { return Ok(BTreeMap::new()) };
            let text = String::from_utf8(mirror.read(*id)?).ok();
            Ok(text.map(|text| (path.to_owned(), text)).into_iter().collect())
        };
        // Roots that have ended since were good then.
        let then = snapshot.commit.committed_at;
        let facts = match same(FACTS_PATH) {
            Some(word) => word.facts.clone(),
            None => declarations::own_facts(mesh, &text(FACTS_PATH)?, then),
        };
        let status = match same(STATUS_PATH) {
            Some(word) => word.status.clone(),
            None => declarations::own_status(&text(STATUS_PATH)?),
        };
        Ok(Self { commit: snapshot.commit, files: snapshot.entries, word: Word { facts, status } })
    }
}

fn found(commit: Commit, branch: String, author: String, verification: Mark, changes: Vec<Change>) -> Found {
    let refused = matches!(verification, Mark::Refused { .. });
    let entry = Entry {
        commit: commit.id.to_string(),
        branch,
        at: commit.committed_at,
        author,
        subject: commit.summary,
        verification,
        changes,
        applied: BTreeMap::new(),
    };
    Found { entry, refused }
}
