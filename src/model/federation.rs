//! What the rest of the program uses: valid, with every default filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::SignedDuration;

use super::at::{At, Span};
use super::defaults;
use super::documents::{CaPolicy, ExpressionSpec, Platform, ServiceType};
use super::key::PublicKey;
use super::network::Cidr;
use super::root::Root;
use super::traffic::Traffic;
use crate::object::Object;

/// All that was loaded: one mesh with its peers' halves, or the whole repository.
#[derive(Clone, Debug, Default)]
pub struct Federation {
    /// Name; `None` where `federation.yaml` is missing or broken.
    pub name: Option<String>,
    /// Loopback or link-local ranges that meshes may publish all the same.
    pub allow_addresses: Vec<Cidr>,
    /// Which CA roots of peers are believed; `None` where `federation.yaml` does not say.
    pub ca_policy: Option<CaPolicy>,
    /// Whether all this was verified by signatures, and what is not verified is not served.
    pub verified: bool,
    /// How much one change may delete.
    pub guards: Guards,
    /// When weight flows to a peer; `None` where `federation.yaml` is missing or broken.
    pub gating: Option<Gating>,
    /// Folders under `meshes/`.
    pub meshes: BTreeMap<String, MeshFolder>,
    /// Paths of documents with an error: what they declared before must be kept.
    pub broken: BTreeSet<String>,
    /// Those among them that could not even be read as their document.
    pub unreadable: BTreeSet<String>,
}

impl Federation {
    /// The Mesh document of a mesh, if it is there and valid.
    pub fn mesh(&self, name: &str) -> Option<&Mesh> {
        self.meshes.get(name)?.mesh.as_ref()
    }

    /// What `mesh` declares about `peer`.
    pub fn peer(&self, mesh: &str, peer: &str) -> Option<&Peer> {
        self.meshes.get(mesh)?.peers.get(peer)
    }

    /// Whether the document at this path, or a folder that it would lie in, is broken.
    pub fn is_broken(&self, path: &str) -> bool {
        self.broken.contains(path) || path.match_indices('/').any(|(end, _)| self.broken.contains(&path[..end]))
    }
}

/// How much of what a mesh has one change may delete, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guards {
    /// Of its peerings.
    pub peerings: u8,
    /// Of its other objects, all together and kind by kind.
    pub objects: u8,
}

impl Default for Guards {
    fn default() -> Self {
        Self { peerings: defaults::GUARD_PEERINGS, objects: defaults::GUARD_OBJECTS }
    }
}

/// When weight flows to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gating {
    /// How old the last full synchronisation with a connected peer may be.
    pub stale_after: SignedDuration,
    /// How long a peer that was away must be sound before it gets its weight back.
    pub settle: SignedDuration,
}

impl Default for Gating {
    fn default() -> Self {
        Self { stale_after: defaults::STALE_AFTER, settle: defaults::GATING_SETTLE }
    }
}

/// What `federation.yaml` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the federation.
    pub name: String,
    /// See [`Federation::allow_addresses`].
    pub allow_addresses: Vec<Cidr>,
    /// See [`Federation::ca_policy`].
    pub ca_policy: Option<CaPolicy>,
    /// See [`Federation::gating`].
    pub gating: Gating,
    /// See [`Federation::guards`].
    pub guards: Guards,
}

/// One folder under `meshes/`.
#[derive(Clone, Debug, Default)]
pub struct MeshFolder {
    /// `mesh.yaml`.
    pub mesh: Option<Mesh>,
    /// `peers/*.yaml` by the peer's name.
    pub peers: BTreeMap<String, Peer>,
    /// `traffic/*.yaml` by name.
    pub traffic: BTreeMap<String, Traffic>,
    /// `manifests/**.yaml`, in the order of files and documents.
    pub manifests: Vec<Arc<Manifest>>,
}

