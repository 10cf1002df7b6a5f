//! Before step 4, where people ask for it (`spec.probe`): the peer's ingress has to show a certificate from the roots that it publishes,
//! before these take the place of those in use.
//!
//! The first set of roots is not held so: an ingress listens only once its own mesh trusts ours, so that of two meshes that ask each other
//! neither would ever begin.

use super::Inputs;
use super::observed::RootsInUse;
use super::peer_roots::digest;
use crate::facts::probe::Question;
use crate::facts::{Facts, roots};
use crate::model::{Federation, Peer};

/// What the ingress of a peer is to be asked before its roots are followed; `None` where nothing is.
pub fn question(inputs: Inputs, ours: &Peer) -> Option<Question> {
    let peer = &*ours.name.value;
    let facts = inputs.facts.get(peer).filter(|facts| ours.probe && !ours.suspend && !facts.roots.is_empty())?;
    let question = ingress_question(inputs.federation, inputs.me, ours, facts)?;
    let RootsInUse { bundle: current, digest: followed } = inputs.observed.roots.get(peer)?;
    if current.as_ref() == Some(&question.roots) || followed.as_ref() == Some(&digest(&question.roots)) {
        return None;
    }
    Some(question)
}

/// What the ingress of a peer for the mesh `me` has to show, by the facts that the peer publishes; `None` where a document is missing.
pub fn ingress_question(federation: &Federation, me: &str, ours: &Peer, facts: &Facts) -> Option<Question> {
    let peer = &*ours.name.value;
    let (us, mesh, theirs) = (federation.mesh(me)?, federation.mesh(peer)?, federation.peer(peer, me)?);
    let ingress = facts.ingress.get(me);
    Some(Question {
        addresses: ingress.map(|ingress| ingress.addresses.clone()).unwrap_or_default(),
        port: ingress.map_or(0, |ingress| ingress.discovery_port),
        // As the control plane here calls it (maistra/istio federation/common/util.go `DiscoveryServiceHostname`).
        server_name: format!("discovery.{}.svc.{peer}.local", us.namespace),
        roots: roots::bundle(&facts.roots),
        identity: format!("spiffe://{}", mesh.identity(&theirs.ingress)),
    })
}

/// Why the peer's published roots are not followed, for people; `None` where they are.
pub(super) fn find(inputs: Inputs, ours: &Peer) -> Option<String> {
    let question = question(inputs, ours)?;
    let (peer, path) = (&*ours.name.value, &ours.path);
    let answer = inputs.observed.probes.get(peer).filter(|answer| answer.question == question);
    let why = match answer.map(|answer| &answer.outcome) {
        Some(Ok(())) => return None,
        Some(Err(why)) => why.clone(),
        None if question.addresses.is_empty() => format!("published/{peer} has no address of its ingress"),
        None => "its ingress is being asked".to_owned(),
    };
    Some(format!(
        "published/{peer} has other CA roots than those in use, and its ingress has not shown a certificate from them (`spec.probe` in {path}): \
         {why}. What is in use stays"
    ))
}
