//! Lists of destinations with their weights, and the requests that take them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Findings;
use crate::model::at::{At, Span};
use crate::model::code::Code;
use crate::model::documents::{LocalSpec, MatchSpec, MirrorSpec, RouteSpec, TextMatchSpec};
use crate::model::traffic::{Destination, Match, Mirror, NameSpans, Route, Rule, TextMatch};
use crate::model::{defaults, names};

/// Longest text to compare with (Istio refuses longer regular expressions; no header or path that people tell apart is longer).
const MAX_TEXT: usize = 1024;

/// Names that Istio ignores among headers, because each has a field of its own (Istio `HTTPMatchRequest.headers`).
const NO_HEADERS: [&str; 4] = ["uri", "scheme", "method", "authority"];

/// One entry of `matches`.
pub(super) fn rule(spec: At<MatchSpec>, findings: &mut Findings) -> Option<Rule> {
    let At { value: MatchSpec { headers, uri, routes }, span } = spec;
    if headers.is_empty() && uri.is_none() {
        let help = "give `headers` or `uri`; what all other requests do stands under `spec.routes`";
        findings.error(span, Code::BadValue, "this match takes every request", help);
        return None;
    }
    if routes.is_empty() {
        findings.error(span, Code::Weights, "this match has no route", "add `routes`, for instance `- {local: {}}`");
        return None;
    }
    let routes = self::routes(routes, findings);
    let headers: BTreeMap<String, TextMatch> = headers.into_iter().filter_map(|header| self::header(header, findings)).collect();
    let uri = uri.and_then(|text| text_match(text, findings));
    let when = Match { headers, uri };
    (when != Match::default()).then_some(Rule { when: Some(when), routes, span }) // else its conditions are reported
}

fn header((name, text): (String, TextMatchSpec), findings: &mut Findings) -> Option<(String, TextMatch)> {
    let span = match &text {
        TextMatchSpec::Exact(text) | TextMatchSpec::Prefix(text) | TextMatchSpec::Regex(text) => text.span,
    };
    if let Err(message) = names::header(&name) {
        let meant = Some(name.to_ascii_lowercase().replace('_', "-")).filter(|meant| names::header(meant).is_ok());
        let help = format!("write it as `{}`", meant.as_deref().unwrap_or("x-request-id"));
        findings.error(span, Code::BadName, message, help);
    } else if NO_HEADERS.contains(&name.as_str()) {
        let message = format!("the control plane ignores a header called `{name}`");
        findings.error(span, Code::BadName, message, "the path is matched by `uri` beside `headers`");
    }
    Some((name, text_match(text, findings)?))
}

fn text_match(spec: TextMatchSpec, findings: &mut Findings) -> Option<TextMatch> {
    let (text, of): (At<String>, fn(String) -> TextMatch) = match spec {
        TextMatchSpec::Exact(text) => (text, TextMatch::Exact),
        TextMatchSpec::Prefix(text) => (text, TextMatch::Prefix),
        TextMatchSpec::Regex(text) => {
            expression(&text, findings);
            (text, TextMatch::Regex)
        }
    };
    let (message, help) = match text.chars().count() {
        0 => ("nothing to compare with".to_owned(), "for a header that only has to be there write `regex: .+`"),
        1..=MAX_TEXT if text.contains(char::is_control) => ("no header or path holds a control character".to_owned(), ""),
        1..=MAX_TEXT => return Some(of(text.value)),
        length => (format!("{length} characters; the limit is {MAX_TEXT}"), ""),
    };
    findings.error(text.span, Code::BadValue, message, help);
    None
}

/// Istio reads RE2, whose syntax is that of Rust's library but for rarities.
fn expression(text: &At<String>, findings: &mut Findings) {
    // Not read where it is too long, which is reported anyway: classes of characters make it grow a thousandfold.
    if text.len() <= 4 * MAX_TEXT
        && let Err(error) = regex_syntax::Parser::new().parse(text)
    {
        let message = format!("not a regular expression: {}", reason(&error));
        findings.error(text.span, Code::BadValue, message, "the control plane reads RE2 syntax");
    }
}

