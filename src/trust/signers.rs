//! `trust/allowed_signers` and `trust/revoked_keys`, in the formats of OpenSSH, so that plain Git reads the same files
//! (`gpg.ssh.allowedSignersFile`, `gpg.ssh.revocationFile`; ssh-keygen(1), "ALLOWED SIGNERS").
//!
//! What that format has and is not taken here is refused with its line, because a file that two programs read differently
//! protects nobody: certificate authorities, patterns for names, several names for one key, other namespaces.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::model::{Code, Diagnostic, Span};
use crate::model::{PublicKey, public_key};

/// Most keys in either file: several for each person of a large organisation.
pub const MAX_KEYS: usize = 10_000;

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The name, as roles list it.
    pub name: String,
    line: usize,
    valid_after: Option<i64>,
    valid_before: Option<i64>,
}

impl Signer {
    /// Whether a commit of this date is within `valid-after` and `valid-before`, as Git asks. This revokes nothing: who has the key
    /// also chooses the date. A key is revoked by `trust/revoked_keys`.
    pub fn covers(&self, committed_at: i64) -> bool {
        self.valid_after.is_none_or(|after| committed_at >= after)
            && self.valid_before.is_none_or(|before| committed_at <= before)
    }
}

/// Keys that may sign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers(BTreeMap<PublicKey, Signer>);

impl Signers {
    /// Reads `allowed_signers`. The error is the first line that is not taken.
    pub fn parse(path: &str, text: &str) -> Result<Self, Box<Diagnostic>> {
        let mut signers = BTreeMap::<PublicKey, Signer>::new();
        for (line, content) in lines(text) {
            let (key, signer) = signer(line, content).map_err(|(reason, help)| finding(path, line, reason, help))?;
            if let Some(other) = signers.get(&key) {
                let reason = format!("the key of line {}, which belongs to {}, stands here again", other.line, other.name);
                return Err(finding(path, line, reason, "a key stands once and has one name").into());
            }
            signers.insert(key, signer);
            limit(path, line, signers.len())?;
        }
        Ok(Self(signers))
    }

    /// Whose key this is.
    pub fn get(&self, key: &PublicKey) -> Option<&Signer> {
        self.0.get(key)
    }

    /// Every key with whose it is.
    pub fn iter(&self) -> impl Iterator<Item = (&PublicKey, &Signer)> {
        self.0.iter()
    }
}

/// Keys that may no longer sign. A key that is here stays here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked(BTreeSet<PublicKey>);

impl Revoked {
    /// Reads `revoked_keys`: a public key a line. The error is the first line that is none.
    pub fn parse(path: &str, text: &str) -> Result<Self, Box<Diagnostic>> {
        let mut revoked = BTreeSet::new();
        for (line, content) in lines(text) {
            revoked.insert(public_key(content).map_err(|reason| finding(path, line, reason, "one public key in each line"))?);
            limit(path, line, revoked.len())?;
        }
        Ok(Self(revoked))
    }

    /// Whether the key may no longer sign.
    pub fn contains(&self, key: &PublicKey) -> bool {
        self.0.contains(key)
    }

    /// Every key.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter()
    }

    /// A key of `before` that is not here: there must be none.
    pub fn missing_from<'a>(&self, before: &'a Self) -> Option<&'a PublicKey> {
        before.0.iter().find(|key| !self.0.contains(key))
    }
}

/// Lines with their number from 1, without comments and empty ones.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_matches([' ', '\t', '\r'])));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// What is wrong, and what to do.
type Complaint = (String, &'static str);

/// `names [options] type base64 [comment]`
fn signer(line: usize, content: &str) -> Result<(PublicKey, Signer), Complaint> {
    let (name, rest) =
        content.split_once([' ', '\t']).ok_or_else(|| ("a name alone".to_owned(), "a public key follows the name"))?;
    plain(name)?;
    let mut signer = Signer { name: name.to_owned(), line, valid_after: None, valid_before: None };
    let rest = rest.trim_start_matches([' ', '\t']);
    // As OpenSSH does it: what is no key must be options, and then a key.
    let key = match public_key(rest) {
        Ok(key) => key,
        Err(_) if !KEY_TYPES.iter().any(|kind| rest.starts_with(kind)) => {
            let key = options(rest, &mut signer)?;
            public_key(key).map_err(|reason| (reason, "name, options, key type, base64"))?
        }
        Err(reason) => return Err((reason, "name, options, key type, base64")),
    };
    Ok((key, signer))
}

/// How the types of public keys begin; no option does.
const KEY_TYPES: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];

