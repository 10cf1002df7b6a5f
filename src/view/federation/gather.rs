//! How the view of a federation is put together.

use std::collections::BTreeSet;

use super::{
    EXPIRES_SOON, FederationStatus, Gathered, MeshView, PeeringView, Published, RootView, ServiceView, never_published, poorly,
};
use crate::decide::{FRESHNESS, Mode};
use crate::model::{Destination, Diagnostic, Federation, Import, Peer, ServiceName, Severity};
use crate::view::conditions;

impl FederationStatus {
    /// Puts together what Git says.
    pub fn new(gathered: Gathered) -> Self {
        let federation = gathered.federation;
        let meshes: Vec<MeshView> = federation.meshes.keys().map(|name| mesh(&gathered, name)).collect();
        let peerings: Vec<PeeringView> = pairs(federation).into_iter().map(|(a, b)| peering(&gathered, &a, &b)).collect();
        let attention = attention(&gathered, &meshes, &peerings);
        let errors = gathered.found.iter().any(|finding| finding.severity == Severity::Error);
        let degraded = errors || poorly(&meshes, &peerings);
        let Gathered { repository, branch, commit, .. } = gathered;
        let federation = federation.name.clone();
        Self { federation, repository, branch, commit, degraded, meshes, peerings, attention, live: None, leader: None }
    }
}

fn mesh(gathered: &Gathered, name: &str) -> MeshView {
    let declared = gathered.federation.mesh(name);
    let published = gathered.published.get(name);
    let nothing = Published::default();
    let Published { status, facts, behind, problems, .. } = published.unwrap_or(&nothing);
    let platform = declared.map_or_else(|| status.platform.clone(), |mesh| mesh.platform.name().to_owned());
    let root = |root: &crate::facts::Root| RootView {
        fingerprint: root.fingerprint.clone(),
        not_after: root.not_after,
        retiring: facts.retiring.contains_key(&root.fingerprint),
        announced: facts.announced.contains(&root.fingerprint),
    };
    let mut view = MeshView {
        name: name.to_owned(),
        platform,
        agent: published.map(|published| published.status.agent.version.clone()),
        mode: status.mode,
        applied: Some(status.main.applied.clone()).filter(|commit| !commit.is_empty()),
        behind: *behind,
        published_at: published.map(|published| published.at),
        silent: published.is_some_and(|published| gathered.now.duration_since(published.at) > FRESHNESS),
        objects: status.objects,
        ca_roots: facts.roots.iter().map(root).collect(),
        rotation: status.rotation.clone(),
        ingress: facts.ingress.iter().map(|(peer, endpoint)| (peer.clone(), endpoint.addresses.clone())).collect(),
        holds: status.holds.clone(),
        suspicions: status.views.lines(),
        problems: problems.iter().chain(&status.problems).cloned().collect(),
        warnings: status.warnings.clone(),
        conditions: Vec::new(),
    };
    view.conditions = conditions::of_mesh(&view, status.stuck);
    view
}

/// Pairs of meshes of which at least one declares the other, each pair once.
fn pairs(federation: &Federation) -> BTreeSet<(String, String)> {
    let halves = federation.meshes.iter().flat_map(|(mesh, folder)| folder.peers.keys().map(move |peer| (mesh, peer)));
    halves.map(|(a, b)| if a < b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }).collect()
}

fn peering(gathered: &Gathered, a: &str, b: &str) -> PeeringView {
    let imports = |of: &str, from: &str| gathered.federation.peer(of, from).is_some_and(|peer| !peer.imports.is_empty());
    let (first, second) = if imports(b, a) && !imports(a, b) { (b, a) } else { (a, b) };
    let services = [(first, second), (second, first)];
    let services: Vec<ServiceView> = services.iter().flat_map(|(to, from)| services_of(gathered, to, from)).collect();
    let why = why_not(gathered, first, second).or_else(|| why_not(gathered, second, first));
    let connected = |me: &str, peer: &str| Some(gathered.published.get(me)?.status.peerings.get(peer)?.connected);
    let suspends = |me: &str, peer: &str| {
        let mesh = gathered.federation.mesh(me).is_some_and(|mesh| mesh.suspend);
        mesh || gathered.federation.peer(me, peer).is_some_and(|half| half.suspend)
    };
    let mut view = PeeringView {
        meshes: [first.to_owned(), second.to_owned()],
        ready: why.is_none(),
        declared_by_both: [(a, b), (b, a)].iter().all(|(me, peer)| gathered.federation.peer(me, peer).is_some()),
        connected: [connected(first, second), connected(second, first)],
        suspended: suspends(first, second) || suspends(second, first),
        why: why.unwrap_or_default(),
        services,
        conditions: Vec::new(),
    };
    view.conditions = conditions::of_peering(&view);
    view
}

