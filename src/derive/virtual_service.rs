//! Step 7: the VirtualService of a Traffic. Weight flows to an imported service only while the import is there: until then
//! the proxies answer 503 for its share.

use std::time::Duration;

use serde_json::{Value, json};

use super::withdrawn::why_not_given;
use super::{Context, Health, Hold, Inputs, Need, kinds};
use crate::model::documents::WhenUnavailable;
use crate::model::{Destination, Match, Retries, Route, Rule, ServiceName, TextMatch, Traffic};
use crate::object::Key;

/// A route with the weight that was declared and the one that is in effect.
#[derive(Clone, Debug)]
pub struct Share<'a> {
    /// The route.
    pub route: &'a Route,
    /// In effect, in percent.
    pub weight: u32,
    /// Why it gets less than declared.
    pub why_not: Option<String>,
}

pub(super) fn derive(context: &mut Context, traffic: &Traffic) {
    if traffic.rules.is_empty() {
        return;
    }
    let key = kinds::key(kinds::VIRTUAL_SERVICE, &traffic.service.namespace, &traffic.name);
    let inputs = context.inputs;
    let common = common(context, traffic, &key);
    let mut http = Vec::new();
    for rule in &traffic.rules {
        let shares = shares(traffic, rule, inputs);
        let subject = rule.when.as_ref().map_or(key.to_string(), |when| format!("{key} where {when}:"));
        for share in &shares {
            if let Some(why) = &share.why_not {
                context.hold(Hold::part(format!("{subject} {} %", share.route.weight), why.clone()));
            }
        }
        if shares.iter().any(|share| share.weight > 0) {
            http.push(entry(common.clone(), traffic, rule, &shares, inputs));
        } else if rule.when.is_some() {
            let reason = "none of its destinations is there yet; its requests go where the others go";
            context.hold(Hold::part(subject.trim_end_matches(':'), reason));
        } else {
            let reason = "none of its destinations is there yet; the last split stays";
            return context.hold(Hold::waiting(&key, reason));
        }
    }
    let (api_version, kind) = kinds::VIRTUAL_SERVICE;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": traffic.name, "namespace": traffic.service.namespace},
        "spec": {"hosts": [traffic.service.local_host()], "http": http},
    });
    let mut needs = vec![Need::Exists(kinds::namespace(&traffic.service.namespace))];
    if !traffic.subsets.is_empty() {
        // A route to a subset that is not yet defined answers 503.
        needs.push(Need::Applied(kinds::key(kinds::DESTINATION_RULE, &traffic.service.namespace, &traffic.name)));
    }
    context.want(document, &traffic.path, needs);
}

/// What every entry of `spec.http` says: mirror, timeout and retries are of all requests.
fn common(context: &mut Context, traffic: &Traffic, key: &Key) -> Value {
    let mut http = json!({});
    if let Some(mirror) = &traffic.mirror {
        match missing(&mirror.to, context.inputs) {
            None => {
                http["mirror"] = destination(traffic, context.inputs, &mirror.to);
                http["mirrorPercentage"] = json!({"value": mirror.percentage});
            }
            Some(why) => context.hold(Hold::part(format!("{key} mirror"), why)),
        }
    }
    if let Some(timeout) = traffic.timeout {
        http["timeout"] = json!(duration(timeout));
    }
    if let Some(Retries { attempts, per_try_timeout, retry_on }) = &traffic.retries {
        http["retries"] = json!({"attempts": attempts});
        if let Some(time) = per_try_timeout {
            http["retries"]["perTryTimeout"] = json!(duration(*time));
        }
        if let Some(conditions) = retry_on {
            http["retries"]["retryOn"] = json!(conditions);
        }
    }
    http
}

/// The entry of `spec.http` for one rule.
fn entry(mut http: Value, traffic: &Traffic, rule: &Rule, shares: &[Share], inputs: Inputs) -> Value {
    let served = shares.iter().filter(|share| share.weight > 0);
    http["route"] = served
        .map(|share| json!({"destination": destination(traffic, inputs, &share.route.to), "weight": share.weight}))
        .collect();
    if let Some(when) = &rule.when {
        http["match"] = matches(when);
    }
    http
}

