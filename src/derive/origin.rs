//! What each part of an object follows from: the places in documents, and the facts of a peer.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Inputs, Observed, exported_services, imported_services, kinds, virtual_service};
use crate::model::{Destination, Export, Federation, Import, Mesh, MeshFolder, Peer, Route, Rule, Span, Traffic};
use crate::object::{Key, Object};

/// Why an object is derived, and from what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The rule in words.
    pub rule: &'static str,
    /// Its parts, in the order of its fields.
    pub parts: Vec<Part>,
}

/// A field, and what it follows from. A field may follow from several things; it stands here once for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Path of the field, `spec.remote.addresses`; `*` for the whole object.
    pub field: String,
    /// What is taken from there.
    pub what: String,
    /// From where.
    pub from: Source,
}

/// Where something comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A document on `main`; its whole where the line is 0.
    Document {
        /// Path.
        path: String,
        /// Place in it.
        span: Span,
    },
    /// What the agent of this mesh published.
    Facts(String),
}

/// What an object of the mesh `me` follows from, whether it is derived already or waits. `None` for one that nothing declares. Of one that
/// is derived, the parts are those that it has: what waits has none.
pub fn origin(federation: &Federation, me: &str, key: &Key, object: Option<&Object>) -> Option<Origin> {
    let folder = federation.meshes.get(me)?;
    let value = object.map(Object::value);
    let value = value.as_ref();
    let manifest = || folder.manifests.iter().find(|manifest| manifest.object.key == *key);
    if let Some(manifest) = manifest().filter(|_| derived(federation, folder, key).is_none()) {
        let from = Source::Document { path: manifest.object.source.to_string(), span: manifest.span };
        let parts = vec![Part { field: "*".into(), what: "the object as it stands there".into(), from }];
        return Some(Origin { rule: "an object of manifests/ is applied as it is", parts });
    }
    found(federation, folder, key, value)
}

/// What an object follows from that documents other than those of `manifests/` ask for, now or once their facts are there.
pub fn derived(federation: &Federation, folder: &MeshFolder, key: &Key) -> Option<Origin> {
    found(federation, folder, key, None)
}

fn found(federation: &Federation, folder: &MeshFolder, key: &Key, object: Option<&Value>) -> Option<Origin> {
    let mesh = folder.mesh.as_ref()?;
    let is = |of: (&str, &str)| kinds::kind(of).kind == key.kind && kinds::kind(of).group == key.group;
    let traffic = || {
        let mut all = folder.traffic.values();
        all.find(|traffic| *traffic.name == *key.name && Some(&*traffic.service.namespace) == key.namespace.as_deref())
    };
    let peer = |name: &str| folder.peers.get(name).map(|ours| Half { federation, mesh, ours, name: name.to_owned(), object });
    if is(kinds::CONTROL_PLANE) && *key.name == *mesh.control_plane {
        return Some(control_plane(mesh, folder));
    }
    if is(kinds::CONFIG_MAP) {
        let name = folder.peers.keys().find(|name| kinds::roots_name(name) == *key.name)?;
        return peer(name).map(|half| half.roots());
    }
    if is(kinds::PEER) {
        return peer(&key.name).map(|half| half.peer());
    }
    // A Peer that says nothing of services leaves them to a set in `manifests/`.
    let by_hand = || folder.manifests.iter().any(|manifest| manifest.object.key == *key);
    if is(kinds::EXPORTED) {
        return peer(&key.name).filter(|half| !half.ours.exports.is_empty() || !by_hand()).map(|half| half.exports());
    }
    if is(kinds::IMPORTED) {
        return peer(&key.name).filter(|half| !half.ours.imports.is_empty() || !by_hand()).map(|half| half.imports());
    }
    if is(kinds::VIRTUAL_SERVICE) {
        let routed = traffic().filter(|traffic| !traffic.rules.is_empty());
        return routed.map(|traffic| Routed { federation, folder, mesh, traffic, object }.origin());
    }
    if is(kinds::DESTINATION_RULE) {
        return traffic().filter(|traffic| traffic.has_policy()).map(destination_rule);
    }
    let whole = |rule, what: String| Origin { rule, parts: vec![of_document("*", what, &mesh.path, Span::default())] };
    if is(kinds::MEMBER) && mesh.members.iter().any(|member| Some(member.as_str()) == key.namespace.as_deref()) {
        let what = format!("members: {}", key.namespace.as_deref().unwrap_or_default());
        return Some(whole("each member namespace has a ServiceMeshMember", what));
    }
    if is(kinds::NAMESPACE) && mesh.create_namespaces && mesh.namespaces().any(|name| name == &*key.name) {
        return Some(whole("createNamespaces: the control plane's and the members' namespaces are made", key.name.to_string()));
    }
    let operator = mesh.operators.iter().any(|operator| *operator.name == *key.name);
    (is(kinds::SUBSCRIPTION) && operator)
        .then(|| whole("operators: each is ensured by an OLM Subscription", key.name.to_string()))
}

