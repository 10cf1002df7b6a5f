//! `trust/policy.yaml`: who may change which paths. What no rule names, nobody may change; for each path the first rule with
//! a pattern that matches it decides, whatever later rules say.
//!
//! A pattern is matched against the whole path, name by name, and case counts:
//!
//! | written | matches |
//! |---|---|
//! | `**` as a whole name | any number of names, also none; at the end of a pattern at least one (as in gitignore(5)) |
//! | `*` within a name | any characters, also none |
//! | `{mesh}` as a whole name | one name, remembered: `{mesh}` in `allow` is the role that is called so |
//!
//! So `{paths: ["meshes/{mesh}/**"], allow: [root, "{mesh}"]}` lets the members of the role `rosa-prod-mesh` change what lies in
//! `meshes/rosa-prod-mesh/`, and so for every mesh, while a folder that no role is named after is for `root` alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::documents::{TrustPolicyDocument, TrustRuleSpec};
use crate::model::{At, Code, Diagnostic, Span, yaml};

/// The role whose members accept bad commits. It must have one.
pub const ROOT: &str = "root";

/// The one variable there is.
const MESH: &str = "{mesh}";

/// Roles and rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    roles: BTreeMap<String, BTreeSet<String>>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    paths: Vec<Pattern>,
    /// Roles, or [`MESH`].
    allow: Vec<String>,
}

/// What is said of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where the rule's pattern stands in the file.
    pub span: Span,
    /// Roles whose members may change it.
    pub roles: Vec<String>,
}

/// What `{mesh}` stood for, in a pattern that has it.
#[derive(Clone, Copy)]
struct Captured<'p>(Option<&'p str>);

/// A pattern's names, and where it stands, which says nothing about what it matches.
#[derive(Clone, Debug)]
struct Pattern {
    names: Vec<String>,
    span: Span,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for Pattern {}

impl Policy {
    /// Reads the document. The error is the first thing in it that is not taken.
    pub fn parse(path: &str, text: &str) -> Result<Self, Box<Diagnostic>> {
        let document: TrustPolicyDocument = yaml::document(path, text)?;
        let mut policy = Self { roles: BTreeMap::new(), rules: Vec::new() };
        for (role, members) in document.spec.roles {
            policy.roles.insert(role, members.into_iter().map(|member| member.value).collect());
        }
        for spec in document.spec.rules {
            policy.rules.push(Rule::new(path, &spec, &policy.roles)?);
        }
        Ok(policy)
    }

    /// Whether this signer may change this path.
    pub fn allows(&self, signer: &str, path: &str) -> bool {
        self.decision(path).is_some_and(|decision| decision.roles.iter().any(|role| self.has_role(signer, role)))
    }

    /// Who may change this path; `None` where no rule names it.
    pub fn decision(&self, path: &str) -> Option<Decision> {
        let names: Vec<&str> = path.split('/').collect();
        self.rules.iter().find_map(|rule| {
            let (pattern, captured) = rule.paths.iter().find_map(|pattern| Some((pattern, pattern.matches(&names)?)))?;
            let roles = rule.allow.iter().filter_map(|role| if role == MESH { captured.0 } else { Some(role.as_str()) });
            Some(Decision { span: pattern.span, roles: roles.map(str::to_owned).collect() })
        })
    }

    /// Roles with their members.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.roles.iter().map(|(role, members)| (role.as_str(), members))
    }

    /// Patterns of each rule with the roles that it allows, in the order in which they are asked.
    pub fn rules(&self) -> impl Iterator<Item = (Vec<String>, &[String])> {
        self.rules.iter().map(|rule| (rule.paths.iter().map(|pattern| pattern.names.join("/")).collect(), rule.allow.as_slice()))
    }

    /// The same with one more member of a role.
    pub(super) fn with(mut self, role: &str, member: &str) -> Self {
        self.roles.entry(role.to_owned()).or_default().insert(member.to_owned());
        self
    }

