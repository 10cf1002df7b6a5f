//! Objects of a federation that people wrote by hand, held against what the other side is and what the control plane needs. The API server
//! accepts all of it, and the control plane ignores or misreads it silently (maistra/istio pkg/servicemesh/federation).

mod gaps;
mod gateways;
mod peers;
mod ports;
mod routes;
mod services;
mod version;

use crate::derive::kinds;
use crate::lint::Plain;
use crate::lint::platform::AWS_TYPE;
use crate::model::documents::Platform;
use crate::model::{At, Code, Diagnostic, Federation, Node, Place, Span, is_placeholder};

/// One mesh, as far as documents or objects tell.
struct Side<'a> {
    /// Namespace of its control plane.
    namespace: String,
    trust_domain: String,
    /// Its egress gateways; those in documents with the peer that each serves.
    egresses: Vec<(String, Option<&'a str>)>,
    platform: Option<Platform>,
    /// The mesh's name, where a document or a folder says it.
    mesh: Option<&'a str>,
    /// Where its control plane is written by hand.
    path: &'a str,
}

impl Side<'_> {
    fn identity(&self, egress: &str) -> String {
        format!("{}/ns/{}/sa/{egress}-service-account", self.trust_domain, self.namespace)
    }
}

/// Everything at once.
struct Scene<'a> {
    federation: &'a Federation,
    objects: &'a [Plain<'a>],
    sides: Vec<Side<'a>>,
}

pub(super) fn check<'a>(federation: &'a Federation, objects: &'a [Plain<'a>], found: &mut Vec<Diagnostic>) {
    let scene = Scene { federation, objects, sides: sides(federation, objects) };
    peers::check(&scene, found);
    ports::check(&scene, found);
    services::check(&scene, found);
    gateways::check(&scene, found);
    routes::check(&scene, found);
    version::check(&scene, found);
    gaps::check(&scene, found);
}

impl<'a> Scene<'a> {
    /// The objects of a kind, whatever their version.
    fn of(&self, (api_version, kind): (&str, &'a str)) -> impl Iterator<Item = &'a Plain<'a>> + use<'a> {
        let group = api_version.split_once('/').map_or(String::new(), |(group, _)| group.to_owned());
        self.objects.iter().filter(move |plain| *plain.kind.kind == *kind && *plain.kind.group == *group)
    }

    /// Other objects of the mesh whose folder this one lies in; all, where folders say nothing.
    fn beside(&self, plain: &'a Plain<'a>, kind: (&str, &'a str)) -> impl Iterator<Item = &'a Plain<'a>> + use<'a> {
        let mesh = folder(plain).map(str::to_owned);
        self.of(kind).filter(move |other| folder(other) == mesh.as_deref())
    }

    /// The namespace of a control plane: what a Mesh document begins is in the one that the document names.
    fn home(&self, plain: &'a Plain<'a>) -> Option<&'a str> {
        if plain.whole() {
            return plain.namespace();
        }
        Some(&self.federation.mesh(folder(plain)?)?.namespace)
    }

    /// The mesh that an object of a control plane's namespace belongs to.
    fn own(&self, plain: &'a Plain<'a>) -> Option<&Side<'a>> {
        let home = self.home(plain);
        let own = self.sides.iter().filter(|side| home == Some(&*side.namespace));
        // Many meshes call their namespaces alike.
        let declared = folder(plain).and_then(|mesh| own.clone().find(|side| side.mesh == Some(mesh)));
        let near = own.clone().map(|side| nearness(side.path, plain.path)).max();
        let mut nearest = own.filter(|side| Some(nearness(side.path, plain.path)) == near);
        // Of two in namespaces of one name nothing tells which it is.
        declared.or_else(|| nearest.next().filter(|_| nearest.next().is_none()))
    }

    /// The mesh with a trust domain.
    fn trusting(&self, domain: &str) -> Option<&Side<'a>> {
        self.sides.iter().find(|side| side.trust_domain == domain)
    }
}

/// How near two files are: folders that their paths share, and a little more where they are one.
pub fn nearness(one: &str, other: &str) -> usize {
    let folders = |path: &'_ str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned()).unwrap_or_default();
    let (a, b) = (folders(one), folders(other));
    let same = a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b && !a.is_empty()).count();
    2 * same + usize::from(one == other)
}