fn of_document(field: impl Into<String>, what: impl Into<String>, path: &str, span: Span) -> Part {
    Part { field: field.into(), what: what.into(), from: Source::Document { path: path.to_owned(), span } }
}

fn control_plane(mesh: &Mesh, folder: &MeshFolder) -> Origin {
    let mut parts = Vec::new();
    for peer in folder.peers.values().filter(|peer| !peer.suspend) {
        let gateway = |side: &str, name: &str| {
            let field = format!("spec.gateways.{side}.{name}");
            of_document(field, format!("gateway for {}", *peer.name), &peer.path, peer.name.span)
        };
        parts.extend([gateway("additionalIngress", &peer.ingress), gateway("additionalEgress", &peer.egress)]);
    }
    let domain = format!("trust domain {}", *mesh.trust_domain);
    parts.push(of_document("spec.security.trust.domain", domain, &mesh.path, mesh.trust_domain.span));
    if mesh.base.is_some() {
        parts.push(of_document("*", "all other fields: controlPlane.base", &mesh.path, Span::default()));
    }
    Origin { rule: "the control plane has one ingress and one egress gateway for each peer, and the mesh's trust domain", parts }
}

/// One half of a peering, with what is known of the other.
struct Half<'a> {
    federation: &'a Federation,
    mesh: &'a Mesh,
    ours: &'a Peer,
    name: String,
    object: Option<&'a Value>,
}

impl Half<'_> {
    fn ours(&self, field: &str, what: impl Into<String>) -> Part {
        of_document(field, what, &self.ours.path, self.ours.name.span)
    }

    fn facts(&self, field: &str, what: &str) -> Part {
        Part { field: field.into(), what: what.into(), from: Source::Facts(self.name.clone()) }
    }

    /// The peer's half.
    fn theirs(&self) -> Option<&Peer> {
        self.federation.peer(&self.name, &self.mesh.name)
    }

    fn roots(&self) -> Origin {
        let parts = vec![
            self.ours("*", format!("the peering with {}", self.name)),
            self.facts(&format!("data.{}", kinds::ROOTS_KEY), "CA roots"),
        ];
        Origin { rule: "the control plane reads the CA roots of a peer from this ConfigMap", parts }
    }

    fn peer(&self) -> Origin {
        let mut parts = vec![
            self.facts(&format!("metadata.annotations.{}", super::ROOTS_ANNOTATION), "CA roots"),
            self.ours("metadata.name", format!("the peering with {}", self.name)),
            self.facts("spec.remote", "ingress address"),
            self.ours("spec.gateways.ingress.name", &self.ours.ingress),
            self.ours("spec.gateways.egress.name", &self.ours.egress),
        ];
        if let Some(mesh) = self.federation.mesh(&self.name) {
            let domain = format!("trust domain {}", *mesh.trust_domain);
            parts.push(of_document("spec.security.trustDomain", &domain, &mesh.path, mesh.trust_domain.span));
            // What moves it without the trust domain moving too comes first.
            if let Some(theirs) = self.theirs() {
                let what = format!("egress {}", theirs.egress);
                parts.push(of_document("spec.security.clientID", what, &theirs.path, theirs.name.span));
            }
            parts.push(of_document("spec.security.clientID", domain, &mesh.path, mesh.trust_domain.span));
        }
        Origin { rule: "each peering that both sides declare has a ServiceMeshPeer, once the peer's CA roots are known", parts }
    }

    /// Where a rule stands in the object; where it will stand as far as documents tell, if the object is not derived.
    fn place(&self, list: &str, declared: usize, rule: impl Fn() -> Value) -> Option<usize> {
        let Some(object) = self.object else { return Some(declared) };
        let rule = rule();
        object.pointer(list)?.as_array()?.iter().position(|other| *other == rule)
    }

    fn exports(&self) -> Origin {
        let rule = |(number, export): (usize, &Export)| {
            let number = self.place("/spec/exportRules", number, || exported_services::rule(export))?;
            let (what, span) = match export {
                Export::Service { service, .. } => (service.to_string(), service.span),
                Export::Selector { namespace, .. } => (format!("services of {}", **namespace), namespace.span),
            };
            Some(of_document(format!("spec.exportRules[{number}]"), what, &self.ours.path, span))
        };
        let parts = self.ours.exports.iter().enumerate().filter_map(rule).collect();
        Origin { rule: "what a Peer document exports is what the peer may use", parts }
    }

    fn imports(&self) -> Origin {
        let offered =
            |name| self.theirs()?.exports.iter().find_map(|export| export.exported_name().filter(|other| ***other == name));
        let mut parts = Vec::new();
        let place = |number, import: &Import| self.place("/spec/importRules", number, || imported_services::rule(import));
        for (number, import) in self.ours.imports.iter().enumerate() {
            let Some(number) = place(number, import) else { continue };
            let field = format!("spec.importRules[{number}]");
            let what = import.service.as_ref().map_or("everything".to_owned(), ToString::to_string);
            parts.push(of_document(&field, what, &self.ours.path, import.service.span));
            let theirs = import.service.value.clone().and_then(offered).zip(self.theirs());
            parts.extend(
                theirs.map(|(export, half)| of_document(field, format!("exported as {}", **export), &half.path, export.span)),
            );
        }
        if self.ours.locality.is_some() {
            parts.push(self.ours("spec.locality", "locality"));
        }
        Origin { rule: "what a Peer document imports is taken, once the peer exports it", parts }
    }
}

