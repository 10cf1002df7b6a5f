//! The agent's own mesh as `meshfed status --mesh` shows it, from what the agent knows now: `/status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::declarations::Declarations;
use crate::decide::{Line, Status};
use crate::facts::Facts;
use crate::view::federation::{CommitView, FederationStatus, Gathered, Published};
use crate::view::verification::verification;

/// Where the declarations are from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Address of the repository, without credentials.
    pub repository: String,
    /// The branch that people write.
    pub branch: String,
}

/// What is known of a mesh after a pass.
#[derive(Clone, Debug)]
pub struct Overview {
    /// All that Git says.
    pub declarations: Arc<Declarations>,
    /// Facts that the mesh publishes.
    pub facts: Facts,
    /// When it last published; `None` before it did.
    pub published_at: Option<Timestamp>,
}

impl Overview {
    /// The same shape as that of the whole federation, with this mesh and its peerings.
    /// `status` is the mesh as the pass tells it; `leads`, whether this replica writes.
    pub fn status(&self, me: &str, status: &Status, leads: bool, place: &Place, now: Timestamp) -> FederationStatus {
        let Self { declarations, facts, published_at } = self;
        let Declarations { commit, line, federation, problems, facts: peers, statuses, .. } = &**declarations;
        let nothing = Facts::default();
        let peer = |(name, status): (&String, &Status)| {
            let facts = peers.get(name).unwrap_or(&nothing).clone();
            (name.clone(), Published { status: status.clone(), facts, ..Published::default() })
        };
        let mut published: BTreeMap<String, Published> = statuses.iter().map(peer).collect();
        let id = commit.id.to_string();
        published.insert(
            me.to_owned(),
            Published {
                at: published_at.unwrap_or(now), // who answers is not silent
                status: status.clone(),
                facts: facts.clone(),
                behind: behind(&id, &status.main.applied, line),
                problems: Vec::new(),
            },
        );
        let (words, verified) = verification(&id, &published);
        let view = CommitView {
            id,
            author: commit.author_email.clone(),
            committed_at: commit.committed_at,
            verification: words,
            verified,
        };
        let Place { repository, branch } = place.clone();
        let mut all = FederationStatus::new(Gathered {
            repository,
            branch,
            commit: view,
            federation,
            found: problems,
            published: &published,
            now,
        });
        all.narrow(|mesh| mesh == me, |a, b| [a, b].contains(&me));
        all.leader = Some(leads);
        all
    }
}

/// Commits between what is applied and the newest; `None` where that is not on their line, or nothing is.
fn behind(newest: &str, applied: &str, line: &Line) -> Option<usize> {
    if applied == newest {
        return Some(0);
    }
    line.since.as_ref().filter(|since| *since == applied).map(|_| line.commits.len())
}
