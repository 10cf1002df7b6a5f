//! Mesh documents.

use super::{Findings, locality};
use crate::model::at::{At, Span};
use crate::model::code::Code;
use crate::model::documents::{BaseSpec, CaSpec, IngressSpec, MeshDocument, MeshSpec, OperatorSpec, ServiceType};
use crate::model::federation::{Base, Ca, Ingress, Mesh, Operator};
use crate::model::key::{PublicKey, public_key};
use crate::model::root::{self, Root};
use crate::model::{address, defaults, names};

/// Most declared roots: a bundle holds [`root::MAX_ROOTS`], and those in use and those that retire need their place in it.
const MAX_DECLARED_ROOTS: usize = 4;

/// `meshes/<folder>/mesh.yaml`.
pub fn mesh(document: MeshDocument, folder: &str, findings: &mut Findings) -> Mesh {
    let MeshDocument { api_version: _, kind: _, metadata, spec } = document;
    let MeshSpec {
        cluster,
        cluster_uid,
        trust_domain,
        members,
        create_namespaces,
        control_plane,
        platform,
        locality,
        ingress,
        ca,
        operators,
        agent,
        suspend,
    } = spec;
    let name = metadata.name;
    findings.name(&name, names::mesh);
    findings.same_name(&name, folder, "folder");
    let trust_domain = trust_domain.unwrap_or_else(|| {
        let message = "`spec.trustDomain` is missing";
        findings.error(
            name.span,
            Code::TrustDomain,
            message,
            format!("add `trustDomain: {folder}.local`; it must be the control plane's"),
        );
        name.clone()
    });
    if let Err(message) = names::trust_domain(&trust_domain) {
        findings.error(trust_domain.span, Code::TrustDomain, message, "");
    }
    let namespace = control_plane.namespace.unwrap_or_else(|| name.clone());
    findings.name(&namespace, names::label);
    let control_plane_name = control_plane.name.unwrap_or_else(|| name.clone());
    findings.name(&control_plane_name, names::label);
    for (i, member) in members.iter().enumerate() {
        findings.name(member, names::label);
        if **member == *namespace {
            let help = "the control plane's namespace is never a member";
            findings.error(member.span, Code::BadValue, format!("`{}` holds the control plane", **member), help);
        }
        if members[..i].iter().any(|other| **other == **member) {
            findings.error(member.span, Code::Duplicate, format!("member `{}` is listed twice", **member), "remove one");
        }
    }
    let base = control_plane.base.map(|spec| base(spec, &namespace, &control_plane_name, findings));
    let ingress = self::ingress(ingress.unwrap_or_else(|| At { value: IngressSpec::default(), span: name.span }), findings);
    Mesh {
        path: findings.path.to_owned(),
        name_span: name.span,
        name: name.value,
        cluster: cluster.map(|text| text.value),
        cluster_uid: cluster_uid.map(|text| text.value),
        trust_domain,
        members: members.into_iter().map(|text| text.value).collect(),
        create_namespaces,
        namespace: namespace.value,
        control_plane: control_plane_name.value,
        base,
        platform,
        locality: locality.map(|spec| self::locality(spec, findings)),
        ingress,
        ca: self::ca(ca, findings),
        operators: self::operators(operators, findings),
        keys: keys(&agent.keys, findings),
        disowned: disowned(agent.disowned, findings),
        suspend,
    }
}

fn keys(lines: &[At<String>], findings: &mut Findings) -> Vec<PublicKey> {
    let key = |line: &At<String>| {
        let wrong = |reason| findings.error(line.span, Code::BadValue, reason, "`meshfed trust keygen` prints such a line");
        public_key(line).map_err(wrong).ok()
    };
    lines.iter().filter_map(key).collect()
}

fn disowned(commits: Vec<At<String>>, findings: &mut Findings) -> Vec<String> {
    for commit in &commits {
        if commit.len() != 40 || !commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            let message = format!("`{}` is not the whole id of a commit", commit.escape_debug());
            findings.error(commit.span, Code::BadValue, message, "write all 40 digits, as `git log` shows them");
        }
    }
    commits.into_iter().map(|commit| commit.value).collect()
}

fn base(spec: BaseSpec, namespace: &str, name: &str, findings: &mut Findings) -> Base {
    let BaseSpec { api_version: _, kind: _, metadata, spec } = spec;
    for (given, expected) in [(&metadata.namespace, namespace), (&metadata.name, name)] {
        if let Some(given) = given.as_ref().filter(|given| ***given != *expected) {
            let help = format!("leave it out: the control plane is `{namespace}/{name}`");
            findings.error(given.span, Code::NameMismatch, format!("`{}` is not `{expected}`", **given), help);
        }
    }
    Base { labels: metadata.labels, annotations: metadata.annotations, spec: spec.value }
}

