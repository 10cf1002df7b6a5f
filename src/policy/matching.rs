//! Is an object meant? The API server's rules (Kubernetes, "Matching requests: matchConstraints"), as far as a document can tell.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Subject;
use super::documents::{MatchPolicy, MatchResources, ResourceRule, RuleOperation, Scope, Selector, SelectorOperator};
use crate::object::Kind;

/// What is done with an object, as admission sees it. Deletions are never judged here: nothing may keep what must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is not there yet. Declarations are always judged so.
    Create,
    /// It is there.
    Update,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
        }
    }
}

/// Whether a policy's or a binding's rules mean this object.
pub(super) fn matches(rules: &MatchResources, subject: &Subject) -> bool {
    let meant = |rule: &ResourceRule| rule_matches(rule, rules.match_policy, subject);
    // A binding without rules narrows nothing (API reference, `matchResources`).
    let included = rules.resource_rules.is_empty() || rules.resource_rules.iter().any(meant);
    included
        && !rules.exclude_resource_rules.iter().any(meant)
        && rules.object_selector.as_ref().is_none_or(|selector| object_selected(selector, subject))
        && rules.namespace_selector.as_ref().is_none_or(|selector| namespace_selected(selector, subject))
}

fn rule_matches(rule: &ResourceRule, policy: MatchPolicy, subject: &Subject) -> bool {
    let has = |list: &[String], value: &str| list.iter().any(|item| item == "*" || item == value);
    let operation = rule.operations.iter().any(|operation| match operation {
        RuleOperation::All => true,
        RuleOperation::Create => subject.operation == Operation::Create,
        RuleOperation::Update => subject.operation == Operation::Update,
        RuleOperation::Delete | RuleOperation::Connect => false,
    });
    let scope = match rule.scope {
        Scope::All => true,
        Scope::Cluster => subject.namespace.is_none(),
        Scope::Namespaced => subject.namespace.is_some(),
    };
    operation
        && scope
        && has(&rule.api_groups, &subject.kind.group)
        && (policy == MatchPolicy::Equivalent || has(&rule.api_versions, &subject.kind.version))
        && (rule.resource_names.is_empty() || rule.resource_names.iter().any(|name| name == subject.name))
        && rule.resources.iter().any(|resource| is_resource(resource, subject.kind))
}

/// Whether `resource` is the plural of a kind. Only the API server knows for certain, so every plural that English allows counts: too much
/// is held rather than too little.
fn is_resource(resource: &str, kind: &Kind) -> bool {
    if resource == "*" || resource == "*/*" {
        return true;
    }
    let name = kind.kind.to_lowercase();
    let ies = name.strip_suffix('y').map(|stem| format!("{stem}ies"));
    [format!("{name}s"), format!("{name}es"), name].iter().chain(&ies).any(|plural| plural == resource)
}

/// An object selector looks at the object as it will be and as it was (API reference, `objectSelector`).
fn object_selected(selector: &Selector, subject: &Subject) -> bool {
    let selected = |object: &Value| selects(selector, &labels(object));
    selected(subject.object) || subject.old.is_some_and(selected)
}

/// A Namespace selects itself; what lies in no namespace is always selected (API reference, `namespaceSelector`).
fn namespace_selected(selector: &Selector, subject: &Subject) -> bool {
    if subject.kind.group.is_empty() && &*subject.kind.kind == "Namespace" {
        return selects(selector, &labels(subject.object));
    }
    match (subject.namespace, subject.namespace_object) {
        (Some(_), Some(namespace)) => selects(selector, &labels(namespace)),
        (Some(namespace), None) => selects(selector, &BTreeMap::from([("kubernetes.io/metadata.name", namespace)])),
        (None, _) => true,
    }
}

fn labels(object: &Value) -> BTreeMap<&str, &str> {
    let map = object.pointer("/metadata/labels").and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
}

pub(super) fn selects(selector: &Selector, labels: &BTreeMap<&str, &str>) -> bool {
    let equal = selector.match_labels.iter().all(|(key, value)| labels.get(key.as_str()) == Some(&value.as_str()));
    equal
        && selector.match_expressions.iter().all(|requirement| {
            let value = labels.get(requirement.key.as_str());
            let among = || value.is_some_and(|value| requirement.values.iter().any(|other| other == value));
            match requirement.operator {
                SelectorOperator::In => among(),
                SelectorOperator::NotIn => !among(),
                SelectorOperator::Exists => value.is_some(),
                SelectorOperator::DoesNotExist => value.is_none(),
            }
        })
}

pub(super) fn selects_object(selector: &Selector, object: &Value) -> bool {
    selects(selector, &labels(object))
}
