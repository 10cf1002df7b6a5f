//! What an import writes: all of it or nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::import::is_stub;
use crate::words;

/// Most files that a refusal names.
const MAX_NAMED: usize = 10;

/// Files by path, in a folder.
#[derive(Clone, Copy)]
pub(super) struct Put<'a> {
    pub(super) root: &'a Path,
    pub(super) files: &'a BTreeMap<String, String>,
}

/// Writes all files, if none that is there changes without consent.
pub(super) fn files(all: &[Put], force: bool) -> Result<(), Error> {
    let mut rivals = Vec::new();
    for Put { root, files } in all {
        for (path, text) in *files {
            let place = root.join(path);
            let taken = match fs::read(&place) {
                Ok(bytes) => bytes != text.as_bytes() && !std::str::from_utf8(&bytes).is_ok_and(is_stub),
                // A file where a folder belongs is no answer to --force: writing fails, and says so.
                Err(error) => ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()),
            };
            rivals.extend(taken.then(|| place.display().to_string()));
        }
    }
    if !rivals.is_empty() && !force {
        let rivals: Vec<&str> = rivals.iter().map(String::as_str).collect();
        let message =
            format!("nothing was written, because these are there and would change: {}", words::some(&rivals, MAX_NAMED));
        return Err(Error::usage(message, "--force replaces them; --repo DIR writes elsewhere, to compare"));
    }
    let mut done = Done::default();
    let outcome = all.iter().try_for_each(|put| done.stage(*put)).and_then(|()| done.place());
    let outcome = outcome.map_err(|(path, error)| {
        let cause = format!("{} cannot be written: {error}", path.display());
        match done.undo() {
            Ok(()) => Error::unavailable(format!("nothing was written: {cause}"), ""),
            Err((path, error)) => {
                let kept: Vec<String> = done.stages.iter().map(|stage| stage.display().to_string()).collect();
                let message = format!("{cause}, and {} cannot be put back: {error}", path.display());
                Error::unavailable(message, format!("what was there is in {}", kept.join(", ")))
            }
        }
    });
    if outcome.is_ok() {
        done.clear();
    }
    outcome
}

type Outcome = Result<(), (PathBuf, io::Error)>;

/// What was done so far, so that it can be undone.
#[derive(Default)]
struct Done {
    /// Folders for what waits and for what was there, beside what is written, so that renaming suffices.
    stages: Vec<PathBuf>,
    steps: Vec<Step>,
    /// Folders that were not there, outer ones first.
    made: Vec<PathBuf>,
}

/// One file.
struct Step {
    /// Where it waits.
    new: PathBuf,
    /// A copy of what was there.
    old: Option<PathBuf>,
    place: PathBuf,
    placed: bool,
}

impl Done {
    /// Writes each file, and a copy of what is in its place, into a folder aside: a full disk is noticed here.
    fn stage(&mut self, Put { root, files }: Put) -> Outcome {
        if files.is_empty() {
            return Ok(());
        }
        let stage = root.join(format!(".meshfed-import-{}", std::process::id()));
        self.folder(&stage)?;
        self.stages.push(stage.clone());
        for (number, (path, text)) in files.iter().enumerate() {
            let (new, copy, place) = (stage.join(format!("{number}.new")), stage.join(format!("{number}.old")), root.join(path));
            fs::write(&new, text).map_err(|error| (new.clone(), error))?;
            let old = match fs::copy(&place, &copy) {
                Ok(_) => Some(copy),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err((place, error)),
            };
            self.steps.push(Step { new, old, place, placed: false });
        }
        Ok(())
    }

    fn place(&mut self) -> Outcome {
        for i in 0..self.steps.len() {
            if let Some(folder) = self.steps[i].place.parent().map(Path::to_owned) {
                self.folder(&folder)?;
            }
            let step = &mut self.steps[i];
            fs::rename(&step.new, &step.place).map_err(|error| (step.place.clone(), error))?;
            step.placed = true;
        }
        Ok(())
    }

