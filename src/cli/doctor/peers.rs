//! The peers: what they publish, and from here whether their ingress answers and proves itself by it.

use jiff::Timestamp;

use crate::agent::probe;
use crate::cli::seen::Seen;
use crate::derive::ingress_question;
use crate::facts::Facts;
use crate::facts::probe::Question;
use crate::model::Peer;
use crate::view::doctor::Check;
use crate::view::federation::EXPIRES_SOON;

/// Looks at every peer of a mesh.
pub(super) async fn look(seen: &Seen, me: &str, now: Timestamp, checks: &mut Vec<Check>) {
    let folder = seen.federation.meshes.get(me);
    for (peer, ours) in folder.into_iter().flat_map(|folder| &folder.peers) {
        let name = format!("facts of {peer}");
        let nothing = Facts::default();
        let facts = seen.published.get(peer).map_or(&nothing, |published| &published.facts);
        let Some(root) = facts.roots.iter().map(|root| root.not_after).max() else {
            let hint = "its agent publishes them once its control plane is up: meshfed doctor there";
            checks.push(Check::failure(&name, format!("published/{peer} has no CA root"), hint));
            continue;
        };
        let expires = format!("a CA root until {}", root.strftime("%Y-%m-%d"));
        let Some(ingress) = facts.ingress.get(me).filter(|ingress| !ingress.addresses.is_empty()) else {
            let hint =
                format!("its cloud gives the ingress for {me} an address: see the Service there. Its own imports work without");
            checks.push(Check::warning(&name, format!("published/{peer} has {expires}, and no ingress for {me}"), hint));
            continue;
        };
        let found = format!("{expires}, ingress {}", ingress.addresses.join(" "));
        checks.push(match root.duration_since(now) {
            left if left < EXPIRES_SOON => {
                Check::warning(&name, found, "renew the CA of that mesh (repo-layout/README.md, Rotating a CA)")
            }
            _ => Check::ok(&name, found),
        });
        let question = ingress_question(&seen.federation, me, ours, facts);
        ask(ours, question, ingress.service_port, checks).await;
    }
}

async fn ask(ours: &Peer, question: Option<Question>, service_port: u16, checks: &mut Vec<Check>) {
    let peer = &*ours.name.value;
    let (reach, identity) = (format!("ingress of {peer}"), format!("identity of {peer}"));
    let Some(question) = question else {
        checks.push(Check::unknown(
            &reach,
            "its documents do not say what belongs there",
            "the other side has to declare the peering",
        ));
        return;
    };
    let (mut failures, mut proofs) = (Vec::new(), Vec::new());
    for address in question.addresses.iter().take(probe::MAX_ADDRESSES) {
        if let Err(why) = probe::reach(address, service_port).await {
            failures.push(why);
        }
        match probe::reach(address, question.port).await {
            Ok(stream) => proofs.push(probe::prove(&question, address, stream).await),
            Err(why) => failures.push(why),
        }
    }
    let ports = format!("{} and {service_port}", question.port);
    checks.push(match failures.as_slice() {
        [] => Check::ok(&reach, format!("answers on {ports} from here")),
        failures => {
            let hint = format!(
                "open {ports} there for the egress gateway of this mesh; an ingress listens once its own control plane knows us. This was seen from \
                 here, not from the gateway"
            );
            Check::failure(&reach, failures.join("; "), hint)
        }
    });
    checks.push(match proofs.iter().find_map(|proof| proof.as_ref().err()) {
        Some(why) => {
            let hint = "wrong roots: its agent has to publish them again; another identity: the address or a gateway's name is of something else";
            Check::failure(&identity, why, hint)
        }
        None if proofs.is_empty() => Check::unknown(&identity, "its ingress does not answer", ""),
        None => Check::ok(&identity, format!("{} by the published roots", question.identity)),
    });
}
