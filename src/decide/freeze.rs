//! What is frozen: a branch of which something newer than the last verified commit is refused. What was verified stays in use, and
//! everything else goes on; here are the words for it, and the way out.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{PeeringStatus, Status};
use super::{Event, World};
use crate::derive::{Hold, kinds};
use crate::model::Mesh;
use crate::trust::{Id, Marks, Passage, Refusal, Rule, Verification, public_key};

/// What a status says of a commit that was verified.
pub const VERIFIED: &str = "verified";

/// What verification says of that from which a decision is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// How branches are looked at.
    pub verification: Verification,
    /// `main`.
    pub main: Passage,
    /// `published/<mesh>` of the peers and of the mesh itself, by mesh.
    pub published: BTreeMap<String, Passage>,
    /// The key that signs what this agent publishes, as `mesh.yaml` lists it.
    pub own_key: String,
}

impl Trust {
    /// Whether nothing of `main` can be believed, so that nothing may change.
    pub fn is_blind(&self) -> bool {
        self.verification.enforces() && self.main.serve.is_none()
    }

    /// How far branches are verified, given how far they were before: where that is not known now, it stays.
    pub fn marks(&self, before: &Marks) -> Marks {
        if self.verification.is_off() {
            return before.clone();
        }
        let now = |passage: &Passage, before: Option<&BTreeSet<Id>>| {
            passage.verified.map(|id| BTreeSet::from([id])).or_else(|| before.cloned()).unwrap_or_default()
        };
        let branch = |(mesh, passage): (&String, &Passage)| (mesh.clone(), now(passage, before.published.get(mesh)));
        let mut published: BTreeMap<String, BTreeSet<Id>> = self.published.iter().map(branch).collect();
        if self.main.serve.is_none() {
            for (mesh, ids) in &before.published {
                published.entry(mesh.clone()).or_insert_with(|| ids.clone());
            }
        }
        Marks { main: now(&self.main, Some(&before.main)), published }
    }

    /// How the commit that is served was verified, for people.
    pub fn words(&self) -> &'static str {
        match self.verification {
            Verification::Off => "not verified (verification is off)",
            Verification::Warn(_) if self.main.refusal.is_some() => "not verified (verification only warns)",
            Verification::Enforce(_) if self.main.serve.is_none() => "not verified",
            _ => VERIFIED,
        }
    }

    /// Meshes of whose published branch something is refused.
    pub fn refused(&self) -> impl Iterator<Item = &str> {
        self.published.iter().filter(|(_, passage)| passage.refusal.is_some()).map(|(mesh, _)| mesh.as_str())
    }

    /// Why nothing newer of `main` is taken; empty where it is.
    pub(super) fn frozen_main(&self) -> String {
        self.main.refusal.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// The same of a published branch.
    pub(super) fn frozen_branch(&self, mesh: &str) -> String {
        let refused = |passage: &Passage| Some(words(passage, passage.refusal.as_ref()?));
        self.published.get(mesh).and_then(refused).unwrap_or_default()
    }
}

/// What waits for people, because somebody pushed what nobody may have signed.
pub(super) fn holds(world: &World) -> Vec<Hold> {
    let trust = world.trust;
    let stuck = |subject: &str, reason: String| Hold { stuck: true, ..Hold::part(subject, reason) };
    let mut holds = Vec::new();
    if let Some(refusal) = &trust.main.refusal {
        holds.push(stuck("main", main(trust, refusal)));
    }
    for (mesh, passage) in &trust.published {
        if let Some(refusal) = &passage.refusal {
            holds.push(stuck(&format!("published/{mesh}"), published(world, mesh, passage, refusal)));
        }
    }
    holds.extend(unlisted_key(world).map(|reason| stuck(&format!("published/{}", world.me), reason)));
    holds
}

/// Whether people list keys for this agent, and not the one that it has. What it signed would freeze the branch for its peers, also once
/// the right key is back: so it is not published. Where no key is listed yet, the one that is published with is the one to list.
pub(super) fn is_mute(world: &World) -> bool {
    world.trust.verification.enforces() && unlisted(world).is_some_and(|mesh| !mesh.keys.is_empty())
}

/// The mesh's document, where it does not list the key of this agent.
fn unlisted<'a>(world: &World<'a>) -> Option<&'a Mesh> {
    let trust = world.trust;
    let mesh = world.federation.mesh(world.me).filter(|_| !trust.verification.is_off() && !trust.own_key.is_empty())?;
    (!public_key(&trust.own_key).is_ok_and(|own| mesh.keys.contains(&own))).then_some(mesh)
}

/// Nobody believes what an agent signs with a key that people have not listed.
fn unlisted_key(world: &World) -> Option<String> {
    let mesh = unlisted(world)?;
    let consequence = if is_mute(world) { "and nothing is published" } else { "so that no peer believes what it publishes" };
    Some(format!(
        "the key that this agent signs with is not in {}, {consequence}; list it there under `spec.agent.keys`: {}",
        mesh.path, world.trust.own_key
    ))
}

