//! The mark of the verified commit on what is applied, so that the floor of verification outlives the agent's ConfigMap.
//!
//! Every object bears it from when it was applied last; a new commit alone rewrites none but the ServiceMeshControlPlane, which is always
//! current. That one also bears how far each peer's branch was verified then: the keys that sign there are listed on `main`, so when one of
//! them goes, what it signed before is noted. Comparisons do not see marks: who takes them off an object starts no repair.

use std::sync::Arc;

use super::compare::is_applied_by_us;
use super::observe::{LiveObjects, peer_of};
use super::{Apply, World};
use crate::derive::kinds;
use crate::object::{Live, MAIN_ANNOTATION, Object, PUBLISHED_ANNOTATION};
use crate::trust::{Id, Marks};

/// Marks what is about to be applied.
pub(super) fn mark(world: &World, applies: &mut [Apply]) {
    if let Some(main) = world.trust.main.verified {
        for apply in applies {
            apply.object = marked(world, &apply.object, main);
        }
    }
}

/// The object to send again for its mark alone: the control plane's, where it bears an older one.
pub(super) fn renewed(world: &World, object: &Arc<Object>, live: &Live) -> Option<Arc<Object>> {
    let main = world.trust.main.verified.filter(|_| object.kind == kinds::kind(kinds::CONTROL_PLANE))?;
    // Searched as text, for the object is large and this is asked at every pass.
    (!live.mentions(&format!("\"{MAIN_ANNOTATION}\":\"{main}\""))).then(|| marked(world, object, main))
}

fn marked(world: &World, object: &Arc<Object>, main: Id) -> Arc<Object> {
    let verified = |peer: &str| world.trust.published.get(peer)?.verified;
    let published = match peer_of(&object.key) {
        Some(peer) => verified(peer).map(|id| id.to_string()),
        None if object.kind == kinds::kind(kinds::CONTROL_PLANE) => {
            let peers = world.trust.published.keys().filter(|mesh| mesh.as_str() != world.me);
            let marks: Vec<String> = peers.filter_map(|peer| Some(format!("{peer}={}", verified(peer)?))).collect();
            (!marks.is_empty()).then(|| marks.join(" "))
        }
        None => None,
    };
    let marks = [(MAIN_ANNOTATION, Some(main.to_string())), (PUBLISHED_ANNOTATION, published)];
    Arc::new(object.annotated(marks.into_iter().filter_map(|(name, mark)| Some((name, mark?)))))
}

/// The marks that live objects bear, as far as they are of our own hand.
pub fn marks(live: &LiveObjects) -> Marks {
    let mut marks = Marks::default();
    for object in live.values().filter(|object| object.mentions(MAIN_ANNOTATION)) {
        let value = object.value();
        let read = |name: &str| {
            let text = value.pointer("/metadata/annotations")?.get(name)?.as_str()?;
            is_applied_by_us(&value, name).then_some(text)
        };
        marks.main.extend(read(MAIN_ANNOTATION).and_then(|id| id.parse::<Id>().ok()));
        for mark in read(PUBLISHED_ANNOTATION).into_iter().flat_map(|marks| marks.split(' ')) {
            let (peer, id) = mark.split_once('=').or_else(|| Some((peer_of(&object.key)?, mark))).unwrap_or_default();
            if let Ok(id) = id.parse() {
                marks.published.entry(peer.to_owned()).or_default().insert(id);
            }
        }
    }
    marks
}
