//! What an agent asks of its API server, as RBAC sees it. The roles in `deploy/` grant this; `meshfed doctor` asks whether they are there.

use std::collections::BTreeSet;

use super::inventory::Inventory;
use super::scopes::scopes;
use crate::cluster::{Right, Scope, lease_kind};
use crate::decide::Presence;
use crate::derive::kinds;
use crate::model::Federation;
use crate::object::{Key, Kind};

/// What a watch does.
const SEE: [&str; 3] = ["get", "list", "watch"];

/// What an object that is wholly ours needs.
const KEEP: [&str; 3] = ["create", "patch", "delete"];

/// Events of what happened (`events.k8s.io`); without them everything else works.
pub const EVENT: (&str, &str) = ("events.k8s.io/v1", "Event");

/// What the agent of a mesh needs: to see what it watches, to write what it derives there, and to choose a leader by a Lease, which is
/// given by its namespace and name.
pub fn rights(
    federation: &Federation,
    presence: &Presence,
    inventory: &Inventory,
    lease: Option<(&str, &str)>,
) -> BTreeSet<Right> {
    let mut rights = Rights::default();
    if let Some((namespace, name)) = lease {
        rights.add(&lease_kind(), Some(namespace), None, &["create"]); // its name is not known yet when RBAC is asked
        rights.add(&lease_kind(), Some(namespace), Some(name), &["get", "list", "watch", "patch"]);
        rights.add(&kinds::kind(EVENT), Some(namespace), None, &["create", "patch"]);
    }
    rights.add(&kinds::kind(kinds::NAMESPACE), None, Some("kube-system"), &["get"]); // whose UID tells clusters apart
    for Scope { kind, namespace, name } in scopes(federation, presence, inventory) {
        rights.add(&kind, namespace.as_deref(), name.as_deref(), &SEE);
    }
    let Some((namespace, _)) = presence.control_plane() else { return rights.0 };
    for of in [kinds::PEER, kinds::EXPORTED, kinds::IMPORTED, kinds::CONFIG_MAP] {
        rights.add(&kinds::kind(of), Some(namespace), None, &KEEP);
    }
    rights.add(&kinds::kind(kinds::CONTROL_PLANE), Some(namespace), None, &["patch"]);
    rights.add(&kinds::kind(EVENT), Some(namespace), None, &["create", "patch"]);
    let owned = inventory.iter().map(|(key, origin)| (origin.kind().clone(), key.clone()));
    let mut written: Vec<(Kind, Key)> = owned.collect();
    if let Presence::Declared(mesh) = presence {
        if mesh.base.is_some() {
            rights.add(&kinds::kind(kinds::CONTROL_PLANE), Some(namespace), None, &["create", "delete"]);
        }
        if !mesh.members.is_empty() {
            // The operator asks for it before a namespace may become a member.
            rights.add(&kinds::kind(kinds::CONTROL_PLANE), Some(namespace), None, &["use"]);
        }
        for member in &mesh.members {
            for of in [kinds::MEMBER, kinds::VIRTUAL_SERVICE, kinds::DESTINATION_RULE] {
                rights.add(&kinds::kind(of), Some(member), None, &KEEP);
            }
            rights.add(&kinds::kind(EVENT), Some(member), None, &["create", "patch"]);
        }
        if mesh.create_namespaces {
            // Those that are there are marked; to make others is a right in the whole cluster that no role here gives.
            for name in mesh.namespaces() {
                rights.add(&kinds::kind(kinds::NAMESPACE), None, Some(name), &["patch"]);
            }
        }
        for operator in &mesh.operators {
            rights.add(&kinds::kind(kinds::SUBSCRIPTION), Some(&operator.namespace), None, &KEEP);
        }
        let manifests = federation.meshes.get(&mesh.name).map(|folder| folder.manifests.as_slice()).unwrap_or_default();
        written.extend(manifests.iter().map(|manifest| (manifest.object.kind.clone(), manifest.object.key.clone())));
    }
    for (kind, key) in written.iter().filter(|(kind, _)| *kind != kinds::kind(kinds::NAMESPACE)) {
        // What is ours in the control plane's namespace is above, with fewer verbs.
        if *kind != kinds::kind(kinds::CONTROL_PLANE) {
            rights.add(kind, key.namespace.as_deref(), None, &KEEP);
        }
    }
    rights.0
}

#[derive(Default)]
struct Rights(BTreeSet<Right>);

impl Rights {
    fn add(&mut self, kind: &Kind, namespace: Option<&str>, name: Option<&str>, verbs: &[&'static str]) {
        for verb in verbs {
            let (namespace, name) = (namespace.map(str::to_owned), name.map(str::to_owned));
            self.0.insert(Right { kind: kind.clone(), namespace, name, verb });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::decide::{Status, presence};
    use crate::model::testing::example;

    /// Rules of a role in `deploy/`.
    fn rules(file: &str) -> Vec<Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
        documents.flat_map(|document| document["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    fn grants(rule: &Value, right: &Right) -> bool {
        let has = |field: &str, wanted: &str| rule[field].as_array().is_some_and(|all| all.iter().any(|one| one == wanted));
        let named = rule["resourceNames"].is_null() || right.name.as_ref().is_some_and(|name| has("resourceNames", name));
        named && has("apiGroups", &right.kind.group) && has("resources", &right.kind.plural()) && has("verbs", right.verb)
    }

    #[test]
    fn the_roles_in_deploy_grant_what_is_needed() {
        let federation = example().valid();
        let status = Status::default();
        let presence = presence(&federation, "rosa-prod-mesh", &status);
        let roles = [
            (Some("rosa-prod-mesh"), vec!["roles/control-plane/role.yaml", "roles/own-control-plane/role.yaml"]),
            (Some("meshfed"), vec!["base/leader-role.yaml"]),
            (Some("prod-bookinfo"), vec!["roles/member/role.yaml", "roles/workloads/role.yaml"]),
        ];
        let needed = rights(&federation, &presence, &Inventory::new(), Some(("meshfed", "meshfed")));
        assert!(needed.len() > 60, "{needed:?}");
        for right in needed.iter().filter(|right| right.namespace.is_some()) {
            let files =
                roles.iter().filter(|(namespace, _)| *namespace == right.namespace.as_deref()).flat_map(|(_, files)| files);
            let granted = files.flat_map(|file| rules(file)).any(|rule| grants(&rule, right));
            assert!(granted, "no role grants {right:?}");
        }
        // And nothing besides, but what a role for some other declaration is for.
        for (namespace, files) in &roles {
            for rule in files.iter().flat_map(|file| rules(file)) {
                let used = needed.iter().any(|right| right.namespace.as_deref() == *namespace && grants(&rule, right));
                assert!(used, "nothing needs {rule} in {namespace:?}");
            }
        }
    }
}
