//! What `meshfed doctor` found about one mesh: each check with its outcome and, where something is to be done, what.

mod rules;
mod text;

use serde::Serialize;

pub use rules::{CLOCK_LIMIT, agent, clock, control_plane, definition, future, granted, peering, right};
pub use text::render;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, and will not for ever or for everybody.
    Warning,
    /// It does not work.
    Failure,
    /// It could not be found out.
    Unknown,
    /// It was not looked at, because nobody gave what it needs, or what comes before it failed.
    Skipped,
}

impl Outcome {
    /// All of them, the worst first.
    const ALL: [Self; 5] = [Self::Failure, Self::Unknown, Self::Warning, Self::Ok, Self::Skipped];

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at, in a word or two; the same each time.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen.
    pub found: String,
    /// What to do; empty where nothing is.
    pub hint: String,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &str, found: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, found, "")
    }

    /// It works, but.
    pub fn warning(name: &str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(name, Outcome::Warning, found, hint)
    }

    /// It does not work.
    pub fn failure(name: &str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(name, Outcome::Failure, found, hint)
    }

    /// It could not be found out.
    pub fn unknown(name: &str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(name, Outcome::Unknown, found, hint)
    }

    /// It was not looked at.
    pub fn skipped(name: &str, why: impl Into<String>) -> Self {
        Self::new(name, Outcome::Skipped, why, "")
    }

    fn new(name: &str, outcome: Outcome, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name: name.to_owned(), outcome, found: found.into(), hint: hint.into() }
    }
}

/// All checks of one mesh.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The mesh.
    pub mesh: String,
    /// The checks, in the order in which one needs the other.
    pub checks: Vec<Check>,
}

impl Report {
    /// How many checks ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }
}