/// One name that means itself.
fn plain(name: &str) -> Result<(), Complaint> {
    if name.contains(',') {
        return Err((format!("several names for one key: {name:?}"), "list one name; a role can have several members"));
    }
    if name.contains(['*', '?', '!']) {
        return Err((format!("a pattern as a name: {name:?}"), "write each name out"));
    }
    if name.chars().any(|c| !c.is_ascii_graphic() || c == '"' || c == '\\') {
        return Err((format!("a name that is not plain ASCII: {name:?}"), "use an address like ada@example.com"));
    }
    Ok(())
}

/// Reads options up to the blank that ends them, and gives what follows.
fn options<'a>(text: &'a str, signer: &mut Signer) -> Result<&'a str, Complaint> {
    let mut rest = text;
    let mut seen = BTreeSet::new();
    loop {
        let end = rest.find(['=', ',', ' ', '\t']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let name = name.to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('=') {
            Some(quoted) => quote(quoted).map(|(value, after)| (Some(value), after)).ok_or_else(|| {
                (format!("the value of `{}` is not in quotes", name.escape_debug()), "write it as namespaces=\"git\"")
            })?,
            None => (None, after),
        };
        option(&name, value, signer)?;
        if !seen.insert(name.clone()) {
            return Err((format!("`{name}` stands twice"), "write it once"));
        }
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => match after.strip_prefix([' ', '\t']) {
                Some(key) => break finish(signer).map(|()| key),
                None => return Err(("options without a key".to_owned(), "a public key follows the options")),
            },
        }
    }
}

fn option(name: &str, value: Option<&str>, signer: &mut Signer) -> Result<(), Complaint> {
    match (name, value) {
        ("namespaces", Some("git")) => {}
        ("namespaces", Some(other)) => {
            return Err((format!("namespaces {other:?}"), "keys listed here are for \"git\" and nothing else"));
        }
        ("valid-after", Some(time)) => signer.valid_after = Some(seconds(time)?),
        ("valid-before", Some(time)) => signer.valid_before = Some(seconds(time)?),
        ("cert-authority", _) => {
            return Err(("a certificate authority".to_owned(), "list the keys themselves, so that each can be revoked"));
        }
        _ => return Err((format!("`{}` is no option", name.escape_debug()), "namespaces, valid-after and valid-before are")),
    }
    Ok(())
}

fn finish(signer: &Signer) -> Result<(), Complaint> {
    match (signer.valid_after, signer.valid_before) {
        (Some(after), Some(before)) if before <= after => {
            Err(("valid-before is not later than valid-after".to_owned(), "no commit could be signed with this key"))
        }
        _ => Ok(()),
    }
}

/// A value in double quotes and what follows it. Nothing that is taken needs an escaped quote.
fn quote(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?.split_once('"').filter(|(value, _)| !value.contains('\\'))
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, perhaps with `Z`, in seconds since 1970. OpenSSH takes times without `Z` as those
/// of the machine that asks; here they are UTC, so that all agents agree.
fn seconds(text: &str) -> Result<i64, Complaint> {
    let wrong = || (format!("{text:?} is no time"), "write it as 20270131Z or 20270131235959Z");
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    if ![8, 12, 14].contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number = |from: usize, to: usize| digits.get(from..to).map_or(Some(0), |part| part.parse::<i8>().ok());
    let date = || {
        let year = digits[..4].parse().ok()?;
        let time = DateTime::new(year, number(4, 6)?, number(6, 8)?, number(8, 10)?, number(10, 12)?, number(12, 14)?, 0).ok()?;
        Some(TimeZone::UTC.to_timestamp(time).ok()?.as_second())
    };
    date().ok_or_else(wrong)
}

fn limit(path: &str, line: usize, keys: usize) -> Result<(), Box<Diagnostic>> {
    if keys <= MAX_KEYS { Ok(()) } else { Err(finding(path, line, format!("more than {MAX_KEYS} keys"), "").into()) }
}

fn finding(path: &str, line: usize, reason: impl Into<String>, help: &str) -> Diagnostic {
    let span = Span { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1, offset: 0, len: 0 };
    Diagnostic::error(path, span, Code::BadValue, reason, help)
}
