//! Facts of peers from a folder: `<DIR>/<mesh>.yaml`, or `<DIR>/<mesh>/published.yaml` as a published branch has it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;

use crate::error::Error;
use crate::facts::Facts;
use crate::facts::published::{self, FACTS_PATH};
use crate::model::{Cidr, Diagnostic};

type Read = (BTreeMap<String, Facts>, Vec<Diagnostic>);

/// Reads the facts of each of these meshes that has a file.
pub(super) fn read(dir: &Path, meshes: &[String], allow: &[Cidr], now: Timestamp) -> Result<Read, Error> {
    let fail = |path: &Path, error: &std::io::Error| {
        let hint = "a mesh's facts are in <DIR>/<mesh>.yaml or <DIR>/<mesh>/published.yaml";
        Error::unavailable(format!("{} cannot be read: {error}", path.display()), hint)
    };
    fs::read_dir(dir).map_err(|error| fail(dir, &error))?;
    let (mut facts, mut found) = (BTreeMap::new(), Vec::new());
    for mesh in meshes {
        for path in [dir.join(format!("{mesh}.yaml")), dir.join(mesh).join(FACTS_PATH)] {
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                Err(error) => return Err(fail(&path, &error)),
            };
            let (read, mut problems) = published::read(mesh, &path.display().to_string(), &text, allow, now);
            facts.insert(mesh.clone(), read);
            found.append(&mut problems);
            break;
        }
    }
    Ok((facts, found))
}
