//! What a Traffic says of requests that fail: timeouts, retries, endpoints left out, failover.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Findings;
use crate::model::at::{At, Span};
use crate::model::code::Code;
use crate::model::documents::{FailoverSpec, OutlierDetectionSpec, RetriesSpec};
use crate::model::traffic::{Destination, OutlierDetection, Retries, Rule};
use crate::model::{defaults, names};

/// What can be tried again besides status codes (Istio pkg/config/validation `supportedRetryOnPolicies`, which refuses others).
const RETRY_ON: [&str; 14] = [
    "5xx",
    "gateway-error",
    "reset",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// A length of time in people's words; whole milliseconds, because Istio takes nothing shorter.
pub(super) fn duration(text: &At<String>, findings: &mut Findings) -> Option<Duration> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() && time.subsec_nanos().is_multiple_of(1_000_000) => return Some(time),
        Ok(_) => {
            let message = format!("`{}` is shorter than a millisecond or a fraction of one", text.escape_debug());
            findings.error(text.span, Code::BadValue, message, "leave it out for no limit");
        }
        Err(_) => {
            let message = format!("`{}` is not a length of time", text.escape_debug());
            findings.error(text.span, Code::BadValue, message, "write it as `500ms`, `3s` or `1m 30s`");
        }
    }
    None
}

/// `retries`.
pub(super) fn retries(spec: RetriesSpec, findings: &mut Findings) -> Retries {
    let RetriesSpec { attempts, per_try_timeout, retry_on } = spec;
    if *attempts == 0 && (per_try_timeout.is_some() || retry_on.is_some()) {
        // Istio refuses the VirtualService
        findings.error(attempts.span, Code::BadValue, "`attempts: 0` turns retries off", "remove the other fields of `retries`");
    }
    if let Some(conditions) = &retry_on {
        for condition in conditions.split(',') {
            let status = condition.parse().is_ok_and(|code: u16| (100..600).contains(&code));
            if !status && !RETRY_ON.contains(&condition) {
                let message = format!("`{}` is nothing that can be tried again", condition.escape_debug());
                findings.error(conditions.span, Code::BadValue, message, names::closest(condition, &RETRY_ON));
            }
        }
    }
    Retries {
        attempts: *attempts,
        per_try_timeout: per_try_timeout.and_then(|text| duration(&text, findings)),
        retry_on: retry_on.map(|text| text.value),
    }
}

/// `outlierDetection`, with the defaults for what it leaves out.
pub(super) fn outlier_detection(spec: OutlierDetectionSpec, findings: &mut Findings) -> OutlierDetection {
    let OutlierDetectionSpec { consecutive_5xx_errors, interval, base_ejection_time, max_ejection_percent } = spec;
    if let Some(At { value: 0, span }) = consecutive_5xx_errors {
        findings.error(span, Code::BadValue, "0 errors turn it off", "at least 1; to turn it off remove `outlierDetection`");
    }
    if let Some(percent) = max_ejection_percent.as_ref().filter(|percent| !(1..=100).contains(&percent.value)) {
        findings.error(percent.span, Code::BadValue, format!("{} is not a share of the endpoints", **percent), "1 to 100");
    }
    let mut time = |text: Option<At<String>>, default| text.and_then(|text| duration(&text, findings)).unwrap_or(default);
    OutlierDetection {
        consecutive_5xx_errors: consecutive_5xx_errors.map_or(defaults::CONSECUTIVE_5XX_ERRORS, |number| *number),
        interval: time(interval, defaults::OUTLIER_INTERVAL),
        base_ejection_time: time(base_ejection_time, defaults::BASE_EJECTION_TIME),
        max_ejection_percent: max_ejection_percent.map_or(defaults::MAX_EJECTION_PERCENT, |number| *number),
    }
}

/// `failover` beside the rules of the same Traffic: requests must come to the service itself, not to a subset of it.
pub(super) fn failover(spec: At<FailoverSpec>, rules: &[Rule], findings: &mut Findings) -> Vec<At<String>> {
    let At { value: FailoverSpec { to }, span } = spec;
    if to.is_empty() {
        findings.error(span, Code::Failover, "there is no peer to fail over to", "name peers: `to: [aro-stg-mesh]`");
    }
    let mut seen = BTreeSet::new();
    for peer in to.iter().filter(|peer| !seen.insert(&*peer.value)) {
        findings.error(peer.span, Code::Duplicate, format!("`{}` is listed twice", peer.escape_debug()), "remove one");
    }
    let routes = || rules.iter().flat_map(|rule| &rule.routes);
    let subsets: Vec<Span> =
        routes().filter_map(|route| matches!(route.to, Destination::Local { subset: Some(_) }).then_some(route.span)).collect();
    for span in &subsets {
        let help = "route to `local: {}`, or remove `failover`";
        findings.error(*span, Code::Failover, "a subset hides the endpoints that `failover` adds to the service", help);
    }
    let served = routes().any(|route| route.weight > 0 && route.to == Destination::Local { subset: None });
    if !rules.is_empty() && subsets.is_empty() && !served {
        let help = "failover helps requests to the service itself: add a route to `local: {}`";
        findings.error(span, Code::Failover, "no request goes to the service that `failover` is about", help);
    }
    to
}
