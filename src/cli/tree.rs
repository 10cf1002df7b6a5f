//! Declarations from a folder on this machine, as a person edits them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::model::yaml::MAX_FILE_BYTES;
use crate::model::{Code, ContentId, Diagnostic, Place, Span, UNASSIGNED, names};
use crate::policy::{self, Cache, Loaded, Verdict};
use crate::repo::{CommitId, Commits, MAX_DEPTH, MAX_FILES};
use crate::trust::FOLDER;

/// What a federation has at its top.
pub(super) const TOPS: [&str; 5] = ["federation.yaml", "meshes", "policies", "crds", UNASSIGNED];

/// The files of a federation.
pub(super) struct Tree {
    /// The folder with `federation.yaml`.
    pub(super) root: PathBuf,
    /// Contents by path, or why there is none.
    files: BTreeMap<String, Result<Vec<u8>, String>>,
    /// Places that hold no file.
    refused: Vec<Diagnostic>,
    /// What `trust/` holds; nothing else reads it here.
    trust: BTreeMap<String, Result<Vec<u8>, String>>,
    /// Folders at the top, read or not.
    beside: Vec<String>,
    /// No federation, but objects of one that people wrote by hand: any YAML file counts.
    plain: bool,
}

/// What objects of a federation have in their `apiVersion`.
const BY_HAND: &str = "maistra.io/";

