//! The agent's own branch: a linear history of signed commits, each holding the whole of what is published.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use git2::{ErrorCode, FileMode, Oid, PushOptions, Repository, Signature, Time};
use jiff::Timestamp;

use super::error::{RepoError, host_words, one_line};
use super::id::CommitId;
use super::mirror::Mirror;
use super::signing::SigningKey;
use super::transport::Transport;
use super::{PUBLISHED, fetch, local};
use crate::model::names;

/// Pushes made before giving up for this time. One agent writes a branch, so a lost race is rare and a second one a sign that
/// somebody else keeps writing.
pub const PUSH_TRIES: u32 = 5;

/// Wait before the second push; doubled for each further one, 0.75 s in all.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Most bytes kept of what a hook prints.
const MAX_HOOK_OUTPUT: usize = 4096;

/// What a mesh publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The mesh; its branch is `published/<mesh>`.
    pub mesh: String,
    /// Every file of the commit by name, all in the root folder.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The commit's message, for people.
    pub message: String,
    /// The commit's time; kept to whole seconds.
    pub at: Timestamp,
    /// No push begins after this; `None` where nobody else pushes.
    pub until: Option<Instant>,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The branch holds exactly this already, in this commit; nothing was written.
    Unchanged(CommitId),
    /// The branch is at this new commit now.
    Pushed(CommitId),
}

/// What became of one push.
pub(super) enum Push {
    Done,
    /// The branch was not where it was thought to be; the server's words.
    Lost(String),
    /// Not let through by a rule; the server's words.
    Refused(String),
    /// Sent, and the server does not report what it did.
    Unknown,
}

impl Mirror {
    /// Makes `published/<mesh>` hold exactly the given files: a signed commit on the branch's tip (a root commit for a new
    /// branch), pushed without force. Identical content makes no commit. If the branch moved meanwhile, fetches and builds
    /// again, at most [`PUSH_TRIES`] times; a refusal by a rule of the server ([`RepoError::Refused`]) is final.
    pub fn publish(&mut self, publication: &Publication, key: &SigningKey) -> Result<Outcome, RepoError> {
        check(publication)?;
        let mesh = &publication.mesh;
        let branch = format!("{PUBLISHED}{mesh}");
        let mut words = String::new();
        for attempt in 0..PUSH_TRIES {
            if attempt > 0 {
                std::thread::sleep(FIRST_WAIT * 2_u32.pow(attempt - 1));
                self.fetch()?;
            }
            let tip = self.refs.published.get(mesh).copied();
            let newest = self.newest(&branch, tip)?;
            let tree = self.write_tree(&publication.files)?;
            let commit = match newest {
                Some(newest) if self.find_commit(newest)?.tree_id() == tree => newest,
                _ => self.write_commit(publication, tree, newest, key)?,
            };
            if tip == Some(commit) {
                return Ok(Outcome::Unchanged(commit));
            }
            if publication.until.is_some_and(|until| until <= Instant::now()) {
                return Err(RepoError::Late { branch });
            }
            match self.push(&branch, commit, tip)? {
                Push::Done => {
                    // The push is done whatever the mirror says; one that cannot record it is made anew by the next fetch.
                    let _ = fetch::record_one(self.repository(), &branch, commit).map_err(|error| self.damaged(&error));
                    self.refs.published.insert(mesh.clone(), commit);
                    return Ok(Outcome::Pushed(commit));
                }
                Push::Unknown if self.fetch()?.published.get(mesh) == Some(&commit) => return Ok(Outcome::Pushed(commit)),
                Push::Unknown => "the server does not say why".clone_into(&mut words),
                Push::Lost(said) => words = said,
                Push::Refused(words) => return Err(RepoError::Refused { branch, words }),
            }
        }
        Err(RepoError::Contended { branch, tries: PUSH_TRIES, words })
    }

    /// The commit to go on from: the tip, or where the branch went back what was [kept](Mirror::keep) of it. A host that was restored from
    /// a backup so gets back what it lost, without force.
    fn newest(&self, branch: &str, tip: Option<CommitId>) -> Result<Option<CommitId>, RepoError> {
        let Some(kept) = self.kept(branch) else { return Ok(tip) };
        let Some(tip) = tip else { return Ok(Some(kept)) };
        Ok(Some(if self.distance(tip, kept)?.is_some() { kept } else { tip }))
    }