/// A length of time as every reader of Istio's API takes it: whole seconds, else milliseconds.
pub(super) fn duration(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

/// What an entry of `spec.http` matches.
pub(super) fn matches(when: &Match) -> Value {
    json!([conditions(when)])
}

/// An `HTTPMatchRequest`; all of its conditions hold at once.
fn conditions(Match { headers, uri }: &Match) -> Value {
    let text = |text: &TextMatch| match text {
        TextMatch::Exact(text) => json!({"exact": text}),
        TextMatch::Prefix(text) => json!({"prefix": text}),
        TextMatch::Regex(text) => json!({"regex": text}),
    };
    let mut all = json!({});
    if let Some(uri) = uri {
        all["uri"] = text(uri);
    }
    if !headers.is_empty() {
        all["headers"] = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    }
    all
}

/// The weights in effect of a rule, in the order of its routes; all zero where none of its destinations is there.
pub fn shares<'a>(traffic: &Traffic, rule: &'a Rule, inputs: Inputs) -> Vec<Share<'a>> {
    let share = |route: &'a Route| match missing(&route.to, inputs) {
        Some(why) if traffic.when_unavailable == WhenUnavailable::Redistribute => Share { route, weight: 0, why_not: Some(why) },
        why_not => Share { route, weight: route.weight, why_not },
    };
    let mut shares: Vec<Share> = rule.routes.iter().map(share).collect();
    scale(&mut shares);
    shares
}

/// The weight that a live VirtualService gives to a destination of a rule; 0 where it knows neither.
pub fn live_weight(traffic: &Traffic, rule: &Rule, to: &Destination, inputs: Inputs, live: &Value) -> u32 {
    let list = |value: &'_ Value, pointer: &str| value.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let when = rule.when.as_ref().map(matches);
    let entry = list(live, "/spec/http").into_iter().find(|entry| entry.get("match") == when.as_ref());
    let destination = destination(traffic, inputs, to);
    let routes = entry.map(|entry| list(&entry, "/route")).unwrap_or_default();
    let route = routes.iter().find(|route| route.get("destination") == Some(&destination));
    let weight = route.map(|route| match route.get("weight") {
        // Istio: all of it where there is one destination.
        None if routes.len() == 1 => 100,
        weight => weight.and_then(Value::as_u64).and_then(|weight| u32::try_from(weight).ok()).unwrap_or_default(),
    });
    weight.unwrap_or_default()
}

/// Stretches weights so that they sum to 100, by largest remainder, the earlier route first on a tie. Nothing stays nothing.
fn scale(shares: &mut [Share]) {
    let total: u32 = shares.iter().map(|share| share.weight).sum();
    if total == 0 {
        return;
    }
    let mut order: Vec<(u32, usize)> = Vec::new();
    for (i, share) in shares.iter_mut().enumerate() {
        let scaled = share.weight * 100;
        share.weight = scaled / total;
        order.push((scaled % total, i));
    }
    order.sort_by_key(|(remainder, i)| (std::cmp::Reverse(*remainder), *i));
    let rest = 100 - shares.iter().map(|share| share.weight).sum::<u32>();
    for (_, i) in order.into_iter().take(rest as usize) {
        shares[i].weight += 1;
    }
}

/// Why a destination is not there; `None` where it is.
pub(super) fn missing(destination: &Destination, inputs: Inputs) -> Option<String> {
    let Destination::Imported { peer, service } = destination else { return None };
    // Where it is not given, its service sets go next, and they wait for this.
    why_not_given(inputs, peer, service).or_else(|| match inputs.observed.health.get(destination) {
        Some(Health::Fit) => None,
        Some(Health::Unfit(why)) => Some(why.clone()),
        None => not_imported(peer, service, inputs),
    })
}

/// Why an imported service cannot be reached: the control plane does not have it.
pub fn not_imported(peer: &str, service: &ServiceName, inputs: Inputs) -> Option<String> {
    let host = imported_host(inputs, peer, service);
    if inputs.observed.peers.get(peer).is_some_and(|state| state.is_live(&host)) {
        return None;
    }
    Some(format!("waits for {host}: not imported from {peer} yet"))
}

/// The host under which clients reach a service that is imported from a peer.
pub fn imported_host(inputs: Inputs, peer: &str, service: &ServiceName) -> String {
    let declared = inputs.federation.peer(inputs.me, peer);
    let imports = declared.map(|peer| peer.imports.as_slice()).unwrap_or_default();
    let rule = imports.iter().find(|i| i.imported_as() == Some(service)).or_else(|| imports.iter().find(|i| i.service.is_none()));
    if let Some(rule) = rule {
        return rule.host(peer, service);
    }
    // The peer's document is broken, for loading refuses a destination that nothing imports: what it declared stays.
    let live = inputs.observed.peers.get(peer).and_then(|state| state.live_host(service));
    live.map_or_else(|| format!("{}.{}.svc.{peer}-imports.local", service.name, service.namespace), str::to_owned)
}

pub(super) fn destination(traffic: &Traffic, inputs: Inputs, to: &Destination) -> Value {
    match to {
        Destination::Local { subset: None } => json!({"host": traffic.service.local_host()}),
        Destination::Local { subset: Some(subset) } => json!({"host": traffic.service.local_host(), "subset": subset}),
        Destination::Imported { peer, service } => json!({"host": imported_host(inputs, peer, service)}),
    }
}
