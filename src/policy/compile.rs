//! A policy or a binding as people wrote it → one that can be evaluated, with all that is wrong with it.

use super::documents::{
    Action, BindingDocument, FailurePolicy, MatchResources, Named, NotFound, ParamKind, ParamRef, PolicyDocument, ResourceRule,
    RuleOperation, ValidationSpec,
};
use super::expression::Expression;
use super::subset::Names;
use super::{Binding, Policy, Validation};
use crate::model::documents::API_VERSION;
use crate::model::{At, Code, Diagnostic, Span};

/// A binding, and the policy that it is for.
#[derive(Debug)]
pub(super) struct Bound {
    pub policy: At<String>,
    /// Or why nobody knows where it puts the policy in force.
    pub binding: Result<Binding, String>,
}

impl Policy {
    /// A policy that is in force everywhere and says nothing yet.
    pub fn new(path: &str, name: &At<String>, constraints: MatchResources) -> Self {
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
                self.error(expression.span, message, "what is evaluated stands in policies/README.md of the project");
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

pub(super) fn policy(path: &str, document: PolicyDocument, found: &mut Vec<Diagnostic>) -> Policy {
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
    let idle = |rule: &ResourceRule| {
        !rule.operations.iter().any(judged) || (rule.api_groups.iter().all(ours) && !rule.operations.iter().any(create))
    };
    let hint = "declarations are judged as CREATE, objects as CREATE and UPDATE; deletions are left to the API server";
    constraints.resource_rules.iter().all(idle).then_some(hint)
}

pub(super) fn bound(path: &str, document: BindingDocument, found: &mut Vec<Diagnostic>) -> Bound {
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
