//! What is checked: the files as they are, or those of a commit; the history they come from, and what the meshes publish beside them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Check;
use super::history::{self, History};
use crate::cli::remote::Remote;
use crate::cli::tree::Tree;
use crate::error::Error;
use crate::model::Federation;
use crate::repo::{Checkout, CommitId, Commits};

/// Files, and where they come from.
pub(super) struct Subject {
    pub tree: Tree,
    source: Option<Source>,
}

/// A repository and the commit in it.
struct Source {
    repository: Repository,
    tip: CommitId,
    /// Only what the commit has beyond this one is judged.
    beyond: Option<CommitId>,
}

enum Repository {
    Clone(Checkout),
    Mirror(Box<Remote>),
}

impl Repository {
    fn commits(&self) -> &dyn Commits {
        match self {
            Self::Clone(checkout) => checkout,
            Self::Mirror(remote) => &remote.mirror,
        }
    }

    fn published(&self) -> Result<BTreeMap<String, CommitId>, Error> {
        match self {
            Self::Clone(checkout) => Ok(checkout.published()?),
            Self::Mirror(remote) => Ok(remote.mirror.refs().published.clone()),
        }
    }
}

impl Subject {
    /// What the arguments ask for.
    pub fn of(check: &Check) -> Result<Self, Error> {
        let path = check.path.as_deref().unwrap_or(Path::new("."));
        match (&check.range, &check.rev) {
            (Some(range), _) => {
                let checkout = Checkout::discover(path)?;
                let (from, tip) = ends(&checkout, range)?;
                Self::at(Source { repository: Repository::Clone(checkout), tip, beyond: Some(from) })
            }
            (None, rev) if check.path.is_none() && check.repo.given() => {
                let remote = check.repo.fetch()?;
                let tip = match rev {
                    Some(rev) => check.repo.find(&remote, rev)?,
                    None => remote.mirror.main()?,
                };
                Self::at(Source { repository: Repository::Mirror(Box::new(remote)), tip, beyond: None })
            }
            (None, Some(rev)) => {
                let checkout = Checkout::discover(path)?;
                let tip = checkout.resolve(rev)?;
                Self::at(Source { repository: Repository::Clone(checkout), tip, beyond: None })
            }
            (None, None) => {
                let tree = Tree::read(path)?;
                let source = clone_of(&tree.root);
                Ok(Self { tree, source })
            }
        }
    }

    fn at(source: Source) -> Result<Self, Error> {
        Ok(Self { tree: Tree::at(source.repository.commits(), source.tip)?, source: Some(source) })
    }

    /// What is said of the commits.
    pub fn history(&self, check: &Check, federation: &Federation) -> Result<History, Error> {
        let Some(Source { repository, tip, beyond }) = &self.source else { return Ok(History::default()) };
        match beyond {
            Some(from) => history::range(repository.commits(), *from, *tip),
            None => history::whole(repository.commits(), *tip, check.trust.introduction(), federation, &repository.published()?),
        }
    }

    /// The files of the published branches, by mesh; of a merge request none, which changes nothing of them.
    pub fn published(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
        let source = self.source.as_ref().filter(|source| source.beyond.is_none());
        let Some(Source { repository, .. }) = source else { return Ok(BTreeMap::new()) };
        let files = |(mesh, tip)| Ok((mesh, crate::agent::declarations::files(repository.commits(), tip)?));
        repository.published()?.into_iter().map(files).collect()
    }
}

/// The clone of which a folder is the top, if it is on a commit.
fn clone_of(root: &Path) -> Option<Source> {
    let checkout = Checkout::discover(root).ok()?;
    let (top, here) = (fs::canonicalize(checkout.root().ok()?).ok()?, fs::canonicalize(root).ok()?);
    let tip = checkout.resolve("HEAD").ok().filter(|_| top == here)?;
    Some(Source { repository: Repository::Clone(checkout), tip, beyond: None })
}

/// Where the two histories part, and the tip.
fn ends(checkout: &Checkout, range: &str) -> Result<(CommitId, CommitId), Error> {
    let wrong = || Error::usage(format!("{range:?} is no range"), "write it as main..feature");
    let (from, to) = range.split_once("..").filter(|(from, to)| !from.is_empty() && !to.starts_with('.')).ok_or_else(wrong)?;
    let from = checkout.resolve(from)?;
    let tip = checkout.resolve(if to.is_empty() { "HEAD" } else { to })?;
    let base = checkout.merge_base(from, tip)?;
    base.map(|base| (base, tip)).ok_or_else(|| Error::usage(format!("{range:?}: the two have no history in common"), ""))
}