/// The mesh in whose folder an object lies.
fn folder<'a>(plain: &Plain<'a>) -> Option<&'a str> {
    plain.path.strip_prefix("meshes/")?.split('/').next()
}

/// What documents declare, and control planes written by hand where none does.
fn sides<'a>(federation: &'a Federation, objects: &'a [Plain<'a>]) -> Vec<Side<'a>> {
    let mut sides = Vec::new();
    for (name, folder) in &federation.meshes {
        let Some(mesh) = &folder.mesh else { continue };
        sides.push(Side {
            namespace: mesh.namespace.clone(),
            trust_domain: mesh.trust_domain.value.clone(),
            egresses: folder.peers.iter().map(|(peer, half)| (half.egress.clone(), Some(peer.as_str()))).collect(),
            platform: Some(mesh.platform).filter(|platform| *platform != Platform::Other).or_else(|| {
                let cluster = mesh.cluster.as_deref().unwrap_or_default();
                named(&[&mesh.name, &mesh.namespace, cluster])
            }),
            mesh: Some(name),
            path: "",
        });
    }
    for plain in objects.iter().filter(|plain| *plain.kind.kind == *kinds::CONTROL_PLANE.1) {
        if !plain.whole() {
            // What a Mesh document begins has gateways that people made, beside those that follow from its peers.
            if let Some(side) = sides.iter_mut().find(|side| side.mesh == folder(plain)) {
                side.egresses.extend(gateways::of(plain, "additionalEgress").map(|(name, _)| (name.value.clone(), None)));
            }
            continue;
        }
        let (Some(namespace), Some(domain)) = (plain.namespace(), plain.text(&["spec", "security", "trust", "domain"])) else {
            continue;
        };
        if is_placeholder(namespace) || is_placeholder(&domain) {
            continue; // nothing can be held against what was never filled in
        }
        let names = gateways::of(plain, "additionalEgress").map(|(name, _)| (name.value.clone(), None));
        match sides.iter_mut().find(|side| side.namespace == namespace && side.trust_domain == *domain) {
            Some(side) => side.egresses.extend(names),
            None => sides.push(Side {
                namespace: namespace.to_owned(),
                trust_domain: domain.value.to_owned(),
                egresses: names.collect(),
                platform: aws(plain).then_some(Platform::Aws).or_else(|| {
                    let names = [&["metadata", "name"][..], &["metadata", "namespace"], &["spec", "cluster", "name"]];
                    named(&names.map(|path| plain.text(path).map_or("", |name| name.value)))
                }),
                mesh: folder(plain),
                path: plain.path,
            }),
        }
    }
    sides
}

/// Whether a control plane asks for load balancers of AWS.
fn aws(plain: &Plain) -> bool {
    gateways::of(plain, "additionalIngress")
        .any(|(_, gateway)| gateway.at(&["service", "metadata", "annotations", AWS_TYPE]).is_some())
}

/// The cloud that a mesh or its cluster is named after.
fn named(names: &[&str]) -> Option<Platform> {
    let names = names.join("-");
    names.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).find_map(|part| match part {
        "aws" | "rosa" | "eks" => Some(Platform::Aws),
        "azure" | "aro" | "aks" => Some(Platform::Azure),
        "gcp" | "gke" | "google" => Some(Platform::Gcp),
        _ => None,
    })
}

impl Plain<'_> {
    fn namespace(&self) -> Option<&str> {
        self.object.at(&["metadata", "namespace"])?.text()
    }

    fn name(&self) -> Option<At<&str>> {
        self.text(&["metadata", "name"])
    }

    fn text(&self, path: &[&str]) -> Option<At<&str>> {
        self.object.at(path)?.located()
    }

    fn items(&self, path: &[&str]) -> &[At<Node>] {
        self.object.at(path).map(|node| node.items()).unwrap_or_default()
    }

    fn error(&self, span: Span, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.path, span, Code::ByHand, message, help)
    }

    fn warning(&self, span: Span, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.path, span, Code::ByHand, message, help)
    }

    /// Where it begins, for what is not there.
    fn span(&self) -> Span {
        self.name().map_or(self.object.span, |name| name.span)
    }

    /// In `manifests/`, or anywhere where folders say nothing.
    fn whole(&self) -> bool {
        !matches!(Place::of(self.path), Place::Mesh(_))
    }
}
