//! Which roles of `deploy/roles/` an agent needs in each namespace of its mesh, and what it writes there that none of them grants.

use std::collections::{BTreeMap, BTreeSet};

use super::federation::{Mesh, MeshFolder};
use crate::object::Kind;

/// A role of `deploy/roles/`: its folder, and the kinds that it lets an agent write, by group.
struct Role {
    name: &'static str,
    kinds: &'static [(&'static str, &'static [&'static str])],
}

const CONTROL_PLANE: Role = Role {
    name: "control-plane",
    kinds: &[("", &["ConfigMap"]), ("federation.maistra.io", &["ServiceMeshPeer", "ExportedServiceSet", "ImportedServiceSet"])],
};
const OWN_CONTROL_PLANE: Role = Role { name: "own-control-plane", kinds: &[("maistra.io", &["ServiceMeshControlPlane"])] };
const MEMBER: Role = Role {
    name: "member",
    kinds: &[("maistra.io", &["ServiceMeshMember"]), ("networking.istio.io", &["VirtualService", "DestinationRule"])],
};
const WORKLOADS: Role =
    Role { name: "workloads", kinds: &[("", &["ConfigMap", "Service", "ServiceAccount"]), ("apps", &["Deployment"])] };
const ROLES: [&Role; 4] = [&CONTROL_PLANE, &OWN_CONTROL_PLANE, &MEMBER, &WORKLOADS];

impl Role {
    fn has(&self, kind: &Kind) -> bool {
        self.kinds.iter().any(|(group, kinds)| **group == *kind.group && kinds.contains(&&*kind.kind))
    }
}

/// What an agent needs in one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Folders in `deploy/roles/`.
    pub roles: Vec<&'static str>,
    /// Group and plural of what it writes besides.
    pub besides: BTreeSet<(String, String)>,
}

/// Whether some role of `deploy/roles/` lets an agent write a kind.
pub fn is_granted(kind: &Kind) -> bool {
    ROLES.iter().any(|role| role.has(kind))
}

/// What the agent of a mesh needs, by namespace.
pub fn grants<'a>(mesh: &'a Mesh, folder: &'a MeshFolder) -> BTreeMap<&'a str, Grants> {
    let mut needed: BTreeMap<&str, Vec<&Role>> = BTreeMap::from([(&*mesh.namespace, vec![&CONTROL_PLANE])]);
    if mesh.base.is_some() {
        needed.entry(&mesh.namespace).or_default().push(&OWN_CONTROL_PLANE);
    }
    for member in &mesh.members {
        needed.entry(member).or_default().push(&MEMBER);
    }
    let subscription = Kind::new("operators.coreos.com/v1alpha1", "Subscription");
    let subscriptions = mesh.operators.iter().map(|operator| (&*operator.namespace, subscription.clone()));
    let manifests = folder.manifests.iter().map(|manifest| &manifest.object);
    let manifests = manifests.filter_map(|object| Some((object.key.namespace.as_deref()?, object.kind.clone())));
    let mut besides: BTreeMap<&str, BTreeSet<(String, String)>> = BTreeMap::new();
    for (namespace, kind) in manifests.chain(subscriptions) {
        let roles = needed.entry(namespace).or_default();
        if roles.iter().any(|role| role.has(&kind)) {
            continue;
        }
        match [&WORKLOADS, &OWN_CONTROL_PLANE].into_iter().find(|role| role.has(&kind)) {
            Some(role) => roles.push(role),
            None => _ = besides.entry(namespace).or_default().insert((kind.group.to_string(), kind.plural())),
        }
    }
    let grants = |(namespace, roles): (&'a str, Vec<&Role>)| {
        let besides = besides.remove(namespace).unwrap_or_default();
        (namespace, Grants { roles: roles.iter().map(|role| role.name).collect(), besides })
    };
    needed.into_iter().map(grants).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::pair;

    #[test]
    fn the_roles_have_what_is_said_of_them() {
        for role in ROLES {
            let path = format!("{}/deploy/roles/{}/role.yaml", env!("CARGO_MANIFEST_DIR"), role.name);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            for (group, kinds) in role.kinds {
                let kinds = kinds.iter().map(|kind| Kind::new(&format!("{group}/v1"), kind).plural());
                assert!(kinds.into_iter().all(|plural| text.contains(&plural)) && text.contains(group), "{path}: {group}");
            }
        }
        assert!(!is_granted(&Kind::new("networking.istio.io/v1beta1", "Gateway")));
    }

    #[test]
    fn what_no_role_grants_is_granted_by_one_of_its_own() {
        let object = |path: &str, version: &str, kind: &str, namespace: &str| {
            format!(
                "//- meshes/a/manifests/{path}.yaml\napiVersion: {version}\nkind: {kind}\n\
                 metadata: {{name: default, namespace: {namespace}}}\n"
            )
        };
        let roll = object("roll", "maistra.io/v1", "ServiceMeshMemberRoll", "a");
        let roots = object("roots", "v1", "ConfigMap", "a");
        let strict = object("strict", "security.istio.io/v1beta1", "PeerAuthentication", "apps");
        let route = object("route", "networking.istio.io/v1beta1", "DestinationRule", "apps");
        let account = object("account", "v1", "ServiceAccount", "apps");
        let repo = pair().with(&[roll, roots, strict, route, account].concat());
        let federation = repo.valid();
        let folder = &federation.meshes["a"];
        let all = grants(folder.mesh.as_ref().unwrap(), folder);
        let besides = |group: &str, plural: &str| BTreeSet::from([(group.to_owned(), plural.to_owned())]);
        let home = Grants { roles: vec!["control-plane"], besides: besides("maistra.io", "servicemeshmemberrolls") };
        assert_eq!(all["a"], home, "a roll is no reason to run anything there");
        let member = Grants { roles: vec!["member", "workloads"], besides: besides("security.istio.io", "peerauthentications") };
        assert_eq!(all["apps"], member);
    }
}
