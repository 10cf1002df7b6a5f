//! Documents that nobody can read: what was meant is not known, and so it is kept as it is.

use std::collections::BTreeMap;

use super::read::Unread;
use super::{Fate, NO_OBJECT, Object, manifests};

/// Puts them into files beside those that are there, and tells which is where.
pub(super) fn keep(
    unread: &[Unread],
    fates: &[Fate],
    repository: &BTreeMap<String, String>,
    files: &mut BTreeMap<String, String>,
    beside: &mut Vec<String>,
) -> Vec<Object> {
    let taken = |to: &str| fates.iter().any(|fate| matches!(fate, Fate::NotApplied { path, .. } if path == to));
    let mut added: BTreeMap<String, String> = BTreeMap::new();
    let mut told = Vec::new();
    for Unread { path, span, text } in unread {
        let fate = match text {
            Some(text) => {
                let to = manifests::unread(path, taken);
                add(added.entry(to.clone()).or_default(), text);
                Fate::NotApplied { path: to, reason: "it cannot be read (MF001): mend it, and import it again".to_owned() }
            }
            None => Fate::LeftOut { reason: "it cannot be read (MF001), and may hold a secret".to_owned() },
        };
        told.push(Object { name: NO_OBJECT.to_owned(), path: (*path).to_owned(), span: *span, mesh: String::new(), fate });
    }
    beside.retain(|path| !added.contains_key(path));
    files.extend(added.into_iter().filter(|(path, text)| repository.get(path) != Some(text)));
    told
}

fn add(file: &mut String, text: &str) {
    if !file.is_empty() {
        file.push_str(if file.ends_with('\n') { "---\n" } else { "\n---\n" });
    }
    file.push_str(text);
}
