//! Does `main` declare the mesh, has it taken the mesh out, or can that not be told?

use crate::model::{Federation, Mesh};

use super::claim::Standing;
use super::report::{ControlPlaneStatus, Mode, Status};
use super::{Decision, World};
use crate::derive::Hold;

/// What `main` says of the mesh itself.
#[derive(Clone, Debug)]
pub enum Presence<'a> {
    /// Its `mesh.yaml` is there and valid.
    Declared(&'a Mesh),
    /// Its folder is gone; where its control plane was, by the agent's own last word.
    Leaving(&'a ControlPlaneStatus),
    /// It cannot be told, with the reason; everything stays as it is.
    Unknown(String),
}

impl Presence<'_> {
    /// Namespace and name of the control plane.
    pub fn control_plane(&self) -> Option<(&str, &str)> {
        match self {
            Self::Declared(mesh) => Some((&mesh.namespace, &mesh.control_plane)),
            Self::Leaving(ControlPlaneStatus { namespace, name }) => Some((namespace, name)),
            Self::Unknown(_) => None,
        }
    }

    /// Whether the mesh is on its way out.
    pub fn is_leaving(&self) -> bool {
        matches!(self, Self::Leaving(_))
    }
}

/// What `main` says of the mesh `me`. Only an agent that has published before believes that its mesh was taken out: one whose name
/// is not in the repository was perhaps never meant to be.
pub fn presence<'a>(federation: &'a Federation, me: &str, own_status: &'a Status) -> Presence<'a> {
    if let Some(mesh) = federation.mesh(me) {
        return Presence::Declared(mesh);
    }
    let path = format!("meshes/{me}/mesh.yaml");
    let reason = if federation.meshes.contains_key(me) || federation.is_broken(&path) {
        format!("{path} is missing or has an error; everything stays as it is")
    } else if federation.name.is_none() {
        format!("meshes/{me}/ is gone, and federation.yaml is missing or has an error; everything stays as it is")
    } else {
        match &own_status.control_plane {
            Some(control_plane) => return Presence::Leaving(control_plane),
            None => format!("there is no meshes/{me}/ and never was, as far as published/{me} tells: is --mesh right?"),
        }
    };
    Presence::Unknown(reason)
}

/// Why nothing at all may change.
pub(super) fn stop(world: &World, presence: &Presence, standing: &Standing) -> Option<Hold> {
    let stuck = |reason: String| Hold { stuck: true, ..Hold::part(world.me, reason) };
    match presence {
        _ if world.trust.is_blind() => Some(stuck("nothing of main is verified; everything stays as it is".to_owned())),
        Presence::Unknown(reason) => Some(stuck(reason.clone())),
        Presence::Declared(mesh) if mesh.suspend => {
            Some(Hold { asked: true, ..stuck(format!("{} says `suspend: true`; everything stays as it is", mesh.path)) })
        }
        _ if !standing.acts() => standing.hold(world, presence),
        _ => world.policies.unreadable().map(stuck),
    }
}

/// Why this cluster is not the mesh's.
pub(super) fn elsewhere(world: &World, presence: &Presence) -> Option<String> {
    let here = world.cluster_uid;
    let (pinned, by) = match presence {
        Presence::Declared(mesh) => (mesh.cluster_uid.as_deref()?, format!("{} pins", mesh.path)),
        Presence::Leaving(_) => (world.own_facts.cluster_uid.as_deref()?, format!("published/{} names", world.me)),
        Presence::Unknown(_) => return None,
    };
    let reason = || format!("this cluster is {here}, but {by} clusterUID {pinned}; nothing is applied or published");
    (pinned != here).then(reason)
}

/// What the agent does with its mesh.
pub(super) fn mode(world: &World, presence: &Presence, decision: &Decision) -> Mode {
    match presence {
        _ if world.observing => Mode::Observing,
        Presence::Leaving(_) if decision.inventory.is_empty() => Mode::Left,
        Presence::Leaving(_) => Mode::Leaving,
        Presence::Declared(mesh) if mesh.suspend => Mode::Suspended,
        Presence::Declared(_) => Mode::Active,
        Presence::Unknown(_) => world.own_status.mode,
    }
}
