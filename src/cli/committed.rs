//! Declarations of a commit, read from a repository on this machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::model::{Code, ContentId, Diagnostic, Federation, Place, Span};
use crate::policy::{self, Cache, Loaded, Policies};
use crate::repo::{Checkout, CommitId};

/// The documents and policies of a commit.
pub(super) struct Committed {
    pub(super) federation: Federation,
    pub(super) policies: Arc<Policies>,
    pub(super) problems: Vec<Diagnostic>,
}

/// The documents and policies of a commit, and what is wrong with them.
pub(super) fn load(checkout: &Checkout, commit: CommitId) -> Result<Committed, Error> {
    load_with(checkout, Some(commit), &BTreeMap::new())
}

/// The same with files that are yet to be committed.
pub(super) fn load_with(
    checkout: &Checkout,
    commit: Option<CommitId>,
    files: &BTreeMap<String, String>,
) -> Result<Committed, Error> {
    let wanted = |path: &str| match path.strip_suffix('/') {
        Some(folder) => folder.starts_with("meshes") || folder.starts_with("policies"),
        None => Place::of(path) != Place::Foreign,
    };
    let snapshot = commit.map(|commit| checkout.snapshot(commit, &wanted)).transpose()?;
    let (blobs, refused) = snapshot.map(|snapshot| (snapshot.entries, snapshot.refused)).unwrap_or_default();
    let mut entries: BTreeMap<_, _> = blobs.iter().map(|(path, id)| (path.clone(), ContentId(id.bytes()))).collect();
    let new = files.keys().filter(|path| wanted(path)).map(|path| (path.clone(), ContentId([0; 20])));
    entries.extend(new);
    let mut read = |path: &str, _: ContentId| match (files.get(path), blobs.get(path)) {
        (Some(text), _) => Ok(text.clone().into_bytes()),
        (None, Some(id)) => checkout.read(*id).map_err(|error| error.to_string()),
        (None, None) => Err("it is not in this commit".to_owned()),
    };
    let refuse = |(path, reason): &(String, String)| {
        Diagnostic::error(path, Span::default(), Code::Misplaced, reason.clone(), "only regular files are read")
    };
    let refused: Vec<Diagnostic> = refused.iter().map(refuse).collect();
    let Loaded { federation, policies, problems } = policy::load(&entries, &refused, &mut read, &mut Cache::default());
    Ok(Committed { federation, policies, problems })
}
