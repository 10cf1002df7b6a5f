//! Step 7: the VirtualService of a Traffic. Weight flows to an imported service only while the import is there: until then
//! the proxies answer 503 for its share.

use serde_json::{Value, json};

use super::{Context, Hold, Inputs, Need, kinds};
use crate::model::documents::WhenUnavailable;
use crate::model::{Destination, Route, ServiceName, Traffic};

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
    let key = kinds::key(kinds::VIRTUAL_SERVICE, &traffic.service.namespace, &traffic.name);
    let inputs = context.inputs;
    let Some(shares) = shares(traffic, inputs) else {
        let reason = "none of its destinations is there yet; the last split stays";
        return context.hold(Hold::waiting(&key, reason));
    };
    for share in &shares {
        if let Some(why) = &share.why_not {
            context.out.holds.push(Hold::part(format!("{key} {} %", share.route.weight), why.clone()));
        }
    }
    let routes: Vec<Value> = shares
        .iter()
        .filter(|share| share.weight > 0)
        .map(|share| json!({"destination": destination(traffic, inputs, &share.route.to), "weight": share.weight}))
        .collect();
    let mut http = json!({"route": routes});
    if let Some(mirror) = &traffic.mirror {
        match missing(&mirror.to, inputs) {
            None => {
                http["mirror"] = destination(traffic, inputs, &mirror.to);
                http["mirrorPercentage"] = json!({"value": mirror.percentage});
            }
            Some(why) => context.out.holds.push(Hold::part(format!("{key} mirror"), why)),
        }
    }
    let (api_version, kind) = kinds::VIRTUAL_SERVICE;
    let document = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": traffic.name, "namespace": traffic.service.namespace},
        "spec": {"hosts": [traffic.service.local_host()], "http": [http]},
    });
    let mut needs = vec![Need::Exists(kinds::namespace(&traffic.service.namespace))];
    if !traffic.subsets.is_empty() {
        // A route to a subset that is not yet defined answers 503.
        needs.push(Need::Applied(kinds::key(kinds::DESTINATION_RULE, &traffic.service.namespace, &traffic.name)));
    }
    context.want(document, &traffic.path, needs);
}

/// The weights in effect, in the order of the routes; `None` where no destination is there.
pub fn shares<'a>(traffic: &'a Traffic, inputs: Inputs) -> Option<Vec<Share<'a>>> {
    let mut shares: Vec<Share> = traffic
        .routes
        .iter()
        .map(|route| match missing(&route.to, inputs) {
            Some(why) if traffic.when_unavailable == WhenUnavailable::Redistribute => {
                Share { route, weight: 0, why_not: Some(why) }
            }
            why_not => Share { route, weight: route.weight, why_not },
        })
        .collect();
    let total: u32 = shares.iter().map(|share| share.weight).sum();
    if total == 0 {
        return None;
    }
    scale(&mut shares, total);
    Some(shares)
}

/// Stretches weights that sum to `total` so that they sum to 100, by largest remainder, the earlier route first on a tie.
fn scale(shares: &mut [Share], total: u32) {
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
fn missing(destination: &Destination, inputs: Inputs) -> Option<String> {
    let Destination::Imported { peer, service } = destination else { return None };
    let Inputs { federation, me, observed, .. } = inputs;
    let path = format!("meshes/{peer}/peers/{me}.yaml");
    let broken = federation.is_broken(&path) || federation.is_broken(&mesh_path(peer));
    if federation.peer(peer, me).is_none() && !broken && !observed.kept.contains(peer) {
        // Its service sets go next, and they wait for this.
        return Some(format!("{peer} does not declare this peering ({path})"));
    }
    let host = imported_host(inputs, peer, service);
    if observed.peers.get(peer).is_some_and(|state| state.is_live(&host)) {
        return None;
    }
    Some(format!("waits for {host}: not imported from {peer} yet"))
}

fn mesh_path(mesh: &str) -> String {
    format!("meshes/{mesh}/mesh.yaml")
}

fn imported_host(inputs: Inputs, peer: &str, service: &ServiceName) -> String {
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

fn destination(traffic: &Traffic, inputs: Inputs, to: &Destination) -> Value {
    match to {
        Destination::Local { subset: None } => json!({"host": traffic.service.local_host()}),
        Destination::Local { subset: Some(subset) } => json!({"host": traffic.service.local_host(), "subset": subset}),
        Destination::Imported { peer, service } => json!({"host": imported_host(inputs, peer, service)}),
    }
}