impl MeshFolder {
    /// Where the declaration of an object begins, in the file that is its source.
    pub fn place_of(&self, object: &Object) -> Span {
        let source = &*object.source;
        let peer = self.peers.values().find(|peer| peer.path == source).map(|peer| peer.name.span);
        let traffic = || self.traffic.values().find(|traffic| traffic.path == source).map(|traffic| traffic.service.span);
        let manifest = || self.manifests.iter().find(|manifest| manifest.object.key == object.key).map(|manifest| manifest.span);
        let mesh = || self.mesh.as_ref().filter(|mesh| mesh.path == source).map(|mesh| mesh.trust_domain.span);
        peer.or_else(traffic).or_else(manifest).or_else(mesh).unwrap_or_default()
    }
}

/// An object of `manifests/` and where it stands.
#[derive(Debug)]
pub struct Manifest {
    /// The object as it will be applied.
    pub object: Arc<Object>,
    /// Its first line in the file.
    pub span: Span,
}

/// One control plane with its members.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// Name.
    pub name: String,
    /// Path of the document.
    pub path: String,
    /// Name of the cluster.
    pub cluster: Option<String>,
    /// UID of the cluster's `kube-system`, where a person pinned it.
    pub cluster_uid: Option<String>,
    /// Trust domain.
    pub trust_domain: At<String>,
    /// Member namespaces.
    pub members: Vec<String>,
    /// Create missing namespaces.
    pub create_namespaces: bool,
    /// Where the document says what it is called.
    pub name_span: Span,
    /// Namespace of the control plane.
    pub namespace: String,
    /// Name of the control plane.
    pub control_plane: String,
    /// The rest of a control plane that the agent is to create.
    pub base: Option<Base>,
    /// Where the cluster runs.
    pub platform: Platform,
    /// Where the workloads run.
    pub locality: Option<Locality>,
    /// How peers reach it.
    pub ingress: Ingress,
    /// Its own CA.
    pub ca: Ca,
    /// Operators to ensure.
    pub operators: Vec<Operator>,
    /// Public keys of the agent.
    pub keys: Vec<PublicKey>,
    /// Commits on its branch that the agent did not make.
    pub disowned: Vec<String>,
    /// No changes now.
    pub suspend: bool,
}

impl Mesh {
    /// The namespaces in which this mesh may have objects: the control plane's and the members'.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.namespace.as_str()).chain(self.members.iter().map(String::as_str))
    }

    /// What a gateway of this mesh is called in the mesh's certificates, without `spiffe://`: the peer's `clientID` for us
    /// (maistra/istio pkg/servicemesh/federation: the gateway's service account is `<gateway>-service-account`).
    pub fn identity(&self, gateway: &str) -> String {
        format!("{}/ns/{}/sa/{gateway}-service-account", *self.trust_domain, self.namespace)
    }
}

/// What a control plane has besides what is derived.
#[derive(Clone, Debug)]
pub struct Base {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its `spec`.
    pub spec: serde_json::Map<String, serde_json::Value>,
}

/// A place, from large to small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone in the region.
    pub zone: Option<String>,
    /// Subzone in the zone.
    pub subzone: Option<String>,
}

/// How peers reach a mesh.
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Type of the Services.
    pub service_type: ServiceType,
    /// Annotations of the Services.
    pub annotations: BTreeMap<String, String>,
    /// Declared addresses, sorted; they win over what the cluster says.
    pub addresses: Vec<At<String>>,
    /// Place in the document; that of the mesh's name where it is not declared.
    pub span: Span,
    /// Port that leads to 8188.
    pub discovery_port: u16,
    /// Port that leads to 15443.
    pub service_port: u16,
}

/// The mesh's own CA, as far as people know more of it than the control plane shows.
#[derive(Clone, Debug)]
pub struct Ca {
    /// Declared roots and intermediates, in the order of the document.
    pub roots: Vec<At<Root>>,
    /// How long a replaced root stays published.
    pub overlap: jiff::SignedDuration,
}

