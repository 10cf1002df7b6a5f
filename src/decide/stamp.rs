//! The mark of the verified commit on what is applied, so that the floor of verification outlives the agent's ConfigMap.
//!
//! Every object bears it from when it was applied last; a new commit alone rewrites none but the ServiceMeshControlPlane, which is always
//! current. Comparisons do not see it: who takes it off an object starts no repair.

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
    let published = peer_of(&object.key).and_then(|peer| world.trust.published.get(peer)?.verified);
    let marks = [(MAIN_ANNOTATION, Some(main)), (PUBLISHED_ANNOTATION, published)];
    let marks = marks.into_iter().filter_map(|(name, id)| Some((name, id?.to_string())));
    Arc::new(object.annotated(marks))
}

/// The marks that live objects bear, as far as they are of our own hand.
pub fn marks(live: &LiveObjects) -> Marks {
    let mut marks = Marks::default();
    for object in live.values().filter(|object| object.mentions(MAIN_ANNOTATION)) {
        let value = object.value();
        let read = |name: &str| {
            let text = value.pointer("/metadata/annotations")?.get(name)?.as_str()?;
            text.parse().ok().filter(|_| is_applied_by_us(&value, name))
        };
        marks.main.extend(read(MAIN_ANNOTATION));
        if let (Some(peer), Some(id)) = (peer_of(&object.key), read(PUBLISHED_ANNOTATION)) {
            marks.published.entry(peer.to_owned()).or_default().insert(id);
        }
    }
    marks
}
