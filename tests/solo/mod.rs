//! One mesh on the cluster that tests share, with a repository of its own and nothing that plays operator or cloud: for all that one
//! agent does between its repository and its API server. Its peers exist in the repository only.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::lab::audit::Request;
use crate::lab::certs::Authority;
use crate::lab::cluster::Cluster;
use crate::lab::git_server::GitServer;
use crate::lab::process::Scratch;
use crate::stage::{Agent, eventually};

/// A mesh called like its control plane's namespace, with one member namespace.
pub struct Solo {
    pub mesh: String,
    /// The member namespace.
    pub apps: String,
    pub git: GitServer,
    pub scratch: Scratch,
}

impl Solo {
    /// A mesh in a repository that holds its `mesh.yaml` and nothing else.
    pub fn new(mesh: &str) -> Self {
        let solo = Self::empty(mesh);
        let mesh_file = solo.mesh_file();
        let files = [("federation.yaml", Some(federation())), (&solo.path("mesh.yaml"), Some(&*mesh_file))];
        solo.git.commit("A federation with one mesh", &files);
        solo
    }

    /// A mesh whose repository is empty.
    pub fn empty(mesh: &str) -> Self {
        let scratch = Scratch::new(mesh);
        let git = GitServer::start(&scratch.join("git"));
        Self { mesh: mesh.to_owned(), apps: format!("{mesh}-apps"), git, scratch }
    }

    /// A path in the mesh's folder.
    pub fn path(&self, below: &str) -> String {
        format!("meshes/{}/{below}", self.mesh)
    }

    /// Its `mesh.yaml`.
    pub fn mesh_file(&self) -> String {
        let Self { mesh, apps, .. } = self;
        mesh_file(
            mesh,
            &format!("  members: [{apps}]\n  createNamespaces: true\n  controlPlane: {{base: {{spec: {{version: v2.5}}}}}}\n"),
        )
    }

    /// Commits one file of the mesh; `None` deletes it.
    pub fn commit(&self, below: &str, content: Option<&str>) {
        self.git.commit(&format!("Change {below}"), &[(&self.path(below), content)]);
    }

