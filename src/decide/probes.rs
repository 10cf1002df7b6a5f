//! Which ingresses are to be asked for their certificates now.

use super::{Decision, World, later};
use crate::derive::{Inputs, Observed, question};
use crate::facts::probe::RETRY;
use crate::model::MeshFolder;

/// Takes over what was answered, and asks what is not, or what failed a while ago.
pub(super) fn ask(world: &World, folder: &MeshFolder, observed: &mut Observed, decision: &mut Decision) {
    observed.probes.clone_from(world.probes);
    let World { federation, me, facts, .. } = *world;
    let inputs = Inputs { federation, me, facts, observed };
    for ours in folder.peers.values() {
        let Some(question) = question(inputs, ours).filter(|question| !question.addresses.is_empty()) else { continue };
        let peer = &ours.name.value;
        let answer = world.probes.get(peer).filter(|answer| answer.question == question);
        let retry = answer.map(|answer| (answer.outcome.is_err(), later(answer.at, RETRY)));
        match retry {
            Some((false, _)) => {}
            Some((true, at)) if at > world.now => decision.wake(at),
            _ => {
                decision.probes.insert(peer.clone(), question);
            }
        }
    }
}