/// What is wrong, without the drawing that the library adds.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        _ => "it cannot be read".to_owned(),
    }
}

/// A list of destinations; its weights sum to 100, and a lone one may leave its weight out.
pub(super) fn routes(list: Vec<At<RouteSpec>>, findings: &mut Findings) -> Vec<Route> {
    let lone = list.len() == 1;
    let weight = |route: &At<RouteSpec>| match &route.weight {
        None if lone => Some(100),
        weight => weight.as_ref().map(|weight| u64::from(weight.value)),
    };
    for route in list.iter().filter(|route| weight(route).is_none()) {
        findings.error(route.span, Code::Weights, "this route has no weight", "only a lone route may leave it out");
    }
    let total: Option<u64> = list.iter().map(weight).sum();
    // One that is more than all is reported where it stands.
    let possible = list.iter().all(|route| weight(route) <= Some(100));
    if let (Some(first), Some(total)) = (list.first(), total.filter(|_| possible))
        && total != 100
    {
        let weights: Vec<String> = list.iter().filter_map(weight).map(|weight| weight.to_string()).collect();
        let help = match total.cmp(&100) {
            Ordering::Less => format!("{} is {} short", weights.join(" + "), 100 - total),
            _ => format!("{} is {} too much", weights.join(" + "), total - 100),
        };
        findings.error(first.span, Code::Weights, format!("the weights sum to {total}, not 100"), help);
    }
    list.into_iter().filter_map(|route| self::route(route, findings)).collect()
}

fn route(route: At<RouteSpec>, findings: &mut Findings) -> Option<Route> {
    let At { value: RouteSpec { local, peer, service, subset, weight }, span } = route;
    let weight = weight.unwrap_or(At { value: 100, span });
    if *weight > 100 {
        findings.error(
            weight.span,
            Code::Weights,
            format!("a weight of {} is more than all", *weight),
            "weights are percentages",
        );
    }
    let names = name_spans(peer.as_ref(), service.as_ref(), span);
    Some(Route { to: destination(local, peer, service, subset, span, findings)?, weight: weight.value.min(100), span, names })
}

/// `mirror`.
pub(super) fn mirror(mirror: At<MirrorSpec>, findings: &mut Findings) -> Option<Mirror> {
    let At { value: MirrorSpec { local, peer, service, subset, percentage }, span } = mirror;
    let percentage = percentage.unwrap_or(At { value: defaults::MIRROR_PERCENTAGE, span });
    if !(0.0..=100.0).contains(&*percentage) {
        findings.error(percentage.span, Code::BadValue, format!("{} is not a percentage", *percentage), "0 to 100");
    }
    let names = name_spans(peer.as_ref(), service.as_ref(), span);
    Some(Mirror { to: destination(local, peer, service, subset, span, findings)?, percentage: *percentage, span, names })
}

fn name_spans(peer: Option<&At<String>>, service: Option<&At<String>>, whole: Span) -> NameSpans {
    let place = |name: Option<&At<String>>| name.map_or(whole, |name| name.span);
    NameSpans { peer: place(peer), service: place(service) }
}

fn destination(
    local: Option<LocalSpec>,
    peer: Option<At<String>>,
    service: Option<At<String>>,
    subset: Option<At<String>>,
    span: Span,
    findings: &mut Findings,
) -> Option<Destination> {
    if let Some(subset) = subset {
        let (message, help) = if local.is_some() {
            (format!("`subset` stands inside of `local`: `local: {{subset: {}}}`", subset.escape_debug()), "")
        } else {
            // its endpoints carry no label of the workload (maistra/istio pilot/pkg/serviceregistry/federation)
            let help = "let the peer export each version as a service of its own";
            ("an imported service has no subsets: requests to one would find no endpoint".to_owned(), help)
        };
        findings.error(subset.span, Code::BadValue, message, help);
        return None;
    }
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
