//! Values that somebody meant to fill in, wherever they stand in an object of a federation.

use serde_json::Value;

use super::Scene;
use crate::derive::kinds;
use crate::lint::Plain;
use crate::model::{At, Diagnostic, Node, Span, has_variable};

/// How what is said of a gap ends.
pub(super) const GAP: &str = "was never filled in";

pub(super) fn check(scene: &Scene, found: &mut Vec<Diagnostic>) {
    let all = [
        kinds::CONTROL_PLANE,
        kinds::MEMBER_ROLL,
        kinds::MEMBER,
        kinds::PEER,
        kinds::EXPORTED,
        kinds::IMPORTED,
        kinds::VIRTUAL_SERVICE,
        kinds::DESTINATION_RULE,
    ];
    for plain in all.into_iter().flat_map(|kind| scene.of(kind)) {
        look(plain, &plain.object, found);
    }
}

fn look(plain: &Plain, node: &At<Node>, found: &mut Vec<Diagnostic>) {
    match &node.value {
        Node::Scalar(Value::String(text)) => tell(plain, text, node.span, found),
        Node::Scalar(_) => {}
        Node::List(items) => items.iter().for_each(|item| look(plain, item, found)),
        Node::Map(fields) => {
            for (name, value) in fields {
                tell(plain, name, name.span, found);
                look(plain, value, found);
            }
        }
    }
}

/// Says it once: what else is wrong with such a value is gone once it is filled in.
fn tell(plain: &Plain, text: &str, span: Span, found: &mut Vec<Diagnostic>) {
    if is_gap(text) {
        if found.iter().any(|finding| finding.path == plain.path && finding.span == span && finding.message.ends_with(GAP)) {
            return;
        }
        found.retain(|finding| finding.path != plain.path || finding.span != span);
        let message = format!("`{}` {GAP}", text.escape_debug());
        found.push(plain.error(span, message, "write the value, or use what fills it in: envsubst, kustomize, helm template"));
    }
}

/// Less than [`crate::model::is_placeholder`] takes for one: here the text may be anything.
pub(super) fn is_gap(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let marked = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).is_some_and(|name| !name.is_empty());
    marked
        || (text.contains("{{") && text.contains("}}"))
        || (text.contains("${") && text.contains('}'))
        || has_variable(text)
        || ["CHANGEME", "CHANGE_ME", "CHANGE-ME", "REPLACEME", "REPLACE_ME", "REPLACE-ME"].iter().any(|sign| upper.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_from_values() {
        for gap in ["<ARO_DOMAIN>", "${EGRESS}-x", "{{ .Values.ns }}", "change-me.local", "$MESH.local"] {
            assert!(is_gap(gap), "{gap}");
        }
        for value in ["", "<", "a<b", "/$1", "end$", "^(.*?;)?(user=jason)(;.*)?$", "*.example.com"] {
            assert!(!is_gap(value), "{value}");
        }
    }
}
