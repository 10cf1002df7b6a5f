//! Objects in `manifests/` that other documents ask for as well. What is derived wins as soon as it can be, so the other must not stay.

use crate::derive::{Source, derived};
use crate::model::{Code, Diagnostic, Federation};

pub(super) fn check(federation: &Federation, found: &mut Vec<Diagnostic>) {
    for folder in federation.meshes.values() {
        for manifest in &folder.manifests {
            let key = &manifest.object.key;
            let Some(origin) = derived(federation, folder, key) else { continue };
            let from = origin.parts.into_iter().find_map(|part| match part.from {
                Source::Document { path, span } => Some((path, span)),
                Source::Facts(_) => None,
            });
            let (path, span): (String, _) = from.unwrap_or_default();
            let by = if path.is_empty() { "from the documents".to_owned() } else { format!("from {path}") };
            let message = format!("{key} is derived {by} too");
            let help = "remove it here; it is not applied once the other can be";
            let finding = Diagnostic::warning(&manifest.object.source, manifest.span, Code::Duplicate, message, help);
            found.push(finding.also(&path, span, "it follows from this"));
        }
    }
}
