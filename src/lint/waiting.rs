//! What an import found and nobody applies: it is no error, but it waits for somebody to decide.

use std::collections::BTreeMap;

use crate::model::{Code, Diagnostic, NOT_APPLIED, Place, Span};
use crate::words;

/// Most files named of one folder.
const MAX_NAMED: usize = 3;

pub(super) fn check<'a>(paths: impl Iterator<Item = &'a str>, found: &mut Vec<Diagnostic>) {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in paths.filter(|path| Place::of(path) == Place::Waiting) {
        let folder = path.find(NOT_APPLIED).map_or_else(|| path.find('/'), |at| Some(at + NOT_APPLIED.len()));
        folders.entry(&path[..folder.unwrap_or(path.len())]).or_default().push(path);
    }
    for (folder, paths) in folders {
        let names: Vec<&str> = paths.iter().map(|path| path[folder.len()..].trim_start_matches('/')).collect();
        let files = words::count(paths.len(), "file");
        let message = format!("{files} in {folder}/ that no agent reads: {}", words::some(&names, MAX_NAMED));
        let help = match folder.strip_suffix(NOT_APPLIED) {
            Some(mesh) => format!(
                "mend what is meant and move it to {mesh}manifests/, and delete the rest; meshfed import says why each is here"
            ),
            None => "move each to manifests/ of the mesh whose it is, and delete what others apply".to_owned(),
        };
        found.push(Diagnostic::warning(paths[0], Span::default(), Code::Misplaced, message, help));
    }
}
