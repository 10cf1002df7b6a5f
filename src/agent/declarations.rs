//! From Git to what a decision needs: declarations at one commit of `main`, and the facts of each peer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::decide::{Line, Position, STATUS_PATH, Status, Step, TRAILER, Trust, Views, read_status};
use crate::facts::Facts;
use crate::facts::published::{self, FACTS_PATH};
use crate::model::{Cidr, Code, ContentId, Diagnostic, Federation, Place, Span};
use crate::policy::{self, Loaded, Policies};
use crate::repo::{Commit, CommitId, Commits, Mirror, PUBLISHED, RepoError, Snapshot};
use crate::trust::{Gate, Marks, Passage, Publisher, Revoked, Verification, public_key};

/// All that Git says to one agent at one moment.
#[derive(Debug)]
pub struct Declarations {
    /// The commit of `main`.
    pub commit: Commit,
    /// What is new with it.
    pub line: Line,
    /// Where the peers are on `main`.
    pub views: Views,
    /// What verification says of all this.
    pub trust: Trust,
    /// How often the reader was told of marks before.
    pub heard: u64,
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
    /// When our own branch got its newest commit.
    pub own_at: Option<Timestamp>,
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
    gate: Gate,
    /// The key that signs the agent's own branch, as `mesh.yaml` lists it.
    own_key: String,
    heard: u64,
    /// Meshes of whose published branch something was refused when it was read last.
    refused: BTreeSet<String>,
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
    /// Reads what passes this verification.
    pub fn new(verification: Verification, own_key: String) -> Self {
        Self { gate: Gate::new(verification), own_key, ..Self::default() }
    }

    /// News count from this commit on, which was applied in full; until it is known, from the one in the mesh's status.
    pub fn applied(&mut self, commit: CommitId) {
        self.applied = Some(commit);
    }

    /// Takes in how far branches are remembered to be verified.
    pub fn remember(&mut self, marks: Marks) {
        self.gate.remember(marks);
        self.heard += 1;
    }

    /// Whether something of a published branch was refused when it was read last.
    pub fn refuses(&self, mesh: &str) -> bool {
        self.refused.contains(mesh)
    }

    /// Reads what the agent of `me` needs, at the newest commits that the mirror has and verification lets pass.
    pub fn read(&mut self, mirror: &Mirror, me: &str, now: Timestamp) -> Result<Declarations, RepoError> {
        let tip = mirror.main()?;
        let main = self.gate.main(mirror, tip.into())?;
        let revoked = self.gate.revoked(mirror, &main)?;
        let served = main.serve.map(CommitId::from);
        let commit = mirror.commit(served.unwrap_or(tip))?;
        let mut peers = Vec::new();
        let mut loaded = Loaded::default();
        if let Some(served) = served {
            peers = self::peers(mirror, served, me)?;
            let snapshot = mirror.snapshot(served, &|path| wanted(path, me, &peers))?;
            loaded = federation_of(mirror, &snapshot, &mut self.cache);
        }
        let Loaded { mut federation, policies, mut problems } = loaded;
        federation.verified = self.gate.verification().enforces();
        let mut trust = Trust { verification: self.gate.verification(), main, own_key: self.own_key.clone(), ..Trust::default() };
        keep(mirror, "main", &trust.main)?;
        for mesh in peers.iter().map(String::as_str).chain([me]) {
            self.expect(&federation, me, mesh);
        }
        // Of our own branch our own key is enough, so that also who is blind can say so.
        let mut tips = Tips { mirror, revoked: Some(revoked.clone().unwrap_or_default()), trust: &mut trust };
        let own = tips.of(&mut self.gate, me)?;
        tips.revoked = revoked;
        let own_at = own.map(|commit| mirror.commit(commit)).transpose()?.map(|commit| commit.committed_at);
        let own_files = match own {
            Some(commit) => files(mirror, commit)?,
            None => BTreeMap::new(),
        };
        let own_status = own_status(&own_files);
        // Of a peer whose file is gone only the last word matters: does it still use what it was given?
        let leaving = own_status.peerings.keys().filter(|peer| !peers.contains(peer));
        let (mut facts, mut statuses) = (BTreeMap::new(), BTreeMap::new());
        for peer in peers.iter().chain(leaving) {
            let Some(commit) = tips.of(&mut self.gate, peer)? else { continue };
            let branch = self.branch(mirror, peer, commit, &federation.allow_addresses, now)?;
            statuses.extend(branch.status.clone().map(|status| (peer.clone(), status)));
            if peers.contains(peer) {
                facts.insert(peer.clone(), branch.facts.clone().unwrap_or_default());
                problems.extend(branch.found.iter().cloned());
            }
        }
        self.branches.retain(|mesh, _| statuses.contains_key(mesh) || facts.contains_key(mesh));
        if served.is_some() {
            self.gate.retain(|mesh| trust.published.contains_key(mesh));
        }
        self.refused = trust.refused().map(str::to_owned).collect();
        let known = self.applied.or_else(|| own_status.main.applied.parse().ok());
        let known = known.or_else(|| Some(*self.first.get_or_insert(commit.id)).filter(|first| *first != commit.id));
        Ok(Declarations {
            line: line(mirror, me, commit.id, known)?,
            // A commit that nobody verified is no sign of life.
            views: Views {
                committed_at: served.map(|_| commit.committed_at),
                peers: self.positions(mirror, commit.id, &statuses)?,
            },
            trust,
            heard: self.heard,
            commit,
            federation: Arc::new(federation),
            policies,
            problems,
            facts,
            statuses,
            own_facts: own_facts(me, &own_files, now),
            own_status,
            own_at,
            own_files,
        })
    }

