//! `meshfed import`.

mod cluster;
mod gather;
mod put;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use super::output::{self, Format};
use super::remote::ClusterArgs;
use crate::error::{Error, Exit};
use crate::facts::{Facts, published};
use crate::import::{Fate, Imported, Inputs, NO_OBJECT, Nothing, Object, import};
use crate::model::{Diagnostic, Severity, names};
use crate::view::Look;
use crate::view::findings::{self, Finding};
use crate::view::import as view;
use crate::words;
use gather::Gathered;
use put::Put;

/// Most files named that are not looked into.
const MAX_NAMED: usize = 3;

/// Make documents of a federation that was set up by hand, without changing it
///
/// Reads Kubernetes objects from files, folders, stdin (`-`, as `oc get -o yaml` prints them) or, with --live, from a cluster, and writes for each
/// mesh among them the documents from which its agent derives the same objects. What no document can say goes to manifests/ as it is
/// written, what an agent would refuse to not-applied/, and what nothing assigns to a mesh to unassigned/: no agent reads these two. Mistakes are told with
/// their places; an object that has one stays as it is, unless --adapt. No file that is there is replaced, unless --force. Exit code 1 means
/// that something was found.
///
/// Example: meshfed import ossm/ --repo federation --dry-run
///
/// Example: meshfed import --live --mesh rosa-prod-mesh --context rosa
#[derive(clap::Args, Debug)]
pub struct Import {
    /// Files and folders with objects; `-` for stdin
    #[arg(value_name = "PATH", required_unless_present = "live", conflicts_with = "live")]
    paths: Vec<PathBuf>,
    /// Only this mesh; where there is only one, its name
    #[arg(long, env = "MESHFED_MESH")]
    mesh: Option<String>,
    /// The folder that has federation.yaml, or is to have it
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// Write documents also where they say another value than an object; each such value is told
    #[arg(long)]
    adapt: bool,
    /// Write nothing, and tell what would be written
    #[arg(long)]
    dry_run: bool,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Write what peers' agents will publish (addresses, CA roots) into this folder too, for render and plan with --facts
    #[arg(long, value_name = "DIR")]
    facts: Option<PathBuf>,
    /// Read the objects from a cluster, which is only asked
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the report
    #[arg(short, long, default_value = "text")]
    output: Format,
}

