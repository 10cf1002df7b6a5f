//! The policies of a federation, with what each judged and denied.

use std::fmt::Write;

use serde::Serialize;

use super::table::{self, Cell};
use super::{Look, Tone};
use crate::model::names::closest;
use crate::policy::{About, Verdict};
use crate::words::printable;

/// All policies.
#[derive(Debug, Serialize)]
pub struct Policies {
    policies: Vec<Policy>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    name: String,
    path: String,
    resources: Vec<String>,
    /// It holds what it forbids; else it only warns.
    denies: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    judged: Vec<Judged>,
}

#[derive(Debug, Serialize)]
struct Judged {
    subject: String,
    verdict: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Passed,
    Warned,
    Denied,
}

impl Policies {
    /// From what each policy is, and what all of them say.
    pub fn new(about: Vec<About>, verdicts: &[Verdict]) -> Self {
        let judged = |verdict: &Verdict| Judged {
            subject: verdict.subject.clone(),
            verdict: match &verdict.violation {
                None => Outcome::Passed,
                Some(violation) if violation.warning => Outcome::Warned,
                Some(_) => Outcome::Denied,
            },
            message: verdict.violation.as_ref().map(|violation| violation.message.clone()),
        };
        let policy = |About { name, path, resources, denies, broken }: About| Policy {
            judged: verdicts.iter().filter(|verdict| verdict.policy == name).map(judged).collect(),
            name,
            path,
            resources,
            denies,
            error: broken,
        };
        Self { policies: about.into_iter().map(policy).collect() }
    }

    /// One of them; else what there is.
    pub fn only(self, name: &str) -> Result<Self, String> {
        let names: Vec<String> = self.policies.iter().map(|policy| policy.name.clone()).collect();
        let policies: Vec<Policy> = self.policies.into_iter().filter(|policy| policy.name == name).collect();
        if policies.is_empty() { Err(closest(name, &names)) } else { Ok(Self { policies }) }
    }

    /// Whether anything is denied.
    pub fn denied(&self) -> bool {
        self.policies.iter().any(|policy| policy.number(Outcome::Denied) > 0)
    }
}

impl Policy {
    fn number(&self, outcome: Outcome) -> usize {
        self.judged.iter().filter(|judged| judged.verdict == outcome).count()
    }
}

/// A table, then what is denied or warned of; `whole` lists also what passed.
pub fn render(all: &Policies, whole: bool, look: Look) -> String {
    if all.policies.is_empty() {
        return "there are no policies: put some into policies/ of the repository\n".to_owned();
    }
    let row = |policy: &Policy| {
        let (denied, warned) = (policy.number(Outcome::Denied), policy.number(Outcome::Warned));
        let bad = |number: usize| Cell::new(&number.to_string(), if number > 0 { Tone::Bad } else { Tone::Plain });
        let action = if policy.denies { "deny" } else { "warn" };
        let judged = policy.judged.len().to_string();
        let cells = [Cell::from(&policy.name), action.into(), judged.into(), bad(denied), bad(warned)];
        cells.into_iter().chain([Cell::from(policy.resources.join(", "))]).collect()
    };
    let rows: Vec<Vec<Cell>> = all.policies.iter().map(row).collect();
    let mut out = table::render(&["POLICY", "ACTION", "JUDGED", "DENIED", "WARNED", "MEANS"], &rows, look);
    for policy in &all.policies {
        let shown: Vec<&Judged> = policy.judged.iter().filter(|judged| whole || judged.verdict != Outcome::Passed).collect();
        if shown.is_empty() && policy.error.is_none() {
            continue;
        }
        let _ = writeln!(out, "\n{} ({})", look.paint(Tone::Strong, &printable(&policy.name)), printable(&policy.path)); // a String takes it
        if let Some(error) = &policy.error {
            let _ = writeln!(out, "  ! it has an error itself: {}", printable(error)); // this too
        }
        for Judged { subject, verdict, message } in shown {
            let (sign, tone) = match verdict {
                Outcome::Passed => ("✔", Tone::Good),
                Outcome::Warned => ("!", Tone::Bad),
                Outcome::Denied => ("✘", Tone::Bad),
            };
            let words = message.as_ref().map(|message| format!(": {}", printable(message))).unwrap_or_default();
            let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(4));
            let line = table::wrap(&format!("{}{words}", printable(subject)), room).join("\n    ");
            let _ = writeln!(out, "  {} {line}", look.paint(tone, sign)); // and this
        }
    }
    out
}
