//! What can go wrong between the agent and the repository, each with what to do about it.

use std::path::PathBuf;

use super::id::{BlobId, CommitId};
use crate::trust::Unreadable;
pub(super) use crate::words::one_line;

/// An error of the repository edge. Messages are one line, begin in lower case, and hold no secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepoError {
    /// The network, the server or its time limit.
    #[error("repository {url} cannot be reached: {reason}; will try again")]
    Unreachable {
        /// The repository, without credentials.
        url: String,
        /// What the network or the server said.
        reason: String,
    },
    /// The server has had enough of us for now, and is not asked before it wants to be.
    #[error("repository {url} is busy: {reason}; will try again")]
    Busy {
        /// The repository, without credentials.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The server answered and wants other credentials.
    #[error("repository {url} refuses access: {reason}; check the user name and the password file or key")]
    Denied {
        /// The repository, without credentials.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The server's certificate or host key is not trusted.
    #[error("repository {url} is not trusted: {reason}")]
    Untrusted {
        /// The repository, without credentials.
        url: String,
        /// What did not match.
        reason: String,
    },
    /// A local path without a repository, or something that is no URL.
    #[error("there is no repository at {url}: {reason}")]
    NoRepository {
        /// The repository as configured, without credentials.
        url: String,
        /// What was found instead.
        reason: String,
    },
    /// A name that the people's branch cannot have.
    #[error("{branch:?} cannot be the branch that people write: name one outside published/")]
    BadBranch {
        /// The branch as configured.
        branch: String,
    },
    /// No branch apart from published ones.
    #[error("repository {url} is empty: commit federation.yaml to {branch} first")]
    Empty {
        /// The repository, without credentials.
        url: String,
        /// The branch that people are to write.
        branch: String,
    },
    /// The repository has branches, but not this one.
    #[error("branch {branch} does not exist in {url}; the repository has: {}", has.join(", "))]
    NoBranch {
        /// The repository, without credentials.
        url: String,
        /// The branch asked for.
        branch: String,
        /// Branches that are there.
        has: Vec<String>,
    },
    /// No commit, branch or tag of this name.
    #[error("{revision:?} names no commit of {url}")]
    NoRevision {
        /// The repository, without credentials.
        url: String,
        /// What was asked for.
        revision: String,
    },
    /// Nothing was fetched yet, and no earlier mirror is there.
    #[error("repository {url} was not fetched yet")]
    NotFetched {
        /// The repository, without credentials.
        url: String,
    },
    /// The mirror on disk is damaged; the next fetch makes it anew.
    #[error("the mirror in {path} is damaged: {reason}; it will be fetched anew")]
    Corrupt {
        /// The mirror.
        path: PathBuf,
        /// What libgit2 found.
        reason: String,
    },
    /// The state directory cannot be used.
    #[error("state directory {path} cannot be used: {source}")]
    State {
        /// The path concerned.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A commit that the mirror does not have.
    #[error("commit {id} is not in the repository")]
    NoCommit {
        /// The commit asked for.
        id: CommitId,
    },
    /// An object that the history needs cannot be read.
    #[error("the history cannot be verified: {0}; will try again")]
    Unverifiable(#[from] Unreadable),
    /// A file over the limit.
    #[error("blob {id} has {size} bytes; files may have {limit}: split it")]
    TooLarge {
        /// The content.
        id: BlobId,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A commit with more files than a federation has.
    #[error("commit {id} has more than {limit} files of a federation; is this the right repository?")]
    TooManyFiles {
        /// The commit.
        id: CommitId,
        /// The limit in files.
        limit: usize,
    },
    /// The server's rules do not let this push through. Trying again changes nothing.
    #[error("the repository does not accept a push to {branch}: {words}; let this agent write that branch")]
    Refused {
        /// The branch.
        branch: String,
        /// What the server said.
        words: String,
    },
    /// The branch moved at each try.
    #[error(
        "branch {branch} moved during each of {tries} pushes ({words}); is another agent publishing for this mesh? will try again"
    )]
    Contended {
        /// The branch.
        branch: String,
        /// Pushes made.
        tries: u32,
        /// The last refusal.
        words: String,
    },
    /// The time in which this process may push has run out.
    #[error("{branch} is not pushed: another agent may be writing it by now")]
    Late {
        /// The branch.
        branch: String,
    },
    /// The signing key cannot be used.
    #[error("signing key {path} cannot be used: {reason}")]
    Key {
        /// The key file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A person's clone does not have what was asked for, or cannot take a commit now.
    #[error("the clone cannot be used so: {reason}")]
    Clone {
        /// Why, and what to do.
        reason: String,
    },
    /// A name or content that cannot be published.
    #[error("cannot publish: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// A local repository cannot be watched; polling goes on.
    #[error("{path} cannot be watched: {reason}; it is looked at in intervals instead")]
    Watch {
        /// The repository's directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Anything else that libgit2 reports.
    #[error("{doing}: {reason}")]
    Git {
        /// What was being done.
        doing: &'static str,
        /// What libgit2 said.
        reason: String,
    },
}

impl RepoError {
    /// Whether the same call may succeed later although nobody changes anything here.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Busy { .. }
                | Self::Corrupt { .. }
                | Self::Contended { .. }
                | Self::Late { .. }
                | Self::NotFetched { .. }
        )
    }

    pub(super) fn git(doing: &'static str, error: &git2::Error) -> Self {
        Self::Git { doing, reason: one_line(error.message()) }
    }
}

/// What a host says, in one line without its frame: GitLab and Gitea put `remote:` or `error:` before each line, and empty ones or dividers around. More
/// goes on behind it, so that its full stop goes too.
pub(super) fn host_words(said: &str) -> String {
    const MARKS: [&str; 4] = ["remote:", "error:", "ERROR:", "fatal:"];
    let bare = |mut line: &str| {
        while let Some(rest) = MARKS.iter().find_map(|mark| line.trim_start().strip_prefix(mark)) {
            line = rest;
        }
        line.to_owned()
    };
    let lines: Vec<String> = said.lines().map(bare).filter(|line| line.contains(char::is_alphanumeric)).collect();
    one_line(&lines.join(" ")).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says_loses_its_frame() {
        let gitea = "error:\nerror: Deploy Key: 2:ro is not authorized to write to platform/federation.\nerror:\n";
        assert_eq!(host_words(gitea), "Deploy Key: 2:ro is not authorized to write to platform/federation");
        let gitlab =
            "remote: \nremote: ====\nremote: \nremote: ERROR: The project you were looking for could not be found.\nremote: \n";
        assert_eq!(host_words(gitlab), "The project you were looking for could not be found");
        assert_eq!(host_words("an error: as it is\r\n"), "an error: as it is");
    }

    #[test]
    fn only_what_time_can_mend_is_transient() {
        let url = || "u".to_owned();
        assert!(RepoError::Unreachable { url: url(), reason: String::new() }.is_transient());
        assert!(!RepoError::Refused { branch: url(), words: String::new() }.is_transient());
        assert!(!RepoError::Empty { url: url(), branch: url() }.is_transient());
    }
}
