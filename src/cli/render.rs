//! `meshfed render`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::tree::Tree;
use super::{facts, offline, output};
use crate::derive::{Derived, Inputs, Need, Observed, Wanted, derive, kinds};
use crate::error::{Error, Exit};
use crate::model::names::closest;
use crate::model::{Diagnostic, Federation, MeshFolder, Place, Severity};
use crate::object::{Key, Object};
use crate::policy::Loaded;

/// Print the Kubernetes objects of one mesh
///
/// Objects come in an order in which they can be applied. What waits is listed on stderr. Exit code 1 means that a document of
/// the mesh has an error; its objects are left out.
///
/// Example: meshfed render --mesh rosa-prod-mesh repo-layout --assume-live
#[derive(clap::Args, Debug)]
pub struct Render {
    /// Name of the mesh
    #[arg(long, env = "MESHFED_MESH")]
    mesh: String,
    /// The folder that has federation.yaml, or anything in it
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Folder with facts of the peers: <DIR>/<mesh>.yaml or <DIR>/<mesh>/published.yaml
    #[arg(long, value_name = "DIR")]
    facts: Option<PathBuf>,
    /// Take every declared import as working, so that weights are as declared
    #[arg(long)]
    assume_live: bool,
    /// Format of the objects
    #[arg(short, long, default_value = "yaml")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One document an object
    Yaml,
    /// One v1 List, which kubectl takes too
    Json,
}

impl Render {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let tree = Tree::read(&self.path)?;
        let Loaded { federation, policies, problems: found } = tree.load();
        let me = &*self.mesh;
        let folder = find(&federation, me)?;
        let peers = tree.peers(me);
        let (facts, unusable) = match &self.facts {
            Some(dir) => facts::read(dir, &peers, &federation.allow_addresses, Timestamp::now())?,
            None => Default::default(),
        };
        let observed = if self.assume_live { Observed::assumed(folder) } else { Observed::default() };
        let mut derived = derive(Inputs { federation: &federation, me, facts: &facts, observed: &observed });
        let forbidden = offline::take_out(folder, &mut derived, &policies);
        let concerns = |finding: &&Diagnostic| Place::of(&finding.path).concerns(me, &peers);
        let problems: Vec<&Diagnostic> = found.iter().filter(concerns).chain(&unusable).chain(&forbidden).collect();
        for problem in &problems {
            tell!("{problem}");
        }
        for hold in &derived.holds {
            tell!("# waits: {}: {}", hold.subject, hold.reason);
        }
        let objects = ordered(&derived);
        match self.output {
            Format::Yaml => output::print(&yaml(&objects)?)?,
            Format::Json => {
                let items: Vec<Value> = objects.iter().map(|object| object.value()).collect();
                output::print_json(&json!({"apiVersion": "v1", "kind": "List", "items": items}))?;
            }
        }
        Ok(Exit::findings(problems.iter().any(|problem| problem.severity == Severity::Error)))
    }
}

/// The folder of a mesh, or what there is instead.
pub(super) fn find<'a>(federation: &'a Federation, mesh: &str) -> Result<&'a MeshFolder, Error> {
    federation.meshes.get(mesh).ok_or_else(|| {
        let names: Vec<&str> = federation.meshes.keys().map(String::as_str).collect();
        no_mesh(mesh, &names)
    })
}

/// A mesh that is not there, with those that are.
pub(super) fn no_mesh(mesh: &str, known: &[&str]) -> Error {
    Error::unavailable(format!("there is no mesh `{}`", mesh.escape_debug()), closest(mesh, known))
}

/// Every object after what it needs, and by identity among those that could go first.
fn ordered(derived: &Derived) -> Vec<Arc<Object>> {
    let mut waiting: BTreeMap<&Key, &Wanted> = derived.wanted.iter().collect();
    let mut objects = Vec::new();
    while !waiting.is_empty() {
        let blocked = |need: &Need| match need {
            Need::Exists(key) | Need::Applied(key) => waiting.contains_key(key),
        };
        // The agent finds the control plane's namespace there; on an empty cluster it comes first as well.
        let homeless = |key: &Key| {
            let namespace = key.namespace.as_deref().map(kinds::namespace);
            namespace.is_some_and(|namespace| waiting.contains_key(&namespace))
        };
        let ready = |(key, wanted): &(&&Key, &&Wanted)| !homeless(key) && !wanted.needs.iter().any(blocked);
        let mut layer: BTreeSet<&Key> = waiting.iter().filter(ready).map(|(key, _)| *key).collect();
        if layer.is_empty() {
            layer = waiting.keys().copied().collect(); // a circle, which no rule makes
        }
        objects.extend(layer.into_iter().filter_map(|key| waiting.remove(key)).map(|wanted| wanted.object.clone()));
    }
    objects
}

fn yaml(objects: &[Arc<Object>]) -> Result<String, Error> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&object.value()).map_err(Error::other)?);
    }
    Ok(text)
}
