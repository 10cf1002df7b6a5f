//! The line of `main` as the repository's edge would tell it.

use std::collections::BTreeSet;

use crate::decide::{Line, Step};

/// Commits, oldest first, each with the meshes whose deletions it allows.
#[derive(Clone, Debug, Default)]
pub struct History {
    commits: Vec<(String, Vec<String>)>,
    seen: BTreeSet<String>,
    gone: BTreeSet<String>,
}

impl History {
    pub fn push(&mut self, commit: &str) {
        self.seen.insert(commit.to_owned());
        self.commits.push((commit.to_owned(), Vec::new()));
    }

    pub fn knows(&self, commit: &str) -> bool {
        self.seen.contains(commit)
    }

    /// The newest commit has the trailer.
    pub fn allow(&mut self, mesh: &str) {
        self.commits.last_mut().unwrap().1.push(mesh.to_owned());
    }

    /// The branch is reset to its first so many commits; what stood there stays known.
    pub fn reset(&mut self, length: usize) -> String {
        self.gone = self.commits.iter().map(|(commit, _)| commit.clone()).collect();
        self.commits.truncate(length);
        self.commits.last().map(|(commit, _)| commit.clone()).unwrap_or_default()
    }

    pub fn line(&self, me: &str, applied: Option<&str>) -> Line {
        let step = |(commit, meshes): &(String, Vec<String>)| Step {
            commit: commit.clone(),
            allows: meshes.iter().any(|mesh| mesh == me),
        };
        let Some(applied) = applied else {
            return Line { commits: self.commits.last().map(step).into_iter().collect(), since: None };
        };
        let descends = self.commits.iter().any(|(commit, _)| commit == applied);
        let old = |commit: &String| commit == applied || (!descends && self.gone.contains(commit));
        let new = self.commits.iter().rev().take_while(|(commit, _)| !old(commit));
        Line { commits: new.map(step).collect(), since: descends.then(|| applied.to_owned()) }
    }
}