/// A Traffic, and the VirtualService that follows from it.
struct Routed<'a> {
    federation: &'a Federation,
    folder: &'a MeshFolder,
    mesh: &'a Mesh,
    traffic: &'a Traffic,
    object: Option<&'a Value>,
}

impl Routed<'_> {
    fn origin(&self) -> Origin {
        let Self { folder, traffic, .. } = self;
        let mut parts = vec![of_document("spec.hosts", traffic.service.to_string(), &traffic.path, traffic.service.span)];
        for (number, rule) in traffic.rules.iter().enumerate() {
            for (place, route) in rule.routes.iter().enumerate() {
                let Some((field, weight)) = self.place((number, rule), (place, route)) else { continue };
                let what = match &route.to {
                    Destination::Local { subset } => format!("local {} {weight}", subset.as_deref().unwrap_or_default()),
                    Destination::Imported { peer, service } => format!("{peer} {service} {weight}"),
                };
                parts.push(of_document(&field, what.replace("  ", " "), &traffic.path, route.span));
                let Destination::Imported { peer, service } = &route.to else { continue };
                let imports =
                    folder.peers.get(peer).into_iter().flat_map(|half| half.imports.iter().map(move |import| (half, import)));
                let import = imports.into_iter().find(|(_, import)| import.imported_as() == Some(service));
                parts.extend(import.map(|(half, import)| of_document(field, "imported", &half.path, import.service.span)));
            }
        }
        if let Some(mirror) = traffic.mirror.as_ref().filter(|_| self.mirrors()) {
            parts.push(of_document("spec.http[*].mirror", format!("{} %", mirror.percentage), &traffic.path, mirror.span));
        }
        Origin {
            rule: "a Traffic routes the requests for its service; weight flows to a peer while its import is live and its watch fresh",
            parts,
        }
    }

    /// The field of a route and its weight, for people; `None` where the object has no such route.
    fn place(&self, (number, rule): (usize, &Rule), (place, route): (usize, &Route)) -> Option<(String, String)> {
        let field = |number, place| format!("spec.http[{number}].route[{place}]");
        let Some(object) = self.object else { return Some((field(number, place), format!("{} %", route.weight))) };
        let when = rule.when.as_ref().map(virtual_service::matches);
        let lists = object.pointer("/spec/http")?.as_array()?;
        let (number, list) = lists.iter().enumerate().find(|(_, list)| list.get("match") == when.as_ref())?;
        let (facts, observed) = (BTreeMap::new(), Observed::default());
        let inputs = Inputs { federation: self.federation, me: &self.mesh.name, facts: &facts, observed: &observed };
        let to = virtual_service::destination(self.traffic, inputs, &route.to);
        let mut routes = list.get("route")?.as_array()?.iter().enumerate();
        let (place, found) = routes.find(|(_, other)| other.get("destination") == Some(&to))?;
        let weight = match found.get("weight").and_then(Value::as_u64) {
            Some(weight) if weight != u64::from(route.weight) => format!("{} % (in effect {weight} %)", route.weight),
            _ => format!("{} %", route.weight),
        };
        Some((field(number, place), weight))
    }

    fn mirrors(&self) -> bool {
        let mirrored = |object: &Value| object.pointer("/spec/http/0/mirror").is_some(); // all entries have it, or none
        self.object.is_none_or(mirrored)
    }
}

