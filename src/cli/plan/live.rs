//! Against a cluster: what the agent of one mesh would do there now.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use super::{Plan, errors};
use crate::agent::declarations;
use crate::cli::live::{Declared, Live, decide_now};
use crate::cli::tree::Tree;
use crate::cli::{facts, render};
use crate::decide::{Line, Status};
use crate::error::Error;
use crate::model::{Diagnostic, Place};
use crate::policy::Loaded;
use crate::view::plan::{self, Plans};

impl Plan {
    /// What the agent of `mesh` would do in its cluster now.
    pub(super) fn live(&self, mesh: &str) -> Result<Plans, Error> {
        let (declared, tree) = self.declared(mesh, Timestamp::now())?;
        render::find(&declared.federation, mesh)?;
        let Live { decision, snapshot, mut comparisons, .. } = decide_now(&self.cluster, mesh, &declared, false)?;
        let plan =
            plan::Plan::new(mesh, &declared.federation, &decision, snapshot.objects(), &mut comparisons, &|path| tree.text(path));
        let errors = errors(&declared.problems);
        Ok(Plans { from: "the cluster".to_owned(), to: declared.from, errors, settings: Vec::new(), meshes: vec![plan] })
    }

    /// What the mesh's agent would decide from, and the files that it is in.
    fn declared(&self, mesh: &str, now: Timestamp) -> Result<(Declared, Tree), Error> {
        let folder = Path::new(&self.repo.repo);
        let (mut declared, tree) = if folder.join("federation.yaml").is_file() {
            self.working_tree(folder, mesh, now)?
        } else {
            let remote = self.repo.fetch()?;
            (Declared::committed(&remote.mirror, mesh, now)?, Tree::at(&remote.mirror, remote.mirror.main()?)?)
        };
        if let Some(dir) = &self.facts {
            let peers: Vec<String> = declared.federation.meshes.keys().cloned().collect();
            let (facts, found) = facts::read(dir, &peers, &declared.federation.allow_addresses, now)?;
            declared.facts = facts;
            declared.problems.retain(|problem| !problem.path.starts_with("published/"));
            declared.problems.extend(found);
        }
        Ok((declared, tree))
    }

    /// The files as they are, and facts from the published branches if the folder is a repository.
    fn working_tree(&self, folder: &Path, mesh: &str, now: Timestamp) -> Result<(Declared, Tree), Error> {
        let tree = Tree::read(folder)?;
        let Loaded { federation, policies, problems: found } = tree.load();
        let peers = tree.peers(mesh);
        let mut problems: Vec<Diagnostic> =
            found.into_iter().filter(|finding| Place::of(&finding.path).concerns(mesh, &peers)).collect();
        let (mut facts, mut statuses) = (BTreeMap::new(), BTreeMap::new());
        if self.facts.is_none() && folder.join(".git").exists() {
            let remote = self.repo.fetch()?;
            for peer in &peers {
                if let Some(branch) = declarations::branch(&remote.mirror, peer, &federation.allow_addresses, now)? {
                    facts.insert(peer.clone(), branch.facts.unwrap_or_default());
                    statuses.extend(branch.status.map(|status| (peer.clone(), status)));
                    problems.extend(branch.found);
                }
            }
        }
        let (own_status, line) = (Status::default(), Line::default()); // what is no commit yet follows whatever is applied
        let from = "the working tree".to_owned();
        Ok((Declared { from, federation, policies, problems, facts, statuses, own_status, line }, tree))
    }
}
