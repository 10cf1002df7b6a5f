//! From Git to what a decision needs: declarations at one commit of `main`, and the facts of each peer.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::decide::{Line, Position, STATUS_PATH, Status, Step, TRAILER, Views, read_status};
use crate::facts::Facts;
use crate::facts::published::{self, FACTS_PATH};
use crate::model::{Cidr, Code, ContentId, Diagnostic, Federation, Place, Span};
use crate::policy::{self, Loaded, Policies};
use crate::repo::{Commit, CommitId, Mirror, RepoError, Snapshot};

/// All that Git says to one agent at one moment.
#[derive(Debug)]
pub struct Declarations {
    /// The commit of `main`.
    pub commit: Commit,
    /// What is new with it.
    pub line: Line,
    /// How it was verified, for people.
    pub verified: String,
    /// Where the peers are on `main`.
    pub views: Views,
    /// The mesh's own documents and its peers' halves.
    pub federation: Arc<Federation>,
    /// What must not be applied.
    pub policies: Arc<Policies>,
    /// What is wrong, in documents and in facts.
    pub problems: Vec<Diagnostic>,
    /// Facts of the peers.
    pub facts: BTreeMap<String, Facts>,
    /// What the peers' agents say of their meshes.
    pub statuses: BTreeMap<String, Status>,
    /// Files of our own branch.
    pub own_files: BTreeMap<String, String>,
    /// Facts among them.
    pub own_facts: Facts,
    /// Status among them; empty before the first.
    pub own_status: Status,
}

/// Reads declarations, and remembers what it read.
#[derive(Default)]
pub struct Reader {
    cache: policy::Cache,
    /// By mesh: the commit that was read, what was allowed then, and what it says.
    branches: BTreeMap<String, (CommitId, Vec<Cidr>, Branch)>,
    /// Where commits lie for whoever is at the first.
    positions: (Option<CommitId>, BTreeMap<CommitId, Position>),
    applied: Option<CommitId>,
    /// The tip that was read first: while it is being applied, the next one is read already.
    first: Option<CommitId>,
}

impl Reader {
    /// News count from this commit on, which was applied in full; until it is known, from the one in the mesh's status.
    pub fn applied(&mut self, commit: CommitId) {
        self.applied = Some(commit);
    }

    /// Reads what the agent of `me` needs, at the tips that the mirror has now.
    pub fn read(&mut self, mirror: &Mirror, me: &str, now: Timestamp) -> Result<Declarations, RepoError> {
        let tip = mirror.main()?;
        let peers = peers(mirror, tip, me)?;
        let snapshot = mirror.snapshot(tip, &|path| wanted(path, me, &peers))?;
        let Loaded { federation, policies, mut problems } = federation_of(mirror, &snapshot, &mut self.cache);
        let (mut facts, mut statuses) = (BTreeMap::new(), BTreeMap::new());
        for peer in &peers {
            let Some(branch) = self.branch(mirror, peer, &federation.allow_addresses, now)? else { continue };
            facts.insert(peer.clone(), branch.facts.clone().unwrap_or_default());
            statuses.extend(branch.status.clone().map(|status| (peer.clone(), status)));
            problems.extend(branch.found.iter().cloned());
        }
        let own_files = files(mirror, me)?;
        let own_status = own_status(&own_files);
        let known = self.applied.or_else(|| own_status.main.applied.parse().ok());
        let known = known.or_else(|| Some(*self.first.get_or_insert(tip)).filter(|first| *first != tip));
        // Of a peer whose file is gone only the last word matters: does it still use what it was given?
        for peer in own_status.peerings.keys().filter(|peer| !peers.contains(peer)) {
            let branch = self.branch(mirror, peer, &federation.allow_addresses, now)?;
            statuses.extend(branch.and_then(|branch| branch.status.clone()).map(|status| (peer.clone(), status)));
        }
        self.branches.retain(|mesh, _| statuses.contains_key(mesh) || facts.contains_key(mesh));
        Ok(Declarations {
            line: line(mirror, me, tip, known)?,
            verified: snapshot.verified.to_string(),
            views: self.views(mirror, &snapshot.commit, &statuses)?,
            commit: snapshot.commit,
            federation: Arc::new(federation),
            policies,
            problems,
            facts,
            statuses,
            own_facts: own_facts(me, &own_files, now),
            own_status,
            own_files,
        })
    }