    /// Whether this signer is a member of the role.
    pub fn has_role(&self, signer: &str, role: &str) -> bool {
        self.roles.get(role).is_some_and(|members| members.contains(signer))
    }
}

impl Rule {
    fn new(path: &str, spec: &TrustRuleSpec, roles: &BTreeMap<String, BTreeSet<String>>) -> Result<Self, Box<Diagnostic>> {
        let wrong = |at: &At<String>, message: String, help: &str| {
            Box::new(Diagnostic::error(path, at.span, Code::BadValue, message, help))
        };
        let (mut paths, mut allow) = (Vec::new(), Vec::new());
        for at in &spec.paths {
            let pattern = Pattern::parse(at);
            paths.push(pattern.map_err(|message| wrong(at, message, "a path such as meshes/{mesh}/** or federation.yaml"))?);
        }
        for at in &spec.allow {
            if at.value == MESH && !paths.iter().all(Pattern::captures) {
                return Err(wrong(at, format!("a path of this rule has no {MESH}"), "name it in each of the rule's paths"));
            }
            if at.value != MESH && !roles.contains_key(&at.value) {
                return Err(wrong(at, format!("{:?} is no role", at.value), "add it to roles; a rule allows roles, not signers"));
            }
            allow.push(at.value.clone());
        }
        Ok(Self { paths, allow })
    }
}

impl Pattern {
    fn parse(text: &At<String>) -> Result<Self, String> {
        let names: Vec<String> = text.split('/').map(str::to_owned).collect();
        let shown = text.escape_debug();
        if names.iter().any(|name| ["", ".", ".."].contains(&name.as_str())) {
            return Err(format!("`{shown}` is not a path from the repository's root"));
        }
        if names
            .iter()
            .any(|name| name != MESH && name.contains(['{', '}', '?', '[', ']', '!', '\\']) || name.chars().any(char::is_control))
        {
            return Err(format!("`{shown}` has something other than names, `*`, `**` and `{MESH}`"));
        }
        if names.iter().any(|name| name != "**" && name.contains("**")) {
            return Err(format!("in `{shown}`, `**` is not a whole name"));
        }
        for whole in [MESH, "**"] {
            if names.iter().filter(|name| *name == whole).count() > 1 {
                return Err(format!("`{shown}` has {whole} twice"));
            }
        }
        Ok(Self { names, span: text.span })
    }

    fn captures(&self) -> bool {
        self.names.iter().any(|name| name == MESH)
    }

    /// `None` if it does not match.
    fn matches<'p>(&self, path: &[&'p str]) -> Option<Captured<'p>> {
        let Some(stars) = self.names.iter().position(|name| name == "**") else {
            return (path.len() == self.names.len()).then(|| names_match(&self.names, path))?;
        };
        let (before, after) = (&self.names[..stars], &self.names[stars + 1..]);
        if path.len() < before.len() + after.len() + usize::from(after.is_empty()) {
            return None;
        }
        let front = names_match(before, &path[..before.len()])?;
        let back = names_match(after, &path[path.len() - after.len()..])?;
        Some(Captured(front.0.or(back.0)))
    }
}

/// As many patterns as names.
fn names_match<'p>(patterns: &[String], names: &[&'p str]) -> Option<Captured<'p>> {
    let mut captured = Captured(None);
    for (pattern, name) in patterns.iter().zip(names) {
        if pattern == MESH {
            captured = Captured(Some(name));
        } else if !name_matches(pattern, name) {
            return None;
        }
    }
    Some(captured)
}

/// Whether a name fits a pattern in which `*` is anything: its first part begins the name, its last ends it, and the others are
/// found in between one after the other, each as early as can be.
fn name_matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut name) = name.strip_prefix(first).and_then(|name| name.strip_suffix(last)) else { return false };
    middle.split('*').all(|part| {
        let found = name.split_once(part);
        found.inspect(|(_, after)| name = after).is_some()
    })
}
