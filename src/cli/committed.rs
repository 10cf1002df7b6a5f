//! Declarations of a commit, read from a repository on this machine.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::model::{Code, ContentId, Diagnostic, Place, Span};
use crate::policy::{self, Cache, Loaded};
use crate::repo::{Checkout, CommitId};

/// The documents and policies of a commit, and what is wrong with them.
pub(super) fn load(checkout: &Checkout, commit: CommitId) -> Result<Loaded, Error> {
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
    Ok(policy::load(&entries, &refused, &mut read, &mut Cache::default()))
}