/// Why the half of `me` does not work; `None` if it does.
fn why_not(gathered: &Gathered, me: &str, peer: &str) -> Option<String> {
    if gathered.federation.peer(me, peer).is_none() {
        return Some(format!("{me} does not declare it, or its document has an error"));
    }
    let Some(published) = gathered.published.get(me) else { return Some(format!("the agent of {me} never published")) };
    match published.status.peerings.get(peer) {
        None => Some(format!("the agent of {me} has not taken it up yet")),
        Some(status) if status.ready => None,
        Some(status) if status.why.is_empty() => Some(format!("{me} says that it is not ready")),
        Some(status) => Some(format!("{me}: {}", status.why)),
    }
}

/// What `importer` takes from `exporter`, and what it could take and does not.
fn services_of(gathered: &Gathered, importer: &str, exporter: &str) -> Vec<ServiceView> {
    let federation = gathered.federation;
    let exports = federation.peer(exporter, importer).map(|peer| peer.exports.as_slice()).unwrap_or_default();
    let imports = federation.peer(importer, exporter).map(|peer: &Peer| peer.imports.as_slice()).unwrap_or_default();
    let own_name = |exported: &ServiceName| {
        let of = exports.iter().find(|export| export.exported_name().is_some_and(|name| **name == *exported));
        match of {
            Some(crate::model::Export::Service { service, .. }) => service.to_string(),
            _ => exported.to_string(),
        }
    };
    let mut services: Vec<ServiceView> = imports
        .iter()
        .flat_map(|import| {
            let service = import.service.as_ref().map_or("*".to_owned(), own_name);
            service_views(gathered, importer, exporter, &service, Some(import))
        })
        .collect();
    let everything = imports.iter().any(|import| import.service.is_none());
    let taken = |name: &ServiceName| imports.iter().any(|import| import.service.as_ref() == Some(name));
    for name in exports.iter().filter_map(|export| export.exported_name()).filter(|name| !everything && !taken(name)) {
        services.extend(service_views(gathered, importer, exporter, &own_name(name), None));
    }
    services
}

/// A service once for each list of weights that it is in, or once without.
fn service_views(gathered: &Gathered, to: &str, from: &str, service: &str, import: Option<&Import>) -> Vec<ServiceView> {
    let status = gathered.published.get(to).map(|published| &published.status);
    let offered = import.map(|import| import.service.as_ref().map_or("*".to_owned(), ToString::to_string));
    let imported = import.and_then(|import| import.imported_as());
    let live = status
        .and_then(|status| status.peerings.get(from))
        .is_some_and(|peering| peering.imports.iter().any(|import| Some(&import.service) == offered.as_ref() && import.live));
    let view = ServiceView {
        exporter: from.to_owned(),
        importer: to.to_owned(),
        service: service.to_owned(),
        imported_as: import.map(|import| import.imported_as().map_or("*".to_owned(), ToString::to_string)),
        live,
        when: String::new(),
        declared_weight: None,
        effective_weight: None,
        why: String::new(),
    };
    let wanted = |destination: &Destination| match destination {
        Destination::Imported { peer, service } => peer == from && Some(service) == imported,
        Destination::Local { .. } => false,
    };
    let mut views = Vec::new();
    for traffic in gathered.federation.meshes.get(to).into_iter().flat_map(|folder| folder.traffic.values()) {
        let status = status.and_then(|status| status.traffic.get(&traffic.name));
        for rule in &traffic.rules {
            let Some(route) = rule.routes.iter().find(|route| wanted(&route.to)) else { continue };
            let when = rule.when();
            let shares = status.and_then(|status| status.shares(&when)).unwrap_or_default();
            let name = imported.map(ToString::to_string).unwrap_or_default();
            let share = shares.iter().find(|share| share.to == *from && share.service == name);
            views.push(ServiceView {
                when,
                declared_weight: Some(route.weight),
                effective_weight: share.map(|share| share.effective),
                why: share.map(|share| share.why.clone()).unwrap_or_default(),
                ..view.clone()
            });
        }
    }
    if views.is_empty() { vec![view] } else { views }
}

