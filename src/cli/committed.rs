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
    /// Number of files.
    pub(super) files: usize,
}

/// The documents and policies of a commit, and what is wrong with them.
pub(super) fn load(checkout: &Checkout, commit: CommitId) -> Result<Committed, Error> {
    let wanted = |path: &str| match path.strip_suffix('/') {
        Some(folder) => folder.starts_with("meshes") || folder.starts_with("policies"),
        None => Place::of(path) != Place::Foreign,
    };
    let snapshot = checkout.snapshot(commit, &wanted)?;
    let entries: BTreeMap<_, _> = snapshot.entries.iter().map(|(path, id)| (path.clone(), ContentId(id.bytes()))).collect();
    let mut read = |path: &str, _: ContentId| match snapshot.entries.get(path) {
        Some(id) => checkout.read(*id).map_err(|error| error.to_string()),
        None => Err("it is not in this commit".to_owned()),
    };
    let refuse = |(path, reason): &(String, String)| {
        Diagnostic::error(path, Span::default(), Code::Misplaced, reason.clone(), "only regular files are read")
    };
    let refused: Vec<Diagnostic> = snapshot.refused.iter().map(refuse).collect();
    let Loaded { federation, policies, problems } = policy::load(&entries, &refused, &mut read, &mut Cache::default());
    Ok(Committed { federation, policies, problems, files: snapshot.entries.len() })
}
