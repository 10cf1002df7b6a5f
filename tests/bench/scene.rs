//! A repository with one mesh and many manifests, and an agent that looks after it.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::runtime::Handle;

use crate::clients::{check, make_namespace};
use crate::lab::cluster::Cluster;
use crate::lab::git_store::GitStore;
use crate::lab::poll;
use crate::lab::process::Scratch;
use crate::objects::{object, yaml};
use crate::process;
use crate::stage::Agent;

/// Longer than anything takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Silence of the agent's log after which nothing more is expected; publishing waits half a second.
const SILENCE: Duration = Duration::from_millis(1500);

/// All of it.
pub struct Scene<'a> {
    pub cluster: &'a Cluster,
    pub client: Client,
    /// The member namespace, which the objects lie in; also the mesh's name.
    pub namespace: String,
    pub objects: usize,
    /// From the start of the agent until all objects were there.
    pub first: Duration,
    /// CPU of the agent for that.
    pub first_cpu: Duration,
    pub agent: Agent,
    git: GitStore,
}

impl<'a> Scene<'a> {
    /// Makes the repository, starts the agent, and waits until it has applied everything and is quiet.
    pub fn start(cluster: &'a Cluster, scratch: &Scratch, name: &str, objects: usize) -> Self {
        Self::start_over(cluster, scratch, name, objects, |git| (git.file_url(), Vec::new()))
    }

    /// The same with another way to the repository: its address, and more arguments.
    pub fn start_over(
        cluster: &'a Cluster,
        scratch: &Scratch,
        name: &str,
        objects: usize,
        way: impl FnOnce(&GitStore) -> (String, Vec<String>),
    ) -> Self {
        let system = format!("{name}-system");
        make_namespace(cluster, &system);
        make_namespace(cluster, name);
        let folder = scratch.join(name);
        std::fs::create_dir_all(&folder).expect("a folder in the scratch directory");
        let git = GitStore::create(&folder);
        let mut files =
            vec![("federation.yaml".to_owned(), FEDERATION.to_owned()), (format!("meshes/{name}/mesh.yaml"), mesh(name))];
        files.extend((0..objects).map(|number| manifest(name, number, 0)));
        let changes: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
        git.commit("everything", &changes);
        let client = Handle::current().block_on(cluster.client());
        let start = Instant::now();
        let (url, arguments) = way(&git);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let agent = Agent::start(name, &url, cluster.kubeconfig(), scratch, &arguments);
        // Its log costs nothing to look at; what it says is checked afterwards.
        let applied = poll(DEADLINE, || (agent.process.log().matches("\"applied ").count() > objects).then_some(()));
        let first = start.elapsed();
        assert!(applied.is_some(), "the agent does not apply everything: {}", agent.process.log_tail());
        check(&client, name, objects);
        let first_cpu = process::cpu(agent.process.pid());
        let scene = Self { cluster, client, namespace: name.to_owned(), objects, first, first_cpu, agent, git };
        scene.settle();
        scene
    }

    /// Waits until the agent has said nothing for a while.
    pub fn settle(&self) {
        let (mut length, mut since) = (0, Instant::now());
        let quiet = poll(DEADLINE, || {
            let now = self.agent.process.log().len();
            if now != length {
                (length, since) = (now, Instant::now());
            }
            (since.elapsed() > SILENCE).then_some(())
        });
        assert!(quiet.is_some(), "the agent never becomes quiet: {}", self.agent.process.log_tail());
    }

    /// Commits a new revision of one object.
    pub fn commit(&self, number: usize, revision: usize) {
        let (path, text) = manifest(&self.namespace, number, revision);
        self.git.commit("one change", &[(&path, Some(&text))]);
    }

    /// Requests of the agent so far.
    pub fn requests(&self) -> usize {
        self.cluster.requests_by("meshfed").len()
    }

    /// The agent's process.
    pub fn pid(&self) -> u32 {
        self.agent.process.pid()
    }
}

const FEDERATION: &str = "apiVersion: meshfed.dev/v1alpha1\nkind: Federation\nmetadata: {name: bench}\n";

fn mesh(name: &str) -> String {
    format!(
        "apiVersion: meshfed.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: {name}}}\n\
         spec: {{trustDomain: {name}.local, members: [{name}], controlPlane: {{namespace: {name}-system}}}}\n"
    )
}

fn manifest(name: &str, number: usize, revision: usize) -> (String, String) {
    (format!("meshes/{name}/manifests/{number:04}.yaml"), yaml(&object(name, number, revision)))
}