    /// Where the commits lie that peers name. A line is walked once for each: it may be long.
    fn positions(
        &mut self,
        mirror: &Mirror,
        main: CommitId,
        statuses: &BTreeMap<String, Status>,
    ) -> Result<Positions, RepoError> {
        let before = std::mem::replace(&mut self.positions, (Some(main), BTreeMap::new()));
        let before = if before.0 == Some(main) { before.1 } else { BTreeMap::new() };
        let mut peers = BTreeMap::new();
        for (peer, status) in statuses {
            let Some(named) = status.main.named() else { continue };
            let position = match named.parse() {
                Ok(named) => {
                    // What was not there may have come.
                    let known = before.get(&named).copied().filter(|position| *position != Position::Unknown);
                    let position = known.map_or_else(|| position(mirror, main, named), Ok)?;
                    self.positions.1.insert(named, position);
                    position
                }
                Err(_) => Position::Unknown,
            };
            peers.insert(peer.clone(), position);
        }
        Ok(peers)
    }

    /// The keys of a mesh by its `mesh.yaml`; on our own branch also the one that signs there now, which may not be listed yet.
    fn expect(&mut self, federation: &Federation, me: &str, mesh: &str) {
        let declared = federation.mesh(mesh);
        if declared.is_none() && mesh != me {
            return; // its document is broken: who was known before stays
        }
        let mut publisher = declared.map(Publisher::of).unwrap_or_default();
        let own = Some(&self.own_key).filter(|_| mesh == me);
        publisher.keys.extend(own.and_then(|line| public_key(line).ok()));
        self.gate.expect(mesh, publisher);
    }

    fn branch(
        &mut self,
        mirror: &Mirror,
        mesh: &str,
        commit: CommitId,
        allow: &[Cidr],
        now: Timestamp,
    ) -> Result<&Branch, RepoError> {
        let seen = self.branches.get(mesh).is_some_and(|(seen, allowed, _)| (*seen, allowed.as_slice()) == (commit, allow));
        let read = if seen { None } else { Some(branch_at(mirror, mesh, commit, allow, now)?) };
        let entry = self.branches.entry(mesh.to_owned()).or_insert_with(|| (commit, allow.to_vec(), Branch::default()));
        if let Some(read) = read {
            *entry = (commit, allow.to_vec(), read);
        }
        Ok(&entry.2)
    }
}

/// Asks what of published branches is served, and notes the answers.
struct Tips<'a> {
    mirror: &'a Mirror,
    revoked: Option<Revoked>,
    trust: &'a mut Trust,
}

impl Tips<'_> {
    fn of(&mut self, gate: &mut Gate, mesh: &str) -> Result<Option<CommitId>, RepoError> {
        let tip = self.mirror.refs().published.get(mesh).copied();
        let passage = gate.published(self.mirror, mesh, self.revoked.as_ref(), tip.map(Into::into))?;
        keep(self.mirror, &format!("{PUBLISHED}{mesh}"), &passage)?;
        let serve = passage.serve.map(CommitId::from);
        self.trust.published.insert(mesh.to_owned(), passage);
        Ok(serve)
    }
}

/// What is verified stays in the mirror, also when the host goes back.
fn keep(mirror: &Mirror, branch: &str, passage: &Passage) -> Result<(), RepoError> {
    passage.verified.map_or(Ok(()), |id| mirror.keep(branch, id.into()))
}

/// By peer.
type Positions = BTreeMap<String, Position>;

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

/// Reads the published branch of a mesh as it is; `None` where it has none.
pub fn branch(mirror: &Mirror, mesh: &str, allow: &[Cidr], now: Timestamp) -> Result<Option<Branch>, RepoError> {
    let tip = mirror.refs().published.get(mesh).copied();
    tip.map(|tip| branch_at(mirror, mesh, tip, allow, now)).transpose()
}

/// Reads the published branch of a mesh at one of its commits.
fn branch_at(mirror: &Mirror, mesh: &str, commit: CommitId, allow: &[Cidr], now: Timestamp) -> Result<Branch, RepoError> {
    Ok(said(mesh, &files(mirror, commit)?, allow, now))
}

/// What the files of a published branch say.
pub fn said(mesh: &str, files: &BTreeMap<String, String>, allow: &[Cidr], now: Timestamp) -> Branch {
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
    branch
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

/// The files of a commit of a published branch, as text. What is not text is not there.
pub fn files(commits: &dyn Commits, commit: CommitId) -> Result<BTreeMap<String, String>, RepoError> {
    let snapshot = commits.snapshot(commit, &|path| [FACTS_PATH, STATUS_PATH].contains(&path))?;
    let mut files = BTreeMap::new();
    for (path, id) in snapshot.entries {
        if let Ok(text) = String::from_utf8(commits.blob(id)?) {
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
        let mut at = |main, named| reader.positions(&mirror, main, &named).unwrap()["aro"];
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
