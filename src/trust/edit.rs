//! Changes to the texts of `trust/` that keep every line and comment of whoever wrote them. Each gives the new text whole, or says why not.

use super::policy::{Policy, ROOT};
use crate::model::PublicKey;
use crate::model::documents::TrustPolicyDocument;
use crate::model::{Span, names, yaml};

/// `trust/allowed_signers` with one key more. Whether the name can stand there, reading the text tells.
pub fn with_signer(text: &str, name: &str, key: &PublicKey) -> String {
    with_line(text, &format!("{name} namespaces=\"git\" {}", key.line()))
}

/// `trust/revoked_keys` with one key more.
pub fn with_revoked(text: &str, key: &PublicKey) -> String {
    with_line(text, &key.line())
}

fn with_line(text: &str, line: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}{line}\n")
}

/// The first `trust/policy.yaml`: what all meshes share is for `root`, a mesh's folder for the role named after it.
pub fn first_policy(root: &str) -> String {
    format!(
        "\
# Who may change what on this branch; `meshfed trust show` explains it. For each path the first rule that matches it decides.
apiVersion: meshfed.dev/v1alpha1
kind: TrustPolicy
spec:
  roles:
    # Names as in allowed_signers. A team gets a role called like its mesh: meshfed trust add NAME KEY --role MESH
    {ROOT}: [{}]
  rules:
  - {{paths: ['trust/**', federation.yaml, 'policies/**'], allow: [{ROOT}]}}
  - {{paths: ['meshes/{{mesh}}/**'], allow: [{ROOT}, '{{mesh}}']}}
  - {{paths: ['**'], allow: [{ROOT}]}}
",
        scalar(root)
    )
}

/// The first `trust/allowed_signers`.
pub fn first_signers(name: &str, key: &PublicKey) -> String {
    with_signer("# Keys that may sign commits here: name, namespaces=\"git\", key (ssh-keygen(1), ALLOWED SIGNERS)\n", name, key)
}

/// The first `trust/revoked_keys`.
pub const FIRST_REVOKED: &str = "# Keys that may no longer sign, one a line. A key that is here stays here.\n";

/// `trust/policy.yaml` with one more member of a role, which is made if there is none of that name.
pub fn with_member(path: &str, text: &str, role: &str, name: &str) -> Result<String, String> {
    names::label(role)?;
    let document: TrustPolicyDocument = yaml::document(path, text).map_err(|finding| finding.to_string())?;
    let before = Policy::parse(path, text).map_err(|finding| finding.to_string())?;
    let last = document.spec.roles.get(role).map(|members| members.iter().map(|member| member.span).max());
    let edited = match last {
        Some(Some(last)) => after_member(text, last, name),
        Some(None) => None,
        None => new_role(text, role, name),
    };
    // Whoever wrote the file may have laid it out as they like: what cannot be placed is for them.
    let as_meant = |edited: &String| Policy::parse(path, edited).is_ok_and(|after| after == before.clone().with(role, name));
    edited
        .filter(as_meant)
        .ok_or_else(|| format!("{path} is laid out in another way: add {name:?} to `spec.roles.{role}` by hand"))
}

/// Behind the last member: on a line of its own where members have that, else in the same brackets.
fn after_member(text: &str, last: Span, name: &str) -> Option<String> {
    let line = text.split_inclusive('\n').nth((last.line as usize).checked_sub(1)?)?;
    let start = line.as_ptr() as usize - text.as_ptr() as usize; // `line` is a part of `text`
    let column = line.char_indices().nth((last.column as usize).checked_sub(1)?)?.0;
    let (indent, member) = line.split_at(column);
    if indent.trim() == "-" {
        let (head, tail) = text.split_at(start + line.len());
        let end = if head.ends_with('\n') { "" } else { "\n" };
        return Some(format!("{head}{end}{indent}{}\n{tail}", scalar(name)));
    }
    let length = match member.chars().next()? {
        quote @ ('"' | '\'') => member[1..].find(quote)? + 2,
        _ => member.find([',', ']', ' ', '\n'])?,
    };
    let (head, tail) = text.split_at(start + column + length);
    Some(format!("{head}, {}{tail}", scalar(name)))
}

