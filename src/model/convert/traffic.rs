//! Traffic documents.

use super::Findings;
use crate::model::at::{At, Span};
use crate::model::diagnostic::Code;
use crate::model::documents::{LocalSpec, MirrorSpec, RouteSpec, TrafficDocument};
use crate::model::federation::{Destination, Mirror, Route, Traffic, default_subset};
use crate::model::{defaults, names};

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
    let total: u64 = spec.routes.iter().map(|route| u64::from(*route.weight)).sum();
    let first = spec.routes.first().map(|route| route.span);
    let routes: Vec<Route> = spec.routes.into_iter().filter_map(|route| self::route(route, findings)).collect();
    let mirror = spec.mirror.and_then(|mirror| self::mirror(mirror, findings));
    match first {
        None => {
            let help = "add `routes`, for instance `- {local: {}, weight: 100}`";
            findings.error(name.span, Code::Weights, "there is no route", help);
        }
        Some(first) if total != 100 => {
            findings.error(first, Code::Weights, format!("the weights sum to {total}, not 100"), "change the weights");
        }
        Some(_) => {}
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
