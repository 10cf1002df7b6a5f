//! The Kustomize overlay that runs a mesh's agent: what `deploy/example` shows, for one mesh. It lies in a folder beside those of `deploy/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::federation::{Mesh, MeshFolder};
use super::grants::{Grants, grants};

/// What the overlay needs besides the mesh's documents.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Address of the repository, without credentials.
    pub repository: String,
    /// Settings that say how it is opened with what the Secret `meshfed-git` holds, as `NAME=VALUE`.
    pub settings: Vec<String>,
    /// Where the cluster pulls the agent's image from, as `registry/name:tag` or `registry/name@digest`; `None` for the name that it is built under.
    pub image: Option<String>,
    /// Commit and digest with which the agent is introduced; `None` where nothing can be verified.
    pub introduction: Option<(String, String)>,
}

const HEAD: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";

/// Files of the overlay by path below its folder.
pub fn overlay(mesh: &Mesh, folder: &MeshFolder, site: &Site) -> BTreeMap<String, String> {
    let grants = grants(mesh, folder);
    let mut files = BTreeMap::new();
    for (namespace, Grants { roles, besides }) in &grants {
        let mut list = roles.iter().fold(String::new(), |list, role| list + &format!("- ../../roles/{role}\n"));
        if !besides.is_empty() {
            list.push_str("- role.yaml\n");
            files.insert(format!("{namespace}/role.yaml"), role(besides));
        }
        let text = format!("{HEAD}namespace: {namespace}\nresources:\n{list}");
        files.insert(format!("{namespace}/kustomization.yaml"), text);
    }
    files.insert("kustomization.yaml".to_owned(), whole(mesh, grants.keys().copied(), site));
    files
}

/// A role for the rest of what the documents have the agent write.
fn role(besides: &BTreeSet<(String, String)>) -> String {
    let rule = |(group, plural): &(String, String)| {
        let (group, plural) = (quoted(group), quoted(plural));
        format!("- apiGroups: [{group}]\n  resources: [{plural}]\n  verbs: [get, list, watch, create, patch, delete]\n")
    };
    let rules: String = besides.iter().map(rule).collect();
    let group = "rbac.authorization.k8s.io";
    format!(
        "# What manifests/ and operators have here besides the kinds that deploy/roles/ grants.\napiVersion: {group}/v1\nkind: Role\n\
         metadata:\n  name: meshfed-manifests\nrules:\n{rules}---\napiVersion: {group}/v1\nkind: RoleBinding\nmetadata:\n  \
         name: meshfed-manifests\nroleRef:\n  apiGroup: {group}\n  kind: Role\n  name: meshfed-manifests\nsubjects:\n\
         - kind: ServiceAccount\n  name: meshfed\n  namespace: meshfed\n"
    )
}

fn whole<'a>(mesh: &Mesh, namespaces: impl Iterator<Item = &'a str>, site: &Site) -> String {
    let mut text = format!("# The agent of {}, beside the folders of deploy/: kubectl apply --server-side -k\n{HEAD}", mesh.name);
    let mut line = |line: &str| writeln!(text, "{line}").unwrap_or_default(); // writing to a String cannot fail
    line("resources:");
    line("- ../overlays/openshift # elsewhere: ../overlays/kubernetes");
    for namespace in namespaces {
        line(&format!("- {namespace}"));
    }
    line("components:");
    line("- ../components/fence # needs Kubernetes 1.30 (OpenShift 4.17)");
    match &site.image {
        Some(image) => {
            line("images:");
            line("- name: meshfed");
            let (name, version) = split(image);
            line(&format!("  newName: {}", quoted(name)));
            version.iter().for_each(|(field, version)| line(&format!("  {field}: {}", quoted(version))));
        }
        None => {
            line("# images: # where your cluster pulls the image from");
            line("# - {name: meshfed, newName: registry.example.com/platform/meshfed}");
        }
    }
    line("configMapGenerator:");
    line("- name: meshfed-settings");
    line("  namespace: meshfed");
    line("  literals:");
    line(&format!("  - MESHFED_MESH={}", mesh.name));
    line(&format!("  - {}", quoted(&format!("MESHFED_REPO={}", site.repository))));
    for setting in &site.settings {
        line(&format!("  - {setting}"));
    }
    match &site.introduction {
        Some((anchor, digest)) => {
            line(&format!("  - MESHFED_TRUST_ANCHOR={anchor}"));
            line(&format!("  - MESHFED_TRUST_DIGEST={digest}"));
        }
        None => line("  - MESHFED_VERIFICATION=off # main has no trust/: whoever can push is believed"),
    }
    line("patches:");
    line("- target: {kind: ClusterRole, name: meshfed-namespaces}");
    line("  patch: |");
    for namespace in mesh.namespaces() {
        line("    - op: add");
        line("      path: /rules/0/resourceNames/-");
        line(&format!("      value: {namespace}"));
    }
    if mesh.create_namespaces {
        let all: Vec<&str> = mesh.namespaces().collect();
        line("    - op: add # because mesh.yaml has `createNamespaces: true`");
        line("      path: /rules/-");
        line(&format!(
            "      value: {{apiGroups: [\"\"], resources: [namespaces], resourceNames: [{}], verbs: [patch]}}",
            all.join(", ")
        ));
    }
    text
}

/// The name of an image, and what Kustomize calls the rest: tag or digest.
fn split(image: &str) -> (&str, Option<(&str, &str)>) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, Some(("digest", digest)));
    }
    match image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((name, tag)) => (name, Some(("newTag", tag))),
        None => (image, None),
    }
}

/// A text as YAML takes it for one, whatever an address holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::example;

    #[test]
    fn an_overlay_has_a_folder_for_each_namespace() {
        let federation = example().valid();
        let folder = &federation.meshes["rosa-prod-mesh"];
        let introduction = Some(("9f2c1ab".to_owned(), "sha256:77".to_owned()));
        let site = Site {
            repository: "https://git.example.com/it's.git".into(),
            settings: vec!["MESHFED_HTTP_PASSWORD_FILE=/git/password".into()],
            image: Some("registry.example.com:5000/platform/meshfed:0.1.0".into()),
            introduction,
        };
        let files = overlay(folder.mesh.as_ref().unwrap(), folder, &site);
        let show = files.iter().fold(String::new(), |all, (path, text)| all + &format!("==> {path}\n{text}"));
        insta::assert_snapshot!(show);
    }

    #[test]
    fn an_image_is_split_as_kustomize_has_it() {
        assert_eq!(split("r.example.com:5000/a/b"), ("r.example.com:5000/a/b", None));
        assert_eq!(split("r.example.com:5000/b:1"), ("r.example.com:5000/b", Some(("newTag", "1"))));
        assert_eq!(split("r.example.com/b@sha256:0a"), ("r.example.com/b", Some(("digest", "sha256:0a"))));
    }
}
