//! Objects of a federation that people wrote by hand, or that a cluster has → the documents of a repository.
//!
//! | step | file |
//! |---|---|
//! | texts → objects, each with its own text and place | [`read`], [`template`], [`live`] |
//! | which meshes there are, whose each object is | [`meshes`] |
//! | objects → documents that may say the same | [`candidates`]: [`peer`], [`traffic`]; [`scene`] has the Mesh, [`documents`] the shapes |
//! | what those say of peers without documents | [`stubs`] |
//! | how peers reach a mesh → what its Mesh says of its ingress | [`ingress`] |
//! | which of them do: derived from and held against the objects | [`settle`], [`unlike`], [`compare`] |
//! | what cannot be read, kept as it is | [`unread`] |
//! | what becomes of each object; what stays as it is | [`fates`], [`manifests`] |
//!
//! **Invariant: nothing is lost.** A document takes the place of objects only if what is derived from it says every field that was written.
//! All else stays as it is: in `manifests/`, in `not-applied/` where an agent would refuse it, or in `unassigned/` where nothing says whose it is.
//! What cannot be read is in `unassigned/` too. Only secrets are left out, and what is no Kubernetes object.

mod candidates;
mod compare;
mod documents;
mod fates;
mod ingress;
mod live;
mod manifests;
mod meshes;
mod mistakes;
mod peer;
mod read;
mod scene;
mod settle;
mod stubs;
mod template;
#[cfg(test)]
mod tests;
mod traffic;
mod unlike;
mod unread;

use std::collections::{BTreeMap, BTreeSet};

use crate::derive::kinds;
use crate::facts::Facts;
use crate::model::grants::is_granted;
use crate::model::{Code, Diagnostic, Span};
use crate::object::Kind;
pub use compare::Difference;
pub use live::stripped;

/// All that an import is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Texts with objects, by path.
    pub texts: &'a BTreeMap<String, String>,
    /// The repository that is added to: its files by path.
    pub repository: &'a BTreeMap<String, String>,
    /// Only this mesh; all where it is not given.
    pub mesh: Option<&'a str>,
    /// Write a document also where it says another value than an object; each such value is told.
    pub adapt: bool,
}

/// What an import gives.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Names of the meshes.
    pub meshes: Vec<String>,
    /// Files of the repository by path.
    pub files: BTreeMap<String, String>,
    /// Those among them that only say of a peer what its mesh's objects say of it.
    pub stubs: BTreeSet<String>,
    /// By peer: what its agent will publish, as the objects have it.
    pub facts: BTreeMap<String, Facts>,
    /// What became of each object, in their order.
    pub objects: Vec<Object>,
    /// Mistakes.
    pub found: Vec<Diagnostic>,
    /// Kinds in `manifests/` that the agent's roles do not let it write, as `Kind.group`.
    pub not_granted: BTreeSet<String>,
    /// Files of these meshes that are in the repository already and that nothing here says.
    pub beside: Vec<String>,
}

/// An object, and what became of it.
#[derive(Clone, Debug)]
pub struct Object {
    /// `Kind/namespace/name`, or [`NO_OBJECT`].
    pub name: String,
    /// Where it was written.
    pub path: String,
    /// Its place there.
    pub span: Span,
    /// Its mesh; empty where it is none's.
    pub mesh: String,
    /// What became of it.
    pub fate: Fate,
}

/// Stands for the name of what cannot be read.
pub const NO_OBJECT: &str = "(no object)";

/// What became of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// A document says the same.
    Document {
        /// Its path.
        path: String,
        /// Values that it says otherwise; empty unless adapting.
        changes: Vec<Difference>,
    },
    /// It stays as it is.
    Manifest {
        /// The file that it is in.
        path: String,
        /// Why no document takes its place; empty where none could.
        reason: String,
    },
    /// It stays as it is, where no agent applies it.
    NotApplied {
        /// The file that it is in.
        path: String,
        /// Why it is not applied, and why no document takes its place.
        reason: String,
    },
    /// It is in no file.
    LeftOut {
        /// Why.
        reason: String,
    },
}

