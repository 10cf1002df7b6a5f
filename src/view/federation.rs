//! The whole federation at one moment, put together from `main` and the published branches.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::conditions::ConditionView;
use super::live::LiveView;
use crate::decide::{Mode, RotationStatus, Status};
use crate::facts::Facts;
use crate::model::{Diagnostic, Federation};

mod gather;

/// When a CA root that ends soon deserves attention: a change of root takes an overlap of a day, and people their time.
pub const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What Git says, before it is put together.
#[derive(Debug)]
pub struct Gathered<'a> {
    /// Address of the repository, without credentials.
    pub repository: String,
    /// The branch that people write.
    pub branch: String,
    /// Its tip.
    pub commit: CommitView,
    /// Declarations of the whole federation.
    pub federation: &'a Federation,
    /// What is wrong with them.
    pub found: &'a [Diagnostic],
    /// By mesh: what its agent published.
    pub published: &'a BTreeMap<String, Published>,
    /// Now.
    pub now: Timestamp,
}

/// What one agent published.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// When.
    pub at: Timestamp,
    /// Its status.
    pub status: Status,
    /// Its facts.
    pub facts: Facts,
    /// How many commits it is behind `main`; `None` where it applied none of that line.
    pub behind: Option<usize>,
    /// What is wrong with the files.
    pub problems: Vec<String>,
}

/// The federation, for people and programs alike.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FederationStatus {
    /// Its name; null where federation.yaml is missing or broken.
    pub federation: Option<String>,
    /// Address of the repository, without credentials.
    pub repository: String,
    /// The branch that people write.
    pub branch: String,
    /// Its tip.
    pub commit: CommitView,
    /// Something is not as it should be.
    pub degraded: bool,
    /// Every mesh.
    pub meshes: Vec<MeshView>,
    /// Every pair of meshes of which one declares the other.
    pub peerings: Vec<PeeringView>,
    /// What people should look at.
    pub attention: Vec<String>,
    /// What the cluster of one mesh says now; null where none was asked.
    pub live: Option<LiveView>,
    /// Whether the replica that answers is the one that writes; null where it is no agent that answers.
    pub leader: Option<bool>,
}

/// The tip of `main`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitView {
    /// Whole id.
    pub id: String,
    /// Address of its author, as Git has it.
    pub author: String,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// How far the agents have verified it, in words.
    pub verification: String,
    /// An agent has, and none refuses anything.
    pub verified: bool,
}

/// One mesh.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshView {
    /// Name.
    pub name: String,
    /// Where its cluster runs.
    pub platform: String,
    /// Version of its agent; null before it published.
    pub agent: Option<String>,
    /// What its agent does with it.
    pub mode: Mode,
    /// The commit that it applied last; null before the first.
    pub applied: Option<String>,
    /// Commits behind `main`; null where what it applied is not on that line.
    pub behind: Option<usize>,
    /// When it last published.
    pub published_at: Option<Timestamp>,
    /// Its last word is older than an agent that works leaves it.
    pub silent: bool,
    /// Number of objects that it looks after.
    pub objects: usize,
    /// Its CA roots, the longest-lived first.
    pub ca_roots: Vec<RootView>,
    /// How far a change of its CA is.
    pub rotation: RotationStatus,
    /// Where peers reach it, by peer.
    pub ingress: BTreeMap<String, Vec<String>>,
    /// What waits there.
    pub holds: Vec<String>,
    /// What makes the repository's host suspect to it.
    pub suspicions: Vec<String>,
    /// Errors that it sees.
    pub problems: Vec<String>,
    /// Warnings that it sees, which keep nothing from working.
    pub warnings: Vec<String>,
    /// Whether all is as declared, as kstatus reads it.
    pub conditions: Vec<ConditionView>,
}

/// A CA root.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RootView {
    /// SHA-256.
    pub fingerprint: String,
    /// End of validity.
    pub not_after: Timestamp,
    /// Its control plane no longer uses it.
    pub retiring: bool,
    /// Its control plane does not use it yet.
    pub announced: bool,
}

/// Two meshes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeeringView {
    /// Both names; where only one imports, that one first.
    pub meshes: [String; 2],
    /// Both sides declare it, and each says that its part works.
    pub ready: bool,
    /// Both sides have a document of it.
    pub declared_by_both: bool,
    /// Whether the control plane of each mesh, in the same order, watches the other's; null where its agent has not said.
    pub connected: [Option<bool>; 2],
    /// Nothing of it changes on one side, because people said so.
    pub suspended: bool,
    /// Why not.
    pub why: String,
    /// What crosses.
    pub services: Vec<ServiceView>,
    /// Whether it works, as kstatus reads it.
    pub conditions: Vec<ConditionView>,
}

/// A service that one side exports, imports, or both; once for each list of weights that it is in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Who exports it.
    pub exporter: String,
    /// Who imports it.
    pub importer: String,
    /// What the exporter calls it.
    pub service: String,
    /// What the importer calls it; null where it does not import it.
    pub imported_as: Option<String>,
    /// The importer's control plane has it.
    pub live: bool,
    /// The requests that the weights are about, as `end-user = jason`; empty for all that match nothing.
    pub when: String,
    /// Percent that people declared; null where no Traffic names it.
    pub declared_weight: Option<u32>,
    /// Percent in effect, as the importer's agent says.
    pub effective_weight: Option<u32>,
    /// Why they differ.
    pub why: String,
}

impl MeshView {
    /// People want it to change nothing, so that it applies nothing either.
    fn rests(&self) -> bool {
        matches!(self.mode, Mode::Suspended | Mode::Observing)
    }

    /// It has not applied the tip, and should.
    pub fn is_late(&self) -> bool {
        self.behind != Some(0) && !self.rests()
    }
}

impl FederationStatus {
    /// Adds what the cluster of a mesh says now. What is to be changed there means that its agent does not keep up; that no replica leads, that
    /// it does not run.
    pub fn join(&mut self, live: LiveView) {
        self.degraded |= !live.changes.is_empty() || live.leader.as_ref().is_some_and(|leader| !leader.current);
        self.live = Some(live);
    }

    /// Leaves only the meshes and peerings asked for, and judges by those alone. What needs attention stays where it names one of them.
    pub fn narrow(&mut self, mesh: impl Fn(&str) -> bool, peering: impl Fn(&str, &str) -> bool) {
        self.meshes.retain(|view| mesh(&view.name));
        self.peerings.retain(|view| peering(&view.meshes[0], &view.meshes[1]));
        let names: Vec<&str> = self.meshes.iter().map(|view| view.name.as_str()).collect();
        let concerns = |line: &String| line.split([' ', ':', ',', '/']).any(|word| names.contains(&word));
        self.attention.retain(concerns);
        self.degraded = poorly(&self.meshes, &self.peerings);
    }
}

/// Whether anything of these is not as it should be.
fn poorly(meshes: &[MeshView], peerings: &[PeeringView]) -> bool {
    let mesh = |mesh: &MeshView| {
        let told = [&mesh.suspicions, &mesh.holds, &mesh.problems];
        mesh.agent.is_none() || mesh.silent || mesh.is_late() || told.iter().any(|lines| !lines.is_empty())
    };
    meshes.iter().any(mesh) || peerings.iter().any(|peering| !peering.ready && !peering.suspended)
}

/// That nobody has seen an agent yet.
pub(super) fn never_published(mesh: &str) -> String {
    format!("the agent of {mesh} never published: meshfed doctor --mesh {mesh}")
}
