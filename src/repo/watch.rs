//! Wakes the agent when branches of a local repository move, so that a commit beside it is seen at once and not at the next poll.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::address::Address;
use super::error::{RepoError, one_line};

/// Quiet time after a change before it is reported: a push sets several refs within a few milliseconds.
pub const DEBOUNCE: Duration = Duration::from_millis(10);

/// Longest a change is kept back while others follow it.
const LONGEST: Duration = Duration::from_millis(100);

/// A running watch; dropping it ends it.
pub struct Watch {
    _watcher: RecommendedWatcher,
}

/// Calls `changed` (from a thread of its own) soon after a branch moves in the repository that `url` names, if that is on this
/// machine's disk; `Ok(None)` if it is elsewhere. A call says that something may have changed, not what: a fetch tells.
pub fn watch(url: &str, changed: impl FnMut() + Send + 'static) -> Result<Option<Watch>, RepoError> {
    let Some(path) = Address::parse(url).local().map(Path::to_owned) else {
        return Ok(None);
    };
    let failed = |reason: &str| RepoError::Watch { path: path.clone(), reason: one_line(reason) };
    // The common directory: in a linked work tree, branches live elsewhere than `.git` says.
    let repo = git2::Repository::open(&path).map_err(|error| failed(error.message()))?;
    let folder = repo.commondir().to_owned();
    let (sender, receiver) = mpsc::channel();
    let root = folder.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error, as an overflowing queue, may have swallowed a change.
        if event.map_or(true, |event| event.need_rescan() || moves_branches(&root, &event)) {
            let _ = sender.send(());
        }
    })
    .map_err(|error| failed(&error.to_string()))?;
    watcher.watch(&folder, RecursiveMode::NonRecursive).map_err(|error| failed(&error.to_string()))?;
    for refs in ["refs/heads", "reftable"].map(|name| folder.join(name)).iter().filter(|path| path.is_dir()) {
        watcher.watch(refs, RecursiveMode::Recursive).map_err(|error| failed(&error.to_string()))?;
    }
    std::thread::Builder::new()
        .name("repo-watch".to_owned())
        .spawn(move || debounce(&receiver, changed))
        .map_err(|error| failed(&error.to_string()))?;
    Ok(Some(Watch { _watcher: watcher }))
}

/// Whether an event may mean a moved branch. Reading is none, or the agent's own looks would wake it; nor are lock files,
/// which Git renames into place.
fn moves_branches(folder: &Path, event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return false,
        _ => {}
    }
    let matters = |path: &PathBuf| {
        let inside = path.strip_prefix(folder).unwrap_or(path);
        let top = inside.components().next().map(|name| name.as_os_str().to_string_lossy().into_owned());
        let lock = path.extension().is_some_and(|extension| extension == "lock");
        !lock && top.is_some_and(|top| ["refs", "packed-refs", "reftable"].contains(&top.as_str()))
    };
    event.paths.iter().any(matters)
}

/// Ends when the watcher is gone and what it saw is reported.
fn debounce(events: &mpsc::Receiver<()>, mut changed: impl FnMut()) {
    while events.recv().is_ok() {
        let until = Instant::now() + LONGEST;
        while Instant::now() < until && events.recv_timeout(DEBOUNCE).is_ok() {}
        changed();
    }
}
