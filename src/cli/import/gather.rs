//! What an import reads from disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::cli::tree::Tree;
use crate::error::Error;
use crate::model::yaml::MAX_FILE_BYTES;
use crate::repo::{MAX_DEPTH, MAX_FILES};

/// Most that is read from stdin: what a federation has, many times.
const MAX_STDIN: u64 = 64 << 20;

/// Texts of all files with objects, by path.
pub(super) fn texts(paths: &[PathBuf]) -> Result<BTreeMap<String, String>, Error> {
    let mut texts = BTreeMap::new();
    for path in paths {
        if path.as_os_str() == "-" {
            texts.insert("-".to_owned(), stdin()?);
            continue;
        }
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if metadata.is_dir() { folder(path, 0, &mut texts)? } else { file(path, &mut texts)? }
    }
    if texts.is_empty() {
        return Err(Error::unavailable("there is no YAML or JSON file there", "name files or folders with objects"));
    }
    Ok(texts)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(
        format!("{} cannot be read: {error}", path.display()),
        "name files or folders with objects, or - for stdin",
    )
}

fn stdin() -> Result<String, Error> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_STDIN).read_to_string(&mut text);
    read.map_err(|error| Error::unavailable(format!("stdin cannot be read: {error}"), ""))?;
    Ok(text)
}

fn folder(path: &Path, depth: usize, texts: &mut BTreeMap<String, String>) -> Result<(), Error> {
    if depth > MAX_DEPTH || texts.len() > MAX_FILES {
        return Err(Error::unavailable(format!("{} is too large or too deep", path.display()), "name the folders with objects"));
    }
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
        let place = entry.map_err(|error| unreadable(path, &error))?.path();
        let hidden = place.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let yaml = place.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        let metadata = fs::symlink_metadata(&place).map_err(|error| unreadable(&place, &error))?;
        if metadata.is_dir() && !hidden {
            folder(&place, depth + 1, texts)?;
        } else if metadata.is_file() && yaml && !hidden {
            file(&place, texts)?;
        }
    }
    Ok(())
}

fn file(path: &Path, texts: &mut BTreeMap<String, String>) -> Result<(), Error> {
    let size = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if size > MAX_FILE_BYTES as u64 {
        return Err(Error::unavailable(
            format!("{} has {size} bytes; the limit is {MAX_FILE_BYTES}", path.display()),
            "split it",
        ));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::unavailable(format!("{} is no UTF-8 text", path.display()), ""))?;
    let name = path.display().to_string();
    texts.insert(name.trim_start_matches("./").to_owned(), text);
    Ok(())
}

/// Files of the repository by path; none where it is to be made.
pub(super) fn repository(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    if !path.exists() || !path.join("federation.yaml").exists() && !path.join("meshes").exists() {
        return Ok(BTreeMap::new());
    }
    let tree = Tree::read(path)?;
    Ok(tree.texts().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
}
