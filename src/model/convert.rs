//! From the shapes that people write to values that hold: names are checked, defaults filled in, all findings collected.

use super::at::{At, Span};
use super::diagnostic::{Code, Diagnostic};
use super::documents::{
    BaseSpec, ExportSpec, FederationDocument, ImportSpec, LocalSpec, LocalitySpec, MeshDocument, MeshSpec, MirrorSpec,
    OperatorSpec, PeerDocument, RouteSpec, ServiceType, TrafficDocument,
};
use super::federation::{
    Base, Destination, Export, Import, Ingress, Locality, Mesh, Mirror, Operator, Peer, Route, ServiceName, Traffic,
    default_subset,
};
use super::network::Cidr;
use super::{address, defaults, names};

/// Collects the findings of one file. Whoever converts goes on after a finding, so that a person sees all of them at once.
pub struct Findings<'a> {
    path: &'a str,
    list: &'a mut Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    /// Findings of the file at `path`, added to `list`.
    pub fn new(path: &'a str, list: &'a mut Vec<Diagnostic>) -> Self {
        Self { path, list }
    }

    fn error(&mut self, span: Span, code: Code, message: impl Into<String>, help: impl Into<String>) {
        self.list.push(Diagnostic::error(self.path, span, code, message, help));
    }

    fn name(&mut self, name: &At<String>, rule: impl Fn(&str) -> Result<(), String>) {
        if let Err(message) = rule(name) {
            self.error(name.span, Code::BadName, message, "");
        }
    }

    fn same_name(&mut self, name: &At<String>, expected: &str, of: &str) {
        if **name != *expected {
            let help = format!("call it `{expected}`, or rename the {of}");
            self.error(
                name.span,
                Code::NameMismatch,
                format!("this document is called `{}` but its {of} `{expected}`", **name),
                help,
            );
        }
    }

    fn service(&mut self, text: &At<String>) -> Option<At<ServiceName>> {
        let parts = text.split_once('/').filter(|(_, name)| !name.contains('/'));
        let Some((namespace, name)) = parts else {
            self.error(text.span, Code::BadName, format!("`{}` is not a service", text.escape_debug()), "write `namespace/name`");
            return None;
        };
        for part in [namespace, name] {
            if let Err(message) = names::label(part) {
                self.error(text.span, Code::BadName, message, "write `namespace/name`");
                return None;
            }
        }
        Some(At { value: ServiceName { namespace: namespace.into(), name: name.into() }, span: text.span })
    }
}

/// `federation.yaml`: its name and the address ranges that it allows.
pub fn federation(document: FederationDocument, findings: &mut Findings) -> (String, Vec<Cidr>) {
    let FederationDocument { api_version: _, kind: _, metadata, spec } = document;
    let mut ranges = Vec::new();
    for text in spec.allow_addresses {
        match Cidr::parse(&text) {
            Some(range) => ranges.push(range),
            None => {
                findings.error(text.span, Code::BadValue, format!("`{}` is not a range", *text), "write it like `127.0.0.0/8`");
            }
        }
    }
    (metadata.name.value, ranges)
}

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
            Code::BadValue,
            message,
            format!("add `trustDomain: {folder}.local`; it must be the control plane's"),
        );
        name.clone()
    });
    findings.name(&trust_domain, names::trust_domain);
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
    let mut addresses: Vec<String> = ingress.addresses.iter().filter_map(|text| static_address(text, findings)).collect();
    addresses.sort();
    addresses.dedup();
    if ingress.service_type == ServiceType::NodePort && addresses.is_empty() {
        let help = "list the nodes' addresses and both node ports under `ingress`";
        findings.error(name.span, Code::BadValue, "`ingress.type: NodePort` needs `ingress.addresses`", help);
    }
    let base = control_plane.base.map(|spec| base(spec, &namespace, &control_plane_name, findings));
    let port = |port: Option<At<u16>>, default| port.map_or(default, |port| port.value);
    Mesh {
        path: findings.path.to_owned(),
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
        locality: locality.map(self::locality),
        ingress: Ingress {
            service_type: ingress.service_type,
            annotations: ingress.annotations,
            addresses,
            discovery_port: port(ingress.discovery_port, defaults::DISCOVERY_PORT),
            service_port: port(ingress.service_port, defaults::SERVICE_PORT),
        },
        operators: operators.into_iter().map(operator).collect(),
        keys: agent.keys.into_iter().map(|text| text.value).collect(),
        suspend,
    }
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

fn static_address(text: &At<String>, findings: &mut Findings) -> Option<String> {
    match address::parse(text) {
        Ok(address) => Some(address),
        Err(message) => {
            findings.error(text.span, Code::BadValue, message, "write a bare IP address or DNS name");
            None
        }
    }
}

fn operator(spec: OperatorSpec) -> Operator {
    let OperatorSpec { name, namespace, channel, source, source_namespace, starting_csv } = spec;
    Operator {
        name: name.value,
        namespace: namespace.map_or_else(|| defaults::OPERATOR_NAMESPACE.into(), |text| text.value),
        channel: channel.unwrap_or_else(|| defaults::OPERATOR_CHANNEL.into()),
        source: source.unwrap_or_else(|| defaults::CATALOG.into()),
        source_namespace: source_namespace.unwrap_or_else(|| defaults::CATALOG_NAMESPACE.into()),
        starting_csv,
    }
}

