//! Objects that stay as they are: their texts, in files under `manifests/` that are called as those that they come from.

use std::collections::BTreeMap;

use super::meshes::{Plane, namespace};
use super::read::{Given, Text};
use crate::model::{NOT_APPLIED, UNASSIGNED};

/// Why an agent refuses an object in its mesh's `manifests/`; `None` where it applies it.
pub(super) fn refusal(given: &Given, plane: &Plane) -> Option<String> {
    if matches!(given.text, Text::Template(_)) {
        return Some("it is a template, and no YAML until it is filled in (MF001)".to_owned());
    }
    match namespace(given) {
        Some(namespace) if plane.has(namespace) => None,
        Some(namespace) => Some(format!(
            "the agent refuses it (MF010): `{namespace}` is no namespace of {}, neither its control plane's nor a member",
            plane.mesh
        )),
        None => Some(
            "the agent refuses it (MF010): it names no namespace. Write the one into which it is applied with -n; what \
             belongs to the whole cluster is for others to apply"
                .to_owned(),
        ),
    }
}

/// Where objects of one mesh go, or those that nothing assigns to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Folder<'a> {
    Applied(&'a str),
    NotApplied(&'a str),
    Unassigned,
}

impl Folder<'_> {
    fn path(self) -> String {
        match self {
            Self::Applied(mesh) => format!("meshes/{mesh}/manifests"),
            Self::NotApplied(mesh) => format!("meshes/{mesh}/{NOT_APPLIED}"),
            Self::Unassigned => UNASSIGNED.to_owned(),
        }
    }
}

/// Path of the file for each of these objects.
pub(super) fn paths(to: Folder, objects: &[&Given]) -> Vec<String> {
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
    let mut common: Option<String> = None;
    for object in objects {
        let own = folder(object.path);
        common = Some(match common {
            None => own,
            Some(common) => {
                let same = common.split('/').zip(own.split('/')).take_while(|(a, b)| a == b).map(|(a, _)| a);
                same.collect::<Vec<_>>().join("/")
            }
        });
    }
    let common = common.unwrap_or_default();
    let mut number: BTreeMap<&str, usize> = BTreeMap::new();
    objects.iter().for_each(|object| *number.entry(object.path).or_default() += 1);
    let path = |object: &&Given| {
        let below = object.path.strip_prefix(&common).unwrap_or(object.path).trim_start_matches('/');
        let alone = number.get(object.path) == Some(&1) && object.text != Text::Anew;
        format!("{}/{}", to.path(), fitting(below, alone))
    };
    objects.iter().map(path).collect()
}

/// Path for what cannot be read, beside objects that no mesh is known of.
pub(super) fn unread(path: &str, taken: impl Fn(&str) -> bool) -> String {
    let own = format!("{UNASSIGNED}/{}", fitting(path, true));
    // What can be read must stay readable.
    if taken(&own) { format!("{UNASSIGNED}/unread/{}", fitting(path, true)) } else { own }
}

/// Characters that no file may have in its name where somebody clones the repository on Windows ("Naming Files, Paths, and Namespaces").
const NOT_IN_NAMES: [char; 8] = ['<', '>', ':', '"', '\\', '|', '?', '*'];

/// A path that is read in a repository, and wherever it is cloned: YAML, and no part of it hidden. Several documents are no JSON any more.
fn fitting(path: &str, alone: bool) -> String {
    let path = path.replace(|c: char| c.is_control() || NOT_IN_NAMES.contains(&c), "-");
    let parts = path.split('/').filter(|part| !["", ".", ".."].contains(part));
    let shown = |part: &str| {
        let hidden = part.starts_with('.') || part.to_ascii_lowercase().starts_with("readme");
        if hidden { format!("from-{}", part.trim_start_matches('.')) } else { part.to_owned() }
    };
    let path = parts.map(shown).collect::<Vec<_>>().join("/");
    match path.rsplit_once('.') {
        Some((_, "yaml" | "yml")) => path,
        Some((_, "json")) if alone => path,
        Some((stem, "json")) => format!("{stem}.yaml"),
        _ if path.is_empty() || path == "-" => "stdin.yaml".to_owned(),
        _ => format!("{path}.yaml"),
    }
}

/// Adds an object to a file.
pub(super) fn add(file: &mut String, given: &Given) {
    let anew;
    let text = match &given.text {
        // Several objects of one template are one text.
        Text::Template(text) if file.contains(text) => return,
        Text::Original(text) | Text::Template(text) => *text,
        Text::Anew | Text::Secret => {
            anew = serde_saphyr::to_string(&given.value).unwrap_or_default();
            &anew
        }
    };
    if !file.is_empty() {
        if !file.ends_with('\n') {
            file.push('\n');
        }
        file.push_str("---\n");
    }
    file.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_that_a_repository_reads() {
        assert_eq!(fitting("../a/.b/README.json", true), "a/from-b/from-README.json");
        assert_eq!(fitting("C:\\a\"b?.yaml", true), "C--a-b-.yaml");
        assert_eq!((fitting("-", true), fitting("a.json", false)), ("stdin.yaml".to_owned(), "a.yaml".to_owned()));
    }
}