fn ingress(spec: At<IngressSpec>, findings: &mut Findings) -> Ingress {
    let At { value: spec, span } = spec;
    let mut addresses: Vec<At<String>> = spec.addresses.iter().filter_map(|text| static_address(text, findings)).collect();
    addresses.sort();
    addresses.dedup_by(|one, other| one.value == other.value);
    if spec.service_type == ServiceType::NodePort {
        node_ports(&spec, span, findings);
    }
    for port in [&spec.discovery_port, &spec.service_port].into_iter().flatten().filter(|port| port.value == 0) {
        findings.error(port.span, Code::BadValue, "0 is no port", "1 to 65535");
    }
    let port = |port: Option<At<u16>>, default| port.map_or(default, |port| port.value);
    Ingress {
        service_type: spec.service_type,
        annotations: spec.annotations,
        addresses,
        discovery_port: port(spec.discovery_port, defaults::DISCOVERY_PORT),
        service_port: port(spec.service_port, defaults::SERVICE_PORT),
        span,
    }
}

/// Node ports are the same on both sides: what the gateways' Services ask for, and what peers dial.
fn node_ports(ingress: &IngressSpec, span: Span, findings: &mut Findings) {
    let ports = [("discoveryPort", &ingress.discovery_port), ("servicePort", &ingress.service_port)];
    let mut missing: Vec<&str> = ports.iter().filter(|(_, port)| port.is_none()).map(|(field, _)| *field).collect();
    if ingress.addresses.is_empty() {
        missing.insert(0, "addresses");
    }
    let (low, high) = (defaults::NODE_PORTS.start(), defaults::NODE_PORTS.end());
    if !missing.is_empty() {
        let message = format!("`type: NodePort` needs `{}` too", missing.join("`, `"));
        let help = format!("the nodes' addresses, and two ports from {low} to {high} that are free on every node");
        findings.error(span, Code::BadValue, message, help);
    }
    for (field, port) in ports {
        if let Some(port) = port.as_ref().filter(|port| !defaults::NODE_PORTS.contains(&***port)) {
            let message = format!("`type: NodePort` needs a `{field}` from {low} to {high}");
            findings.error(port.span, Code::BadValue, message, "a port that is free on every node");
        }
    }
    if let (Some(one), Some(other)) = (&ingress.discovery_port, &ingress.service_port)
        && **one == **other
    {
        findings.error(other.span, Code::Duplicate, format!("port {} is both discovery and service port", **other), "");
    }
}

fn static_address(text: &At<String>, findings: &mut Findings) -> Option<At<String>> {
    match address::parse(text) {
        Ok(address) => Some(At { value: address, span: text.span }),
        Err(message) => {
            findings.error(text.span, Code::BadValue, message, "write a bare IP address or DNS name");
            None
        }
    }
}

/// Whether a root has expired is asked when it is used: a document that was right must not become wrong by waiting.
fn ca(spec: CaSpec, findings: &mut Findings) -> Ca {
    let CaSpec { roots: texts, overlap } = spec;
    let mut roots: Vec<At<Root>> = Vec::new();
    for text in &texts {
        match root::read(text) {
            Ok(read) => {
                for root in read {
                    if roots.iter().any(|other| other.fingerprint == root.fingerprint) {
                        let message = format!("CA root {} is listed twice", root.short());
                        findings.error(text.span, Code::Duplicate, message, "remove one");
                    } else {
                        roots.push(At { value: root, span: text.span });
                    }
                }
            }
            Err(message) => {
                let help = "write each CA certificate as a PEM block under `roots: [|…]`";
                findings.error(text.span, Code::BadValue, format!("a CA root is unusable: {message}"), help);
            }
        }
    }
    if let Some(text) = texts.first().filter(|_| roots.len() > MAX_DECLARED_ROOTS) {
        findings.error(text.span, Code::BadValue, format!("more than {MAX_DECLARED_ROOTS} CA roots"), "remove those of the past");
    }
    let overlap = overlap.and_then(|text| match humantime::parse_duration(&text).ok().and_then(|t| t.try_into().ok()) {
        Some(duration) => Some(duration),
        None => {
            let message = format!("`{}` is not a duration", text.escape_debug());
            findings.error(text.span, Code::BadValue, message, "write it like `36h` or `2days`");
            None
        }
    });
    Ca { roots, overlap: overlap.unwrap_or(defaults::CA_OVERLAP) }
}

fn operators(specs: Vec<OperatorSpec>, findings: &mut Findings) -> Vec<Operator> {
    let mut operators: Vec<Operator> = Vec::new();
    for spec in specs {
        let OperatorSpec { name, namespace, channel, source, source_namespace, starting_csv } = spec;
        if names::dns_name(&name).is_err() {
            findings.error(name.span, Code::BadName, format!("`{}` is not an operator's name", name.escape_debug()), "");
        }
        if let Some(namespace) = &namespace {
            findings.name(namespace, names::label);
        }
        let namespace = namespace.map_or_else(|| defaults::OPERATOR_NAMESPACE.into(), |text| text.value);
        if operators.iter().any(|other| other.name == *name && other.namespace == namespace) {
            findings.error(name.span, Code::Duplicate, format!("operator `{}` is listed twice", *name), "remove one");
        }
        operators.push(Operator {
            name: name.value,
            namespace,
            channel: channel.unwrap_or_else(|| defaults::OPERATOR_CHANNEL.into()),
            source: source.unwrap_or_else(|| defaults::CATALOG.into()),
            source_namespace: source_namespace.unwrap_or_else(|| defaults::CATALOG_NAMESPACE.into()),
            starting_csv,
        });
    }
    operators
}
