//! Against a cluster: what the agent of one mesh would do there now.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::{Plan, errors};
use crate::agent::declarations::{self, Declarations};
use crate::agent::remembered;
use crate::agent::scopes::{scopes, unseen};
use crate::agent::throwaway;
use crate::cli::tree::Tree;
use crate::cli::{facts, render};
use crate::cluster::{Cluster, ClusterOptions, Trouble};
use crate::decide::{Comparisons, Line, Memory, Status, Trust, Views, World, decide, presence};
use crate::error::Error;
use crate::facts::Facts;
use crate::model::{Diagnostic, Federation, Place};
use crate::object::STATE_NAME;
use crate::policy::{Loaded, Policies};
use crate::view::plan::{self, Plans};

/// Longest wait for the cluster's objects: somebody sits and waits, and a listing takes seconds at most.
const SYNC_LIMIT: Duration = Duration::from_secs(30);

/// What a decision is made from, apart from the cluster.
struct Declared {
    from: String,
    federation: Federation,
    policies: Arc<Policies>,
    problems: Vec<Diagnostic>,
    facts: BTreeMap<String, Facts>,
    statuses: BTreeMap<String, Status>,
    own_status: Status,
    line: Line,
}

impl Plan {
    /// What the agent of `mesh` would do in its cluster now.
    pub(super) fn live(&self, mesh: &str) -> Result<Plans, Error> {
        let declared = self.declared(mesh, Timestamp::now())?;
        render::find(&declared.federation, mesh)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::other)?;
        let plan = runtime.block_on(self.against_cluster(mesh, &declared))?;
        let errors = errors(&declared.problems);
        Ok(Plans { from: "the cluster".to_owned(), to: declared.from, errors, settings: Vec::new(), meshes: vec![plan] })
    }

    fn declared(&self, mesh: &str, now: Timestamp) -> Result<Declared, Error> {
        let folder = Path::new(&self.repo.repo);
        let mut declared = if folder.join("federation.yaml").is_file() {
            self.working_tree(folder, mesh, now)?
        } else {
            self.committed(mesh, now)?
        };
        if let Some(dir) = &self.facts {
            let peers: Vec<String> = declared.federation.meshes.keys().cloned().collect();
            let (facts, found) = facts::read(dir, &peers, &declared.federation.allow_addresses, now)?;
            declared.facts = facts;
            declared.problems.retain(|problem| !problem.path.starts_with("published/"));
            declared.problems.extend(found);
        }
        Ok(declared)
    }

    fn committed(&self, mesh: &str, now: Timestamp) -> Result<Declared, Error> {
        let remote = self.repo.fetch()?;
        let read = declarations::Reader::default().read(&remote.mirror, mesh, now)?;
        let Declarations { commit, line, federation, policies, problems, facts, statuses, own_status, .. } = read;
        let (from, federation) = (format!("{} {}", commit.id.short(), commit.summary), (*federation).clone());
        Ok(Declared { from, federation, policies, problems, facts, statuses, own_status, line })
    }

    /// The files as they are, and facts from the published branches if the folder is a repository.
    fn working_tree(&self, folder: &Path, mesh: &str, now: Timestamp) -> Result<Declared, Error> {
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
        Ok(Declared { from: "the working tree".to_owned(), federation, policies, problems, facts, statuses, own_status, line })
    }

    /// Decides as the agent would, and performs nothing.
    async fn against_cluster(&self, mesh: &str, declared: &Declared) -> Result<plan::Plan, Error> {
        let Declared { from, federation, policies, problems, facts, statuses, own_status, line } = declared;
        let options = ClusterOptions { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        let cluster = Cluster::connect(&options).await?;
        let cluster_uid = cluster.uid().await?;
        let mut memory = Memory::default();
        memory.views.fresh = true; // what makes the host suspect is for the agent to say
        let presence = presence(federation, mesh, own_status);
        if let Some((namespace, _)) = presence.control_plane() {
            let state = cluster.read_state(namespace, STATE_NAME).await?;
            let (remembered, _) = remembered::read(&state.map(|(data, _)| data).unwrap_or_default());
            memory.inventory = remembered.inventory.into();
            memory.deletions = remembered.deletions;
            memory.health.lapses = remembered.lapses.into();
            cluster.watch(&scopes(federation, &presence, &memory.inventory));
            if timeout(SYNC_LIMIT, cluster.synced()).await.is_err() {
                let problems = cluster.view().problems();
                let why =
                    problems.iter().find(|problem| problem.trouble == Trouble::Interrupted).map(|problem| &*problem.message);
                let message = format!("the cluster cannot be read: {}", why.unwrap_or("the first listings take too long"));
                return Err(Error::unavailable(message, ""));
            }
        }
        let snapshot = cluster.view().snapshot();
        let live = snapshot.objects();
        let mut comparisons = Comparisons::default();
        let world = World {
            federation,
            problems,
            policies,
            me: mesh,
            facts,
            statuses,
            live,
            unseen: &unseen(&snapshot),
            cluster_uid: &cluster_uid,
            commit: from,
            line,
            views: &Views::default(), // who sees what is no part of it
            trust: &Trust::default(),
            own_facts: &Facts::default(), // what it publishes is no part of the plan
            own_status,
            published: &BTreeMap::new(),
            patience: SignedDuration::ZERO,
            throwaway_root: &throwaway::root().map_err(Error::other)?,
            probes: &BTreeMap::new(), // nobody is dialled for a plan
            observing: false,
            now: Timestamp::now(),
        };
        let decision = decide(&world, &memory, &mut comparisons);
        Ok(plan::Plan::new(mesh, federation, &decision, live, &mut comparisons))
    }
}
