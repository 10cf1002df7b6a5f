//! Between two states of the repository, without a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;

use super::{Plan, errors};
use crate::agent::declarations;
use crate::cli::remote::Remote;
use crate::cli::tree::Tree;
use crate::cli::{facts, offline, render};
use crate::derive::{Derived, Inputs, Observed, derive};
use crate::error::Error;
use crate::facts::Facts;
use crate::model::Federation;
use crate::policy::Loaded;
use crate::view::plan::{Half, Plans, between, kept, settings};

/// The files as they are, for people.
const WORKING_TREE: &str = "the files as they are";

/// What is compared: `A..B`, or `A` with the files as they are.
struct Range {
    from: String,
    /// `None` for the files as they are.
    to: Option<String>,
}

impl Plan {
    /// Compares each mesh.
    pub(super) fn between(&self) -> Result<Plans, Error> {
        let remote = self.repo.fetch()?;
        let Range { from, to } = range(self.range.as_deref(), &self.repo.branch)?;
        let before = self.tree(&remote, &from)?;
        let after = match &to {
            Some(revision) => self.tree(&remote, revision)?,
            None => Tree::read(Path::new(&self.repo.repo))?,
        };
        let (old, mut new) = (before.load(), after.load());
        new.federation = kept(new.federation, &old.federation);
        let meshes: BTreeSet<&String> = old.federation.meshes.keys().chain(new.federation.meshes.keys()).collect();
        if let Some(mesh) = self.mesh.as_ref().filter(|mesh| !meshes.contains(mesh)) {
            render::find(&new.federation, mesh)?;
        }
        let facts = self.known_facts(&remote, &new.federation, &meshes)?;
        let wanted = meshes.into_iter().filter(|mesh| self.mesh.as_ref().is_none_or(|only| only == *mesh));
        let plan = |mesh: &String| {
            let from = derived(&old, mesh, &facts, None);
            let to = derived(&new, mesh, &facts, Some(&from));
            let (before, then) =
                (Half { federation: &old.federation, derived: &from }, Half { federation: &new.federation, derived: &to });
            between(mesh, before, then, &|path| after.text(path))
        };
        let meshes = wanted.map(plan).collect();
        let errors = errors(&new.problems);
        let settings = settings(&old.federation, &new.federation, None);
        Ok(Plans { from, to: to.unwrap_or_else(|| WORKING_TREE.to_owned()), errors, settings, meshes })
    }

    /// The files of a revision: one that the repository has, or a branch that is fetched for it.
    fn tree(&self, remote: &Remote, revision: &str) -> Result<Tree, Error> {
        let (commit, other) = self.repo.find(remote, revision)?;
        Tree::at(&other.as_ref().unwrap_or(remote).mirror, commit)
    }

    fn known_facts(
        &self,
        remote: &Remote,
        federation: &Federation,
        meshes: &BTreeSet<&String>,
    ) -> Result<BTreeMap<String, Facts>, Error> {
        let now = Timestamp::now();
        let meshes: Vec<String> = meshes.iter().map(|mesh| (*mesh).clone()).collect();
        if let Some(dir) = &self.facts {
            return Ok(facts::read(dir, &meshes, &federation.allow_addresses, now)?.0);
        }
        let mut known = BTreeMap::new();
        for mesh in meshes {
            let branch = declarations::branch(&remote.mirror, &mesh, &federation.allow_addresses, now)?;
            known.extend(branch.and_then(|branch| branch.facts).map(|facts| (mesh, facts)));
        }
        Ok(known)
    }
}

fn range(text: Option<&str>, branch: &str) -> Result<Range, Error> {
    let text = text.unwrap_or(branch);
    let head = |revision: &str| if revision.is_empty() { "HEAD".to_owned() } else { revision.to_owned() };
    match text.split_once("..") {
        None => Ok(Range { from: text.to_owned(), to: None }),
        Some((from, to)) if !to.starts_with('.') && !to.contains("..") => Ok(Range { from: head(from), to: Some(head(to)) }),
        Some(_) => {
            Err(Error::usage(format!("`{}` is not a range", text.escape_debug()), "write two revisions as `main..feature`"))
        }
    }
}

/// The objects of a mesh as if all imports worked. What policies forbid of what changes is held; what is there already is not judged.
fn derived(loaded: &Loaded, mesh: &str, facts: &BTreeMap<String, Facts>, before: Option<&Derived>) -> Derived {
    let Loaded { federation, policies, .. } = loaded;
    let Some(folder) = federation.meshes.get(mesh) else { return Derived::default() };
    let observed = Observed::assumed(folder);
    let mut derived = derive(Inputs { federation, me: mesh, facts, observed: &observed });
    if let Some(before) = before.filter(|_| !policies.is_empty()) {
        offline::hold(&mut derived, policies, before);
    }
    derived
}