    /// Makes a folder and those that it is in.
    fn folder(&mut self, folder: &Path) -> Outcome {
        let missing = folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        missing.reverse();
        fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))?;
        self.made.extend(missing);
        Ok(())
    }

    /// Puts back what was there.
    fn undo(&mut self) -> Outcome {
        for step in self.steps.iter().rev().filter(|step| step.placed) {
            let back = step.old.as_ref().map_or_else(|| fs::remove_file(&step.place), |old| fs::rename(old, &step.place));
            back.map_err(|error| (step.place.clone(), error))?;
        }
        self.clear();
        for folder in self.made.iter().rev() {
            let _ = fs::remove_dir(folder); // what somebody else has put into it stays
        }
        Ok(())
    }

    /// Takes the folders aside away.
    fn clear(&self) {
        for stage in &self.stages {
            let _ = fs::remove_dir_all(stage); // what is left of it is hidden, and nothing reads it
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(root: &Path) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = entry.strip_prefix(root).unwrap().display().to_string();
                if entry.is_dir() {
                    found.insert(name + "/", String::new());
                    folders.push(entry);
                } else {
                    found.insert(name, fs::read_to_string(&entry).unwrap());
                }
            }
        }
        found
    }

    fn texts(paths: &[&str]) -> BTreeMap<String, String> {
        paths.iter().map(|path| ((*path).to_owned(), format!("new {path}"))).collect()
    }

    #[test]
    fn a_failure_at_the_last_file_leaves_everything_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let (repo, facts) = (place.path().join("repo"), place.path().join("facts"));
        fs::create_dir_all(repo.join("meshes/a")).unwrap();
        fs::write(repo.join("meshes/a/mesh.yaml"), "old").unwrap();
        fs::write(place.path().join("facts"), "a file where a folder belongs").unwrap();
        let before = all(place.path());
        let (one, other) = (texts(&["federation.yaml", "meshes/a/mesh.yaml", "meshes/b/mesh.yaml"]), texts(&["a.yaml"]));
        let puts = [Put { root: &repo, files: &one }, Put { root: &facts, files: &other }];
        assert!(files(&puts, true).unwrap_err().to_string().contains("facts"));
        assert_eq!(all(place.path()), before, "while they are staged");

        let last = texts(&["federation.yaml", "meshes/a/mesh.yaml", "meshes/b/peers/c.yaml", "z/y.yaml"]);
        let mut done = Done::default();
        done.stage(Put { root: &repo, files: &last }).unwrap();
        fs::create_dir_all(repo.join("z/y.yaml")).unwrap();
        assert!(done.place().is_err(), "a folder is in the way");
        assert_eq!(fs::read_to_string(repo.join("meshes/a/mesh.yaml")).unwrap(), "new meshes/a/mesh.yaml");
        done.undo().unwrap();
        fs::remove_dir_all(repo.join("z")).unwrap();
        assert_eq!(all(place.path()), before, "while they are put into their places");
    }

    #[test]
    fn all_is_written_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let repo = place.path().join("repo");
        let wanted = texts(&["federation.yaml", "meshes/b/mesh.yaml"]);
        files(&[Put { root: &repo, files: &wanted }], false).unwrap();
        files(&[Put { root: &repo, files: &wanted }], false).unwrap();
        let mut there = all(&repo);
        there.retain(|path, _| !path.ends_with('/'));
        assert_eq!(there, wanted);
        let other = BTreeMap::from([("federation.yaml".to_owned(), "other".to_owned())]);
        let refused = files(&[Put { root: &repo, files: &other }], false).unwrap_err();
        assert!(matches!(refused, Error::Usage { .. }) && refused.to_string().contains("federation.yaml"), "{refused}");
        assert_eq!(all(&repo)["federation.yaml"], "new federation.yaml");
    }
}
