//! Files of `policies/` → policies, with findings that say where.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

use super::compile::{Bound, bound, policy};
use super::documents::{BindingDocument, MatchResources, PolicyDocument};
use super::{Policies, Policy};
use crate::model::{At, Code, ContentId, Diagnostic, Span, yaml};

const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// One file as read.
#[derive(Debug, Default)]
pub(super) struct File {
    policies: Vec<Policy>,
    bindings: Vec<Bound>,
    /// Why it is not known what it forbids.
    unreadable: Option<String>,
    found: Vec<Diagnostic>,
}

/// Reads the files and puts bindings to their policies.
pub(super) fn assemble(
    files: Vec<(String, File)>,
    meshes: Vec<(String, Value)>,
    ids: &[(&String, ContentId)],
    found: &mut Vec<Diagnostic>,
) -> Policies {
    let mut policies = Policies { meshes, ..Policies::default() };
    let (mut bindings, mut everywhere) = (Vec::new(), BTreeSet::new());
    for (path, file) in files {
        found.extend(file.found);
        if let Some(why) = file.unreadable {
            policies.unreadable.insert(path.clone(), why);
        }
        policies.all.extend(file.policies);
        bindings.extend(file.bindings.into_iter().map(|bound| (path.clone(), bound)));
    }
    for (path, Bound { policy: name, binding }) in bindings {
        let mut meant = policies.all.iter_mut().filter(|policy| policy.name == name.value).peekable();
        if meant.peek().is_none() {
            let message = format!("there is no policy `{}`", name.escape_debug());
            found.push(Diagnostic::error(&path, name.span, Code::Dangling, message, "name a policy in policies/"));
        }
        for policy in meant {
            match &binding {
                Ok(binding) => {
                    policy.namespaces |= binding.resources.as_ref().is_some_and(|all| all.namespace_selector.is_some());
                    policy.bindings.push(binding.clone());
                }
                Err(error) => policy.broken = Some(error.clone()),
            }
            // It is not known where a broken binding puts it in force.
            everywhere.extend(binding.is_err().then(|| policy.name.clone()));
        }
    }
    policies.all.iter_mut().filter(|policy| everywhere.contains(&policy.name)).for_each(|policy| policy.bindings.clear());
    for policy in &policies.all {
        if policies.all.iter().filter(|other| other.name == policy.name).count() > 1 {
            let message = format!("there are two policies `{}`", policy.name.escape_debug());
            found.push(Diagnostic::error(&policy.path, policy.span, Code::Duplicate, message, "each has a name of its own"));
        }
    }
    policies.seal(ids);
    policies
}

/// Reads one file, which may hold several documents.
pub(super) fn file(path: &str, text: &str) -> File {
    let mut file = File::default();
    let parts = parts(text);
    if text.len() > MAX_FILE || parts.len() > MAX_DOCUMENTS {
        let message = format!("{} bytes with {} documents; at most {MAX_FILE} with {MAX_DOCUMENTS}", text.len(), parts.len());
        return File::unreadable(Diagnostic::error(path, Span::default(), Code::Syntax, message, "split the file"));
    }
    for part in parts.into_iter().map(|part| alone(text, part)) {
        match yaml::document::<Value>(path, &part) {
            Ok(Value::Null) => {}
            Ok(value) => document(path, &part, &value, &mut file),
            Err(finding) => file.refuse(*finding),
        }
    }
    file
}

impl File {
    /// A file that could not be read.
    pub fn unreadable(finding: Diagnostic) -> Self {
        let mut file = Self::default();
        file.refuse(finding);
        file
    }

    /// A path that is not taken; why is said where that is decided.
    pub fn refused() -> Self {
        Self { unreadable: Some("it is not a regular file".to_owned()), ..Self::default() }
    }

    /// It is not known what the file forbids.
    fn refuse(&mut self, finding: Diagnostic) {
        self.unreadable.get_or_insert_with(|| match finding.span.line {
            0 => finding.message.clone(),
            line => format!("line {line}: {}", finding.message),
        });
        self.found.push(finding);
    }
}

/// Largest file of policies, in bytes: each document in it is read with blanks for all that stands before it.
const MAX_FILE: usize = 256 << 10;

/// Most documents in one, for the same reason.
const MAX_DOCUMENTS: usize = 100;

/// Where the documents of a file are.
fn parts(text: &str) -> Vec<Range<usize>> {
    let (mut all, mut start, mut end) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            all.push(start..end);
            start = end + line.len();
        }
        end += line.len();
    }
    all.push(start..end);
    let comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    all.retain(|part: &Range<usize>| !text[part.clone()].lines().all(comment));
    all
}

/// One document with blanks for all that stands before it, so that its places are those in the file.
fn alone(text: &str, part: Range<usize>) -> String {
    let before = text[..part.start].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' });
    before.chain(text[part.clone()].chars()).collect()
}

fn document(path: &str, text: &str, value: &Value, file: &mut File) {
    match value.get("kind").and_then(Value::as_str) {
        Some(POLICY) => match yaml::document::<PolicyDocument>(path, text) {
            Ok(document) => file.policies.push(policy(path, document, &mut file.found)),
            Err(finding) => salvage(path, value, *finding, file),
        },
        Some(BINDING) => match yaml::document::<BindingDocument>(path, text) {
            Ok(document) => {
                let bound = bound(path, document, &mut file.found);
                file.bindings.push(bound);
            }
            Err(finding) => match value.pointer("/spec/policyName").and_then(Value::as_str) {
                Some(name) => {
                    let policy = At { value: name.to_owned(), span: finding.span };
                    file.bindings.push(Bound { policy, binding: Err(finding.message.clone()) });
                    file.found.push(*finding);
                }
                None => file.refuse(*finding),
            },
        },
        _ => {
            let line = u32::try_from(text.lines().take_while(|line| line.trim().is_empty()).count()).unwrap_or(u32::MAX);
            let span = Span { line: line + 1, column: 1, ..Span::default() };
            let help = format!("policies/ has {POLICY} and {BINDING} of admissionregistration.k8s.io/v1");
            file.refuse(Diagnostic::error(path, span, Code::BadValue, "this is not a policy", help));
        }
    }
}

/// A policy with an error somewhere: if what it matches can be read, it forbids just that.
fn salvage(path: &str, value: &Value, finding: Diagnostic, file: &mut File) {
    let constraints = value.pointer("/spec/matchConstraints").map(MatchResources::deserialize);
    let name = value.pointer("/metadata/name").and_then(Value::as_str);
    let (Some(Ok(constraints)), Some(name)) = (constraints, name) else { return file.refuse(finding) };
    file.policies.push(Policy {
        broken: Some(finding.message.clone()),
        ..Policy::new(path, &At { value: name.to_owned(), span: finding.span }, constraints)
    });
    file.found.push(finding);
}
