//! First texts of documents, for the commands that begin a federation. People edit them afterwards, so they look as people write.

use std::fmt::Write as _;

/// What every document begins with.
fn head(kind: &str, name: &str) -> String {
    format!("apiVersion: meshfed.dev/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n")
}

/// `federation.yaml`.
pub fn federation(name: &str) -> String {
    head("Federation", name)
}

/// What the first `mesh.yaml` says.
#[derive(Clone, Debug, Default)]
pub struct NewMesh {
    /// Its name.
    pub name: String,
    /// Its trust domain, which is the control plane's.
    pub trust_domain: String,
    /// Namespaces whose services belong to it.
    pub members: Vec<String>,
    /// Where the cluster runs, as `platform` has it.
    pub platform: Option<String>,
    /// Version of the control plane that the agent makes; `None` where somebody else does.
    pub control_plane: Option<String>,
    /// Public key of its agent, as an OpenSSH line.
    pub agent_key: String,
}

/// `meshes/<name>/mesh.yaml`.
pub fn mesh(mesh: &NewMesh) -> String {
    let NewMesh { name, trust_domain, members, platform, control_plane, agent_key } = mesh;
    let mut text = head("Mesh", name);
    let mut line = |line: &str| writeln!(text, "{line}").unwrap_or_default(); // writing to a String cannot fail
    line("spec:");
    line(&format!("  trustDomain: {trust_domain} # that of the control plane; it never changes"));
    line(&format!("  members: [{}]", members.join(", ")));
    if let Some(platform) = platform {
        line(&format!("  platform: {platform}"));
    }
    if let Some(version) = control_plane {
        line("  controlPlane:");
        line("    base: # the agent makes the control plane, with this and what federation needs");
        line(&format!("      spec: {{version: {version}}}"));
    }
    line("  agent:");
    line("    keys: # of what signs its published branch; a second one for the time of a rotation");
    line(&format!("    - {agent_key}"));
    text
}

/// A service that one mesh lets another use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The mesh that has it.
    pub from: String,
    /// `namespace/name` there.
    pub service: String,
    /// `namespace/name` under which the other sees it.
    pub alias: Option<String>,
}

impl Share {
    /// Reads `mesh:namespace/name` or `mesh:namespace/name=namespace/name`. The error is for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no share: write it as MESH:NAMESPACE/SERVICE, with =NAMESPACE/NAME for another name there");
        let (from, service) = text.split_once(':').ok_or_else(wrong)?;
        let (service, alias) = match service.split_once('=') {
            Some((service, alias)) => (service, Some(alias)),
            None => (service, None),
        };
        let whole = |name: &str| name.split('/').count() == 2;
        if !whole(service) || !alias.is_none_or(whole) {
            return Err(wrong());
        }
        Ok(Self { from: from.to_owned(), service: service.to_owned(), alias: alias.map(str::to_owned) })
    }

    /// The name under which it is imported.
    fn seen_as(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.service)
    }
}

/// `meshes/<mesh>/peers/<peer>.yaml`: what `mesh` shares it exports, and what others share it imports.
pub fn peer(mesh: &str, peer: &str, shares: &[Share]) -> String {
    let mut text = head("Peer", peer);
    let (exports, imports): (Vec<&Share>, Vec<&Share>) = shares.iter().partition(|share| share.from == mesh);
    if shares.is_empty() {
        text.push_str("spec: {} # exports and imports come here\n");
        return text;
    }
    let mut line = |line: &str| writeln!(text, "{line}").unwrap_or_default(); // writing to a String cannot fail
    line("spec:");
    if !exports.is_empty() {
        line("  exports:");
    }
    for share in exports {
        line(&format!("  - service: {}", share.service));
        if let Some(alias) = &share.alias {
            line(&format!("    as: {alias}"));
        }
    }
    if !imports.is_empty() {
        line("  imports:");
    }
    for share in imports {
        line(&format!("  - service: {}", share.seen_as()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_of_a_peering_come_from_the_same_shares() {
        let shares = ["rosa:shop/details", "aro:stg/ratings=shop/ratings-v2"].map(|share| Share::parse(share).unwrap());
        insta::assert_snapshot!(format!(
            "{}---\n{}---\n{}",
            peer("rosa", "aro", &shares),
            peer("aro", "rosa", &shares),
            peer("a", "b", &[])
        ));
    }

    #[test]
    fn a_share_names_mesh_and_service() {
        for wrong in ["", "rosa", "rosa:details", "shop/details", "rosa:a/b/c", "rosa:a/b=c", "rosa:a/b="] {
            assert!(Share::parse(wrong).unwrap_err().contains("MESH:NAMESPACE/SERVICE"), "{wrong}");
        }
    }
}