    fn write_tree(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<Oid, RepoError> {
        let write = || -> Result<Oid, git2::Error> {
            let mut builder = self.repository().treebuilder(None)?;
            for (name, content) in files {
                builder.insert(name.as_str(), self.repository().blob(content)?, FileMode::Blob.into())?;
            }
            builder.write()
        };
        write().map_err(|error| RepoError::git("writing what is published", &error))
    }

    fn write_commit(
        &self,
        publication: &Publication,
        tree: Oid,
        tip: Option<CommitId>,
        key: &SigningKey,
    ) -> Result<CommitId, RepoError> {
        let Publication { mesh, message, at, .. } = publication;
        let failed = |error: git2::Error| RepoError::git("writing the commit", &error);
        let repo = self.repository();
        // `.invalid` is reserved (RFC 2606): nobody can be written to there.
        let who = Signature::new(
            &format!("meshfed agent of {mesh}"),
            &format!("{mesh}@meshfed.invalid"),
            &Time::new(at.as_second(), 0),
        )
        .map_err(failed)?;
        let message = format!("{}\n", message.trim_end());
        let parent = tip.map(|tip| self.find_commit(tip)).transpose()?;
        let tree = repo.find_tree(tree).map_err(failed)?;
        let parents: Vec<_> = parent.iter().collect();
        let content = repo.commit_create_buffer(&who, &who, &message, &tree, &parents).map_err(failed)?;
        let content =
            content.as_str().map_err(|error| RepoError::Invalid { reason: format!("the commit is not UTF-8: {error}") })?;
        let signature = key.sign(content.as_bytes())?;
        repo.commit_signed(content, &signature, None).map(CommitId::from_oid).map_err(failed)
    }

    /// One push of one branch, without force.
    pub(super) fn push(&self, branch: &str, commit: CommitId, tip: Option<CommitId>) -> Result<Push, RepoError> {
        let refname = format!("refs/heads/{branch}");
        if let Some(path) = self.transport.local() {
            let there = local::open(&self.transport, path)?;
            return local::push(self.repository(), &there, &refname, commit.oid(), tip.map(CommitId::oid))
                .map_err(|error| self.transport.error(&error));
        }
        let (path, branch) = (self.repository().path().to_owned(), branch.to_owned());
        let pushed = self
            .transport
            .talk(move |transport| push_over_network(&Repository::open_bare(path)?, transport, &branch, &refname, commit));
        match pushed {
            Err(error) if error.code() == ErrorCode::NotFastForward => Ok(Push::Lost(one_line(error.message()))),
            // Only the outbox can be locked, by a killed agent's lock file: the fetch before the next try mends the mirror.
            Err(error) if error.code() == ErrorCode::Locked => Ok(Push::Lost(self.damaged(&error).to_string())),
            pushed => pushed.map_err(|error| self.transport.error(&error)),
        }
    }
}

fn push_over_network(
    repo: &Repository,
    transport: &Transport,
    branch: &str,
    refname: &str,
    commit: CommitId,
) -> Result<Push, git2::Error> {
    let status = RefCell::new(None);
    let output = RefCell::new(Vec::new());
    // libgit2 pushes only from a ref. This one is the mirror's own and outlives no push.
    let outbox = format!("refs/meshfed/outbox/{branch}");
    repo.reference(&outbox, commit.oid(), true, "meshfed: publish")?;
    let mut callbacks = transport.callbacks();
    callbacks.push_update_reference(|name, refused| {
        if name == refname {
            *status.borrow_mut() = Some(refused.map(str::to_owned));
        }
        Ok(())
    });
    callbacks.sideband_progress(|text| {
        let mut output = output.borrow_mut();
        let room = MAX_HOOK_OUTPUT.saturating_sub(output.len());
        output.extend(text.iter().take(room));
        true
    });
    let mut remote = repo.remote_anonymous(transport.url())?;
    let mut options = PushOptions::new();
    options.remote_callbacks(callbacks);
    let pushed = remote.push(&[format!("{outbox}:{refname}")], Some(&mut options));
    drop(options);
    let _ = remote.disconnect();
    let _ = repo.find_reference(&outbox).and_then(|mut outbox| outbox.delete());
    pushed?;
    Ok(match status.into_inner() {
        None => Push::Unknown,
        Some(None) => Push::Done,
        Some(Some(refused)) if is_race(&refused) => Push::Lost(one_line(&refused)),
        Some(Some(refused)) => {
            let output = String::from_utf8_lossy(&output.into_inner()).into_owned();
            Push::Refused(one_line(&format!("{refused}: {}", host_words(&output))).trim_end_matches([':', ' ']).to_owned())
        }
    })
}

/// Whether a server's refusal means that the branch moved between its two looks at it, in the words of Git's
/// `builtin/receive-pack.c` and `refs.c` (of several versions), which other servers repeat.
fn is_race(refused: &str) -> bool {
    const WORDS: [&str; 10] = [
        "failed to update ref",
        "cannot lock ref",
        "failed to lock",
        "unable to lock",
        "fetch first",
        "non-fast-forward",
        "stale info",
        "reference already exists",
        "incorrect old value provided",
        "reference does not exist",
    ];
    WORDS.iter().any(|words| refused.contains(words))
}

fn check(publication: &Publication) -> Result<(), RepoError> {
    let Publication { mesh, files, message, .. } = publication;
    let invalid = |reason: String| Err(RepoError::Invalid { reason });
    if names::mesh(mesh).is_err() {
        return invalid(format!("{mesh:?} is no name for a mesh: use lower-case letters, digits and dashes"));
    }
    if let Some(name) = files.keys().find(|name| name.is_empty() || name.starts_with('.') || name.contains(['/', '\0'])) {
        return invalid(format!("{name:?} is no name for a published file"));
    }
    if message.trim().is_empty() || message.contains('\0') {
        return invalid("the commit needs a message without NUL bytes".to_owned());
    }
    Ok(())
}