/// What people should look at, the worst first.
fn attention(gathered: &Gathered, meshes: &[MeshView], peerings: &[PeeringView]) -> Vec<String> {
    let mut lines = Vec::new();
    let errors: Vec<&Diagnostic> = gathered.found.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if let Some(first) = errors.first() {
        let more = if errors.len() > 1 { format!(" (and {} more: meshfed check)", errors.len() - 1) } else { String::new() };
        lines.push(format!("{} has an error: {first}{more}", gathered.branch));
    }
    for mesh in meshes {
        let name = &mesh.name;
        let behind = match (&mesh.agent, mesh.behind) {
            (None, _) => {
                lines.push(never_published(name));
                continue;
            }
            (Some(_), Some(0)) => None,
            _ if mesh.rests() => None,
            (Some(_), Some(1)) => Some("is 1 commit behind".to_owned()),
            (Some(_), Some(behind)) => Some(format!("is {behind} commits behind")),
            (Some(_), None) if mesh.applied.is_none() => Some("has applied nothing yet".to_owned()),
            (Some(_), None) => Some(format!("has applied a commit that is not on {}", gathered.branch)),
        };
        if mesh.mode == Mode::Observing {
            let would = gathered.published.get(name).map_or(0, |published| published.status.would_do.len());
            lines.push(format!("{name} is only observed: its agent would make {}", crate::words::count(would, "change")));
        }
        let is = behind.as_ref().is_some_and(|behind| behind.starts_with("is "));
        let silent = mesh.silent.then(|| if is { "silent".to_owned() } else { "is silent".to_owned() });
        let states: Vec<String> = behind.into_iter().chain(silent).collect();
        if !states.is_empty() {
            lines.push(format!("{name} {}: meshfed doctor --mesh {name}", states.join(" and ")));
        }
        let soon = |root: &&RootView| !root.retiring && root.not_after.duration_since(gathered.now) < EXPIRES_SOON;
        if let Some(root) = mesh.ca_roots.iter().find(soon) {
            let until = root.not_after;
            lines.push(format!("the CA root {} of {name} expires at {until}", root.fingerprint.get(..11).unwrap_or_default()));
        }
        let own = format!("{name}: ");
        // The table of peerings has the cause of a weight that is not as declared.
        let moved = peerings.iter().flat_map(|peering| &peering.services).filter(|service| service.importer == *name);
        let causes: Vec<&str> = moved.map(|service| service.why.as_str()).filter(|why| !why.is_empty()).collect();
        let told =
            |hold: &&String| hold.starts_with("VirtualService/") && causes.iter().any(|why| hold.ends_with(&format!(": {why}")));
        let holds = mesh.holds.iter().filter(|hold| !told(hold));
        // What is about the mesh itself begins with its name already.
        lines.extend(
            mesh.suspicions
                .iter()
                .chain(&mesh.problems)
                .chain(holds)
                .chain(&mesh.warnings)
                .map(|line| format!("{own}{}", line.strip_prefix(&own).unwrap_or(line))),
        );
    }
    for peering in peerings {
        // What the table shows: of a peering that is not ready its own cause, else that of the service.
        let told = |service: &&ServiceView| peering.why.is_empty() || peering.why.contains(&service.why);
        for service in peering.services.iter().filter(|service| !told(service)) {
            let imported = service.imported_as.as_deref().unwrap_or_default();
            let when = if service.when.is_empty() { String::new() } else { format!(" where {}", service.when) };
            lines.push(format!("{}: {imported} gets less than declared{when}: {}", service.importer, service.why));
        }
    }
    for (mesh, published) in gathered.published.iter().filter(|(mesh, _)| !gathered.federation.meshes.contains_key(*mesh)) {
        match published.status.mode {
            Mode::Left => {}
            Mode::Leaving => {
                let holds = &published.status.holds;
                let waits = holds.first().map(|hold| format!(": {hold}")).unwrap_or_default();
                lines
                    .push(format!("{mesh} is leaving, {} to go{waits}", crate::words::count(published.status.objects, "object")));
            }
            _ => lines.push(format!("published/{mesh} is there, but {} has no folder meshes/{mesh}", gathered.branch)),
        }
    }
    lines
}