fn destination_rule(traffic: &Traffic) -> Origin {
    let mut parts = vec![of_document("spec.host", traffic.service.to_string(), &traffic.path, traffic.service.span)];
    let spans = |name: &String| {
        let named = |to: &Destination| matches!(to, Destination::Local { subset: Some(subset) } if subset == name);
        traffic.destinations().find(|(to, ..)| named(to)).map(|(_, span, _)| span).unwrap_or_default()
    };
    parts.extend(
        traffic.subsets.keys().map(|name| of_document("spec.subsets", format!("subset {name}"), &traffic.path, spans(name))),
    );
    if traffic.outlier_detection.is_some() {
        parts.push(of_document("spec.trafficPolicy.outlierDetection", "outlier detection", &traffic.path, Span::default()));
    }
    if let Some(first) = traffic.failover.first() {
        let field = "spec.trafficPolicy.loadBalancer";
        parts.push(of_document(field, format!("failover to {}", **first), &traffic.path, first.span));
    }
    Origin { rule: "a Traffic with subsets, outlier detection or failover has a DestinationRule", parts }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::derive::{Inputs, Observed, derive};
    use crate::model::testing::{Repo, example};

    fn text(repo: &Repo, part: &Part) -> String {
        match &part.from {
            Source::Facts(mesh) => format!("published/{mesh}"),
            Source::Document { path, span } if span.line == 0 => format!("{path}: whole"),
            Source::Document { path, span } => {
                let text = String::from_utf8(repo.files[path].clone()).unwrap();
                format!("{path}:{}: {}", span.line, text.lines().nth(span.line as usize - 1).unwrap().trim())
            }
        }
    }

    #[test]
    fn every_object_of_the_example_has_an_origin() {
        let repo = example();
        let federation = repo.valid();
        let mut told = String::new();
        for me in federation.meshes.keys() {
            let inputs = Inputs { federation: &federation, me, facts: &BTreeMap::new(), observed: &Observed::default() };
            let derived = derive(inputs);
            let held = derived.holds.iter().filter_map(|hold| hold.key.as_ref());
            for key in derived.wanted.keys().chain(held) {
                let origin = origin(&federation, me, key, None).unwrap_or_else(|| panic!("{key} has no origin"));
                assert!(!origin.parts.is_empty(), "{key}");
                if key.group.contains("maistra") || key.group.contains("istio") {
                    told.extend([key.to_string(), "\n".to_owned()]);
                    told.extend(
                        origin.parts.iter().map(|part| format!("  {} ({}) {}\n", part.field, part.what, text(&repo, part))),
                    );
                }
            }
            let nothing = kinds::key(kinds::PEER, me, "nobody");
            assert_eq!(origin(&federation, me, &nothing, None), None);
        }
        insta::assert_snapshot!(told);
    }

    #[test]
    fn what_waits_is_no_part_of_an_object() {
        let repo = example().edit(
            "meshes/aro-stg-mesh/peers/rosa-prod-mesh.yaml",
            "    as: prod-bookinfo/details-v2\n",
            "    as: prod-bookinfo/details-v9\n",
        );
        let federation = repo.load().0;
        let observed = Observed::assumed(&federation.meshes["rosa-prod-mesh"]);
        let inputs = Inputs { federation: &federation, me: "rosa-prod-mesh", facts: &BTreeMap::new(), observed: &observed };
        let derived = derive(inputs);
        let parts = |key: &Key| -> Vec<String> {
            let object = derived.wanted.get(key).map(|wanted| &*wanted.object);
            let parts = origin(&federation, "rosa-prod-mesh", key, object).unwrap().parts;
            parts.into_iter().map(|part| format!("{} {}", part.field, part.what)).collect()
        };
        let traffic = parts(&kinds::key(kinds::VIRTUAL_SERVICE, "prod-bookinfo", "details"));
        let local = "spec.http[0].route[0] local v1 60 % (in effect 75 %)";
        let gcp = "spec.http[0].route[1] gcp-dev-mesh prod-bookinfo/details-v3 20 % (in effect 25 %)";
        assert_eq!(traffic[..3], ["spec.hosts prod-bookinfo/details", local, gcp]);
        assert!(!traffic.iter().any(|part| part.contains("aro-stg-mesh")), "{traffic:?}");
    }
}
