//! Findings about one half of a peering: does the peer exist, is each export ours to give, does the peer offer each import?

use std::collections::BTreeSet;

use super::{Found, members, twice};
use crate::model::at::{At, Span};
use crate::model::code::Code;
use crate::model::diagnostic::Diagnostic;
use crate::model::federation::{Export, Federation, Mesh, Peer, ServiceName};
use crate::model::names::{self, MAX_NAMED};
use crate::words;

pub(super) fn check(federation: &Federation, name: &str, mesh: &Mesh, peer: &Peer, found: &mut Found) {
    peering(federation, name, mesh, peer, found);
    exports(mesh, peer, found);
    imports(federation, name, mesh, peer, found);
}

fn peering(federation: &Federation, name: &str, mesh: &Mesh, peer: &Peer, found: &mut Found) {
    // A folder without its mesh.yaml is reported there, and a name that is not that of the file here.
    if !federation.meshes.contains_key(&*peer.name.value) && peer.path.ends_with(&format!("/{}.yaml", *peer.name)) {
        let mut meshes = federation.meshes.iter().filter_map(|(folder, of)| Some((folder, of.mesh.as_ref()?)));
        if let Some((folder, called)) = meshes.find(|(_, mesh)| mesh.name == *peer.name.value) {
            let message = format!("the folder of the mesh `{}` is called `{folder}`", *peer.name);
            let finding = Diagnostic::error(&peer.path, peer.name.span, Code::Dangling, message, "rename the folder");
            found.push(finding.also(&called.path, called.name_span, "called otherwise"));
            return;
        }
        let message = format!("there is no mesh `{}`", *peer.name);
        let others = federation.meshes.iter().filter(|(other, folder)| *other != name && folder.mesh.is_some());
        let help = names::closest(&peer.name, &others.map(|(other, _)| other).collect::<Vec<_>>());
        found.push(Diagnostic::error(&peer.path, peer.name.span, Code::Dangling, message, help));
    }
    if mesh.cluster.as_deref() == Some(&**peer.name) {
        let message = format!("peer `{}` has the name of this mesh's own cluster", *peer.name);
        found.push(Diagnostic::error(
            &peer.path,
            peer.name.span,
            Code::BadName,
            message,
            "the control plane refuses it; rename one",
        ));
    }
}

fn exports(mesh: &Mesh, peer: &Peer, found: &mut Found) {
    let mut here = Vec::new();
    let mut exported = Vec::new();
    for export in &peer.exports {
        match export {
            Export::Service { service, alias } => {
                outside(mesh, peer, &service.namespace, service.span, found);
                here.push(service);
                exported.push(alias.as_ref().unwrap_or(service));
            }
            Export::Selector { namespace, aliases, .. } => {
                outside(mesh, peer, namespace, namespace.span, found);
                for (service, alias) in aliases {
                    if service.namespace != **namespace {
                        let message = format!("the selector looks in `{}`, so `{}` is never found", **namespace, **service);
                        found.push(Diagnostic::error(&peer.path, service.span, Code::Dangling, message, ""));
                    }
                    here.push(service);
                    exported.push(alias);
                }
            }
        }
    }
    twice(here.into_iter().map(|service| (&service.value, service.span)), |service, first, second| {
        let message = format!("`{service}` is already exported in line {}", first.line);
        let help = "a service has one exported name for each peer";
        let finding = Diagnostic::error(&peer.path, second, Code::Duplicate, message, help);
        found.push(finding.also(&peer.path, *first, "exported here"));
    });
    twice(exported.into_iter().map(|name| (&name.value, name.span)), |name, first, second| {
        let message = format!("`{name}` is already the exported name of the service in line {}", first.line);
        found.push(another_name(peer, second, message).also(&peer.path, *first, "first here"));
    });
}

fn another_name(peer: &Peer, span: Span, message: String) -> Diagnostic {
    Diagnostic::error(&peer.path, span, Code::Duplicate, message, "give one of them another name with `as`")
}

/// What a half of a peering offers, for people.
fn exports_of(offered: &BTreeSet<&ServiceName>) -> String {
    let names: Vec<String> = offered.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() { "exports nothing".into() } else { format!("exports {}", words::some(&names, MAX_NAMED)) }
}

/// The control plane exports only what members hold.
fn outside(mesh: &Mesh, peer: &Peer, namespace: &str, span: Span, found: &mut Found) {
    if mesh.members.iter().any(|member| member == namespace) {
        return;
    }
    let message = format!("namespace `{namespace}` is no member of `{}`", mesh.name);
    found.push(Diagnostic::error(&peer.path, span, Code::OutsideMesh, message, members(mesh)));
}

fn imports(federation: &Federation, me: &str, mesh: &Mesh, peer: &Peer, found: &mut Found) {
    let mut again = BTreeSet::new();
    twice(peer.imports.iter().map(|import| (&import.service.value, import.service.span)), |service, first, second| {
        again.insert(second);
        let name = service.as_ref().map_or("*".to_owned(), ToString::to_string);
        let message = format!("`{name}` is already imported in line {}", first.line);
        let help = "a service is imported under one name";
        let finding = Diagnostic::error(&peer.path, second, Code::Duplicate, message, help);
        found.push(finding.also(&peer.path, *first, "imported here"));
    });
    let once = peer.imports.iter().filter(|import| !again.contains(&import.service.span));
    let local = once.filter_map(|import| Some((import.imported_as()?, import.service.span)));
    twice(local, |name, first, second| {
        let message = format!("`{name}` is already the name of the import in line {}", first.line);
        found.push(another_name(peer, second, message).also(&peer.path, *first, "first here"));
    });
    for import in peer.imports.iter().filter(|import| import.as_local) {
        let outside = import.imported_as().filter(|name| !mesh.members.contains(&name.namespace));
        if let Some(name) = outside {
            let message = format!("`{name}` is in a namespace that is no member of `{}`", mesh.name);
            found.push(Diagnostic::error(
                &peer.path,
                import.service.span,
                Code::OutsideMesh,
                message,
                "`asLocal` joins a Service of this mesh",
            ));
        }
    }
    let Some(theirs) = federation.peer(&peer.name, me).filter(|theirs| !federation.is_broken(&theirs.path)) else { return };
    let Some(offered) = offered(theirs) else { return };
    for import in &peer.imports {
        if let At { value: Some(service), span } = &import.service
            && !offered.contains(service)
        {
            let message = format!("`{}` does not export `{service}` to `{me}`", *peer.name);
            let taken = |name: &ServiceName| peer.imports.iter().any(|import| import.service.as_ref() == Some(name));
            let free: Vec<String> = offered.iter().filter(|name| !taken(name)).map(ToString::to_string).collect();
            let free: Vec<&str> = free.iter().map(String::as_str).collect();
            let help = match names::similar(&service.to_string(), &free) {
                Some(meant) => format!("did you mean `{meant}`? An import waits until the peer exports it"),
                None => "an import waits until the peer exports it under this name".to_owned(),
            };
            let finding = Diagnostic::warning(&peer.path, *span, Code::NotExported, message, help);
            found.push(finding.also(&theirs.path, theirs.name.span, exports_of(&offered)));
        }
    }
}

/// The exported names of a peer's half; `None` where a selector decides in the cluster.
pub fn offered(half: &Peer) -> Option<BTreeSet<&ServiceName>> {
    half.exports.iter().map(|export| export.exported_name().map(|name| &name.value)).collect()
}
