//! What an import writes: all of it or nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::Error;
use crate::import::{Imported, is_stub};
use crate::words;

/// Most files that a refusal names.
const MAX_NAMED: usize = 10;

/// Writes the files of an import into the repository, if none that is there changes without consent.
pub(super) fn files(root: &Path, imported: &Imported, repository: &BTreeMap<String, String>, force: bool) -> Result<(), Error> {
    let taken = |path: &&String| repository.get(*path).map_or_else(|| root.join(path).exists(), |text| !is_stub(text));
    let rivals: Vec<&str> = imported.files.keys().filter(taken).map(String::as_str).collect();
    if !rivals.is_empty() && !force {
        let message =
            format!("nothing was written, because these are there and would change: {}", words::some(&rivals, MAX_NAMED));
        return Err(Error::unavailable(message, "--force replaces them; --repo DIR writes elsewhere, to compare"));
    }
    all(root, &imported.files)
}

/// Writes each file beside its place first: a full disk or a folder that is not ours leaves everything as it was.
pub(super) fn all(root: &Path, files: &BTreeMap<String, String>) -> Result<(), Error> {
    let failed =
        |path: &Path, error: &std::io::Error| Error::unavailable(format!("{} cannot be written: {error}", path.display()), "");
    let mut written = Vec::new();
    let outcome = files.iter().try_for_each(|(path, text)| {
        let place = root.join(path);
        let folder = place.parent().unwrap_or(root);
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(".import");
        let beside = place.with_file_name(name);
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        written.push((beside.clone(), place));
        fs::write(&beside, text).map_err(|error| failed(&beside, &error))
    });
    let outcome = outcome.and_then(|()| {
        written.iter().try_for_each(|(beside, place)| fs::rename(beside, place).map_err(|error| failed(place, &error)))
    });
    if outcome.is_err() {
        for (beside, _) in &written {
            let _ = fs::remove_file(beside); // what is not there any more need not go
        }
    }
    outcome
}
