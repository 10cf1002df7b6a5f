//! One policy and one object. Whatever goes wrong is a violation.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Value as Cel};
use serde_json::{Value, json};

use super::expression::Expression;
use super::matching::{matches, selects_object};
use super::value::cel;
use super::{Binding, Policy, Subject, Violation};
use crate::words::one_line;

/// What a policy that cannot be evaluated has against everything that it means.
pub(super) const BROKEN: &str = "it has an error itself";

/// Whether a policy means an object, as far as its rules and bindings tell.
pub(super) fn means(policy: &Policy, subject: &Subject) -> bool {
    let in_force = |binding: &Binding| binding.resources.as_ref().is_none_or(|resources| matches(resources, subject));
    matches(&policy.constraints, subject) && (policy.bindings.is_empty() || policy.bindings.iter().any(in_force))
}

/// What a policy has against an object; `None` where it does not mean it or has nothing against it.
pub(super) fn judge(policy: &Policy, subject: &Subject, meshes: &[(String, Value)]) -> Option<Violation> {
    if !matches(&policy.constraints, subject) {
        return None;
    }
    let in_force = |binding: &&Binding| binding.resources.as_ref().is_none_or(|resources| matches(resources, subject));
    let bindings: Vec<&Binding> = policy.bindings.iter().filter(in_force).collect();
    if bindings.is_empty() && !policy.bindings.is_empty() {
        return None;
    }
    // Without a binding it is in force everywhere.
    let warning = !bindings.is_empty() && !bindings.iter().any(|binding| binding.denies);
    let violation = |message: &str, warning| {
        Some(Violation { policy: policy.name.clone(), path: policy.path.clone(), message: one_line(message), warning })
    };
    if let Some(broken) = &policy.broken {
        return violation(&format!("{BROKEN}: {broken}"), warning);
    }
    if let Some(many) = [Some(subject.object), subject.old].into_iter().flatten().find_map(too_many) {
        return violation(&format!("a list of {many}; what has more than {MAX_ITEMS} entries is not judged"), warning);
    }
    let base = context(subject);
    if !policy.params {
        return evaluate(policy, &base).and_then(|message| violation(&message, warning));
    }
    let (mut warned, mut asked) = (None, false);
    for (_, mesh) in meshes {
        let chosen = |binding: &&&Binding| binding.params.as_ref().is_none_or(|selector| selects_object(selector, mesh));
        let chosen: Vec<&&Binding> = bindings.iter().filter(chosen).collect();
        if chosen.is_empty() && !bindings.is_empty() {
            continue;
        }
        asked = true;
        let mut context = base.new_inner_scope();
        context.add_variable_from_value("params", cel(mesh));
        let Some(message) = evaluate(policy, &context) else { continue };
        if chosen.is_empty() || chosen.iter().any(|binding| binding.denies) {
            return violation(&message, false);
        }
        warned = violation(&message, true);
    }
    let needed = bindings.is_empty() || bindings.iter().any(|binding| binding.needs_params);
    if !asked && needed { violation("there is no Mesh for it to ask", warning) } else { warned }
}

/// Most entries of a list or mapping in what is judged. Policies go through them, some through pairs of them, and nothing stops an
/// expression once it runs; the API server counts what it costs.
const MAX_ITEMS: usize = 1_000;

fn too_many(value: &Value) -> Option<usize> {
    let (count, found) = match value {
        Value::Array(items) => (items.len(), items.iter().find_map(too_many)),
        Value::Object(fields) => (fields.len(), fields.values().find_map(too_many)),
        _ => return None,
    };
    if count > MAX_ITEMS { Some(count) } else { found }
}

/// The first thing that does not hold.
fn evaluate(policy: &Policy, base: &Context) -> Option<String> {
    let scope = Scope { policy, base };
    let mut undecided = None;
    for (name, condition) in &policy.conditions {
        match scope.holds(condition) {
            Ok(true) => {}
            Ok(false) => return None, // one that is false outweighs those that fail
            Err(error) => undecided = Some(format!("its condition {name} cannot be evaluated: {error}")),
        }
    }
    if undecided.is_some() {
        return undecided;
    }
    for validation in &policy.validations {
        match scope.holds(&validation.expression) {
            Ok(true) => {}
            Ok(false) => {
                let words = validation.message_expression.as_ref().and_then(|message| message.text(&scope.context(message).0));
                let words = words.or_else(|| validation.message.clone());
                return Some(words.unwrap_or_else(|| format!("failed expression: {}", validation.expression.source)));
            }
            Err(error) => {
                // The usual slip: a document leaves out what it does not need.
                let ask = if error.starts_with("No such key") { "; ask with has() whether a field is there" } else { "" };
                return Some(format!("cannot be evaluated: {error}, in {}{ask}", validation.expression.source));
            }
        }
    }
    None
}

/// What an expression of a policy sees.
struct Scope<'a> {
    policy: &'a Policy,
    base: &'a Context<'a>,
}

impl Scope<'_> {
    fn holds(&self, expression: &Expression) -> Result<bool, String> {
        let (context, failed) = self.context(expression);
        expression.holds(&context).map_err(|error| match failed.first() {
            Some(cause) if error.starts_with("No such key") => cause.clone(),
            _ => error,
        })
    }

    /// The context with those variables that the expression needs. One that fails is left out: whoever uses it fails, and who does
    /// not get that far does not, as on the API server, which evaluates them when they are needed.
    fn context(&self, expression: &Expression) -> (Context<'_>, Vec<String>) {
        let mut needed: Vec<bool> = vec![false; self.policy.variables.len()];
        let mut ask = expression.variables();
        while let Some(name) = ask.pop() {
            let index = self.policy.variables.iter().position(|(other, _)| *other == name);
            if let Some(index) = index.filter(|index| !std::mem::replace(&mut needed[*index], true)) {
                ask.extend(self.policy.variables[index].1.variables());
            }
        }
        let mut known: HashMap<Key, Cel> = HashMap::new();
        let mut failed = Vec::new();
        let with = |known: &HashMap<Key, Cel>| {
            let mut context = self.base.new_inner_scope();
            context.add_variable_from_value("variables", Cel::Map(Map { map: Arc::new(known.clone()) }));
            context
        };
        for ((name, variable), _) in self.policy.variables.iter().zip(needed).filter(|(_, needed)| *needed) {
            match variable.evaluate(&with(&known)) {
                Ok(value) => {
                    known.insert(Key::String(Arc::new(name.clone())), value);
                }
                Err(error) => failed.push(format!("its variable {name} cannot be evaluated: {error}")),
            }
        }
        (with(&known), failed)
    }
}

/// `object`, `oldObject`, `namespaceObject` and `request`.
fn context(subject: &Subject) -> Context<'static> {
    let mut context = Context::default().with_all();
    let Subject { kind, namespace, name, operation, object, old, namespace_object } = subject;
    let optional = |value: Option<&Value>| value.map_or(Cel::Null, cel);
    context.add_variable_from_value("object", cel(object));
    context.add_variable_from_value("oldObject", optional(*old));
    context.add_variable_from_value("namespaceObject", optional(*namespace_object));
    let shape = json!({"group": *kind.group, "version": *kind.version, "kind": *kind.kind});
    let resource = json!({"group": *kind.group, "version": *kind.version, "resource": kind.plural()});
    let request = json!({
        "kind": shape, "requestKind": shape, "resource": resource, "requestResource": resource,
        "subResource": "", "requestSubResource": "", "dryRun": false,
        "name": name, "namespace": namespace.unwrap_or_default(), "operation": operation.name(),
    });
    context.add_variable_from_value("request", cel(&request));
    context
}
