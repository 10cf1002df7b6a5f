//! A refusal as `check` shows it: with the commit's date and key, and the rule that decided. No part of the verifier.

use jiff::Timestamp;

use super::commit::Links;
use super::object::{Id, Objects};
use super::policy::Decision;
use super::refusal::{Refusal, Rule};
use super::rules::{FOLDER, Rules};
use crate::model::{Code, Diagnostic, InCommit, Span};

/// Folder of the branches that agents write.
const PUBLISHED: &str = "published/";

/// What people do about a commit of such a branch.
const DISOWN: &str =
    "list the agent's key under `agent.keys` of its Mesh; a commit of somebody else under `agent.disowned` there";

/// What is wrong with a commit of a branch. What cannot be read of it is left out.
pub fn finding(objects: &dyn Objects, branch: &str, refusal: &Refusal) -> Diagnostic {
    let Refusal { rule, commit, signer, path, detail } = refusal;
    let code = rule.code();
    let path = path.as_deref().unwrap_or_default();
    let message = match (code, signer) {
        (Code::PathDenied, Some(signer)) => format!("{signer} may not change {path}"),
        (Code::OtherHistory | Code::WrongDigest, _) => format!("{branch} is refused: {detail}"),
        _ if path.is_empty() => format!("a commit of {branch} is refused: {detail}"),
        _ => format!("a commit of {branch} is refused: {path}: {detail}"),
    };
    let mend = if branch.starts_with(PUBLISHED) { DISOWN } else { rule.mend() };
    let mut finding = Diagnostic::error(path, Span::default(), code, message, mend);
    finding.commit = Some(circumstances(objects, *commit));
    if *rule == Rule::PathDenied && signer.is_some() {
        let policy = format!("{FOLDER}/policy.yaml");
        match decision(objects, *commit, path) {
            Some(Decision { span, roles }) => {
                finding = finding.also(&policy, span, format!("gives that path to {}", or_nobody(&roles)));
            }
            None => finding.help = format!("no rule of {policy} names that path, so nobody may change it; {}", finding.help),
        }
    }
    finding
}

fn or_nobody(roles: &[String]) -> String {
    if roles.is_empty() { "nobody".to_owned() } else { roles.join(", ") }
}

fn circumstances(objects: &dyn Objects, id: Id) -> InCommit {
    let commit = Links::load(objects, id).ok().and_then(|links| links.commit().ok());
    let at = commit.as_ref().and_then(|commit| Timestamp::from_second(commit.committed_at).ok());
    let key = commit.and_then(|commit| commit.key().ok()).map(|key| key.fingerprint());
    InCommit { id: id.to_string(), at, key: key.unwrap_or_default() }
}

/// Which rule of the parent decides about a path.
fn decision(objects: &dyn Objects, commit: Id, path: &str) -> Option<Decision> {
    let parent = *Links::load(objects, commit).ok()?.parents.first()?;
    Rules::of(objects, parent).ok()??.policy.decision(path)
}
