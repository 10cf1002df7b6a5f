//! The ways to a repository: real SSH and HTTPS servers, what they ask for, and what is said when they refuse.

mod hosts;
mod https;
mod ssh;

use std::collections::BTreeMap;
use std::process::Command;

use jiff::Timestamp;
use meshfed::repo::{Access, Mirror, Options, Outcome, Publication, RepoError, SigningKey};

use crate::lab::git_store::GitStore;
use crate::lab::process::Scratch;
use crate::solo::{federation, mesh_file};
use crate::stage::binary;

/// Commits a federation with the mesh `a`.
fn fill(git: &GitStore) {
    let mesh = mesh_file("a", "");
    git.commit("A federation", &[("federation.yaml", Some(federation())), ("meshes/a/mesh.yaml", Some(&mesh))]);
}

/// A mirror with its state below `scratch`.
fn mirror(scratch: &Scratch, url: &str, access: Access) -> Mirror {
    let options = Options { access, ..Options::new(url, scratch.join("state")) };
    Mirror::open(&options).unwrap()
}

fn publish(scratch: &Scratch, mirror: &mut Mirror, content: &str) -> Result<Outcome, RepoError> {
    let key = SigningKey::load_or_create(&scratch.join("signing-key")).unwrap().0;
    let publication = Publication {
        mesh: "a".to_owned(),
        files: BTreeMap::from([("published.yaml".to_owned(), content.into())]),
        message: "a: for the test".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        until: None,
    };
    mirror.publish(&publication, &key)
}

/// Exit code of `meshfed status` with these arguments in an empty home, and what went to standard error.
fn status(scratch: &Scratch, repo: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command.args(["status", "--repo", repo]).args(arguments);
    command.env_clear().env("HOME", scratch.path()).envs(environment.iter().copied());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
