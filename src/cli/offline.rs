//! What can be said of objects without a cluster: those of each mesh as if all imports worked, judged by the policies.

use std::collections::BTreeMap;

use crate::decide::{self, forbidden};
use crate::derive::{Derived, Hold, Inputs, Observed, derive};
use crate::model::{Code, Diagnostic, Federation, MeshFolder};
use crate::object::Key;
use crate::policy::{Policies, Verdict};

/// The objects that policies forbid, at the documents that they come from.
pub(super) fn violations(federation: &Federation, policies: &Policies) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (me, folder) in federation.meshes.iter().filter(|_| !policies.is_empty()) {
        let observed = Observed::assumed(folder);
        let mut derived = derive(Inputs { federation, me, facts: &BTreeMap::new(), observed: &observed });
        found.extend(take_out(folder, &mut derived, policies));
    }
    found
}

/// What each policy says of each derived object that it means.
pub(super) fn survey(federation: &Federation, policies: &Policies) -> Vec<Verdict> {
    let verdicts = |(me, folder): (&String, &MeshFolder)| {
        let observed = Observed::assumed(folder);
        decide::survey(policies, &derive(Inputs { federation, me, facts: &BTreeMap::new(), observed: &observed }))
    };
    federation.meshes.iter().flat_map(verdicts).collect()
}

/// Holds the objects that policies forbid, as an agent does.
pub(super) fn hold(derived: &mut Derived, policies: &Policies, before: &Derived) {
    for (key, why) in forbidden(policies, derived, before) {
        derived.wanted.remove(&key);
        derived.holds.push(Hold::stuck(&key, why));
    }
}

/// Takes the objects out that policies forbid.
pub(super) fn take_out(folder: &MeshFolder, derived: &mut Derived, policies: &Policies) -> Vec<Diagnostic> {
    let found = forbidden(policies, derived, &Derived::default());
    let finding = |(key, why): (Key, String)| {
        let object = derived.wanted.remove(&key)?.object;
        let message = format!("{key}: {why}");
        Some(Diagnostic::error(&object.source, folder.place_of(&object), Code::Policy, message, "the object is held"))
    };
    found.into_iter().filter_map(finding).collect()
}