    /// Where the commits lie that peers name. A line is walked once for each: it may be long.
    fn views(&mut self, mirror: &Mirror, main: &Commit, statuses: &BTreeMap<String, Status>) -> Result<Views, RepoError> {
        let before = std::mem::replace(&mut self.positions, (Some(main.id), BTreeMap::new()));
        let before = if before.0 == Some(main.id) { before.1 } else { BTreeMap::new() };
        let mut peers = BTreeMap::new();
        for (peer, status) in statuses {
            let Some(named) = status.main.named() else { continue };
            let position = match named.parse() {
                Ok(named) => {
                    // What was not there may have come.
                    let known = before.get(&named).copied().filter(|position| *position != Position::Unknown);
                    let position = known.map_or_else(|| position(mirror, main.id, named), Ok)?;
                    self.positions.1.insert(named, position);
                    position
                }
                Err(_) => Position::Unknown,
            };
            peers.insert(peer.clone(), position);
        }
        Ok(Views { peers, committed_at: Some(main.committed_at) })
    }

    fn branch(&mut self, mirror: &Mirror, mesh: &str, allow: &[Cidr], now: Timestamp) -> Result<Option<&Branch>, RepoError> {
        let Some(tip) = mirror.refs().published.get(mesh).copied() else { return Ok(None) };
        let seen = self.branches.get(mesh).is_some_and(|(seen, allowed, _)| (*seen, allowed.as_slice()) == (tip, allow));
        if !seen {
            let Some(read) = branch(mirror, mesh, allow, now)? else { return Ok(None) };
            self.branches.insert(mesh.to_owned(), (tip, allow.to_vec(), read));
        }
        Ok(self.branches.get(mesh).map(|(_, _, branch)| branch))
    }
}

/// Where a commit lies for whoever is at `main`.
fn position(mirror: &Mirror, main: CommitId, named: CommitId) -> Result<Position, RepoError> {
    if !mirror.has(named) {
        return Ok(Position::Unknown);
    }
    if mirror.distance(named, main)?.is_some() {
        return Ok(Position::Behind);
    }
    Ok(if mirror.distance(main, named)?.is_some() { Position::Ahead } else { Position::Elsewhere })
}

/// What is new on `main` since a commit, and which of it allows this mesh's deletions.
fn line(mirror: &Mirror, me: &str, tip: CommitId, known: Option<CommitId>) -> Result<Line, RepoError> {
    let since = mirror.since(tip, known, TRAILER)?;
    let allows = |values: &[String]| values.iter().flat_map(|value| value.split(',')).any(|mesh| mesh.trim() == me);
    let step = |(commit, values): &(CommitId, Vec<String>)| Step { commit: commit.to_string(), allows: allows(values) };
    let since_commit = known.filter(|_| since.descends).map(|commit| commit.to_string());
    Ok(Line { commits: since.commits.iter().map(step).collect(), since: since_commit })
}

/// What a published branch says.
#[derive(Clone, Debug, Default)]
pub struct Branch {
    /// Facts; `None` where there is no such file.
    pub facts: Option<Facts>,
    /// Status; `None` where there is no such file, or none that can be read.
    pub status: Option<Status>,
    /// What is wrong with them.
    pub found: Vec<Diagnostic>,
}

/// Reads the published branch of a mesh; `None` where it has none.
pub fn branch(mirror: &Mirror, mesh: &str, allow: &[Cidr], now: Timestamp) -> Result<Option<Branch>, RepoError> {
    if !mirror.refs().published.contains_key(mesh) {
        return Ok(None);
    }
    let files = files(mirror, mesh)?;
    let mut branch = Branch::default();
    if let Some(text) = files.get(FACTS_PATH) {
        let (facts, found) = published::read(mesh, &format!("published/{mesh}:{FACTS_PATH}"), text, allow, now);
        branch.facts = Some(facts);
        branch.found = found;
    }
    match files.get(STATUS_PATH).map(|text| read_status(&format!("published/{mesh}:{STATUS_PATH}"), text)) {
        Some(Ok(status)) => branch.status = Some(status),
        Some(Err(finding)) => branch.found.push(*finding),
        None => {}
    }
    Ok(Some(branch))
}

/// The facts among the files of our own branch.
pub fn own_facts(me: &str, files: &BTreeMap<String, String>, now: Timestamp) -> Facts {
    files.get(FACTS_PATH).map(|text| published::read_own(me, text, now)).unwrap_or_default()
}

/// The status among the files of our own branch. One that cannot be read is written anew, so that it says as much as none.
pub fn own_status(files: &BTreeMap<String, String>) -> Status {
    files.get(STATUS_PATH).and_then(|text| read_status(STATUS_PATH, text).ok()).unwrap_or_default()
}

/// The documents of a snapshot, with the policies and what is wrong with them.
pub fn federation_of(mirror: &Mirror, snapshot: &Snapshot, cache: &mut policy::Cache) -> Loaded {
    let content: BTreeMap<_, _> = snapshot.entries.iter().map(|(path, id)| (path.clone(), ContentId(id.bytes()))).collect();
    let mut read = |path: &str, _: ContentId| match snapshot.entries.get(path) {
        Some(id) => mirror.read(*id).map_err(|error| error.to_string()),
        None => Err("not in this commit".to_owned()),
    };
    let refuse = |(path, reason): &(String, String)| {
        Diagnostic::error(path, Span::default(), Code::Misplaced, reason.clone(), "only regular files are read")
    };
    let refused: Vec<Diagnostic> = snapshot.refused.iter().map(refuse).collect();
    policy::load(&content, &refused, &mut read, cache)
}

