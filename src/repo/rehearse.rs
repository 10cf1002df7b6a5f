//! A push that changes nothing: whether the host would let us.

use git2::{Direction, Repository};

use super::error::RepoError;
use super::mirror::Mirror;
use super::publish::Push;
use super::transport::Transport;
use super::{PUBLISHED, local};

/// How far a rehearsal went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsal {
    /// The host took a push of the commit that the branch has already, its rules included.
    Accepted,
    /// The host lets us begin to push. The branch is not there yet, so that its rules show only when something is published.
    Begun,
}

impl Mirror {
    /// Whether we may push to `published/<mesh>`. The branch stays as it is.
    pub fn rehearse(&self, mesh: &str) -> Result<Rehearsal, RepoError> {
        let branch = format!("{PUBLISHED}{mesh}");
        if let Some(path) = self.transport.local() {
            let there = local::open(&self.transport, path)?;
            let locked = there.transaction().and_then(|mut transaction| transaction.lock_ref(&format!("refs/heads/{branch}")));
            return match locked {
                Ok(()) => Ok(Rehearsal::Accepted),
                Err(error) => Err(RepoError::Refused { branch, words: super::error::one_line(error.message()) }),
            };
        }
        let Some(tip) = self.refs.published.get(mesh).copied() else {
            let path = self.repository().path().to_owned();
            let begun = self.transport.talk(move |transport| begin(&Repository::open_bare(path)?, transport));
            return begun.map(|()| Rehearsal::Begun).map_err(|error| self.transport.error(&error));
        };
        match self.push(&branch, tip, Some(tip))? {
            Push::Done => Ok(Rehearsal::Accepted),
            Push::Unknown => Ok(Rehearsal::Begun),
            Push::Lost(words) => Err(RepoError::Contended { branch, tries: 1, words }),
            Push::Refused(words) => Err(RepoError::Refused { branch, words }),
        }
    }
}

fn begin(repo: &Repository, transport: &Transport) -> Result<(), git2::Error> {
    let mut remote = repo.remote_anonymous(transport.url())?;
    remote.connect_auth(Direction::Push, Some(transport.callbacks()), None).map(drop)?;
    remote.disconnect()
}
