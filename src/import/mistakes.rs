//! What is wrong with the objects: as `check` finds it, and objects that have one name.

use std::collections::BTreeMap;

use super::compare::differences;
use super::fates::doubt;
use super::meshes::{Plane, is, namespace, text};
use super::read::Given;
use super::settle::load;
use crate::derive::kinds;
use crate::lint::{Plain, lint_objects};
use crate::model::names::closest;
use crate::model::{Code, Diagnostic, Severity, Span};
use crate::object::Key;
use crate::words::count;

/// All mistakes, at the places where they were written.
pub(super) fn find(
    objects: &[Given],
    planes: &[Plane],
    owners: &[Option<usize>],
    repository: &BTreeMap<String, String>,
) -> Vec<Diagnostic> {
    // Each mesh in a folder of its own, so that what two clusters call alike is not mixed up.
    let folder =
        |owner: &Option<usize>| owner.map(|owner| format!("meshes/{}/manifests/", planes[owner].mesh)).unwrap_or_default();
    let paths: Vec<String> = objects.iter().zip(owners).map(|(given, owner)| folder(owner) + given.path).collect();
    let back: BTreeMap<&str, &str> = paths.iter().map(String::as_str).zip(objects.iter().map(|given| given.path)).collect();
    let all: Vec<Plain> = std::iter::zip(objects, &paths)
        .map(|(given, path)| Plain { path, kind: given.kind.clone(), object: given.node.clone() })
        .collect();
    let (federation, _) = load(repository);
    let mut found = lint_objects(&federation, &all);
    for finding in &mut found {
        let at = |path: &str| back.get(path).map_or_else(|| path.to_owned(), |path| (*path).to_owned());
        finding.path = at(&finding.path);
        finding.also.iter_mut().for_each(|other| other.path = at(&other.path));
    }
    let twins = twins(objects, owners);
    found.retain(|finding| !is_about_twins(finding, objects, &twins));
    found.extend(twins.iter().filter_map(|group| told(objects, group)));
    found
}

/// Whether a finding says of objects of one name that they are about one host: that is the smaller half of it.
fn is_about_twins(finding: &Diagnostic, objects: &[Given], twins: &[Vec<usize>]) -> bool {
    let place = |i: &usize| objects[*i].node.at(&["spec", "hosts"]).map(|hosts| hosts.items()).unwrap_or_default();
    let on_host = |path: &str, span: Span, i: &usize| objects[*i].path == path && place(i).iter().any(|host| host.span == span);
    let both = |group: &Vec<usize>| {
        let mut others = finding.also.iter();
        group.iter().any(|i| on_host(&finding.path, finding.span, i))
            && others.any(|other| group.iter().any(|i| on_host(&other.path, other.span, i)))
    };
    twins.iter().any(both)
}

