//! `meshfed explain`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::output::{self, Format};
use super::remote::RepoArgs;
use super::render::find;
use crate::agent::declarations;
use crate::decide::Status;
use crate::derive::{self, Derived, Hold, Inputs, Need, Observed, Source, derive, origin};
use crate::error::{Error, Exit};
use crate::facts::published::FACTS_PATH;
use crate::model::names;
use crate::object::Key;
use crate::policy::Cache;
use crate::repo::{Mirror, PUBLISHED, RepoError};
use crate::view::explain::{self, Brought, Explanation, Part};
use crate::view::plan::place;

/// Names by which kubectl knows kinds that meshes are made of.
const SHORT: [(&str, &str); 18] = [
    ("cm", "ConfigMap"),
    ("deploy", "Deployment"),
    ("dr", "DestinationRule"),
    ("ess", "ExportedServiceSet"),
    ("iss", "ImportedServiceSet"),
    ("ns", "Namespace"),
    ("sa", "ServiceAccount"),
    ("smcp", "ServiceMeshControlPlane"),
    ("smm", "ServiceMeshMember"),
    ("smmr", "ServiceMeshMemberRoll"),
    ("smp", "ServiceMeshPeer"),
    ("sub", "Subscription"),
    ("svc", "Service"),
    ("vs", "VirtualService"),
    ("netpol", "NetworkPolicy"),
    // What the documents of a federation make first of all.
    ("mesh", "ServiceMeshControlPlane"),
    ("peer", "ServiceMeshPeer"),
    ("traffic", "VirtualService"),
];

/// Objects named in a hint.
const NAMED: usize = 8;

/// Show where an object comes from: the rule, the lines, who wrote them, and what it waits for
///
/// From Git alone. For each field: the place in a document or the facts of a peer that it follows from, and the commit that brought it.
/// Example: meshfed explain ServiceMeshPeer/aro-stg-mesh --mesh rosa-prod-mesh --field spec.security
#[derive(clap::Args, Debug)]
pub struct Explain {
    /// The object as KIND/NAME or KIND/NAMESPACE/NAME, or its name alone; kinds also as kubectl shortens them, such as smp or vs
    object: String,
    /// Name of the mesh
    #[arg(long, env = "MESHFED_MESH")]
    mesh: String,
    #[command(flatten)]
    repo: RepoArgs,
    /// Only this field and what is in it, such as spec.remote
    #[arg(long, value_name = "PATH")]
    field: Option<String>,
    /// Format
    #[arg(short, long, default_value = "text")]
    output: Format,
}

impl Explain {
    pub(super) fn run(self) -> Result<Exit, Error> {
        let remote = self.repo.fetch()?;
        let mut explanation = self.explain(&remote.mirror, Timestamp::now())?;
        if let Some(field) = &self.field {
            explanation.parts.retain(|part| explain::concerns(&part.field, field));
        }
        match self.output {
            Format::Text => output::print(&explain::render(&explanation, output::look()))?,
            Format::Json => output::print_json(&explanation)?,
        }
        Ok(Exit::Fine)
    }

    fn explain(&self, mirror: &Mirror, now: Timestamp) -> Result<Explanation, Error> {
        let me = self.mesh.as_str();
        let tip = mirror.main()?;
        let snapshot = mirror
            .snapshot(tip, &|path| path == "federation.yaml" || path.starts_with("meshes/") || path.starts_with("policies/"))?;
        let federation = declarations::federation_of(mirror, &snapshot, &mut Cache::default()).federation;
        let folder = find(&federation, me)?;
        let mut facts = BTreeMap::new();
        for peer in folder.peers.keys() {
            if let Some(branch) = declarations::branch(mirror, peer, &federation.allow_addresses, now)? {
                facts.insert(peer.clone(), branch.facts.unwrap_or_default());
            }
        }
        let derived = derive(Inputs { federation: &federation, me, facts: &facts, observed: &Observed::assumed(folder) });
        let key = self.key(&derived)?;
        let object = derived.wanted.get(&key).map(|wanted| &*wanted.object);
        let Some(mut origin) = origin(&federation, me, &key, object) else {
            return Err(Error::unavailable(format!("nothing says where {key} comes from"), ""));
        };
        // An object of manifests/ is one part; the field that is asked for has a line of its own in it.
        if let Some((field, wanted)) = self.field.as_ref().zip(derived.wanted.get(&key))
            && let [derive::Part { field: all, from: Source::Document { path, span }, .. }] = origin.parts.as_mut_slice()
            && let Some(id) = snapshot.entries.get(path)
        {
            let text = String::from_utf8_lossy(&mirror.read(*id)?).into_owned();
            span.line = place(&federation, me, &wanted.object, field, Some(&text)).line;
            all.clone_from(field);
        }
        let mut parts = Vec::new();
        for part in origin.parts {
            let (place, commit) = match &part.from {
                Source::Document { path, span } if span.line == 0 => (path.clone(), brought(mirror, tip, path, 0, None)?),
                Source::Document { path, span } => {
                    (format!("{path}:{}", span.line), brought(mirror, tip, path, span.line, None)?)
                }
                Source::Facts(mesh) => (format!("{PUBLISHED}{mesh}:{FACTS_PATH}"), published(mirror, mesh)?),
            };
            parts.push(Part { field: part.field, what: part.what, place, commit });
        }
        let needs = derived.wanted.get(&key).map(|wanted| wanted.needs.as_slice()).unwrap_or_default();
        let needs = needs.iter().map(|need| match need {
            Need::Exists(key) => format!("{key} is there"),
            Need::Applied(key) => format!("{key} is applied"),
        });
        let branch = declarations::branch(mirror, me, &federation.allow_addresses, now)?;
        let status = branch.and_then(|branch| branch.status).unwrap_or_default();
        Ok(Explanation {
            object: key.to_string(),
            mesh: me.to_owned(),
            rule: origin.rule,
            parts,
            needs: needs.collect(),
            waits: waits(&key, &derived, &status),
        })
    }