/// Why nothing can be imported.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Nothing {
    /// No control plane is among the objects.
    #[error("{}", if *template { "no ServiceMeshControlPlane has a name and a namespace that are filled in" } else { "there is no ServiceMeshControlPlane among the objects" })]
    NoControlPlane {
        /// One is there, and was never filled in.
        template: bool,
        /// What could not be read: it may be there.
        found: Vec<Diagnostic>,
    },
    /// No control plane is that of the wanted mesh.
    #[error("no control plane is that of a mesh `{wanted}`")]
    NoSuchMesh {
        /// The wanted one.
        wanted: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

/// Whether a document only says of a mesh what another one's objects say of it.
pub fn is_stub(text: &str) -> bool {
    text.starts_with(stubs::STUB)
}

/// Objects → documents, and what stays as it is.
pub fn import(inputs: Inputs) -> Result<Imported, Nothing> {
    let mut read = read::Read::default();
    for (path, text) in inputs.texts {
        read.text(path, text);
    }
    let read::Read { objects, mut found, gaps, unread, .. } = read;
    let mut planes = meshes::planes(&objects);
    if planes.is_empty() {
        let owners = vec![None; objects.len()];
        found.extend(
            mistakes::find(&objects, &planes, &owners, inputs.repository)
                .into_iter()
                .filter(|finding| finding.code == Code::ByHand && !gaps.contains(&(&*finding.path, finding.span.line))),
        );
        found.sort();
        let template = objects.iter().any(|given| meshes::is(given, kinds::CONTROL_PLANE));
        return Err(Nothing::NoControlPlane { found, template });
    }
    if let (Some(wanted), [only]) = (inputs.mesh, planes.as_mut_slice()) {
        wanted.clone_into(&mut only.mesh); // it is said what it is called
    }
    let wanted = |plane: &meshes::Plane| inputs.mesh.is_none_or(|mesh| plane.mesh == mesh);
    if let Some(mesh) = inputs.mesh.filter(|_| !planes.iter().any(wanted)) {
        let known = planes.into_iter().map(|plane| plane.mesh).collect();
        return Err(Nothing::NoSuchMesh { wanted: mesh.to_owned(), known });
    }
    let rivals = meshes::all_rivals(&objects, &planes);
    let owners: Vec<Option<usize>> =
        rivals.iter().map(|all| if let [only] = all.as_slice() { Some(*only) } else { None }).collect();
    let mistakes = mistakes::find(&objects, &planes, &owners, inputs.repository);
    found.extend(mistakes.into_iter().filter(|finding| !gaps.contains(&(&*finding.path, finding.span.line))));
    let astray = mistakes::astray(&objects, &planes, &rivals, &found);
    found.extend(astray);
    found.extend(mistakes::memberless(&objects, &planes));
    // Whoever asks for one mesh looks after that one; what is read beside it is not theirs.
    let theirs = |path: &str| {
        let mut here = objects.iter().zip(&owners).filter(|(given, _)| given.path == path).peekable();
        here.peek().is_none() || here.any(|(_, owner)| owner.is_none_or(|owner| wanted(&planes[owner])))
    };
    found.retain(|finding| theirs(&finding.path));
    let mut settled = settle::settle(&objects, &planes, (&owners, &rivals), inputs);
    found.append(&mut settled.found);
    found.extend(mistakes::unsaid(&objects, &planes, &settled.refused, &found));
    for (i, (given, fate)) in objects.iter().zip(&settled.fates).enumerate() {
        if matches!(fate, Fate::Document { .. }) && !settled.addressed.contains(&i) {
            mistakes::excuse_facts(given, &mut found);
        }
    }
    found.sort();
    found.dedup();
    for (i, fate) in settled.fates.iter_mut().enumerate() {
        if let Fate::Manifest { reason, .. } = fate
            && let Some(code) = mistakes::unacceptable(&objects, i, &found)
        {
            let refusal = format!("the API server refuses it ({})", code.number());
            *reason = if reason.is_empty() { refusal } else { format!("{reason}; {refusal}") };
        }
    }
    // Whoever grants a kind that no API server knows has gained nothing.
    let kept =
        objects.iter().enumerate().zip(&settled.fates).filter(|((i, _), fate)| {
            matches!(fate, Fate::Manifest { .. }) && mistakes::unacceptable(&objects, *i, &found).is_none()
        });
    let not_granted =
        kept.filter(|((_, given), _)| !is_granted(&given.kind)).map(|((_, given), _)| of_group(&given.kind)).collect();
    let unread: Vec<read::Unread> = unread.into_iter().filter(|unread| theirs(unread.path)).collect();
    let aside = unread::keep(&unread, &settled.fates, inputs.repository, &mut settled.files, &mut settled.beside);
    let told = objects.iter().zip(&owners).zip(settled.fates).map(|((given, owner), fate)| Object {
        name: given.key.to_string(),
        path: given.path.to_owned(),
        span: given.span,
        mesh: owner.map(|owner| planes[owner].mesh.clone()).unwrap_or_default(),
        fate,
    });
    Ok(Imported {
        objects: told.chain(aside).collect(),
        meshes: planes.iter().filter(|plane| wanted(plane)).map(|plane| plane.mesh.clone()).collect(),
        files: settled.files,
        stubs: settled.stubs,
        facts: settled.facts,
        beside: settled.beside,
        found,
        not_granted,
    })
}

/// A kind as people write it where several groups have one: `Gateway.networking.istio.io`.
fn of_group(kind: &Kind) -> String {
    if kind.group.is_empty() { kind.kind.to_string() } else { format!("{}.{}", kind.kind, kind.group) }
}
