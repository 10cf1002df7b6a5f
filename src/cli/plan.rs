//! `meshfed plan`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::remote::RepoArgs;
use super::tree::Tree;
use super::{facts, output, render};
use crate::agent::declarations::{self, Declarations};
use crate::agent::remembered;
use crate::agent::scopes::{scopes, unseen};
use crate::agent::throwaway;
use crate::cluster::{Cluster, ClusterOptions, Trouble};
use crate::decide::{Comparisons, Line, Memory, Status, Trust, Views, World, decide, presence};
use crate::error::{Error, Exit};
use crate::facts::Facts;
use crate::model::{Diagnostic, Federation, Place, Severity};
use crate::object::STATE_NAME;
use crate::policy::{Loaded, Policies};
use crate::view::plan::{self, Plan as PlanView};

/// Longest wait for the cluster's objects: somebody sits and waits, and a listing takes seconds at most.
const SYNC_LIMIT: Duration = Duration::from_secs(30);

/// Show what the agent of a mesh would change in its cluster now, without changing anything
///
/// The repository may be a URL, or a folder with federation.yaml: then the files count as they are, committed or not. Exit code
/// 1 means that there is something to change. Example: meshfed plan --mesh rosa-prod-mesh --repo . --context rosa
#[derive(clap::Args, Debug)]
pub struct Plan {
    /// Name of the mesh
    #[arg(long, env = "MESHFED_MESH")]
    mesh: String,
    #[command(flatten)]
    repo: RepoArgs,
    /// Folder with facts of the peers, instead of those in published branches: <DIR>/<mesh>.yaml or <DIR>/<mesh>/published.yaml
    #[arg(long, value_name = "DIR")]
    facts: Option<PathBuf>,
    /// Kubeconfig of the mesh's cluster
    #[arg(long, env = "MESHFED_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig
    #[arg(long, env = "MESHFED_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Objects and their fields
    Text,
    /// For programs
    Json,
}

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
    pub(super) fn run(self) -> Result<Exit, Error> {
        let declared = self.declared(Timestamp::now())?;
        render::find(&declared.federation, &self.mesh)?;
        for problem in declared.problems.iter().filter(|problem| problem.severity == Severity::Error) {
            eprintln!("{problem}");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::other)?;
        let plan = runtime.block_on(self.against_cluster(&declared))?;
        match self.output {
            Format::Text => output::print(&plan::render(&plan, output::look()))?,
            Format::Json => output::print_json(&plan)?,
        }
        Ok(Exit::findings(!plan.changes.is_empty()))
    }

    fn declared(&self, now: Timestamp) -> Result<Declared, Error> {
        let folder = Path::new(&self.repo.repo);
        let mut declared =
            if folder.join("federation.yaml").is_file() { self.working_tree(folder, now)? } else { self.committed(now)? };
        if let Some(dir) = &self.facts {
            let peers: Vec<String> = declared.federation.meshes.keys().cloned().collect();
            let (facts, found) = facts::read(dir, &peers, &declared.federation.allow_addresses, now)?;
            declared.facts = facts;
            declared.problems.retain(|problem| !problem.path.starts_with("published/"));
            declared.problems.extend(found);
        }
        Ok(declared)
    }

    fn committed(&self, now: Timestamp) -> Result<Declared, Error> {
        let remote = self.repo.fetch()?;
        let read = declarations::Reader::default().read(&remote.mirror, &self.mesh, now)?;
        let Declarations { commit, line, federation, policies, problems, facts, statuses, own_status, .. } = read;
        let (from, federation) = (format!("{} {}", commit.id.short(), commit.summary), (*federation).clone());
        Ok(Declared { from, federation, policies, problems, facts, statuses, own_status, line })
    }

    /// The files as they are, and facts from the published branches if the folder is a repository.
    fn working_tree(&self, folder: &Path, now: Timestamp) -> Result<Declared, Error> {
        let tree = Tree::read(folder)?;
        let Loaded { federation, policies, problems: found } = tree.load();
        let peers = tree.peers(&self.mesh);
        let mut problems: Vec<Diagnostic> =
            found.into_iter().filter(|finding| Place::of(&finding.path).concerns(&self.mesh, &peers)).collect();
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
    async fn against_cluster(&self, declared: &Declared) -> Result<PlanView, Error> {
        let Declared { from, federation, policies, problems, facts, statuses, own_status, line } = declared;
        let options = ClusterOptions { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        let cluster = Cluster::connect(&options).await?;
        let cluster_uid = cluster.uid().await?;
        let mut memory = Memory::default();
        memory.views.fresh = true; // what makes the host suspect is for the agent to say
        let presence = presence(federation, &self.mesh, own_status);
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
            me: &self.mesh,
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
        Ok(PlanView::new(&self.mesh, from, &decision, live, &mut comparisons))
    }
}
