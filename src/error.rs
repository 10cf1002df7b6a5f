//! How a command ends: its exit code, and where it found no answer, why and what to do.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | fine |
//! | 1 | findings, changes, or a federation that is degraded |
//! | 2 | the command line or the configuration cannot be meant |
//! | 3 | could not find out |

use std::process::ExitCode;

use crate::cluster::{ApplyError, ClusterError};
use crate::repo::RepoError;

/// How a command ends that found its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing to do, nothing wrong.
    Fine,
    /// Findings, changes, or something degraded.
    Findings,
    /// No findings, but not everything could be found out.
    Unknown,
}

impl Exit {
    /// `Findings` where there are any.
    pub fn findings(any: bool) -> Self {
        if any { Self::Findings } else { Self::Fine }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Findings => Self::from(1),
            Exit::Unknown => Self::from(3),
        }
    }
}

/// Why a command ends without an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line or the configuration cannot be meant.
    #[error("{message}")]
    Usage {
        /// What is wrong, with the flag, variable and key that say so.
        message: String,
        /// What to do; empty where the message says it.
        hint: String,
    },
    /// A file, the repository or the cluster gave no answer.
    #[error("{message}")]
    Unavailable {
        /// What could not be found out, and why.
        message: String,
        /// What to do; empty where the message says it.
        hint: String,
    },
    /// Whoever read our output has seen enough; not an error for anybody.
    #[error("the output was closed")]
    BrokenPipe,
}

impl Error {
    /// The command line or the configuration cannot be meant.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// A file, the repository or the cluster gave no answer.
    pub fn unavailable(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), hint: hint.into() }
    }

    /// An error of any other kind, its causes included: something could not be found out.
    pub fn other(error: impl Into<anyhow::Error>) -> Self {
        Self::unavailable(format!("{:#}", error.into()), "")
    }

    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Usage { .. } => 2,
            Self::Unavailable { .. } => 3,
        }
    }

    /// What people read on stderr; `None` where there is nothing to say.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::BrokenPipe => None,
            Self::Usage { message, hint } | Self::Unavailable { message, hint } if hint.is_empty() => {
                Some(format!("error: {message}"))
            }
            Self::Usage { message, hint } | Self::Unavailable { message, hint } => {
                Some(format!("error: {message}\n  help: {hint}"))
            }
        }
    }
}

impl From<RepoError> for Error {
    fn from(error: RepoError) -> Self {
        match &error {
            // The agent tries again; a command does not.
            RepoError::Unreachable { url, reason } => Self::unavailable(
                format!("repository {url} cannot be reached: {reason}"),
                "check the address and the network, then run the command again",
            ),
            RepoError::BadBranch { .. } => Self::usage(error.to_string(), ""),
            RepoError::NoCommit { .. } | RepoError::NoRevision { .. } => {
                Self::unavailable(error.to_string(), "git fetch gets what is missing, of a shallow clone git fetch --unshallow")
            }
            _ => Self::unavailable(error.to_string(), ""),
        }
    }
}

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        Self::unavailable(error.to_string(), "name the cluster with --kubeconfig and --context")
    }
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Self {
        Self::unavailable(error.to_string(), "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_exit_code_and_words() {
        let usage = Error::usage("no mesh", "say --mesh");
        assert_eq!((usage.code(), usage.message().as_deref()), (2, Some("error: no mesh\n  help: say --mesh")));
        let unreachable = Error::from(RepoError::Unreachable { url: "u".into(), reason: "r".into() });
        assert_eq!(unreachable.code(), 3);
        assert!(!unreachable.message().unwrap().contains("will try again"));
        assert_eq!((Error::BrokenPipe.code(), Error::BrokenPipe.message()), (0, None));
    }
}
