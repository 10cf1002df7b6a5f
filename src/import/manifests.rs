//! Objects that stay as they are: their texts, in files under `manifests/` that are called as those that they come from.

use std::collections::BTreeMap;

use super::meshes::Plane;
use super::read::{Given, Text};

/// Why an object cannot be in the mesh's `manifests/`; `None` where it can.
pub(super) fn refusal(given: &Given, plane: &Plane) -> Option<String> {
    if let Text::Never(reason) = &given.text {
        return Some(reason.clone());
    }
    match given.key.namespace.as_deref() {
        Some(namespace) if plane.has(namespace) => None,
        Some(namespace) => {
            Some(format!("`{namespace}` is no namespace of {}: neither its control plane's nor a member", plane.mesh))
        }
        None if &*given.key.kind == "Namespace" && plane.has(&given.key.name) => None,
        None => Some(
            "it names no namespace; what is applied with -n, or belongs to the whole cluster, is for others to apply".to_owned(),
        ),
    }
}

/// Path of the file for each of these objects of one mesh.
pub(super) fn paths(mesh: &str, objects: &[&Given]) -> Vec<String> {
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
        format!("meshes/{mesh}/manifests/{}", fitting(below, alone))
    };
    objects.iter().map(path).collect()
}

/// A path that is read in a repository: YAML, and no part of it hidden. Several documents are no JSON any more.
fn fitting(path: &str, alone: bool) -> String {
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
        Text::Original(text) => *text,
        _ => {
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
