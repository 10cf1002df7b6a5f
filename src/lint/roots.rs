//! CA roots that have expired or soon will.

use jiff::{SignedDuration, Timestamp};

use super::Inputs;
use crate::facts::published::FACTS_PATH;
use crate::model::root::{self, Root};
use crate::model::{At, Code, Diagnostic, Span, yaml};

/// How long before its end a root is worth a warning: a rotation takes the peers' answers, an overlap of a day or more, and people's
/// time to arrange both.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) fn check(inputs: Inputs, found: &mut Vec<Diagnostic>) {
    let Inputs { federation, facts, now, .. } = inputs;
    for mesh in federation.meshes.values().filter_map(|folder| folder.mesh.as_ref()) {
        for root in &mesh.ca.roots {
            let help = "remove it from `ca.roots` if it is one of the past, else announce the next one";
            found.extend(judge(&mesh.path, root.span, root, now, help));
        }
    }
    for (mesh, facts) in facts {
        // Roots that retire are on their way out, and another has taken their place.
        for root in facts.roots.iter().filter(|root| !facts.retiring.contains_key(&root.fingerprint)) {
            let help = "announce the next root under `ca.roots` of its Mesh, so that every peer trusts it in time";
            let path = format!("published/{mesh}:{FACTS_PATH}");
            let span = inputs.texts.get(&*path).map(|text| place(&path, text, root)).unwrap_or_default();
            found.extend(judge(&path, span, root, now, help));
        }
    }
}

/// Where a root stands in the facts of its mesh.
fn place(path: &str, text: &str, root: &Root) -> Span {
    let documents = yaml::nodes(path, text).unwrap_or_default();
    let blocks = documents.iter().filter_map(|document| document.at(&["spec", "caRoots"])).flat_map(|list| list.items());
    let holds = |block: &str| root::read(block).is_ok_and(|roots| roots.iter().any(|one| one.fingerprint == root.fingerprint));
    blocks.filter_map(At::located).find(|block| holds(block.value)).map(|block| block.span).unwrap_or_default()
}

fn judge(path: &str, span: Span, root: &Root, now: Timestamp, help: &str) -> Option<Diagnostic> {
    let left = root.not_after.duration_since(now);
    if left > SOON {
        return None;
    }
    let message = if left.is_negative() {
        format!("the CA root {} has expired at {}", root.short(), root.not_after)
    } else {
        format!("the CA root {} expires in {} days, at {}", root.short(), left.as_hours() / 24, root.not_after)
    };
    Some(Diagnostic::warning(path, span, Code::Expiry, message, help))
}