    /// The one object that is meant, among those that are derived or wait.
    fn key(&self, derived: &Derived) -> Result<Key, Error> {
        let all: BTreeSet<&Key> =
            derived.wanted.keys().chain(derived.holds.iter().filter_map(|hold| hold.key.as_ref())).collect();
        let parts: Vec<&str> = self.object.split('/').collect();
        let (kind, namespace, name) = match parts.as_slice() {
            [name] => (None, None, *name),
            [kind, name] => (Some(*kind), None, *name),
            [kind, namespace, name] => (Some(*kind), Some(*namespace), *name),
            _ => return Err(Error::usage("an object is KIND/NAME or KIND/NAMESPACE/NAME", "for example smp/aro-stg-mesh")),
        };
        let so_called = |key: &&Key| *key.name == *name && (namespace.is_none() || namespace == key.namespace.as_deref());
        let meant = |key: &&Key| kind.is_none_or(|kind| is_kind(kind, &key.kind));
        let found: Vec<&Key> = all.iter().copied().filter(meant).filter(so_called).collect();
        let list = |keys: &[&Key]| {
            let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
            crate::words::some(&texts.iter().map(String::as_str).collect::<Vec<_>>(), NAMED)
        };
        match found.as_slice() {
            [key] => Ok((*key).clone()),
            [] => {
                let of_kind: Vec<&Key> = all.iter().copied().filter(meant).collect();
                let names: Vec<&str> = of_kind.iter().map(|key| &*key.name).collect();
                let kinds: BTreeSet<&str> = all.iter().map(|key| &*key.kind).collect();
                let hint = match names::similar(name, &names) {
                    _ if of_kind.is_empty() => format!("it has objects of {}", kinds.into_iter().collect::<Vec<_>>().join(", ")),
                    Some(near) => {
                        let near: Vec<&Key> = of_kind.into_iter().filter(|key| *key.name == *near).collect();
                        format!("did you mean {}?", list(&near))
                    }
                    None => format!("there is: {}", list(&of_kind)),
                };
                Err(Error::unavailable(format!("{} has no object {}", self.mesh, self.object.escape_debug()), hint))
            }
            several => Err(Error::usage("more than one object is called so", format!("name one of {}", list(several)))),
        }
    }
}

/// `smp`, `servicemeshpeers` and `ServiceMeshPeer` are one kind.
fn is_kind(given: &str, kind: &str) -> bool {
    let (given, kind) = (given.to_lowercase(), kind.to_lowercase());
    let short = SHORT.iter().any(|(short, long)| *short == given && long.to_lowercase() == kind);
    short || given == kind || [format!("{kind}s"), format!("{}ies", kind.trim_end_matches('y'))].contains(&given)
}

/// What an object and its parts wait for: as its mesh's agent says, and as follows from Git.
fn waits(key: &Key, derived: &Derived, status: &Status) -> Vec<String> {
    let subject = key.to_string();
    let about = |text: &String| text.strip_prefix(&subject).is_some_and(|rest| rest.starts_with([':', ' ']));
    let mut told: Vec<String> = status.holds.iter().filter(|hold| about(hold)).cloned().collect();
    let whole = |hold: &Hold| hold.key.as_ref() == Some(key);
    // What the agent knows of the whole object is nearer than what Git alone tells of it.
    let known = |hold: &&Hold| told.is_empty() || !whole(hold);
    let follows: Vec<String> = derived.holds.iter().filter(known).map(ToString::to_string).filter(about).collect();
    let news: Vec<String> = follows.into_iter().filter(|hold| !told.contains(hold)).collect();
    told.extend(news);
    told
}

fn brought(
    mirror: &Mirror,
    tip: crate::repo::CommitId,
    path: &str,
    line: u32,
    by: Option<String>,
) -> Result<Option<Brought>, RepoError> {
    let commit = mirror.blame(tip, path, line)?;
    let by = by.unwrap_or(commit.author_email);
    Ok(Some(Brought { id: commit.id.to_string(), at: commit.committed_at, by, subject: commit.summary }))
}

/// The commit that brought the facts of a mesh; none where it never published.
fn published(mirror: &Mirror, mesh: &str) -> Result<Option<Brought>, RepoError> {
    match mirror.refs().published.get(mesh) {
        Some(tip) => brought(mirror, *tip, FACTS_PATH, 0, Some(format!("agent of {mesh}"))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::kinds;

    #[test]
    fn what_parts_of_an_object_wait_for_is_told_of_it() {
        let [one, two] = ["stock", "stock-2"].map(|name| kinds::key(kinds::VIRTUAL_SERVICE, "store", name));
        let holds = vec![Hold::part(format!("{one} 20 %"), "oslo does not export it"), Hold::waiting(&two, "none is there yet")];
        let derived = Derived { holds, ..Derived::default() };
        assert_eq!(waits(&one, &derived, &Status::default()), ["VirtualService/store/stock 20 %: oslo does not export it"]);
        let told = "VirtualService/store/stock-2: the agent may not";
        let status = Status { holds: vec![told.to_owned()], ..Status::default() };
        assert_eq!(waits(&two, &derived, &status), [told]);
    }
}