/// Before the first role.
fn new_role(text: &str, role: &str, name: &str) -> Option<String> {
    let entry = format!("{role}: [{}]", scalar(name));
    let roles = text.find("\n  roles:")? + "\n  roles:".len();
    let rest = &text[roles..];
    if let Some(inside) = rest.trim_start_matches(' ').strip_prefix('{') {
        let (head, tail) = text.split_at(text.len() - inside.len());
        return Some(format!("{head}{entry}, {tail}"));
    }
    let mut at = roles + rest.find('\n')? + 1;
    let first = text[at..].split_inclusive('\n').find(|line| {
        let content = line.trim();
        let found = !content.is_empty() && !content.starts_with('#');
        at += if found { 0 } else { line.len() };
        found
    })?;
    let indent = &first[..first.len() - first.trim_start().len()];
    let (head, tail) = text.split_at(at);
    Some(format!("{head}{indent}{entry}\n{tail}"))
}

/// A name as YAML has it: plain where nothing else could be read from that.
fn scalar(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.contains('@')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "@._+-".contains(c));
    if plain { name.to_owned() } else { format!("'{}'", name.replace('\'', "''")) }
}

#[cfg(test)]
mod tests {
    use super::super::{Revoked, Signers, public_key};
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFfTAz/7TBoX6TPFCM5qW7x1V9fDTB8tB3o8f6hXqFHw";

    fn with(policy: &str, role: &str, name: &str) -> Result<String, String> {
        with_member("trust/policy.yaml", policy, role, name)
    }

    fn policy(roles: &str) -> String {
        format!("apiVersion: meshfed.dev/v1alpha1\nkind: TrustPolicy\nspec:\n  roles:{roles}\n  rules: [] # none\n")
    }

    #[test]
    fn the_first_files_can_be_read_and_let_root_change_everything() {
        let key = public_key(KEY).unwrap();
        let signers = Signers::parse("s", &first_signers("ada@example.com", &key)).unwrap();
        assert_eq!(signers.get(&key).unwrap().name, "ada@example.com");
        let policy = Policy::parse("p", &first_policy("ada@example.com")).unwrap();
        for path in ["trust/policy.yaml", "federation.yaml", "policies/a.yaml", "meshes/rosa/mesh.yaml", "README.md", "ci/run"] {
            assert!(policy.allows("ada@example.com", path), "{path}");
        }
        let policy = Policy::parse("p", &with(&first_policy("ada@example.com"), "rosa", "rob@example.com").unwrap()).unwrap();
        assert!(policy.allows("rob@example.com", "meshes/rosa/mesh.yaml"));
        for path in ["meshes/aro/mesh.yaml", "trust/policy.yaml", "README.md", "meshes/rosa", "federation.yaml"] {
            assert!(!policy.allows("rob@example.com", path), "{path}");
        }
        let revoked = Revoked::parse("r", &with_revoked(FIRST_REVOKED, &key)).unwrap();
        assert!(revoked.contains(&key));
    }

    #[test]
    fn a_member_is_added_where_the_others_are_and_nothing_else_changes() {
        let cases = [
            (" # all\n    # who\n    root: [a@x.org] # one\n", "root", " # all\n    # who\n    root: [a@x.org, b@x.org] # one\n"),
            ("\n    root: ['a', \"b,c\" ]\n", "root", "\n    root: ['a', \"b,c\", b@x.org ]\n"),
            (
                "\n    root:\n    - a # A\n    - c\n    z: [d]\n",
                "root",
                "\n    root:\n    - a # A\n    - c\n    - b@x.org\n    z: [d]\n",
            ),
            ("\n    # who\n    root: [a]\n", "rosa", "\n    # who\n    rosa: [b@x.org]\n    root: [a]\n"),
            ("\n    root: [\n      a\n    ]\n", "root", "\n    root: [\n      a, b@x.org\n    ]\n"),
            (" {root: [a]}\n", "rosa", " {rosa: [b@x.org], root: [a]}\n"),
        ];
        for (before, role, after) in cases {
            assert_eq!(with(&policy(before), role, "b@x.org"), Ok(policy(after)));
        }
    }

    #[test]
    fn what_cannot_be_placed_is_left_to_people() {
        for roles in ["\n    root: []\n", "\n    root:\n    - >-\n      a\n"] {
            let wrong = with(&policy(roles), "root", "b@x.org").unwrap_err();
            assert!(wrong.ends_with("add \"b@x.org\" to `spec.roles.root` by hand"), "{wrong}");
        }
        assert!(with(&policy("\n    root: [a]\n"), "a: b", "c").is_err());
        assert!(with("no policy", "root", "c").is_err());
    }

    #[test]
    fn odd_names_are_quoted() {
        let roles = "\n    root: [a]\n";
        for name in ["null", "1", "it's", "[x]", "a,b", "# x", "*x", "@x"] {
            let edited = with(&policy(roles), "root", name).unwrap();
            assert!(Policy::parse("p", &edited).unwrap().has_role(name, "root"), "{edited}");
        }
    }
}