impl Tree {
    /// Reads the federation that `path` is in: the nearest folder upwards with `federation.yaml`, or `path` itself.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |path: &Path, error: &io::Error| {
            Error::unavailable(format!("{} cannot be read: {error}", path.display()), "name the folder that has federation.yaml")
        };
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        let start = if metadata.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let root = root(start);
        let mut tree =
            Self { root, files: BTreeMap::new(), refused: Vec::new(), trust: BTreeMap::new(), beside: Vec::new(), plain: false };
        let beside = fs::read_dir(&tree.root).map_err(|error| unreadable(&tree.root, &error))?.flatten();
        let folders = beside.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        tree.beside = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        tree.beside.sort();
        for top in TOPS.into_iter().chain([FOLDER]) {
            tree.take(top, 0)?;
        }
        if tree.files.is_empty() && tree.refused.is_empty() {
            tree.take_plain(path, metadata.is_file())?;
        }
        Ok(tree)
    }

    /// Objects of a federation that somebody wrote by hand: one file, or all in a folder.
    fn take_plain(&mut self, path: &Path, file: bool) -> Result<(), Error> {
        self.plain = true;
        match path.file_name().and_then(|name| name.to_str()).filter(|_| file) {
            Some(name) => self.take(name, 0)?,
            None => self.take(".", 0)?,
        }
        self.plain = self.texts().values().any(|text| text.contains(BY_HAND));
        if !self.plain {
            self.files.clear();
        }
        Ok(())
    }

    /// Folders beside `federation.yaml` whose names are nearly those that are read, where the right one is missing.
    pub(super) fn misspelt(&self) -> Vec<Diagnostic> {
        if self.plain {
            return Vec::new(); // there all folders are read
        }
        let all: Vec<&str> = self.beside.iter().map(String::as_str).collect();
        let missing = ["meshes", "policies"].into_iter().filter(|top| !all.contains(top));
        let found = missing.filter_map(|top| {
            let near = |name: &&&str| (names::is_slip(name, top) || is_cut(name, top)) && !TOPS.contains(name);
            let wrong = all.iter().find(near)?;
            let help = format!("did you mean `{top}/`?");
            Some(Diagnostic::warning(wrong, Span::default(), Code::Misplaced, "this folder is not read", help))
        });
        found.collect()
    }

    /// Whether it holds no federation, but objects of one that people wrote by hand.
    pub(super) fn plain(&self) -> bool {
        self.plain
    }

    /// One file, or a folder with all that is in it.
    fn take(&mut self, path: &str, depth: usize) -> Result<(), Error> {
        let place = self.root.join(path);
        let Ok(metadata) = fs::symlink_metadata(&place) else { return Ok(()) }; // went away since it was listed
        if metadata.is_dir() {
            if depth == MAX_DEPTH {
                self.refuse(path, "it is nested too deep: move it up");
                return Ok(());
            }
            let listed: io::Result<Vec<fs::DirEntry>> = fs::read_dir(&place).and_then(Iterator::collect);
            let entries = match listed {
                Ok(entries) => entries,
                Err(error) => {
                    self.refuse(path, &format!("the folder cannot be read: {error}"));
                    return Ok(());
                }
            };
            for entry in entries {
                match entry.file_name().to_str().filter(|name| !name.chars().any(char::is_control)) {
                    Some(name) if self.plain && name.starts_with('.') => {}
                    Some(name) if path == "." => self.take(name, depth + 1)?,
                    Some(name) => self.take(&format!("{path}/{name}"), depth + 1)?,
                    None => self.refuse(&format!("{path}/?"), "a name is not printable UTF-8: rename it"),
                }
            }
        } else if !self.plain && is_trust(path) && metadata.is_file() {
            self.trust.insert(path.to_owned(), content(&place, metadata.len()));
        } else if Place::of(path) == Place::Foreign && !(self.plain && yaml(path)) {
            // README and the like
        } else if metadata.is_file() {
            self.files.insert(path.to_owned(), content(&place, metadata.len()));
        } else {
            self.refuse(path, "it is not a regular file: commit the file itself");
        }
        if self.files.len() > MAX_FILES {
            return Err(Error::unavailable(
                format!("{} has more than {MAX_FILES} files under meshes/", self.root.display()),
                "is this the folder of a federation?",
            ));
        }
        Ok(())
    }

    /// The files of a commit.
    pub(super) fn at(commits: &dyn Commits, commit: CommitId) -> Result<Self, Error> {
        let mut tree = Self {
            root: PathBuf::new(),
            files: BTreeMap::new(),
            refused: Vec::new(),
            trust: BTreeMap::new(),
            beside: Vec::new(),
            plain: false,
        };
        let wanted = |path: &str| {
            let top = path.split('/').next().unwrap_or_default();
            let read = TOPS.contains(&top) && (path.ends_with('/') || Place::of(path) != Place::Foreign);
            read || top == FOLDER
        };
        let snapshot = commits.snapshot(commit, &wanted)?;
        for (path, id) in snapshot.entries {
            let content = commits.blob(id).map_err(|error| error.to_string());
            if is_trust(&path) {
                tree.trust.insert(path, content);
            } else {
                tree.files.insert(path, content);
            }
        }
        for (path, reason) in snapshot.refused {
            tree.refuse(&path, &reason);
        }
        Ok(tree)
    }

    fn refuse(&mut self, path: &str, reason: &str) {
        self.refused.push(Diagnostic::error(path, Span::default(), Code::Misplaced, reason, "only regular files are read"));
    }

    /// Its declarations and policies, and all that is wrong with them.
    pub(super) fn load(&self) -> Loaded {
        policy::load(&self.entries(), &self.refused, &mut |path, _| self.read_file(path), &mut Cache::default())
    }

    /// What each policy says of each declaration that it means.
    pub(super) fn survey(&self, loaded: &Loaded) -> Vec<Verdict> {
        policy::survey(&self.entries(), &mut |path, _| self.read_file(path), &loaded.federation, &loaded.policies)
    }

    fn entries(&self) -> BTreeMap<String, ContentId> {
        let id = |content: &Result<Vec<u8>, String>| {
            let mut id = [0; 20];
            let digest = Sha256::digest(content.as_deref().unwrap_or_default());
            id.copy_from_slice(&digest[..20]);
            ContentId(id)
        };
        self.files.iter().map(|(path, content)| (path.clone(), id(content))).collect()
    }

    fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files.get(path).cloned().unwrap_or_else(|| Err("it is not there".to_owned()))
    }

    /// Files that say who may change what and what is forbidden, with their contents or why there are none.
    pub(super) fn rules(&self) -> BTreeMap<&str, &Result<Vec<u8>, String>> {
        let policies = self.files.iter().filter(|(path, _)| Place::of(path) == Place::Policy);
        policies.chain(&self.trust).map(|(path, content)| (path.as_str(), content)).collect()
    }

    /// Number of files.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The text of a file, if it is text.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(path)?.as_ref().ok()?).ok()
    }

    /// The texts of all files that are text, by path.
    pub(super) fn texts(&self) -> BTreeMap<&str, &str> {
        self.files.keys().filter_map(|path| Some((path.as_str(), self.text(path)?))).collect()
    }

    /// What stands before each path so that it leads there from where the person is.
    pub(super) fn prefix(&self) -> String {
        let root = self.root.display().to_string();
        match root.trim_start_matches("./") {
            "" | "." => String::new(),
            root => format!("{}/", root.trim_end_matches('/')),
        }
    }

    /// Names of the peers that a mesh declares, also where the document is broken.
    pub(super) fn peers(&self, mesh: &str) -> Vec<String> {
        let peers = self.files.keys().filter_map(|path| match Place::of(path) {
            Place::Peer { mesh: of, file } if of == mesh => Some(file),
            _ => None,
        });
        peers.collect()
    }
}

/// Whether one name is another without its end, as `mesh` and `policy` are.
fn is_cut(short: &str, name: &str) -> bool {
    let alike = short.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    short.len() > 3 && alike + 1 >= short.len()
}

fn is_trust(path: &str) -> bool {
    path.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

fn yaml(path: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end))
}

/// The folder with `federation.yaml` that a folder is in; the folder itself where there is none.
pub(super) fn root(start: &Path) -> PathBuf {
    // As long as the path is deep: then it is the disk's top. A path that cannot be resolved is looked at as it is.
    let depth = fs::canonicalize(start).map_or(1, |whole| whole.components().count());
    let mut folder = start.to_owned();
    for _ in 0..depth {
        if folder.join("federation.yaml").is_file() {
            return folder;
        }
        if folder.join(".git").exists() {
            break; // a repository's top: what is above is not part of it
        }
        folder = folder.join("..");
    }
    start.to_owned()
}

fn content(path: &Path, size: u64) -> Result<Vec<u8>, String> {
    if size > MAX_FILE_BYTES as u64 {
        return Err(format!("the file has {size} bytes; files may have {MAX_FILE_BYTES}: split it"));
    }
    fs::read(path).map_err(|error| format!("the file cannot be read: {error}"))
}
