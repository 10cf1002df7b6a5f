//! Files of `policies/` → policies, with findings that say where.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

use super::documents::{
    Action, BindingDocument, FailurePolicy, MatchResources, Named, NotFound, ParamKind, ParamRef, PolicyDocument, RuleOperation,
    ValidationSpec,
};
use super::expression::{Expression, Names};
use super::{Binding, Policies, Policy, Validation};
use crate::model::documents::API_VERSION;
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

/// A binding, and the policy that it is for.
#[derive(Debug)]
struct Bound {
    policy: At<String>,
    binding: Result<Binding, String>,
}

/// Reads the files and puts bindings to their policies.
pub(super) fn assemble(
    files: Vec<(String, File)>,
    meshes: Vec<(String, Value)>,
    ids: &[(&String, ContentId)],
    found: &mut Vec<Diagnostic>,
) -> Policies {
    let mut policies = Policies { meshes, ..Policies::default() };
    let mut bindings = Vec::new();
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
        }
    }
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
            Err(finding) if finding.message == "the file is empty" => {} // nothing but comments
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

/// Largest file of policies, in bytes, and most documents in one: each is read with blanks for all that stands before it.
const MAX_FILE: usize = 256 << 10;
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
    all.retain(|part| !text[part.clone()].trim().is_empty());
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

impl Policy {
    fn new(path: &str, name: &At<String>, constraints: MatchResources) -> Self {
        Self {
            name: name.value.clone(),
            path: path.to_owned(),
            span: name.span,
            broken: None,
            constraints,
            conditions: Vec::new(),
            variables: Vec::new(),
            validations: Vec::new(),
            params: false,
            namespaces: false,
            bindings: Vec::new(),
        }
    }
}

/// Finds all that is wrong with a policy; each thing makes it a policy that forbids what it matches.
struct Reading<'a> {
    path: &'a str,
    params: bool,
    found: Vec<Diagnostic>,
}

impl Reading<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>, help: &str) {
        self.found.push(Diagnostic::error(self.path, span, Code::Policy, message, help));
    }

    fn compile(&mut self, expression: &At<String>, variables: &[String]) -> Option<Expression> {
        match Expression::compile(expression, &Names { params: self.params, variables }) {
            Ok(compiled) => Some(compiled),
            Err(message) => {
                self.error(expression.span, message, "policies/README.md says what is evaluated");
                None
            }
        }
    }

    fn named(&mut self, list: Vec<Named>, variables: &[String]) -> Vec<(String, Expression)> {
        let compile = |Named { name, expression }| Some((name.value, self.compile(&expression, variables)?));
        list.into_iter().filter_map(compile).collect()
    }

    fn variables(&mut self, list: Vec<Named>) -> (Vec<(String, Expression)>, Vec<String>) {
        let mut all = Vec::new();
        let mut names = Vec::new();
        for Named { name, expression } in list {
            if let Some(expression) = self.compile(&expression, &names) {
                all.push((name.value.clone(), expression));
            }
            names.push(name.value);
        }
        (all, names)
    }

    fn validation(&mut self, spec: &ValidationSpec, variables: &[String]) -> Option<Validation> {
        let message_expression = match &spec.message_expression {
            Some(expression) => Some(self.compile(expression, variables)?),
            None => None,
        };
        let message = spec.message.clone();
        Some(Validation { expression: self.compile(&spec.expression, variables)?, message, message_expression })
    }
}

fn policy(path: &str, document: PolicyDocument, found: &mut Vec<Diagnostic>) -> Policy {
    let spec = document.spec;
    let mut reading = Reading { path, params: spec.param_kind.is_some(), found: Vec::new() };
    let mut policy = Policy::new(path, &document.metadata.name, spec.match_constraints.value);
    policy.params = reading.params;
    let mesh = ParamKind { api_version: API_VERSION.to_owned(), kind: "Mesh".to_owned() };
    if let Some(kind) = spec.param_kind.filter(|kind| kind.value != mesh) {
        reading.error(
            kind.span,
            format!("`{}` cannot be a parameter here", kind.kind.escape_debug()),
            "only Mesh of meshfed.dev/v1alpha1 can",
        );
    }
    if let Some(ignore) = spec.failure_policy.filter(|policy| policy.value == FailurePolicy::Ignore) {
        reading.error(
            ignore.span,
            "`failurePolicy: Ignore` is not read here",
            "what cannot be evaluated is always held; leave it out",
        );
    }
    if let Some(audit) = &spec.audit_annotations {
        reading.error(audit.span, "`auditAnnotations` need an API server's audit log", "put it into `message`");
    }
    if let Some(help) = never(&policy.constraints) {
        reading.error(spec.match_constraints.span, "this policy never judges anything", help);
    }
    if spec.validations.is_empty() {
        reading.error(document.metadata.name.span, "a policy without `validations` says nothing", "");
    }
    policy.conditions = reading.named(spec.match_conditions, &[]);
    let (variables, names) = reading.variables(spec.variables);
    policy.variables = variables;
    policy.validations = spec.validations.iter().filter_map(|spec| reading.validation(spec, &names)).collect();
    let expressions = policy.conditions.iter().chain(&policy.variables).map(|(_, expression)| expression);
    policy.namespaces = policy.constraints.namespace_selector.is_some()
        || expressions.chain(policy.validations.iter().map(|v| &v.expression)).any(|e| e.uses("namespaceObject"));
    policy.broken = reading.found.first().map(|finding| finding.message.clone());
    found.extend(reading.found);
    policy
}

/// Why constraints can match nothing: then the policy is not what its author thinks.
fn never(constraints: &MatchResources) -> Option<&'static str> {
    if constraints.resource_rules.is_empty() {
        return Some("add `resourceRules`");
    }
    let ours = |group: &String| group == "meshfed.dev";
    let create = |operation: &RuleOperation| matches!(operation, RuleOperation::Create | RuleOperation::All);
    let judged = |operation: &RuleOperation| create(operation) || *operation == RuleOperation::Update;
    let idle = |rule: &super::documents::ResourceRule| {
        !rule.operations.iter().any(judged) || (rule.api_groups.iter().all(ours) && !rule.operations.iter().any(create))
    };
    let hint = "declarations are judged as CREATE, objects as CREATE and UPDATE; deletions are left to the API server";
    constraints.resource_rules.iter().all(idle).then_some(hint)
}

fn bound(path: &str, document: BindingDocument, found: &mut Vec<Diagnostic>) -> Bound {
    let spec = document.spec;
    let refused = match &spec.param_ref {
        Some(reference) if reference.name.is_some() || reference.namespace.is_some() || reference.selector.is_none() => {
            let help = "write `paramRef: {selector: {}, parameterNotFoundAction: Deny}`";
            let message = "parameters are chosen by `selector` here";
            found.push(Diagnostic::error(path, reference.span, Code::Policy, message, help));
            Some(message.to_owned())
        }
        _ => None,
    };
    let allow = |reference: &At<ParamRef>| reference.parameter_not_found_action == Some(NotFound::Allow);
    let binding = Binding {
        denies: spec.validation_actions.contains(&Action::Deny),
        needs_params: !spec.param_ref.as_ref().is_some_and(allow),
        resources: spec.match_resources,
        params: spec.param_ref.and_then(|reference| reference.value.selector),
    };
    Bound { policy: spec.policy_name, binding: refused.map_or(Ok(binding), Err) }
}
