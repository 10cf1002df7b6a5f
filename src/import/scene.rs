//! The objects of all meshes, looked at from the documents that may say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Inputs;
use super::compare::differences;
use super::documents::{ControlPlane, MeshSpec, write};
use super::meshes::{Plane, is, text};
use super::peer::Objects;
use super::read::Given;
use super::traffic;
use crate::derive::kinds;
use crate::facts::{Endpoint, Facts, Root};
use crate::lint::AWS_TYPE;

/// Everything that does not change while documents are taken back.
pub(super) struct Scene<'a> {
    pub objects: &'a [Given<'a>],
    pub planes: &'a [Plane<'a>],
    pub owners: &'a [Option<usize>],
    /// Meshes that an object may belong to, where it is not one.
    pub rivals: &'a [Vec<usize>],
    pub inputs: Inputs<'a>,
    /// Objects that count: of several of one name at most one.
    pub used: BTreeSet<usize>,
    /// Objects that another one of the same name says all of.
    pub said: BTreeMap<usize, usize>,
    /// Service sets that no document says, beside a document that says the rest of their peering.
    pub apart: BTreeSet<usize>,
    /// Meshes whose control plane no Mesh document can say, and why.
    pub refused: BTreeMap<usize, String>,
}

impl<'a> Scene<'a> {
    /// Whether a mesh is imported.
    pub fn wanted(&self, plane: usize) -> bool {
        self.inputs.mesh.is_none_or(|mesh| self.planes[plane].mesh == mesh)
    }

    /// Objects of a mesh that count, of one kind.
    pub fn of(&self, plane: usize, kind: (&'static str, &'static str)) -> impl Iterator<Item = usize> + use<'_, 'a> {
        self.used.iter().copied().filter(move |i| self.owners[*i] == Some(plane) && is(&self.objects[*i], kind))
    }

    pub fn find(&self, plane: usize, kind: (&'static str, &'static str), namespace: &str, name: &str) -> Option<usize> {
        let named = |i: &usize| {
            let key = &self.objects[*i].key;
            key.namespace.as_deref() == Some(namespace) && &*key.name == name
        };
        self.of(plane, kind).find(named)
    }