    /// A ConfigMap of the member namespace as a document.
    pub fn config_map(&self, name: &str, value: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {}}}\ndata: {{key: {value}}}\n---\n",
            self.apps
        )
    }

    /// As many ConfigMaps, all with the same value.
    pub fn config_maps(&self, count: usize, value: &str) -> String {
        (0..count).fold(String::new(), |mut text, number| {
            let _ = write!(text, "{}", self.config_map(&format!("map-{number}"), value)); // writing to a String cannot fail
            text
        })
    }

    /// Starts its agent, which is known to the API server by the mesh's name.
    pub fn agent(&self) -> Agent {
        self.agent_with(&self.git.file_url(), &[])
    }

    /// Starts it with another address of the repository and more arguments.
    pub fn agent_with(&self, repo: &str, arguments: &[&str]) -> Agent {
        self.agent_in(&[], repo, arguments)
    }

    /// Starts it with variables in its environment besides.
    pub fn agent_in(&self, environment: &[(&str, &str)], repo: &str, arguments: &[&str]) -> Agent {
        let kubeconfig = Cluster::shared().kubeconfig_for(&self.mesh, &["system:masters"]);
        Agent::start_in(environment, &self.mesh, repo, &kubeconfig, &self.scratch, arguments)
    }

    /// What the agent asked of the API server since the start.
    pub fn requests(&self) -> Vec<Request> {
        Cluster::shared().requests().into_iter().filter(|request| request.user == self.mesh).collect()
    }

    /// Runs kubectl on the shared cluster, which must succeed.
    #[allow(clippy::unused_self, reason = "the cluster is the mesh's, though others have it too")]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(Cluster::shared(), arguments)
    }

    /// Gives documents to kubectl: `create`, `replace`, `apply` …
    pub fn kubectl_file(&self, verb: &[&str], documents: &str) {
        let path = self.scratch.write("documents.yaml", documents).display().to_string();
        self.kubectl(&[verb, &["-f", &path]].concat());
    }

    /// Makes the mesh's namespaces, as somebody else would.
    pub fn make_namespaces(&self) {
        for namespace in [&self.mesh, &self.apps] {
            self.kubectl(&["create", "namespace", namespace]);
        }
    }

    /// A live object of the control plane's namespace.
    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        get(Cluster::shared(), kind, &self.mesh, name)
    }

    /// A live object of the member namespace.
    pub fn get_app(&self, kind: &str, name: &str) -> Option<Value> {
        get(Cluster::shared(), kind, &self.apps, name)
    }

    /// The value of one of [`Self::config_map`]s, as it lives.
    pub fn value(&self, name: &str) -> Option<String> {
        Some(self.get_app("configmap", name)?.pointer("/data/key")?.as_str()?.to_owned())
    }

    /// Waits until a ConfigMap has a value, or does not exist.
    pub fn wait_for_value(&self, name: &str, value: Option<&str>) {
        eventually(&format!("ConfigMap/{name} has {value:?}"), || match self.value(name) {
            found if found.as_deref() == value => Ok(()),
            found => Err(format!("{found:?}")),
        });
    }

    /// Waits until an object of the control plane's namespace exists.
    pub fn wait_for(&self, kind: &str, name: &str) -> Value {
        eventually(&format!("{kind}/{name}"), || self.get(kind, name).ok_or_else(|| "nothing".into()))
    }

    /// A peer that exports a service, and what this mesh says of it; with facts that its agent would have published.
    pub fn commit_peer(&self, peer: &str, root: &str) {
        let exports = format!("  exports: [{{service: {peer}-apps/details, as: shop/{peer}}}]\n");
        self.git.commit(
            &format!("Peer with {peer}"),
            &[
                (&format!("meshes/{peer}/mesh.yaml"), Some(&mesh_file(peer, &format!("  members: [{peer}-apps]\n")))),
                (&format!("meshes/{peer}/peers/{}.yaml", self.mesh), Some(&peer_file(&self.mesh, &exports))),
                (&self.path(&format!("peers/{peer}.yaml")), Some(&self.peer_half(peer))),
            ],
        );
        self.publish_facts(peer, root, "192.0.2.7");
    }

    /// This mesh's half of a peering: exports one service, imports one.
    pub fn peer_half(&self, peer: &str) -> String {
        let spec = format!("  exports: [{{service: {}/shop}}]\n  imports: [{{service: shop/{peer}}}]\n", self.apps);
        peer_file(peer, &spec)
    }

    /// Writes the facts of a peer to its branch.
    pub fn publish_facts(&self, peer: &str, root: &str, address: &str) {
        let facts = json!({
            "apiVersion": "meshfed.dev/v1alpha1", "kind": "Published", "metadata": {"name": peer},
            "spec": {"caRoots": [root], "ingress": {
                &self.mesh: {"addresses": [address], "discoveryPort": 8188, "servicePort": 15443}}},
        });
        let text = serde_json::to_string_pretty(&facts).expect("JSON can be written");
        self.git.commit_on(&format!("published/{peer}"), "Facts", &[("published.yaml", Some(&text))]);
    }

    /// Status as the agent published it.
    pub fn status(&self) -> String {
        self.git.show(&format!("published/{}:status.yaml", self.mesh)).unwrap_or_default()
    }
}

/// A smallest `federation.yaml`.
pub fn federation() -> &'static str {
    "apiVersion: meshfed.dev/v1alpha1\nkind: Federation\nmetadata: {name: test}\n"
}

/// A `mesh.yaml` with more lines of its spec.
pub fn mesh_file(mesh: &str, spec: &str) -> String {
    format!(
        "apiVersion: meshfed.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: {mesh}}}\nspec:\n  trustDomain: {mesh}.local\n{spec}"
    )
}

/// A Peer document with the lines of its spec.
pub fn peer_file(peer: &str, spec: &str) -> String {
    format!("apiVersion: meshfed.dev/v1alpha1\nkind: Peer\nmetadata: {{name: {peer}}}\nspec:\n{spec}")
}

/// A CA root.
pub fn root() -> String {
    Authority::new("test root").root()
}

/// Runs kubectl, which must succeed.
pub fn kubectl(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.kubectl(arguments);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A live object; `None` where it does not exist.
pub fn get(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Option<Value> {
    let output =
        cluster.kubectl(&["get", kind, name, "-n", namespace, "-o", "json", "--show-managed-fields", "--ignore-not-found"]);
    serde_json::from_slice(&output.stdout).ok()
}

/// Field managers of an object.
pub fn managers(object: &Value) -> Vec<String> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
    entries.iter().filter_map(|entry| Some(entry["manager"].as_str()?.to_owned())).collect()
}
