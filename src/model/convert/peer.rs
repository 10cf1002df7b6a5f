//! Peer documents.

use super::{Findings, locality};
use crate::model::at::{At, Span};
use crate::model::code::Code;
use crate::model::documents::{ExportSpec, ImportSpec, PeerDocument};
use crate::model::federation::{Export, Import, Peer};
use crate::model::{defaults, names, root};

/// `meshes/<mesh>/peers/<file>.yaml`.
pub fn peer(document: PeerDocument, mesh: &str, file: &str, findings: &mut Findings) -> Peer {
    let PeerDocument { api_version: _, kind: _, metadata, spec } = document;
    let name = metadata.name;
    findings.name(&name, names::mesh);
    findings.same_name(&name, file, "file");
    if *name == mesh {
        findings.error(name.span, Code::BadValue, "a mesh cannot be its own peer", "remove the file");
    }
    let at = |value: String| At { value, span: name.span };
    let ingress = spec.gateways.ingress.unwrap_or_else(|| at(defaults::ingress_gateway(&name)));
    let egress = spec.gateways.egress.unwrap_or_else(|| at(defaults::egress_gateway(&name)));
    if *ingress == *egress {
        findings.error(
            egress.span,
            Code::Duplicate,
            format!("`{}` is both ingress and egress", *egress),
            "give them different names",
        );
    }
    Peer {
        path: findings.path.to_owned(),
        gateway_spans: [ingress.span, egress.span],
        ingress: ingress.value,
        egress: egress.value,
        exports: spec.exports.into_iter().filter_map(|spec| export(spec, name.span, findings)).collect(),
        imports: spec.imports.into_iter().filter_map(|spec| import(spec, findings)).collect(),
        accept_roots: spec.accept_roots.iter().filter_map(|text| fingerprint(text, findings)).collect(),
        ca_policy: spec.ca_policy,
        probe: spec.probe,
        locality: spec.locality.map(|spec| locality(spec, findings)),
        suspend: spec.suspend,
        name,
    }
}

fn fingerprint(text: &At<String>, findings: &mut Findings) -> Option<String> {
    let fingerprint = root::parse_fingerprint(text);
    if fingerprint.is_none() {
        let message = format!("`{}` is not a SHA-256 fingerprint", text.escape_debug());
        findings.error(
            text.span,
            Code::BadValue,
            message,
            "64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints them",
        );
    }
    fingerprint
}

fn export(spec: ExportSpec, span: Span, findings: &mut Findings) -> Option<Export> {
    match spec {
        ExportSpec { service: Some(service), alias, selector: None, aliases } => {
            if let Some(extra) = aliases.first() {
                findings.error(extra.service.span, Code::BadValue, "`aliases` goes with `selector`", "use `as` for one service");
            }
            let service = findings.service(&service);
            let alias = alias.map(|text| findings.service(&text));
            Some(Export::Service { service: service?, alias: alias.flatten() })
        }
        ExportSpec { service: None, alias: None, selector: Some(selector), aliases } => {
            findings.name(&selector.namespace, names::label);
            let aliases =
                aliases.iter().filter_map(|a| Some((findings.service(&a.service)?, findings.service(&a.alias)?))).collect();
            Some(Export::Selector {
                namespace: selector.namespace,
                match_labels: selector.match_labels,
                match_expressions: selector.match_expressions,
                aliases,
            })
        }
        ExportSpec { service, alias, selector, aliases: _ } => {
            let span = service.or(alias).map(|text| text.span).or(selector.map(|s| s.namespace.span)).unwrap_or(span);
            let help = "give `service` (with `as`), or `selector` (with `aliases`)";
            findings.error(span, Code::BadValue, "an export is either one service or one selector", help);
            None
        }
    }
}

fn import(spec: ImportSpec, findings: &mut Findings) -> Option<Import> {
    let ImportSpec { service, alias, as_local, domain_suffix, tcp_ports } = spec;
    let all = *service == "*";
    let name = if all { At { value: None, span: service.span } } else { findings.service(&service)?.map(Some) };
    if all && (alias.is_some() || as_local) {
        findings.error(service.span, Code::BadValue, "`*` takes neither `as` nor `asLocal`", "import the service by name");
    }
    let alias = alias.map(|text| findings.service(&text));
    if let Some(suffix) = &domain_suffix {
        if names::dns_name(suffix).is_err() {
            findings.error(suffix.span, Code::BadName, format!("`{}` is not a DNS name", suffix.escape_debug()), "");
        } else if **suffix == "svc.cluster.local" {
            // maistra/istio skips such a rule without a word
            findings.error(suffix.span, Code::BadValue, "`svc.cluster.local` is not allowed as a suffix", "use `asLocal: true`");
        }
        if as_local {
            findings.error(suffix.span, Code::BadValue, "`asLocal` takes no `domainSuffix`", "remove one");
        }
    }
    for (i, port) in tcp_ports.iter().enumerate() {
        if **port == 0 {
            findings.error(port.span, Code::BadValue, "0 is no port", "1 to 65535");
        } else if tcp_ports[..i].iter().any(|other| **other == **port) {
            findings.error(port.span, Code::Duplicate, format!("port {} is listed twice", **port), "remove one");
        }
    }
    Some(Import {
        service: name,
        alias: alias.flatten(),
        as_local,
        domain_suffix: domain_suffix.map(|text| text.value),
        tcp_ports,
    })
}
