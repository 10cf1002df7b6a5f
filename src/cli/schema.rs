//! `meshfed schema`.

use std::fs;
use std::path::PathBuf;

use crate::error::{Error, Exit};
use crate::model::schema;

/// Write the JSON Schemas of the documents, so that editors complete and check them
///
/// Example: meshfed schema repo-layout/schemas
#[derive(clap::Args, Debug)]
pub struct Schema {
    /// Folder to write to; made if absent
    #[arg(default_value = "schemas")]
    dir: PathBuf,
}

impl Schema {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let fail = |error: std::io::Error| Error::unavailable(format!("cannot write {}: {error}", self.dir.display()), "");
        fs::create_dir_all(&self.dir).map_err(fail)?;
        for (name, text) in schema::all() {
            let path = self.dir.join(name);
            // Files that are right stay untouched, so that nothing that watches them wakes up.
            if fs::read_to_string(&path).is_ok_and(|there| there == text) {
                continue;
            }
            fs::write(&path, text).map_err(fail)?;
            tell!("wrote {}", path.display());
        }
        Ok(Exit::Fine)
    }
}
