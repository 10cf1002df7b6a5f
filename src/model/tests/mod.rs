//! The rules of the documents, each with the place and the words of its finding.

mod between;
mod documents;
mod loading;
mod routes;

use super::testing::{Repo, pair, show};

/// What is found in the two meshes of [`pair`] with these files added or replaced.
fn check(fixture: &str) -> String {
    show(&pair().with(fixture).load().1)
}

/// A finding's path, code and message fit in a line of the snapshot; a repository that has none gives an empty one.
fn check_repo(repo: &Repo) -> String {
    show(&repo.load().1)
}