fn locality(spec: LocalitySpec) -> Locality {
    let LocalitySpec { region, zone, subzone } = spec;
    Locality { region: region.value, zone: zone.map(|text| text.value), subzone: subzone.map(|text| text.value) }
}

/// `meshes/<mesh>/peers/<file>.yaml`.
pub fn peer(document: PeerDocument, mesh: &str, file: &str, findings: &mut Findings) -> Peer {
    let PeerDocument { api_version: _, kind: _, metadata, spec } = document;
    let name = metadata.name;
    findings.name(&name, names::mesh);
    findings.same_name(&name, file, "file");
    if *name == mesh {
        findings.error(name.span, Code::BadValue, "a mesh cannot be its own peer", "");
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
        ingress: ingress.value,
        egress: egress.value,
        exports: spec.exports.into_iter().filter_map(|spec| export(spec, name.span, findings)).collect(),
        imports: spec.imports.into_iter().filter_map(|spec| import(spec, findings)).collect(),
        locality: spec.locality.map(locality),
        name,
    }
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
            let aliases = aliases
                .iter()
                .filter_map(|a| Some((findings.service(&a.service)?.value, findings.service(&a.alias)?.value)))
                .collect();
            Some(Export::Selector {
                namespace: selector.namespace.value,
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
    let ImportSpec { service, alias, as_local, domain_suffix } = spec;
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
    Some(Import { service: name, alias: alias.flatten(), as_local, domain_suffix: domain_suffix.map(|text| text.value) })
}

/// `meshes/<mesh>/traffic/<file>.yaml`.
pub fn traffic(document: TrafficDocument, file: &str, findings: &mut Findings) -> Option<Traffic> {
    let TrafficDocument { api_version: _, kind: _, metadata, spec } = document;
    let name = metadata.name;
    findings.name(&name, names::label);
    findings.same_name(&name, file, "file");
    let service = match spec.service {
        Some(text) => findings.service(&text),
        None => {
            findings.error(
                name.span,
                Code::BadValue,
                "`spec.service` is missing",
                "name the Service that clients call: `namespace/name`",
            );
            None
        }
    };
    let routes: Vec<Route> = spec.routes.into_iter().filter_map(|route| self::route(route, findings)).collect();
    let mirror = spec.mirror.and_then(|mirror| self::mirror(mirror, findings));
    let total: u32 = routes.iter().map(|route| route.weight).sum();
    if routes.is_empty() {
        findings.error(name.span, Code::Weights, "there is no route", "add `routes`, for instance `- {local: {}, weight: 100}`");
    } else if total != 100 {
        findings.error(routes[0].span, Code::Weights, format!("the weights sum to {total}, not 100"), "change the weights");
    }
    let subsets = routes
        .iter()
        .map(|route| &route.to)
        .chain(mirror.iter().map(|mirror| &mirror.to))
        .filter_map(|to| match to {
            Destination::Local { subset } => subset.clone(),
            Destination::Imported { .. } => None,
        })
        .map(|subset| (subset.clone(), spec.subsets.get(&subset).cloned().unwrap_or_else(|| default_subset(&subset))))
        .collect();
    Some(Traffic {
        path: findings.path.to_owned(),
        name: name.value,
        service: service?,
        routes,
        mirror,
        subsets,
        when_unavailable: spec.when_unavailable,
    })
}

fn route(route: At<RouteSpec>, findings: &mut Findings) -> Option<Route> {
    let At { value: RouteSpec { local, peer, service, weight }, span } = route;
    if *weight > 100 {
        findings.error(
            weight.span,
            Code::Weights,
            format!("a weight of {} is more than all", *weight),
            "weights are percentages",
        );
    }
    Some(Route { to: destination(local, peer, service, span, findings)?, weight: weight.value.min(100), span })
}

fn mirror(mirror: At<MirrorSpec>, findings: &mut Findings) -> Option<Mirror> {
    let At { value: MirrorSpec { local, peer, service, percentage }, span } = mirror;
    let percentage = percentage.unwrap_or(At { value: defaults::MIRROR_PERCENTAGE, span });
    if !(0.0..=100.0).contains(&*percentage) {
        findings.error(percentage.span, Code::BadValue, format!("{} is not a percentage", *percentage), "0 to 100");
    }
    Some(Mirror { to: destination(local, peer, service, span, findings)?, percentage: *percentage, span })
}

fn destination(
    local: Option<LocalSpec>,
    peer: Option<At<String>>,
    service: Option<At<String>>,
    span: Span,
    findings: &mut Findings,
) -> Option<Destination> {
    match (local, peer, service) {
        (Some(LocalSpec { subset }), None, None) => {
            if let Some(subset) = &subset {
                findings.name(subset, names::label);
            }
            Some(Destination::Local { subset: subset.map(|text| text.value) })
        }
        (None, Some(peer), Some(service)) => {
            let service = findings.service(&service)?;
            Some(Destination::Imported { peer: peer.value, service: service.value })
        }
        _ => {
            let help = "give `local`, or both `peer` and `service`";
            findings.error(span, Code::BadValue, "a destination is either local or imported from one peer", help);
            None
        }
    }
}
