//! Policies: ValidatingAdmissionPolicy documents in `policies/`, evaluated on declarations and on derived objects.
//!
//! | what is judged | as what | a violation |
//! |---|---|---|
//! | a document of the repository ([`declarations`]) | `meshfed.dev` resource `federations`, `meshes`, `peers`, `traffics` | is an error in it: it is not used, what it declared before stays |
//! | a derived object ([`Policies::forbids`]) | itself | holds it: it is not applied, and not deleted |
//!
//! Everything that goes wrong counts as a violation of what the policy matches: an expression that is not in the subset, an error while it is
//! evaluated. Where not even that is known, because a file cannot be read, [`Policies::unreadable`] says so, and nothing may change.

mod compile;
mod declarations;
mod documents;
mod evaluate;
mod expression;
mod load;
mod matching;
mod outline;
mod read;
mod subset;
mod value;

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::{Code, ContentId, Diagnostic, Span};
use crate::object::Kind;
use declarations::Judge;
pub use declarations::survey;
use documents::{MatchResources, Selector};
use expression::Expression;
pub use load::{Cache, Loaded, load};
pub use matching::Operation;
pub use subset::FUNCTIONS;

/// Leaves out what a broken policy forbids, as its own error says what is to be mended: that says how much waits for it.
pub fn say_once(found: &mut Vec<Diagnostic>) {
    let broken: Vec<String> =
        found.iter().filter(|finding| finding.code == Code::Policy).map(|finding| finding.path.clone()).collect();
    let mut waiting: BTreeMap<&String, usize> = BTreeMap::new();
    found.retain(|finding| {
        let by = |path: &&String| finding.message.contains(&format!("({path}) forbids it: {}", evaluate::BROKEN));
        let Some(path) = broken.iter().filter(|_| finding.code == Code::Policy).find(by) else { return true };
        *waiting.entry(path).or_default() += 1;
        false
    });
    for (path, number) in waiting {
        if let Some(error) = found.iter_mut().find(|finding| finding.code == Code::Policy && finding.path == *path) {
            error.help = format!("{}; until it is mended all that it matches is forbidden ({number})", error.help);
        }
    }
}

/// An object, or a document, that policies judge.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Kind and version.
    pub kind: &'a Kind,
    /// Namespace; of a document the mesh whose folder it lies in.
    pub namespace: Option<&'a str>,
    /// Name.
    pub name: &'a str,
    /// Whether it is new.
    pub operation: Operation,
    /// As it will be.
    pub object: &'a Value,
    /// As it is; `None` where it is new.
    pub old: Option<&'a Value>,
    /// The Namespace that it lies in, of a document the Mesh; `None` where it lies in none.
    pub namespace_object: Option<&'a Value>,
}

/// What a policy has against an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the policy.
    pub policy: String,
    /// File that the policy is in.
    pub path: String,
    /// Its words, or what went wrong.
    pub message: String,
    /// Only a warning: all its bindings say so.
    pub warning: bool,
}

/// `policy name (file) forbids it: words`.
impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { policy, path, message, warning } = self;
        let verb = if *warning { "warns" } else { "forbids it" };
        write!(f, "policy {policy} ({path}) {verb}: {message}")
    }
}

/// What one policy says of one object that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Name of the policy.
    pub policy: String,
    /// The path of a document, or `Kind/namespace/name`.
    pub subject: String,
    /// What it has against it; `None` where nothing.
    pub violation: Option<Violation>,
}

/// A policy, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Name.
    pub name: String,
    /// File.
    pub path: String,
    /// What it judges, as its rules have it: `peers`, `virtualservices`.
    pub resources: Vec<String>,
    /// It holds what it forbids; else it only warns.
    pub denies: bool,
    /// Why it cannot be evaluated, so that it forbids all that it means.
    pub broken: Option<String>,
}