/// An OLM Subscription.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Package.
    pub name: String,
    /// Namespace of the Subscription.
    pub namespace: String,
    /// Channel.
    pub channel: String,
    /// Catalogue.
    pub source: String,
    /// Namespace of the catalogue.
    pub source_namespace: String,
    /// First version.
    pub starting_csv: Option<String>,
}

/// This mesh's half of a peering.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The peer's name.
    pub name: At<String>,
    /// Path of the document.
    pub path: String,
    /// This side's ingress for the peer.
    pub ingress: String,
    /// This side's egress for the peer.
    pub egress: String,
    /// Where the ingress and the egress are named; the peer's name where they are not.
    pub gateway_spans: [Span; 2],
    /// Fingerprints of the peer's CA roots that people have checked.
    pub accept_roots: BTreeSet<String>,
    /// Which CA roots of the peer are believed, where this is not left to the federation.
    pub ca_policy: Option<CaPolicy>,
    /// Its ingress has to show a certificate from other roots before they are believed.
    pub probe: bool,
    /// What the peer may use, first match first.
    pub exports: Vec<Export>,
    /// What is taken, first match first.
    pub imports: Vec<Import>,
    /// Where the peer's services count as running.
    pub locality: Option<Locality>,
    /// No changes to what belongs to this peer.
    pub suspend: bool,
}

impl Peer {
    /// Where the peer's services count as running: as declared here, else as in its own Mesh.
    pub fn runs_in<'a>(&'a self, mesh: Option<&'a Mesh>) -> Option<&'a Locality> {
        self.locality.as_ref().or(mesh?.locality.as_ref())
    }
}

/// `namespace/name` of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ServiceName {
    /// The name under which clients in the cluster call it.
    pub fn local_host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name, self.namespace)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A rule of what a peer may use.
#[derive(Clone, Debug)]
pub enum Export {
    /// One service.
    Service {
        /// Here.
        service: At<ServiceName>,
        /// As the peer sees it, if not by its own name.
        alias: Option<At<ServiceName>>,
    },
    /// All services in a namespace with these labels.
    Selector {
        /// Namespace.
        namespace: At<String>,
        /// Labels that they carry.
        match_labels: BTreeMap<String, String>,
        /// Conditions on their labels.
        match_expressions: Vec<ExpressionSpec>,
        /// Other names for some: here → as the peer sees it.
        aliases: Vec<(At<ServiceName>, At<ServiceName>)>,
    },
}

impl Export {
    /// The name that the peer sees; `None` where only the cluster knows.
    pub fn exported_name(&self) -> Option<&At<ServiceName>> {
        match self {
            Self::Service { service, alias } => Some(alias.as_ref().unwrap_or(service)),
            Self::Selector { .. } => None,
        }
    }
}

/// A rule of what is taken from a peer.
#[derive(Clone, Debug)]
pub struct Import {
    /// Exported name; `None` takes everything.
    pub service: At<Option<ServiceName>>,
    /// Name here, if not the exported one.
    pub alias: Option<At<ServiceName>>,
    /// Join the local Service's endpoints.
    pub as_local: bool,
    /// Domain of the imported host.
    pub domain_suffix: Option<String>,
    /// Ports on which it speaks plain TCP.
    pub tcp_ports: Vec<At<u16>>,
}

impl Import {
    /// Name here; `None` for "everything".
    pub fn imported_as(&self) -> Option<&ServiceName> {
        self.alias.as_deref().or(self.service.as_ref())
    }

    /// Host of a service that this rule imports from `peer` under `name`
    /// (maistra/istio pilot/pkg/serviceregistry/federation: `<name>.<namespace>.svc.<peer>-imports.local`).
    pub fn host(&self, peer: &str, name: &ServiceName) -> String {
        match &self.domain_suffix {
            _ if self.as_local => name.local_host(),
            Some(suffix) => format!("{}.{}.{suffix}", name.name, name.namespace),
            None => format!("{}.{}.svc.{peer}-imports.local", name.name, name.namespace),
        }
    }
}
