//! What an import found and nobody applies: it is no error, but it waits for somebody to decide.

use std::collections::BTreeMap;

use crate::model::{Code, Diagnostic, NOT_APPLIED, Place, Span, secrets};
use crate::words;

/// Most files named of one folder.
const MAX_NAMED: usize = 3;

pub(super) fn check(texts: &BTreeMap<&str, &str>, found: &mut Vec<Diagnostic>) {
    let mut folders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (path, text) in texts.iter().filter(|(path, _)| Place::of(path) == Place::Waiting) {
        let depth = if path.starts_with("meshes/") { 3 } else { 1 };
        folders.entry(path.split('/').take(depth).collect::<Vec<_>>().join("/")).or_default().push(path);
        // Whoever can read the repository has them, whether an agent reads them or not.
        found.extend(secrets::in_file(path, text.as_bytes()));
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