fn main(trust: &Trust, refusal: &Refusal) -> String {
    let consequence = match (trust.verification.enforces(), trust.main.verified) {
        (false, _) => "It is served all the same, because verification only warns".to_owned(),
        (true, Some(verified)) => format!(
            "Frozen at {}, the last verified commit: what it declares is looked after, and nothing newer is taken",
            verified.short()
        ),
        (true, None) => "Nothing is applied or deleted; what is in the cluster stays as it is".to_owned(),
    };
    format!("{refusal}. {consequence}. {}", refusal.way_out(trust.main.verified, trust.main.tip))
}

fn published(world: &World, mesh: &str, passage: &Passage, refusal: &Refusal) -> String {
    let consequence = match (world.trust.verification.enforces(), passage.verified) {
        (false, _) => "It is believed all the same, because verification only warns".to_owned(),
        (true, Some(verified)) => format!("What {} says, the last verified commit, stays in use", verified.short()),
        (true, None) => "Nothing of that branch is believed".to_owned(),
    };
    let keys = world.federation.mesh(mesh).map(|mesh| (mesh.keys.is_empty(), mesh.path.as_str()));
    let lost = refusal.is_lost();
    let way_out = match (keys, passage.verified) {
        (Some((true, path)), _) if refusal.rule == Rule::UnknownSigner => {
            format!("{path} lists no key: add the public key that the agent of {mesh} logs at its start under `spec.agent.keys`")
        }
        (Some((_, path)), verified) if refusal.rule == Rule::UnknownSigner => {
            let disown = verified.map(|_| format!("list {} under `spec.agent.disowned` there, or ", refusal.commit));
            format!(
                "If it is a key of the agent of {mesh}, a new one or one that was replaced while this agent was away, list it under \
                 `spec.agent.keys` in {path}; if somebody else wrote that commit, {}{}",
                disown.unwrap_or_default(),
                reset(mesh, passage)
            )
        }
        (Some((_, path)), Some(_)) if !lost => format!(
            "To go on without rewriting it, list {} under `spec.agent.disowned` in {path}: it is passed over, and the agent's next commit counts; or {}",
            refusal.commit,
            reset(mesh, passage)
        ),
        (Some((_, path)), _) if lost => format!(
            "To go on, {}; if nobody has that commit any more, list {} under `spec.agent.disowned` in {path}, and what is there now counts",
            reset(mesh, passage),
            refusal.commit
        ),
        _ => format!("To go on, {}", reset(mesh, passage)),
    };
    format!("{}. {consequence}. {way_out}", words(passage, refusal))
}

/// Why a published branch is refused. These words are published themselves, and its agent may answer them there: so they never name its
/// tip, or two agents that refuse each other would go on for ever. Of a branch that was never verified only the tip was looked at.
fn words(passage: &Passage, refusal: &Refusal) -> String {
    if passage.verified.is_some() || refusal.is_lost() {
        refusal.to_string()
    } else {
        format!("its newest commit {}", refusal.reason())
    }
}

/// The command has no lease on the tip, for the same reason.
fn reset(mesh: &str, passage: &Passage) -> String {
    let lost = || passage.refusal.as_ref().filter(|refusal| refusal.is_lost()).map(|refusal| refusal.commit);
    match passage.verified.or_else(lost) {
        Some(id) => format!("reset the branch to {}: git push --force origin {id}:refs/heads/published/{mesh}", id.short()),
        None => format!("delete the branch, and its agent begins it anew: git push origin :refs/heads/published/{mesh}"),
    }
}

/// What froze and what goes on again, between two statuses.
pub(super) fn events(before: &Status, now: &Status) -> Vec<Event> {
    let Some(control_plane) = &now.control_plane else { return Vec::new() };
    let namespace = &control_plane.namespace;
    let event = |of, name: &str, branch: &str, before: &str, now: &str| {
        let about = |reason, note| Event::about(of, namespace, name, reason, note);
        match (before, now) {
            _ if before == now => None,
            (_, "") => Some(about("Thawed", format!("{branch} is verified again"))),
            (_, why) => Some(about("Frozen", format!("{branch} is frozen: {why}")).warning()),
        }
    };
    let main = event(kinds::CONTROL_PLANE, &control_plane.name, "main", &before.main.frozen, &now.main.frozen);
    let peers = now.peerings.iter().filter_map(|(peer, PeeringStatus { frozen, .. })| {
        let before = before.peerings.get(peer).map(|before| before.frozen.as_str()).unwrap_or_default();
        event(kinds::PEER, peer, &format!("published/{peer}"), before, frozen)
    });
    main.into_iter().chain(peers).collect()
}