impl Import {
    pub(super) fn run(self) -> Result<Exit, Error> {
        if let Some(Err(wrong)) = self.mesh.as_deref().map(names::mesh) {
            return Err(Error::usage(wrong, "a mesh's name is that of its folder"));
        }
        let Gathered { texts, found, others } = if self.live {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::other)?;
            Gathered { texts: runtime.block_on(cluster::texts(&self.cluster.options()))?, ..Gathered::default() }
        } else {
            gather::gather(&self.paths)?
        };
        let repository = gather::repository(&self.repo)?;
        let inputs = Inputs { texts: &texts, repository: &repository, mesh: self.mesh.as_deref(), adapt: self.adapt };
        let mut imported = import(inputs).map_err(|nothing| self.explain(&nothing, &found, &texts))?;
        imported.objects.extend(found.iter().filter(|finding| finding.severity == Severity::Error).map(left_out));
        imported.found.splice(..0, found);
        self.report(&imported, &texts)?;
        if !others.is_empty() {
            let names: Vec<&str> = others.iter().map(String::as_str).collect();
            say(&format!("not looked into, because they are neither YAML nor JSON: {}", words::some(&names, MAX_NAMED)));
        }
        if !self.adapt {
            tell_of_adapting(&imported, inputs);
        }
        let facts = match &self.facts {
            Some(_) => facts_files(&imported)?,
            None => BTreeMap::new(),
        };
        if self.dry_run {
            tell!("{} would be written to {}", words::count(imported.files.len(), "file"), self.repo.display());
        } else {
            let folder = self.facts.as_deref().map(|root| Put { root, files: &facts });
            let all: Vec<Put> = std::iter::once(Put { root: &self.repo, files: &imported.files }).chain(folder).collect();
            put::files(&all, self.force)?;
            self.tell_what_next(&imported);
        }
        Ok(Exit::findings(!imported.found.is_empty()))
    }

    fn explain(&self, nothing: &Nothing, unreadable: &[Diagnostic], texts: &BTreeMap<String, String>) -> Error {
        let hint = match nothing {
            Nothing::NoControlPlane { found, template } => {
                let all = [unreadable, found].concat();
                tell!("{}", findings::render(&all, "", &|path| texts.get(path).map(String::as_str), Look::default()).trim_end());
                let live = self.live.then_some("the cluster has none, or you may not read it");
                let filled = template.then_some("fill in the gaps first, as its script does: envsubst < FILE | meshfed import -");
                live.or(filled).unwrap_or("give it too: it says which mesh the others belong to").to_owned()
            }
            Nothing::NoSuchMesh { known, .. } => format!("there is: {}", known.join(", ")),
        };
        Error::unavailable(nothing.to_string(), hint)
    }

    fn report(&self, imported: &Imported, texts: &BTreeMap<String, String>) -> Result<(), Error> {
        match self.output {
            Format::Text => {
                let look = output::look();
                let found = findings::render(&imported.found, "", &|path| texts.get(path).map(String::as_str), look);
                output::print(&(found + &view::render(imported, look)))?;
            }
            Format::Json => {
                let found: Vec<Finding> = imported.found.iter().map(Finding::from).collect();
                output::print_json(&json!({"report": view::Report::from(imported), "findings": found}))?;
            }
        }
        tell!("{}", findings::summary(&imported.found, texts.len()));
        if !imported.found.is_empty() {
            tell!("{}", findings::more(&imported.found));
        }
        Ok(())
    }

    fn tell_what_next(&self, imported: &Imported) {
        let folder = super::clone::quoted(&self.repo.display().to_string());
        tell!("wrote {} to {folder}; nothing else was changed", words::count(imported.files.len(), "file"));
        if !imported.facts.is_empty() && self.facts.is_none() {
            let peers: Vec<&str> = imported.facts.keys().map(String::as_str).collect();
            say(&format!(
                "addresses and CA roots of {} are in no document, for their agents publish them; --facts DIR keeps them for render",
                peers.join(", ")
            ));
        }
        tell!("next: meshfed check {folder}");
        let mesh = if let [only] = imported.meshes.as_slice() { only } else { "MESH" };
        tell!("then: meshfed plan --live --mesh {mesh} --repo {folder}");
        say("which shows labels and annotations alone where all is right; then commit");
    }
}

/// A file of which nothing can be taken.
fn left_out(finding: &Diagnostic) -> Object {
    let (path, reason) = (finding.path.clone(), finding.message.clone());
    Object { name: NO_OBJECT.to_owned(), path, span: finding.span, mesh: String::new(), fate: Fate::LeftOut { reason } }
}

/// What more would become documents if they might say other values.
fn tell_of_adapting(imported: &Imported, inputs: Inputs) {
    let documents =
        |imported: &Imported| imported.objects.iter().filter(|object| matches!(object.fate, Fate::Document { .. })).count();
    let Ok(adapted) = import(Inputs { adapt: true, ..inputs }) else { return };
    let more = documents(&adapted).saturating_sub(documents(imported));
    if more > 0 {
        let objects = words::count(more, "more object");
        say(&format!(
            "with --adapt, documents would take the place of {objects}, and each value that they say otherwise would be told"
        ));
    }
}

/// Talks to people, in lines that fit the screen.
fn say(text: &str) {
    view::wrapped(text, output::COLUMNS).iter().for_each(|line| tell!("{line}"));
}

/// What the peers' agents will publish, one file for each.
fn facts_files(imported: &Imported) -> Result<BTreeMap<String, String>, Error> {
    let file =
        |(mesh, facts): (&String, &Facts)| Ok((format!("{mesh}.yaml"), published::write(mesh, facts).map_err(Error::other)?));
    imported.facts.iter().map(file).collect()
}
