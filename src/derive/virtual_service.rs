//! Step 7: the VirtualService of a Traffic. Weight flows to an imported service only while the import is there: until then
//! the proxies answer 503 for its share.

use serde_json::{Value, json};

use super::{Context, Hold, Inputs, Need, Observed, kinds};
use crate::model::documents::WhenUnavailable;
use crate::model::{Destination, MeshFolder, Route, ServiceName, Traffic};

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
    let Inputs { observed, .. } = context.inputs;
    let Some(shares) = shares(traffic, context.folder, observed) else {
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
        .map(|share| json!({"destination": destination(traffic, context.folder, &share.route.to), "weight": share.weight}))
        .collect();
    let mut http = json!({"route": routes});
    if let Some(mirror) = &traffic.mirror {
        match missing(&mirror.to, context.folder, observed) {
            None => {
                http["mirror"] = destination(traffic, context.folder, &mirror.to);
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
pub fn shares<'a>(traffic: &'a Traffic, folder: &MeshFolder, observed: &Observed) -> Option<Vec<Share<'a>>> {
    let mut shares: Vec<Share> = traffic
        .routes
        .iter()
        .map(|route| match missing(&route.to, folder, observed) {
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
fn missing(destination: &Destination, folder: &MeshFolder, observed: &Observed) -> Option<String> {
    let Destination::Imported { peer, service } = destination else { return None };
    let host = imported_host(folder, peer, service);
    if observed.peers.get(peer).is_some_and(|state| state.is_live(&host)) {
        return None;
    }
    Some(format!("waits for {host}: not imported from {peer} yet"))
}

fn imported_host(folder: &MeshFolder, peer: &str, service: &ServiceName) -> String {
    let imports = folder.peers.get(peer).map(|peer| peer.imports.as_slice()).unwrap_or_default();
    let rule = imports.iter().find(|i| i.imported_as() == Some(service)).or_else(|| imports.iter().find(|i| i.service.is_none()));
    // Loading refuses a destination that nothing imports; without a rule this is the name that it would have.
    rule.map_or_else(|| format!("{}.{}.svc.{peer}-imports.local", service.name, service.namespace), |i| i.host(peer, service))
}

fn destination(traffic: &Traffic, folder: &MeshFolder, to: &Destination) -> Value {
    match to {
        Destination::Local { subset: None } => json!({"host": traffic.service.local_host()}),
        Destination::Local { subset: Some(subset) } => json!({"host": traffic.service.local_host(), "subset": subset}),
        Destination::Imported { peer, service } => json!({"host": imported_host(folder, peer, service)}),
    }
}
