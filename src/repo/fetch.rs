//! What the other side has, what of it moved, and getting just that.

use std::collections::{BTreeMap, BTreeSet};

use git2::{AutotagOption, Direction, FetchOptions, Oid, Repository};

use super::error::RepoError;
use super::id::CommitId;
use super::mirror::Refs;
use super::transport::Transport;
use super::{PUBLISHED, local};
use crate::model::names;

/// Branches of the other side, by full name (`refs/heads/…`).
pub(super) type Heads = BTreeMap<String, Oid>;

/// Where the mirror records what the other side has.
const TRACKING: &str = "refs/remotes/origin/";
const HEADS: &str = "refs/heads/";

/// Most other branches named in a message: enough to spot the right one.
const MAX_NAMED: usize = 20;

/// Brings the mirror up to date with the other side and returns what it has now. Transfers nothing unless a wanted branch
/// moved to a commit that the mirror lacks.
pub(super) fn sync(repo: &Repository, transport: &Transport, branch: &str, known: &Refs) -> Result<Refs, RepoError> {
    let next = match transport.local() {
        Some(path) => {
            let there = local::open(transport, path)?;
            let next = choose(&local::heads(&there, transport.clone).map_err(|error| transport.error(&error))?, branch);
            let moved = moved(repo, &next, known, branch);
            if !moved.is_empty() {
                let want: Vec<_> = moved.values().copied().collect();
                local::copy(&there, repo, &want, &tips(known)).map_err(|error| transport.error(&error))?;
            }
            next
        }
        None => over_network(repo, transport, branch, known).map_err(|error| transport.error(&error))?,
    };
    if next != *known {
        record(repo, branch, &next).map_err(|error| RepoError::git("recording what was fetched", &error))?;
    }
    Ok(next)
}

fn over_network(repo: &Repository, transport: &Transport, branch: &str, known: &Refs) -> Result<Refs, git2::Error> {
    let (path, branch, known) = (repo.path().to_owned(), branch.to_owned(), known.clone());
    transport.talk(move |transport| {
        let repo = Repository::open_bare(path)?;
        let mut remote = repo.remote_anonymous(transport.url())?;
        let mut connection = remote.connect_auth(Direction::Fetch, Some(transport.callbacks()), None)?;
        let heads = connection.list()?.iter().map(|head| (head.name().to_owned(), head.oid())).collect();
        let next = choose(&heads, &branch);
        let specs: Vec<_> =
            moved(&repo, &next, &known, &branch).into_keys().map(|name| format!("+{HEADS}{name}:{TRACKING}{name}")).collect();
        if !specs.is_empty() {
            let mut options = FetchOptions::new();
            options.remote_callbacks(transport.callbacks()).download_tags(AutotagOption::None);
            connection.remote().download(&specs, Some(&mut options))?;
        }
        Ok(next)
    })
}

/// The wanted ones of the other side's branches.
pub(super) fn choose(heads: &Heads, branch: &str) -> Refs {
    let mut refs = Refs::default();
    for (name, id) in heads.iter().filter_map(|(name, id)| Some((name.strip_prefix(HEADS)?, CommitId::from_oid(*id)))) {
        if name == branch {
            refs.main = Some(id);
        } else if let Some(mesh) = name.strip_prefix(PUBLISHED) {
            if names::mesh(mesh).is_ok() {
                refs.published.insert(mesh.to_owned(), id);
            }
        } else if refs.others.len() < MAX_NAMED {
            refs.others.push(super::error::one_line(name));
        }
    }
    refs
}

/// Branch names and tips whose commits the mirror lacks.
fn moved(repo: &Repository, next: &Refs, known: &Refs, branch: &str) -> BTreeMap<String, Oid> {
    let had: BTreeSet<_> = known.named(branch).into_iter().collect();
    let new = next.named(branch).into_iter().filter(|tip| !had.contains(tip)).map(|(name, id)| (name, id.oid()));
    new.filter(|(_, id)| repo.find_commit(*id).is_err()).collect()
}

fn tips(refs: &Refs) -> Vec<Oid> {
    refs.main.iter().chain(refs.published.values()).map(|id| id.oid()).collect()
}

/// Writes the mirror's own refs: exactly `next`, so that vanished branches go.
fn record(repo: &Repository, branch: &str, next: &Refs) -> Result<(), git2::Error> {
    let wanted: BTreeMap<_, _> = next.named(branch).into_iter().map(|(name, id)| (format!("{TRACKING}{name}"), id)).collect();
    for reference in repo.references_glob(&format!("{TRACKING}*"))? {
        let mut reference = reference?;
        if !reference.name().is_ok_and(|name| wanted.contains_key(name)) {
            reference.delete()?;
        }
    }
    for (name, id) in &wanted {
        set(repo, name, *id)?;
    }
    Ok(())
}

/// Records one branch of the other side, as after a push.
pub(super) fn record_one(repo: &Repository, name: &str, id: CommitId) -> Result<(), git2::Error> {
    set(repo, &format!("{TRACKING}{name}"), id)
}

fn set(repo: &Repository, name: &str, id: CommitId) -> Result<(), git2::Error> {
    if repo.find_reference(name).is_ok_and(|reference| reference.target() == Some(id.oid())) {
        return Ok(());
    }
    // Also proves that what was fetched is a commit.
    repo.find_commit(id.oid())?;
    repo.reference(name, id.oid(), true, "meshfed: fetch").map(drop)
}

/// What an earlier run recorded. Fails if any of it cannot be read back, commit and tree.
pub(super) fn recorded(repo: &Repository, branch: &str) -> Result<Refs, git2::Error> {
    let mut heads = Heads::new();
    for reference in repo.references_glob(&format!("{TRACKING}*"))? {
        let reference = reference?;
        reference.peel_to_commit()?.tree()?;
        if let (Some(name), Some(id)) = (reference.name()?.strip_prefix(TRACKING), reference.target()) {
            heads.insert(format!("{HEADS}{name}"), id);
        }
    }
    Ok(choose(&heads, branch))
}
