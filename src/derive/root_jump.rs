//! Before step 4: whether the roots that a peer publishes may take the place of those in use (see [`continuity`]).

use std::collections::BTreeSet;

use super::Context;
use super::observed::RootsInUse;
use super::peer_roots::digest;
use super::peering::Peering;
use crate::facts::{Root, continuity, roots};
use crate::model::{CaPolicy, Peer, defaults, root};

/// Why the peer's published roots are not followed, for people; `None` where they are.
pub(super) fn find(context: &Context, peering: &Peering) -> Option<String> {
    let Peering { ours, mesh, theirs: _, facts } = peering;
    let offered = facts.map(|facts| facts.roots.as_slice()).filter(|roots| !roots.is_empty())?;
    let federation = context.inputs.federation;
    // Where federation.yaml cannot be read, it may have said so.
    let default = || defaults::ca_policy(federation.verified || federation.name.is_none());
    let policy = ours.ca_policy.or(federation.ca_policy).unwrap_or_else(default);
    if policy == CaPolicy::Follow {
        return None;
    }
    let in_use = context.inputs.observed.roots.get(&*ours.name.value).cloned().unwrap_or_default();
    let bundle = roots::bundle(offered);
    let RootsInUse { bundle: current, digest: followed } = &in_use;
    let same = current.as_ref() == Some(&bundle) || followed.as_ref() == Some(&digest(&bundle));
    if same && policy == CaPolicy::Continuous {
        return None;
    }
    let current = current.as_deref().map(|text| root::read(text).unwrap_or_default()).unwrap_or_default();
    let accepted: BTreeSet<String> = match policy {
        // What the peer's own people declare on the branch of people is no word of its agent.
        CaPolicy::Continuous => {
            mesh.ca.roots.iter().map(|root| root.fingerprint.clone()).chain(ours.accept_roots.clone()).collect()
        }
        _ => ours.accept_roots.clone(),
    };
    // Roots were followed here once, and their ConfigMap has been lost or spoilt: nothing vouches for others.
    let lost = current.is_empty() && followed.is_some();
    let unlisted =
        || offered.iter().map(|root| root.fingerprint.clone()).filter(|print| !accepted.contains(print)).collect::<Vec<_>>();
    let unknown = match continuity::judge(policy, offered, &current, &accepted) {
        Err(jump) => jump.unknown,
        Ok(()) if lost => unlisted(),
        Ok(()) => return None,
    };
    if unknown.is_empty() { None } else { Some(words(ours, policy, &unknown, &current)) }
}

fn words(ours: &Peer, policy: CaPolicy, unknown: &[String], current: &[Root]) -> String {
    let peer = &*ours.name.value;
    let in_use: Vec<&str> = current.iter().map(|root| root.fingerprint.as_str()).collect();
    let why = match policy {
        CaPolicy::Pinned => "does not list (`caPolicy: pinned`)".to_owned(),
        _ => "does not list and no root in use vouches for (RootJump)".to_owned(),
    };
    let old = if in_use.is_empty() { "there is none in use".to_owned() } else { format!("in use stays {}", in_use.join(", ")) };
    format!(
        "published/{peer} has a CA root that {path} {why}: {new}; {old}. Ask the people of {peer} for the SHA-256 fingerprint of their root, by another way \
         than this repository; if it is the same, list it under `spec.acceptRoots` in {path}",
        path = ours.path,
        new = unknown.join(", "),
    )
}