/// Objects of one mesh that have one name: only one of them can be there.
pub(super) fn twins(objects: &[Given], owners: &[Option<usize>]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<(Option<usize>, &Key), Vec<usize>> = BTreeMap::new();
    // Of objects that nothing assigns to a mesh nobody knows whether they are of one.
    for (i, (given, owner)) in objects.iter().zip(owners).enumerate().filter(|(_, (_, owner))| owner.is_some()) {
        groups.entry((*owner, &given.key)).or_default().push(i);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// Of several objects of one name the one that says all that the others say.
pub(super) fn widest(objects: &[Given], group: &[usize]) -> Option<usize> {
    let says_all =
        |i: &&usize| group.iter().all(|other| differences(&objects[*other].value, &objects[**i].value, &[]).is_empty());
    group.iter().find(says_all).copied()
}

fn told(objects: &[Given], group: &[usize]) -> Option<Diagnostic> {
    let (last, first) = group.split_last()?;
    let given = &objects[*last];
    let place = |given: &Given| given.node.at(&["metadata", "name"]).map_or(given.span, |name| name.span);
    let message = format!("{} objects are {}, and the one that is applied last is all that is left", group.len(), given.key);
    let finding = match widest(objects, group) {
        Some(i) => {
            let wide = &objects[i];
            let help = format!("the one in {}:{} says all that the others say", wide.path, wide.span.line);
            Diagnostic::warning(given.path, place(given), Code::Duplicate, message, help)
        }
        None => {
            let help = "keep the one that is meant, and import again";
            Diagnostic::error(given.path, place(given), Code::Duplicate, message, help)
        }
    };
    Some(first.iter().fold(finding, |finding, i| finding.also(objects[*i].path, place(&objects[*i]), "so is this one")))
}

/// Objects whose place and namespace do not tell one mesh; those of one file together. Of what is in no control plane's namespace and should be,
/// that is said already.
pub(super) fn astray(objects: &[Given], planes: &[Plane], rivals: &[Vec<usize>], found: &[Diagnostic]) -> Vec<Diagnostic> {
    let mut all: Vec<(Diagnostic, usize)> = Vec::new();
    for (given, rivals) in objects.iter().zip(rivals) {
        let span_of = |path: &[&str]| given.node.at(path).map(|node| node.span);
        let ignored = |finding: &Diagnostic| {
            finding.path == given.path
                && finding.code == Code::ByHand
                && Some(finding.span) == span_of(&["metadata", "namespace"])
        };
        let Some((message, help)) = stray(given, planes, rivals).filter(|_| !found.iter().any(ignored)) else { continue };
        let place = span_of(&["metadata", "name"]).unwrap_or(given.span);
        match all.iter_mut().find(|(first, _)| (&*first.path, &first.message, &first.help) == (given.path, &message, &help)) {
            Some((_, more)) => *more += 1,
            None => all.push((Diagnostic::warning(given.path, place, Code::OutsideMesh, message, help), 0)),
        }
    }
    for (finding, more) in all.iter_mut().filter(|(_, more)| *more > 0) {
        finding.message = format!("{}; so of {} below it", finding.message, count(*more, "object"));
    }
    all.into_iter().map(|(finding, _)| finding).collect()
}

fn stray(given: &Given, planes: &[Plane], rivals: &[usize]) -> Option<(String, String)> {
    let mesh = |i: &usize| planes[*i].mesh.as_str();
    if let [only] = rivals {
        let namespace = namespace(given).filter(|namespace| !planes[*only].has(namespace))?;
        let other = planes.iter().find(|plane| plane.has(namespace))?;
        let message = format!(
            "this stands beside the control plane of `{}`, and `{namespace}` is a namespace of `{}`",
            mesh(only),
            other.mesh
        );
        return Some((message, format!("make the namespace a member of `{}`, or move the file", mesh(only))));
    }
    let names: Vec<&str> = rivals.iter().map(mesh).collect();
    let elsewhere = |namespace: &str| !planes.iter().any(|plane| plane.has(namespace));
    let help = match (&*given.kind.kind, namespace(given)) {
        ("Subscription", _) => "a Mesh has `operators` for it, or leave it to others to apply".to_owned(),
        (_, None) => "it names no namespace: write the one into which it is applied with -n".to_owned(),
        (_, Some(namespace)) if elsewhere(namespace) => {
            format!("`{namespace}` is in no mesh here: leave it to others to apply, or give the roll that makes it a member")
        }
        _ => "give each mesh a folder of its own, or import each by itself: name only its files".to_owned(),
    };
    Some((doubt(&names), help))
}

/// Memberships in control planes that are not there.
pub(super) fn memberless(objects: &[Given], planes: &[Plane]) -> Vec<Diagnostic> {
    let told = |given: &Given| {
        let name = given.node.at(&["spec", "controlPlaneRef", "name"])?.located()?;
        let namespace = text(&given.value, "/spec/controlPlaneRef/namespace")?;
        if planes.iter().any(|plane| plane.name == *name.value && plane.namespace == namespace) {
            return None;
        }
        let names: Vec<&str> = planes.iter().map(|plane| plane.name.as_str()).collect();
        let message = format!("there is no control plane `{}` in `{}`", name.escape_debug(), namespace.escape_debug());
        Some(Diagnostic::warning(given.path, name.span, Code::ByHand, message, closest(&name, &names)))
    };
    objects.iter().filter(|given| is(given, kinds::MEMBER)).filter_map(told).collect()
}

/// Control planes that no Mesh can say, where nothing else says so of them.
pub(super) fn unsaid(
    objects: &[Given],
    planes: &[Plane],
    refused: &BTreeMap<usize, String>,
    found: &[Diagnostic],
) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    for (plane, reason) in refused {
        for given in objects.iter().filter(|given| is(given, kinds::CONTROL_PLANE) && planes[*plane].is(given)) {
            let place = given.node.at(&["metadata", "name"]).map_or(given.span, |name| name.span);
            let known = |finding: &&Diagnostic| finding.path == given.path && finding.span.line == place.line;
            if !found.iter().any(|finding| known(&finding)) {
                let message = format!("no Mesh document can say this control plane: {reason}");
                let help = "mend it and import again; of a kustomization, import what it makes: kustomize build FOLDER | meshfed import -";
                all.push(Diagnostic::error(given.path, place, Code::ByHand, message, help));
            }
        }
    }
    all
}

/// What is wrong with addresses and roots of an object that a document says: it is in no document, for the peer's agent publishes it.
pub(super) fn excuse_facts(given: &Given, found: &mut [Diagnostic]) {
    let addresses = given.node.at(&["spec", "remote", "addresses"]).map(|list| list.items()).unwrap_or_default();
    let roots = given.node.at(&["data", kinds::ROOTS_KEY]);
    let places: Vec<Span> = addresses.iter().chain(roots).map(|node| node.span).collect();
    for finding in found.iter_mut().filter(|finding| finding.path == given.path && finding.code == Code::ByHand) {
        if places.contains(&finding.span) {
            finding.severity = Severity::Warning;
            "nothing to do: it is in no document, for the peer's agent publishes its own".clone_into(&mut finding.help);
        }
    }
}

/// The finding for which the API server refuses an object.
pub(super) fn unacceptable(objects: &[Given], i: usize, found: &[Diagnostic]) -> Option<Code> {
    let given = &objects[i];
    let refusing =
        |finding: &&Diagnostic| finding.path == given.path && finding.severity == Severity::Error && finding.code == Code::Schema;
    let refusals: Vec<&Diagnostic> = found.iter().filter(refusing).collect();
    if refusals.is_empty() {
        return None; // nearly always
    }
    let later = objects.iter().filter(|other| other.path == given.path).map(|other| other.span.line);
    let end = later.filter(|line| *line > given.span.line).min().unwrap_or(u32::MAX);
    refusals.iter().find(|finding| (given.span.line..end).contains(&finding.span.line)).map(|finding| finding.code)
}
