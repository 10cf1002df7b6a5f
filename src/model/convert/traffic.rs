//! Traffic documents.

use std::collections::BTreeMap;

use super::Findings;
use super::resilience::{duration, failover, outlier_detection, retries};
use super::routes::{mirror, routes, rule};
use crate::model::at::{At, Span};
use crate::model::code::Code;
use crate::model::documents::{MatchSpec, RouteSpec, TrafficDocument};
use crate::model::names::{self, closest};
use crate::model::traffic::{Destination, Route, Rule, Traffic, default_subset};

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
    let needs_rules = spec.mirror.is_some() || spec.timeout.is_some() || spec.retries.is_some();
    let needs_policy = spec.failover.is_some() || spec.outlier_detection.is_some();
    let mirror = spec.mirror.and_then(|spec| mirror(spec, findings));
    let timeout = spec.timeout.and_then(|text| duration(&text, findings));
    let retries = spec.retries.map(|spec| retries(spec, findings));
    let rules = rules(spec.matches, spec.routes, needs_rules, name.span, findings);
    let failover = spec.failover.map(|spec| failover(spec, &rules, findings)).unwrap_or_default();
    let outlier_detection = match spec.outlier_detection {
        None if failover.is_empty() => None,
        spec => Some(outlier_detection(spec.unwrap_or_default(), findings)),
    };
    if rules.is_empty() && !needs_policy {
        let help = "add `routes`, for instance `- {local: {}, weight: 100}`";
        findings.error(name.span, Code::Weights, "there is no route", help);
    }
    unlisted(&rules, &spec.subsets, findings);
    let subsets = rules
        .iter()
        .flat_map(|rule| &rule.routes)
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
        rules,
        mirror,
        timeout,
        retries,
        failover,
        outlier_detection,
        subsets,
        when_unavailable: spec.when_unavailable,
    })
}

/// Warns of subsets that stand for a label by their name alone, where others are listed.
fn unlisted(rules: &[Rule], listed: &BTreeMap<String, BTreeMap<String, String>>, findings: &mut Findings) {
    for route in rules.iter().flat_map(|rule| &rule.routes).filter(|_| !listed.is_empty()) {
        if let Destination::Local { subset: Some(subset) } = &route.to
            && !listed.contains_key(subset)
        {
            let message = format!("`{subset}` is not among `subsets`, so it stands for the label `version: {subset}`");
            let names: Vec<&String> = listed.keys().collect();
            let help = format!("{} Else list it there too", closest(subset, &names));
            findings.warning(route.span, Code::Suspicious, message, help);
        }
    }
}

/// The matches, and what all other requests do; nothing where nothing asks for it.
fn rules(
    matches: Vec<At<MatchSpec>>,
    routes: Vec<At<RouteSpec>>,
    needed: bool,
    name: Span,
    findings: &mut Findings,
) -> Vec<Rule> {
    if matches.is_empty() && routes.is_empty() && !needed {
        return Vec::new();
    }
    let mut rules: Vec<Rule> = matches.into_iter().filter_map(|spec| rule(spec, findings)).collect();
    let span = routes.first().map_or(name, |route| route.span);
    let routes = if routes.is_empty() { vec![Route::to_local(span)] } else { self::routes(routes, findings) };
    rules.push(Rule { when: None, routes, span });
    rules
}
