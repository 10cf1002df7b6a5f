//! What an import reads from disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::cli::clone::quoted;
use crate::cli::tree::Tree;
use crate::error::Error;
use crate::model::yaml::MAX_FILE_BYTES;
use crate::model::{Code, Diagnostic, Span};
use crate::repo::{MAX_DEPTH, MAX_FILES};

/// Most that is read from stdin: what a federation has, many times.
const MAX_STDIN: u64 = 64 << 20;

/// What is on disk.
#[derive(Default)]
pub(super) struct Gathered {
    /// Texts of all files that may have objects, by path.
    pub(super) texts: BTreeMap<String, String>,
    /// Files that should have objects, and that nobody can read, and charts.
    pub(super) found: Vec<Diagnostic>,
    /// Files beside them, which are not looked into: scripts and the like.
    pub(super) others: Vec<String>,
}

/// All files that are named, or in folders that are.
pub(super) fn gather(paths: &[PathBuf]) -> Result<Gathered, Error> {
    let mut all = Gathered::default();
    for path in paths {
        if path.as_os_str() == "-" {
            all.texts.insert("-".to_owned(), stdin()?);
            continue;
        }
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if metadata.is_dir() { all.folder(path, 0)? } else { all.file(path)? }
    }
    if all.texts.is_empty() && all.found.is_empty() {
        return Err(Error::unavailable("there is no YAML or JSON file there", "name files or folders with objects"));
    }
    all.others.sort();
    all.found.sort();
    Ok(all)
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

impl Gathered {
    fn folder(&mut self, path: &Path, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH || self.texts.len() > MAX_FILES {
            let message = format!("{} is too large or too deep", path.display());
            return Err(Error::unavailable(message, "name the folders with objects"));
        }
        let chart = path.join("Chart.yaml");
        if chart.is_file() {
            let help = format!("import what it makes: helm template {} … | meshfed import -", quoted(&shown(path)));
            let message = "a Helm chart stands for objects that are made from it: none of its files is looked into";
            self.found.push(Diagnostic::warning(&shown(&chart), Span::default(), Code::Misplaced, message, help));
            return Ok(());
        }
        for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
            let place = entry.map_err(|error| unreadable(path, &error))?.path();
            let hidden = place.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let yaml =
                place.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end.eq_ignore_ascii_case(known)));
            let metadata = fs::symlink_metadata(&place).map_err(|error| unreadable(&place, &error))?;
            if hidden {
                // .git and the like
            } else if metadata.is_dir() {
                self.folder(&place, depth + 1)?;
            } else if metadata.is_file() && yaml {
                self.file(&place)?;
            } else {
                self.others.push(shown(&place));
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Error> {
        let mut wrong = |message: String, help: &str| {
            self.found.push(Diagnostic::error(&shown(path), Span::default(), Code::Syntax, message, help));
        };
        let size = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
        if size > MAX_FILE_BYTES as u64 {
            wrong(format!("the file has {size} bytes; the limit is {MAX_FILE_BYTES}"), "split it");
            return Ok(());
        }
        match String::from_utf8(fs::read(path).map_err(|error| unreadable(path, &error))?) {
            Ok(text) => drop(self.texts.insert(shown(path), text)),
            Err(_) => wrong("not UTF-8 text".to_owned(), "save it as UTF-8"),
        }
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string().trim_start_matches("./").to_owned()
}

/// Files of the repository by path; none where it is to be made.
pub(super) fn repository(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    if !path.exists() || !path.join("federation.yaml").exists() && !path.join("meshes").exists() {
        return Ok(BTreeMap::new());
    }
    let tree = Tree::read(path)?;
    Ok(tree.texts().into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
}