/// The peers of a mesh: the names of the files in its `peers/`, so that only their folders are read.
fn peers(mirror: &Mirror, tip: CommitId, me: &str) -> Result<Vec<String>, RepoError> {
    let folder = format!("meshes/{me}/peers/");
    let inside = |path: &str| folder.starts_with(path) || path.starts_with(&folder);
    let snapshot = mirror.snapshot(tip, &inside)?;
    let names = snapshot.entries.keys().filter_map(|path| match Place::of(path) {
        Place::Peer { file, .. } => Some(file),
        _ => None,
    });
    Ok(names.collect())
}

fn wanted(path: &str, me: &str, peers: &[String]) -> bool {
    let Some(folder) = path.strip_suffix('/') else { return Place::of(path).concerns(me, peers) };
    match folder.split('/').collect::<Vec<_>>().as_slice() {
        ["meshes"] | ["policies", ..] => true,
        ["meshes", mesh] => *mesh == me || peers.iter().any(|peer| peer == mesh),
        ["meshes", mesh, inside, ..] => *mesh == me || *inside == "peers",
        _ => false,
    }
}

/// The files of a published branch, as text. What is not text is not there.
pub fn files(mirror: &Mirror, mesh: &str) -> Result<BTreeMap<String, String>, RepoError> {
    let Some(tip) = mirror.refs().published.get(mesh).copied() else { return Ok(BTreeMap::new()) };
    let snapshot = mirror.snapshot(tip, &|path| [FACTS_PATH, STATUS_PATH].contains(&path))?;
    let mut files = BTreeMap::new();
    for (path, id) in snapshot.entries {
        if let Ok(text) = String::from_utf8(mirror.read(id)?) {
            files.insert(path, text);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::MainStatus;
    use crate::repo::testing::{Lab, git};

    #[test]
    fn a_commit_read_while_the_first_is_being_applied_follows_it() {
        let lab = Lab::new();
        let mut mirror = lab.mirror();
        let mut reader = Reader::default();
        let mut read = || {
            mirror.fetch().unwrap();
            reader.read(&mirror, "rosa", Timestamp::now()).unwrap().line
        };
        let first = read();
        assert_eq!((first.commits.len(), first.since), (1, None));
        let (first, second) = (lab.tip("main"), lab.commit("Second", &[("a", "1")]).to_string());
        let Line { commits, since } = read();
        assert_eq!((commits, since), (vec![Step { commit: second, allows: false }], Some(first.to_string())));

        git(&lab.person, &["reset", "--quiet", "--hard", "HEAD~1"]);
        git(&lab.person, &["commit", "--quiet", "--amend", "-m", "Another start"]);
        git(&lab.person, &["push", "--quiet", "--force", "origin", "main"]);
        assert_eq!(read().since, None, "another history does not");
    }

    #[test]
    fn commits_that_peers_name_are_found_on_our_line_or_not() {
        let lab = Lab::new();
        let first = lab.tip("main");
        git(&lab.person, &["checkout", "--quiet", "-b", "published/other"]);
        let aside = lab.commit("Elsewhere", &[("a", "1")]);
        git(&lab.person, &["push", "--quiet", "origin", "published/other"]);
        git(&lab.person, &["checkout", "--quiet", "main"]);
        let second = lab.commit("Second", &[("b", "1")]);
        let mut mirror = lab.mirror();
        mirror.fetch().unwrap();
        let named = |commit: &str| {
            let main = MainStatus { seen: commit.to_owned(), applied: first.to_string(), ..MainStatus::default() };
            BTreeMap::from([("aro".to_owned(), Status { main, ..Status::default() })])
        };
        let mut reader = Reader::default();
        let mut at = |main, named| reader.views(&mirror, &mirror.commit(main).unwrap(), &named).unwrap().peers["aro"];
        for (main, commit, position) in [
            (second, first.to_string(), Position::Behind),
            (second, second.to_string(), Position::Behind),
            (second, String::new(), Position::Behind),
            (first, second.to_string(), Position::Ahead),
            (second, aside.to_string(), Position::Elsewhere),
            (second, aside.to_string(), Position::Elsewhere),
            (second, "0".repeat(40), Position::Unknown),
            (second, "main".to_owned(), Position::Unknown),
        ] {
            assert_eq!(at(main, named(&commit)), position, "{commit} from {main}");
        }
    }
}
