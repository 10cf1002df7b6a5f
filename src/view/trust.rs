//! Who may change what, and whether a history keeps to it.

use std::fmt::Write as _;

use serde::Serialize;

use super::table::{self, Cell};
use super::{Look, Tone};
use crate::trust::{Digest, Id, Refusal, Rules};
use crate::words::{count, one_line};

/// Most paths shown of what a commit changed; git show has the rest.
const MAX_SHOWN: usize = 50;

/// Where a history begins that is verified.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// The commit.
    pub commit: Id,
    /// Somebody named it.
    pub given: bool,
}

/// All that is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    commit: String,
    summary: String,
    anchor: String,
    anchor_given: bool,
    digest: String,
    signers: Vec<Signer>,
    rules: Vec<Allowed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refused>,
}

#[derive(Debug, Serialize)]
struct Signer {
    name: String,
    key: String,
    #[serde(rename = "type")]
    kind: String,
    roles: Vec<String>,
    revoked: bool,
}

#[derive(Debug, Serialize)]
struct Allowed {
    paths: Vec<String>,
    allow: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    rule: String,
    commit: String,
    signer: Option<String>,
    path: Option<String>,
    detail: String,
    way_out: String,
}

impl Shown {
    /// The rules that a commit has, the newest that is verified; and what of the next one is refused, with the way out.
    pub fn new(
        summary: &str,
        commit: Id,
        digest: Digest,
        rules: &Rules,
        anchor: Anchor,
        refusal: Option<(&Refusal, String)>,
    ) -> Self {
        let member_of = |name: &str| {
            let of = rules.policy.roles().filter(|(_, members)| members.contains(name));
            of.map(|(role, _)| role.to_owned()).collect()
        };
        let mut signers: Vec<Signer> = Vec::new();
        let kind = |line: String| line.split(' ').next().unwrap_or_default().to_owned();
        for (key, signer) in rules.signers.iter() {
            let revoked = rules.revoked.contains(key);
            let name = signer.name.clone();
            signers.push(Signer { roles: member_of(&name), name, key: key.fingerprint(), kind: kind(key.line()), revoked });
        }
        for key in rules.revoked.iter().filter(|key| rules.signers.get(key).is_none()) {
            signers.push(Signer {
                name: "-".to_owned(),
                key: key.fingerprint(),
                kind: kind(key.line()),
                roles: Vec::new(),
                revoked: true,
            });
        }
        signers.sort_by(|a, b| (a.revoked, &a.name, &a.key).cmp(&(b.revoked, &b.name, &b.key)));
        let allowed = |(paths, allow): (Vec<String>, &[String])| Allowed { paths, allow: allow.to_vec() };
        let refusal = refusal.map(|(Refusal { rule, commit, signer, path, detail }, way_out)| Refused {
            rule: rule.to_string(),
            commit: commit.to_string(),
            signer: signer.clone(),
            path: path.clone(),
            detail: detail.clone(),
            way_out,
        });
        Self {
            commit: commit.to_string(),
            summary: one_line(summary),
            anchor: anchor.commit.to_string(),
            anchor_given: anchor.given,
            digest: digest.to_string(),
            signers,
            rules: rules.policy.rules().map(allowed).collect(),
            refusal,
        }
    }
}

/// As text.
pub fn render(shown: &Shown, look: Look) -> String {
    let Shown { commit, summary, anchor, anchor_given, digest, signers, rules, refusal } = shown;
    let signer = |Signer { name, key, kind, roles, revoked }: &Signer| -> Vec<Cell> {
        let tone = if *revoked { Tone::Faint } else { Tone::Plain };
        let roles = if *revoked { "revoked".to_owned() } else { or_dash(&roles.join(", ")) };
        [name, key, &kind.replace("ssh-", ""), &roles].map(|text| Cell::new(text, tone)).into()
    };
    let rule = |Allowed { paths, allow }: &Allowed| -> Vec<Cell> {
        let who = |role: &String| if role == "{mesh}" { "the role called like {mesh}".to_owned() } else { role.clone() };
        let who: Vec<String> = allow.iter().map(who).collect();
        vec![or_dash(&who.join(", ")).into(), paths.join(", ").into()]
    };
    let mut out = look.paint(Tone::Strong, "TRUST");
    let _ = writeln!(out, " as of {} {summary}\n", &commit[..7]); // writing to a String cannot fail
    out.push_str(&table::render(&["SIGNER", "KEY", "TYPE", "ROLES"], &signers.iter().map(signer).collect::<Vec<_>>(), look));
    out.push('\n');
    out.push_str(&table::render(
        &["WHO", "MAY CHANGE (the first that matches decides)"],
        &rules.iter().map(rule).collect::<Vec<_>>(),
        look,
    ));
    out.push('\n');
    let from = if *anchor_given { "the anchor" } else { "the oldest commit with trust/, which is no proof: name the anchor" };
    let verified = if refusal.is_none() { "verified" } else { "verified up to here" };
    let _ = writeln!(out, "{} from {} ({from})", look.paint(Tone::Good, verified), &anchor[..7]);
    let _ = writeln!(out, "agents: --trust-anchor {commit}\n        --trust-digest {digest}");
    if let Some(Refused { rule, commit, signer, path, detail, way_out }) = refusal {
        let path = path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        let signer = signer.as_ref().map(|signer| format!(" (signed by {signer})")).unwrap_or_default();
        let _ = writeln!(out, "{} {commit} {rule}: {path}{detail}{signer}", look.paint(Tone::Bad, "! refused:"));
        let _ = writeln!(out, "  way out: {way_out}");
    }
    out
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// A refused commit with what it changed.
pub fn bad_commit(summary: &str, refusal: &Refusal, changes: &[(char, String)]) -> String {
    let mut out = format!("{summary}\n{refusal}\n");
    for (letter, path) in changes.iter().take(MAX_SHOWN) {
        let _ = writeln!(out, "  {letter} {path}"); // writing to a String cannot fail
    }
    if changes.len() > MAX_SHOWN {
        let _ = writeln!(out, "  and {} more", count(changes.len() - MAX_SHOWN, "path"));
    }
    let _ = writeln!(out, "  git show {} has every line", refusal.commit);
    out
}
