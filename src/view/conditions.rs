//! Conditions as kstatus reads them (`sigs.k8s.io/cli-utils/pkg/kstatus`): `Ready` is always there; `Reconciling` and `Stalled` only while they are so:
//! on the way, or not to go on without people. Git has no generations; what was observed is the commit that a mesh has applied.

use serde::Serialize;

use super::federation::{MeshView, PeeringView};
use crate::decide::Mode;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConditionView {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether it is so.
    pub status: Truth,
    /// Why, in one word for programs.
    pub reason: Reason,
    /// Why, one line for people; empty where there is nothing to add.
    pub message: String,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// All is as declared.
    Ready,
    /// It is on its way there, by itself.
    Reconciling,
    /// It does not get there unless people do something.
    Stalled,
}

/// Whether it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Truth {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody has said.
    Unknown,
}

/// Why it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// The tip of `main` is applied, and nothing is missing.
    Applied,
    /// The tip is not applied yet.
    Behind,
    /// A document has an error.
    Invalid,
    /// The mesh is no longer declared, and its objects go.
    Leaving,
    /// The agent never published.
    NeverPublished,
    /// One side of a peering does not work.
    NotConnected,
    /// The agent only observes.
    Observing,
    /// The agent was not heard for longer than one that works is silent.
    Silent,
    /// People have to decide.
    Stuck,
    /// People want nothing to change.
    Suspended,
    /// Something has to come that comes by itself.
    Waiting,
}

/// The conditions of a mesh; `stuck` is how many of its holds only people can end.
pub(super) fn of_mesh(mesh: &MeshView, stuck: usize) -> Vec<ConditionView> {
    let ready =
        |status, reason, message: &str| vec![ConditionView { kind: Kind::Ready, status, reason, message: message.to_owned() }];
    let not_yet = |kind, reason, message: &str| {
        let mut all = ready(Truth::False, reason, message);
        all.push(ConditionView { kind, status: Truth::True, ..all[0].clone() });
        all
    };
    let first = |lines: &[String]| lines.first().cloned().unwrap_or_default();
    match mesh.mode {
        _ if mesh.agent.is_none() => ready(Truth::Unknown, Reason::NeverPublished, "its agent never published"),
        _ if mesh.silent => ready(Truth::Unknown, Reason::Silent, "its agent is silent"),
        Mode::Suspended => ready(Truth::Unknown, Reason::Suspended, "nothing is changed, because mesh.yaml says so"),
        Mode::Observing => ready(Truth::Unknown, Reason::Observing, "its agent only observes"),
        Mode::Leaving | Mode::Left => not_yet(Kind::Reconciling, Reason::Leaving, &first(&mesh.holds)),
        Mode::Active if !mesh.problems.is_empty() => not_yet(Kind::Stalled, Reason::Invalid, &first(&mesh.problems)),
        Mode::Active if stuck > 0 => {
            let message = format!("{stuck} of {} that are held wait for people: {}", mesh.holds.len(), first(&mesh.holds));
            let message = if stuck == mesh.holds.len() { first(&mesh.holds) } else { message };
            not_yet(Kind::Stalled, Reason::Stuck, &message)
        }
        Mode::Active if mesh.is_late() => {
            let message = mesh.behind.map_or("it has not applied main".to_owned(), |behind| format!("{behind} behind main"));
            not_yet(Kind::Reconciling, Reason::Behind, &message)
        }
        Mode::Active if !mesh.holds.is_empty() => not_yet(Kind::Reconciling, Reason::Waiting, &first(&mesh.holds)),
        Mode::Active => ready(Truth::True, Reason::Applied, ""),
    }
}

/// The condition of a peering. Whether it gets well by itself, the meshes say.
pub(super) fn of_peering(peering: &PeeringView) -> Vec<ConditionView> {
    let (status, reason) = match peering {
        PeeringView { suspended: true, .. } => (Truth::Unknown, Reason::Suspended),
        PeeringView { ready: true, .. } => (Truth::True, Reason::Applied),
        _ => (Truth::False, Reason::NotConnected),
    };
    vec![ConditionView { kind: Kind::Ready, status, reason, message: peering.why.clone() }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::status::testing::{mk_mesh, mk_peering};

    fn told(mesh: &MeshView, stuck: usize) -> String {
        let all = of_mesh(mesh, stuck);
        all.iter()
            .map(|one| format!("{:?}={:?} {:?} {}", one.kind, one.status, one.reason, one.message))
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn a_mesh_is_ready_on_its_way_or_stalled() {
        let mesh = || mk_mesh("rosa", "aws", "192.0.2.1");
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let cases = [
            (mesh(), 0),
            (MeshView { behind: Some(2), ..mesh() }, 0),
            (MeshView { behind: None, applied: None, ..mesh() }, 0),
            (MeshView { holds: lines(&["a: waits", "b: waits"]), ..mesh() }, 0),
            (MeshView { holds: lines(&["b: is held", "a: waits"]), ..mesh() }, 1),
            (MeshView { holds: lines(&["a: is held"]), behind: Some(2), ..mesh() }, 1),
            (MeshView { problems: lines(&["x.yaml: bad"]), ..mesh() }, 0),
            (MeshView { warnings: lines(&["x.yaml: odd"]), ..mesh() }, 0),
            (MeshView { silent: true, behind: Some(2), ..mesh() }, 0),
            (MeshView { agent: None, ..mesh() }, 0),
            (MeshView { mode: Mode::Suspended, behind: Some(2), ..mesh() }, 0),
            (MeshView { mode: Mode::Observing, ..mesh() }, 0),
            (MeshView { mode: Mode::Leaving, holds: lines(&["a: goes next"]), ..mesh() }, 0),
        ];
        insta::assert_snapshot!(cases.iter().map(|(mesh, stuck)| told(mesh, *stuck)).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_program_reads_them_as_those_of_kubernetes() {
        let peering = PeeringView { suspended: true, ..mk_peering("aro", "", 20) };
        let all =
            [of_peering(&mk_peering("aro", "", 20)), of_peering(&mk_peering("aro", "503", 0)), of_peering(&peering)].concat();
        insta::assert_snapshot!(serde_json::to_string_pretty(&all).unwrap());
    }
}