/// All policies of a repository.
#[derive(Debug, Default)]
pub struct Policies {
    all: Vec<Policy>,
    unreadable: BTreeMap<String, String>,
    /// Mesh documents, the parameters that policies can take.
    meshes: Vec<(String, Value)>,
    digest: [u8; 32],
}

impl Policies {
    /// Why nothing may change: a file of policies of which not even what it matches can be read.
    pub fn unreadable(&self) -> Option<String> {
        let (path, why) = self.unreadable.first_key_value()?;
        Some(format!("{path} cannot be read ({why}), so it is not known what it forbids; everything stays as it is"))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells sets of policies apart, with the parameters that they take.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether any policy looks at Namespaces, so that a changed Namespace can change what it says.
    pub fn look_at_namespaces(&self) -> bool {
        self.all.iter().any(|policy| policy.namespaces)
    }

    /// What the policies have against an object, in the order of their names.
    pub fn violations(&self, subject: &Subject) -> Vec<Violation> {
        let mut found: Vec<Violation> =
            self.all.iter().filter_map(|policy| evaluate::judge(policy, subject, &self.meshes)).collect();
        found.sort_by(|a, b| (&a.policy, &a.path).cmp(&(&b.policy, &b.path)));
        found
    }

    /// Each policy, by name.
    pub fn about(&self) -> Vec<About> {
        let about = |policy: &Policy| About {
            name: policy.name.clone(),
            path: policy.path.clone(),
            resources: policy.constraints.resources(),
            denies: policy.bindings.is_empty() || policy.bindings.iter().any(|binding| binding.denies),
            broken: policy.broken.clone(),
        };
        let mut all: Vec<About> = self.all.iter().map(about).collect();
        all.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        all
    }

    /// What each policy that means an object says of it; `name` is the object's, for people.
    pub fn verdicts(&self, name: &str, subject: &Subject) -> Vec<Verdict> {
        let meant = self.all.iter().filter(|policy| evaluate::means(policy, subject));
        let verdict = |policy: &Policy| Verdict {
            policy: policy.name.clone(),
            subject: name.to_owned(),
            violation: evaluate::judge(policy, subject, &self.meshes),
        };
        meant.map(verdict).collect()
    }

    /// Why an object must not be applied, one line; `None` where it may.
    pub fn forbids(&self, subject: &Subject) -> Option<String> {
        let found: Vec<String> =
            self.violations(subject).iter().filter(|violation| !violation.warning).map(ToString::to_string).collect();
        (!found.is_empty()).then(|| found.join("; "))
    }

    fn seal(&mut self, files: &[(&String, ContentId)]) {
        let mut digest = Sha256::new();
        for (path, id) in files {
            digest.update(path.as_bytes());
            digest.update(id.0);
        }
        for (_, mesh) in &self.meshes {
            digest.update(mesh.to_string());
        }
        self.digest = digest.finalize().into();
    }
}

/// One policy with its bindings.
#[derive(Debug)]
struct Policy {
    name: String,
    path: String,
    span: Span,
    /// Why it cannot be evaluated: it then forbids all that it matches.
    broken: Option<String>,
    constraints: MatchResources,
    conditions: Vec<(String, Expression)>,
    variables: Vec<(String, Expression)>,
    validations: Vec<Validation>,
    /// It is evaluated once for each Mesh.
    params: bool,
    /// It looks at Namespaces.
    namespaces: bool,
    /// Where it is in force; everywhere if there is none.
    bindings: Vec<Binding>,
}

#[derive(Debug)]
struct Validation {
    expression: Expression,
    message: Option<String>,
    message_expression: Option<Expression>,
}

#[derive(Clone, Debug)]
struct Binding {
    /// It holds what is forbidden; else it only warns.
    denies: bool,
    /// No Mesh to ask is a violation.
    needs_params: bool,
    resources: Option<MatchResources>,
    /// Which Meshes are parameters.
    params: Option<Selector>,
}

#[cfg(test)]
mod tests;