    pub fn value(&self, i: usize) -> &'a Value {
        &self.objects[i].value
    }

    /// The objects of a peer, and what they are among all.
    pub fn peer(&self, plane: usize, peer: usize) -> (Objects<'a>, Vec<usize>) {
        let Plane { namespace, .. } = &self.planes[plane];
        let name = &*self.objects[peer].key.name;
        let (exports, imports) = (self.set(plane, peer, kinds::EXPORTED), self.set(plane, peer, kinds::IMPORTED));
        let roots =
            text(self.value(peer), "/spec/security/certificateChain/name").map_or_else(|| kinds::roots_name(name), str::to_owned);
        let roots = self.find(plane, kinds::CONFIG_MAP, namespace, &roots);
        let value = |i: Option<usize>| i.map(|i| self.value(i));
        let objects = Objects { peer: self.value(peer), roots: value(roots), exports: value(exports), imports: value(imports) };
        (objects, [Some(peer), roots, exports, imports].into_iter().flatten().collect())
    }

    /// The service set of a peer, unless it stays apart.
    pub fn set(&self, plane: usize, peer: usize, kind: (&'static str, &'static str)) -> Option<usize> {
        let found = self.find(plane, kind, &self.planes[plane].namespace, &self.objects[peer].key.name);
        found.filter(|i| !self.apart.contains(i))
    }

    /// ServiceMeshPeers where the control plane looks for them.
    pub fn peers(&self, plane: usize) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let namespace = self.planes[plane].namespace.clone();
        self.of(plane, kinds::PEER).filter(move |i| self.objects[*i].key.namespace.as_deref() == Some(&*namespace))
    }

    /// The object of a mesh's control plane, if one counts.
    pub fn control_plane(&self, plane: usize) -> Option<usize> {
        self.of(plane, kinds::CONTROL_PLANE).find(|i| self.planes[plane].is(&self.objects[*i]))
    }

    /// Objects that the Mesh document says.
    pub fn foundations(&self, plane: usize) -> Vec<usize> {
        if self.refused.contains_key(&plane) {
            return Vec::new();
        }
        let mut all: Vec<usize> = self.control_plane(plane).into_iter().collect();
        if self.roll(plane).is_none() {
            all.extend(self.of(plane, kinds::MEMBER).filter(|i| self.is_bare_member(plane, *i)));
        }
        if self.creates_namespaces(plane) {
            all.extend(self.of(plane, kinds::NAMESPACE));
        }
        all
    }

    /// A membership that says nothing else; another one stays as it is.
    fn is_bare_member(&self, plane: usize, i: usize) -> bool {
        let Plane { namespace, name, members, .. } = &self.planes[plane];
        let key = &self.objects[i].key;
        let joins = key.namespace.as_ref().is_some_and(|own| members.iter().any(|member| **member == **own));
        let derived = json!({
            "metadata": {"name": "default", "namespace": key.namespace},
            "spec": {"controlPlaneRef": {"name": name, "namespace": namespace}},
        });
        joins && differences(self.value(i), &derived, &[]).is_empty()
    }

    /// The list of members. Where it is, it stays the one way in which members are declared.
    pub fn roll(&self, plane: usize) -> Option<usize> {
        self.find(plane, kinds::MEMBER_ROLL, &self.planes[plane].namespace, "default")
    }

    /// Every namespace of the mesh is among the objects, and says nothing but its name.
    pub fn creates_namespaces(&self, plane: usize) -> bool {
        let Plane { namespace, members, .. } = &self.planes[plane];
        let bare = |name: &String| {
            let i = self.of(plane, kinds::NAMESPACE).find(|i| *self.objects[*i].key.name == **name);
            i.is_some_and(|i| differences(self.value(i), &json!({"metadata": {"name": name}}), &[]).is_empty())
        };
        std::iter::once(namespace).chain(members).all(bare)
    }

    /// Path of the document of a mesh.
    pub fn mesh_path(&self, plane: usize) -> String {
        format!("meshes/{}/mesh.yaml", self.planes[plane].mesh)
    }

    /// The document of a mesh.
    pub fn mesh(&self, plane: usize, base: &Value) -> String {
        let Plane { mesh, namespace, name, domain, members, homeless, .. } = &self.planes[plane];
        let given = self.control_plane(plane).map(|i| self.value(i));
        let other = |text: &String| (text != mesh).then(|| text.clone());
        let mut whole = json!({"spec": base});
        for field in ["labels", "annotations"] {
            if let Some(value) = given.and_then(|given| given.pointer(&format!("/metadata/{field}"))) {
                whole["metadata"][field] = value.clone();
            }
        }
        let aws = given.is_some_and(|given| {
            let mut types =
                gateways(given, "additionalIngress").map(|(_, gateway)| gateway.pointer("/service/metadata/annotations"));
            types.any(|annotations| annotations.is_some_and(|annotations| annotations[AWS_TYPE] == "nlb"))
        });
        let region = self.of(plane, kinds::DESTINATION_RULE).find_map(|i| traffic::region(self.value(i)));
        let control_plane = ControlPlane {
            namespace: other(namespace),
            name: other(name),
            base: given.filter(|_| !self.refused.contains_key(&plane)).map(|_| whole),
        };
        let spec = MeshSpec {
            cluster: given.and_then(|given| text(given, "/spec/cluster/name")).map(str::to_owned),
            // What is nowhere must not be looked after as if it were where we guess.
            trust_domain: domain.clone().filter(|_| !homeless),
            members: members.clone(),
            create_namespaces: self.creates_namespaces(plane),
            control_plane: Some(control_plane).filter(|written| *written != ControlPlane::default()),
            platform: aws.then_some("aws"),
            locality: region.map(|region| json!({"region": region})),
            ingress: self.ingress(plane),
            suspend: None,
        };
        write("Mesh", mesh, &spec)
    }

    /// What the peers of a mesh would publish, as far as its objects say; a root that nobody has filled in counts as one.
    pub fn facts(&self, plane: usize, assumed: bool) -> BTreeMap<String, Facts> {
        let mut facts = BTreeMap::new();
        for peer in self.peers(plane) {
            let (said, _) = self.peer(plane, peer);
            let mut roots = said.roots();
            if roots.is_empty() && assumed {
                roots.push(Root { pem: "assumed\n".to_owned(), ..Root::default() });
            }
            let endpoint: Option<Endpoint> = said.endpoint();
            let ingress = endpoint.map(|endpoint| (self.planes[plane].mesh.clone(), endpoint)).into_iter().collect();
            facts.insert(self.objects[peer].key.name.to_string(), Facts { roots, ingress, ..Facts::default() });
        }
        facts
    }
}

/// Gateways of one side of a control plane.
fn gateways<'v>(given: &'v Value, side: &str) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
    given.pointer(&format!("/spec/gateways/{side}")).and_then(Value::as_object).into_iter().flatten()
}
