//! `published.yaml`: the facts of one mesh, written by its agent and read by its peers' agents.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address;
use super::roots::{self, Root};
use crate::model::documents::API_VERSION;
use crate::model::{At, Cidr, Code, Diagnostic, Span, yaml};

/// Path of the facts on a published branch.
pub const FACTS_PATH: &str = "published.yaml";

/// Most addresses for one peer: a load balancer has a handful, a NodePort one per node that people list.
pub const MAX_ADDRESSES: usize = 64;

/// Most clusters that are told apart in a dispute over one mesh; two are one too many.
const MAX_CLAIMS: usize = 16;

/// What one mesh tells its peers; only what passed every check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// UID of the cluster's `kube-system` Namespace.
    pub cluster_uid: Option<String>,
    /// UIDs of clusters that claim to be this mesh, where more than one did.
    pub claims: BTreeSet<String>,
    /// CA roots, the longest-lived first; empty where none is usable.
    pub roots: Vec<Root>,
    /// Fingerprints of roots that the control plane no longer uses, and since when.
    pub retiring: BTreeMap<String, Timestamp>,
    /// Fingerprints of roots that the control plane does not use yet, declared by people.
    pub announced: BTreeSet<String>,
    /// Where each peer finds its ingress.
    pub ingress: BTreeMap<String, Endpoint>,
    /// The file had an error: what it said before must stay in use.
    pub broken: bool,
}

/// Where one peer reaches this mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// IP addresses or DNS names, sorted.
    pub addresses: Vec<String>,
    /// Port of discovery at these addresses.
    pub discovery_port: u16,
    /// Port of service traffic at these addresses.
    pub service_port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
    spec: WrittenSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenSpec<'a> {
    #[serde(rename = "clusterUID", skip_serializing_if = "Option::is_none")]
    cluster_uid: &'a Option<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    claims: &'a BTreeSet<String>,
    ca_roots: Vec<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    retiring: &'a BTreeMap<String, Timestamp>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    announced: &'a BTreeSet<String>,
    ingress: &'a BTreeMap<String, Endpoint>,
}

/// Newer agents may write more: unknown fields are tolerated here, and only here.
#[derive(Deserialize)]
struct Read {
    metadata: crate::model::documents::Metadata,
    spec: ReadSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadSpec {
    #[serde(rename = "clusterUID")]
    cluster_uid: Option<String>,
    #[serde(default)]
    claims: BTreeSet<String>,
    #[serde(default)]
    ca_roots: Vec<At<String>>,
    #[serde(default)]
    retiring: BTreeMap<String, Timestamp>,
    #[serde(default)]
    announced: BTreeSet<String>,
    #[serde(default)]
    ingress: BTreeMap<String, ReadEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReadEndpoint {
    addresses: Vec<At<String>>,
    discovery_port: u16,
    service_port: u16,
}

/// Writes the facts of `mesh`; the same facts give the same bytes.
pub fn write(mesh: &str, facts: &Facts) -> Result<String, serde_saphyr::ser_error::Error> {
    let Facts { cluster_uid, claims, roots, retiring, announced, ingress, broken: _ } = facts;
    serde_saphyr::to_string(&Written {
        api_version: API_VERSION,
        kind: "Published",
        metadata: BTreeMap::from([("name", mesh)]),
        spec: WrittenSpec {
            cluster_uid,
            claims,
            ca_roots: roots.iter().map(|root| root.pem.as_str()).collect(),
            retiring,
            announced,
            ingress,
        },
    })
}

/// Reads the facts of `mesh`. A bad root voids all roots (a set is trusted whole or not at all), a bad address voids that peer's
/// addresses; everything else is used. `path` names the file in findings.
pub fn read(mesh: &str, path: &str, text: &str, allow: &[Cidr], now: Timestamp) -> (Facts, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let document: Read = match yaml::document(path, text) {
        Ok(document) => document,
        Err(diagnostic) => return (Facts { broken: true, ..Facts::default() }, vec![*diagnostic]),
    };
    let Read { metadata, spec } = document;
    if *metadata.name != mesh {
        let message = format!("these are facts of `{}`, not of `{mesh}`", metadata.name.escape_debug());
        found.push(Diagnostic::error(path, metadata.name.span, Code::BadFact, message, ""));
        return (Facts { broken: true, ..Facts::default() }, found);
    }
    let mut error = |span: Span, message: String, help: &str| {
        found.push(Diagnostic::error(path, span, Code::BadFact, message, help));
    };
    let roots = read_roots(&spec.ca_roots, now, &mut error).unwrap_or_default();
    let ReadSpec { cluster_uid, claims, ca_roots: _, retiring, announced, ingress } = spec;
    let ingress =
        ingress.into_iter().filter_map(|(peer, endpoint)| Some((peer, read_endpoint(endpoint, allow, &mut error)?))).collect();
    let claims = claims.into_iter().filter(|uid| is_uid(uid)).take(MAX_CLAIMS).collect();
    let cluster_uid = cluster_uid.filter(|uid| is_uid(uid));
    (Facts { cluster_uid, claims, roots, retiring, announced, ingress, broken: !found.is_empty() }, found)
}

/// Whether a text can be an object's UID: a UUID (Kubernetes API), which is compared and shown, nothing else.
fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Reads what `mesh` itself published: its own addresses need no permission, and it would not publish what it cannot read.
pub fn read_own(mesh: &str, text: &str, now: Timestamp) -> Facts {
    let everywhere: Vec<Cidr> = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| Cidr::parse(range)).collect();
    read(mesh, FACTS_PATH, text, &everywhere, now).0
}

const KEEP_HELP: &str = "what was known before stays in use; the mesh's agent must publish again";

fn read_roots(blocks: &[At<String>], now: Timestamp, error: &mut impl FnMut(Span, String, &str)) -> Option<Vec<Root>> {
    for block in blocks {
        // One that has expired since it was published says nothing against the others.
        if let Err(message) = roots::parse(block, now)
            && message != roots::EXPIRED
        {
            error(block.span, format!("a CA root is unusable: {message}"), KEEP_HELP);
            return None;
        }
    }
    let all: String = blocks.iter().flat_map(|block| [block.as_str(), "\n"]).collect();
    if blocks.is_empty() {
        return None; // the mesh has no control plane yet: nothing to report
    }
    roots::parse(&all, now)
        .map_err(|message| error(blocks[0].span, format!("the CA roots are unusable: {message}"), KEEP_HELP))
        .ok()
}

fn read_endpoint(endpoint: ReadEndpoint, allow: &[Cidr], error: &mut impl FnMut(Span, String, &str)) -> Option<Endpoint> {
    let ReadEndpoint { addresses, discovery_port, service_port } = endpoint;
    if addresses.len() > MAX_ADDRESSES {
        error(addresses[0].span, format!("more than {MAX_ADDRESSES} addresses"), KEEP_HELP);
        return None;
    }
    let mut checked = Vec::new();
    for text in &addresses {
        match address::parse(text).and_then(|address| address::allowed(&address, allow).map(|()| address)) {
            Ok(address) => checked.push(address),
            Err(message) => {
                error(text.span, message, KEEP_HELP);
                return None;
            }
        }
    }
    checked.sort();
    checked.dedup();
    Some(Endpoint { addresses: checked, discovery_port, service_port })
}
