//! Between two states of the repository, without a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;

use super::{Plan, errors};
use crate::agent::declarations;
use crate::changes::files;
use crate::cli::remote::Remote;
use crate::cli::tree::Tree;
use crate::cli::{facts, offline, render};
use crate::derive::{Derived, Inputs, Observed, derive};
use crate::error::Error;
use crate::facts::Facts;
use crate::model::Federation;
use crate::policy::Loaded;
use crate::view::plan::{Half, Held, Plans, between, held, kept, settings};

/// The files as they are, for people.
const WORKING_TREE: &str = "the files as they are";

/// What is compared: `A..B`, or `A` with the files as they are.
struct Range {
    from: String,
    /// `None` for the files as they are.
    to: Option<String>,
    /// `A...B`: from where B left A.
    base: bool,
}

impl Plan {
    /// Compares each mesh.
    pub(super) fn between(&self) -> Result<Plans, Error> {
        let remote = self.repo.fetch()?;
        let Range { from, to, base } = range(self.range.as_deref(), &self.repo.branch)?;
        let (from, before, after) = match &to {
            Some(to) => self.revisions(&remote, from, to, base)?,
            None => (from.clone(), Tree::at(&remote.mirror, self.repo.find(&remote, &from)?)?, self.files()?),
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
            let from = derived(&old, mesh, &facts, None, None);
            let mut to = derived(&new, mesh, &facts, Some(&from), None);
            let before = Half { federation: &old.federation, derived: &from };
            let held = held(mesh, before, Half { federation: &new.federation, derived: &to });
            if held.is_some() {
                let kept = derived(&new, mesh, &facts, Some(&from), held.as_ref());
                // What waits only because deletions are held is said once, of all of them.
                let holds = kept.holds.into_iter().filter(|hold| to.holds.contains(hold)).collect();
                to = Derived { holds, ..kept };
            }
            let then = Half { federation: &new.federation, derived: &to };
            between(mesh, before, then, held.as_ref(), &|path| after.text(path))
        };
        let meshes = wanted.map(plan).collect();
        let errors = errors(&new.problems);
        let mut settings = settings(&old.federation, &new.federation, None);
        settings.extend(rules_of(&before, &after));
        Ok(Plans { from, to: to.unwrap_or_else(|| WORKING_TREE.to_owned()), errors, settings, meshes })
    }

    /// Both sides of `A..B`, or of `A...B`, with what to call the first.
    fn revisions(&self, remote: &Remote, from: String, to: &str, base: bool) -> Result<(String, Tree, Tree), Error> {
        let (first, last) = (self.repo.find(remote, &from)?, self.repo.find(remote, to)?);
        let at = |commit| Tree::at(&remote.mirror, commit);
        match remote.mirror.merge_base(first, last)? {
            Some(common) if base => {
                return Ok((format!("{from} at {}", common.short()), at(common)?, at(last)?));
            }
            None if base => {
                let message = format!("nobody can say where {to} left {from}");
                return Err(Error::unavailable(message, format!("meshfed plan {from}..{to} compares them as they are")));
            }
            Some(common) if common != first => tell!(
                "note: {from} has commits that {to} lacks, which show the other way round;\n      \
                 meshfed plan {from}...{to} leaves them out"
            ),
            _ => {}
        }
        Ok((from, at(first)?, at(last)?))
    }

    /// The files as they are.
    fn files(&self) -> Result<Tree, Error> {
        let files = Tree::read(Path::new(&self.repo.repo))?;
        if files.len() > 0 {
            return Ok(files);
        }
        let message = format!("{} has no files of a federation", self.repo.repo);
        Err(Error::usage(message, "name two revisions: meshfed plan main..feature"))
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

/// What a change does to who may change what, and to what is forbidden: files, a line each.
fn rules_of(before: &Tree, after: &Tree) -> Vec<String> {
    let (was, is) = (before.rules(), after.rules());
    let paths: BTreeSet<&str> = was.keys().chain(is.keys()).copied().collect();
    let moved = paths.into_iter().filter(|path| match (was.get(path), is.get(path)) {
        (Some(Err(_)), Some(Err(_))) => false, // nobody can say
        (was, is) => was != is,
    });
    let all = files(moved.map(|path| (path, was.contains_key(path), is.contains_key(path))));
    all.into_iter().map(|change| change.words).collect()
}

fn range(text: Option<&str>, branch: &str) -> Result<Range, Error> {
    let text = text.unwrap_or(branch);
    let head = |revision: &str| if revision.is_empty() { "HEAD".to_owned() } else { revision.to_owned() };
    match text.split_once("..") {
        None => Ok(Range { from: text.to_owned(), to: None, base: false }),
        Some((from, to)) if !to.trim_start_matches('.').contains("..") && !to.starts_with("..") => {
            Ok(Range { from: head(from), to: Some(head(to.trim_start_matches('.'))), base: to.starts_with('.') })
        }
        Some(_) => {
            Err(Error::usage(format!("`{}` is not a range", text.escape_debug()), "write two revisions as `main..feature`"))
        }
    }
}

/// The objects of a mesh as if all imports worked. What policies forbid of what changes is held; what is there already is not judged.
fn derived(
    loaded: &Loaded,
    mesh: &str,
    facts: &BTreeMap<String, Facts>,
    before: Option<&Derived>,
    held: Option<&Held>,
) -> Derived {
    let Loaded { federation, policies, .. } = loaded;
    let Some(folder) = federation.meshes.get(mesh) else { return Derived::default() };
    let mut observed = Observed::assumed(folder);
    held.into_iter().for_each(|held| held.keep(&mut observed));
    let mut derived = derive(Inputs { federation, me: mesh, facts, observed: &observed });
    if let Some(before) = before.filter(|_| !policies.is_empty()) {
        offline::hold(&mut derived, policies, before);
    }
    derived
}
