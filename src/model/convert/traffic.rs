//! Traffic documents.

use super::Findings;
use super::routes::{mirror, routes, rule};
use crate::model::diagnostic::Code;
use crate::model::documents::TrafficDocument;
use crate::model::names;
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
    let mirror = spec.mirror.and_then(|spec| mirror(spec, findings));
    let span = spec.routes.first().map_or(name.span, |route| route.span);
    if spec.routes.is_empty() && spec.matches.is_empty() && mirror.is_none() {
        let help = "add `routes`, for instance `- {local: {}, weight: 100}`";
        findings.error(name.span, Code::Weights, "there is no route", help);
    }
    let mut rules: Vec<Rule> = spec.matches.into_iter().filter_map(|spec| rule(spec, findings)).collect();
    let routes = if spec.routes.is_empty() { vec![Route::to_local(span)] } else { routes(spec.routes, findings) };
    rules.push(Rule { when: None, routes, span });
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
        subsets,
        when_unavailable: spec.when_unavailable,
    })
}
