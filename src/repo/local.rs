//! A repository on this machine's disk, reached through its object store.
//!
//! libgit2's own local transport (its `transports/local.c`) sends every branch and tag whether asked for or not, refuses to push
//! to a repository with a work tree, and overwrites a branch that moved after it looked. Here only wanted branches are sent, and
//! a branch is set by compare-and-swap. No hooks run, as with libgit2's transport.

use std::io::Write as _;

use git2::{ErrorCode, ObjectType, Oid, Repository, Sort, TreeWalkMode, TreeWalkResult};

use super::PUBLISHED;
use super::error::{RepoError, one_line};
use super::fetch::Heads;
use super::options::MAX_FETCH;
use super::publish::Push;
use super::transport::Transport;

/// Where a clone keeps the branches of the repository that it was cloned from.
const ORIGIN: &str = "refs/remotes/origin/";

/// Opens the repository that a local address names.
pub(super) fn open(transport: &Transport, path: &std::path::Path) -> Result<Repository, RepoError> {
    Repository::open(path).map_err(|error| {
        let reason = match error.code() {
            ErrorCode::NotFound if path.exists() => "the folder is no Git repository".to_owned(),
            ErrorCode::NotFound => "no such folder".to_owned(),
            _ => one_line(error.message()),
        };
        RepoError::NoRepository { url: transport.shown(), reason }
    })
}

/// Its branches; of a clone also the published ones that it knows from its origin.
pub(super) fn heads(there: &Repository, clone: bool) -> Result<Heads, git2::Error> {
    let mut heads = Heads::new();
    if clone {
        for reference in there.references_glob(&format!("{ORIGIN}{PUBLISHED}*"))? {
            let reference = reference?;
            if let (Some(name), Some(id)) = (reference.name()?.strip_prefix(ORIGIN), reference.target()) {
                heads.insert(format!("refs/heads/{name}"), id);
            }
        }
    }
    for reference in there.references_glob("refs/heads/*")? {
        let reference = reference?;
        if let (Ok(name), Some(id)) = (reference.name(), reference.target()) {
            heads.insert(name.to_owned(), id);
        }
    }
    Ok(heads)
}

/// Copies commits `want` with all they need from one object store to another, less what comes with the commits `have`.
pub(super) fn copy(from: &Repository, to: &Repository, want: &[Oid], have: &[Oid]) -> Result<(), git2::Error> {
    let mut walk = from.revwalk()?;
    walk.set_sorting(Sort::TIME)?;
    for id in want {
        walk.push(*id)?;
    }
    for id in have {
        // Unknown over there after a rewind: then it spares nothing.
        let _ = walk.hide(*id);
    }
    let mut builder = from.packbuilder()?;
    builder.insert_walk(&mut walk)?;
    if builder.object_count() == 0 {
        return Ok(());
    }
    let odb = to.odb()?;
    let mut writer = odb.packwriter()?;
    let mut bytes = 0;
    let mut failed = None;
    let sent = builder.foreach(|part| {
        bytes += part.len();
        failed = if bytes > MAX_FETCH {
            Some(format!("a fetch has more than {} MiB, the limit", MAX_FETCH >> 20))
        } else {
            writer.write_all(part).err().map(|error| format!("the pack cannot be written: {error}"))
        };
        failed.is_none()
    });
    match failed {
        Some(reason) => return Err(git2::Error::from_str(&reason)),
        None => sent?,
    }
    writer.commit().map(drop)
}

/// Sets a branch over there from `expected` to `commit`, whose objects are copied first.
pub(super) fn push(
    from: &Repository,
    there: &Repository,
    refname: &str,
    commit: Oid,
    expected: Option<Oid>,
) -> Result<Push, git2::Error> {
    if from.find_commit(commit)?.parent_ids().any(|parent| there.find_commit(parent).is_err()) {
        let have: Vec<Oid> = expected.into_iter().collect();
        copy(from, there, &[commit], &have)?;
    }
    let (source, target) = (from.odb()?, there.odb()?);
    let give = |id: Oid| -> Result<(), git2::Error> {
        let object = source.read(id)?;
        target.write(object.kind(), object.data()).map(drop)
    };
    let tree = from.find_commit(commit)?.tree()?;
    let mut ids = Vec::new();
    tree.walk(TreeWalkMode::PreOrder, |_, entry| {
        if entry.kind() == Some(ObjectType::Blob) {
            ids.push(entry.id());
        }
        TreeWalkResult::Ok
    })?;
    ids.extend([tree.id(), commit]);
    ids.into_iter().try_for_each(give)?;
    let set = match expected {
        Some(old) => there.reference_matching(refname, commit, true, old, "meshfed: publish"),
        None => there.reference(refname, commit, false, "meshfed: publish"),
    };
    match set {
        Ok(_) => Ok(Push::Done),
        Err(error) => match error.code() {
            ErrorCode::Modified | ErrorCode::Exists | ErrorCode::Locked | ErrorCode::NotFound => {
                Ok(Push::Lost(one_line(error.message())))
            }
            _ => Err(error),
        },
    }
}
