//! Secrets in text as it is written: PEM, and base64 of PEM, wherever they stand.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, general_purpose};

use super::What;
use super::kubeconfig;

/// Begins every block of PEM (RFC 7468), of OpenSSH and of `OpenPGP` keys.
const BEGIN: &str = "-----BEGIN ";

/// Base64 of [`BEGIN`], as far as what follows does not change it.
const BEGIN_BASE64: &str = "LS0tLS1CRUdJTi";

/// Longest label of a block, in bytes: `ENCRYPTED PRIVATE KEY`, `PGP PRIVATE KEY BLOCK` and the like.
const MAX_LABEL: usize = 40;

/// Characters of a key that must follow its first line: a line that only names such a block, as in a script, is no secret.
const MIN_BODY: usize = 16;

/// Shortest base64 that can hold the first line of a key.
const MIN_BASE64: usize = 36;

/// Decodes what was cut somewhere.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&STANDARD, general_purpose::NO_PAD.with_decode_allow_trailing_bits(true));

/// Characters of base64 that tell whether a key begins there: its first line and more than [`MIN_BODY`].
const FIRST_LINES: usize = 256;

/// Most places in one run at which a key may begin: more is junk, made to take time.
const MAX_STARTS: usize = 64;

/// How often base64 is looked through: `client-key-data` in a kubeconfig in a Secret is base64 of base64 of a key.
const MAX_WRAPPINGS: usize = 2;

/// Keys in a text, and whatever base64 hides in it, by byte offset, in order.
pub(super) fn find(text: &str) -> Vec<(usize, What)> {
    let mut found = within(text, MAX_WRAPPINGS);
    found.sort_unstable();
    found.dedup_by_key(|(offset, _)| *offset);
    found
}

fn within(text: &str, wrappings: usize) -> Vec<(usize, What)> {
    let keys = text.match_indices(BEGIN).map(|(at, _)| at).filter(|at| is_key(&text[*at..]));
    let mut found: Vec<_> = keys.map(|at| (at, What::PrivateKey)).collect();
    if wrappings > 0 {
        for (at, run) in runs(text) {
            found.extend(decoded(&run).find_map(|inner| hidden(&inner, wrappings - 1)).map(|what| (at, what)));
        }
    }
    found
}

fn hidden(text: &str, wrappings: usize) -> Option<What> {
    let found = within(text, wrappings).first().map(|(_, what)| *what);
    found.or_else(|| kubeconfig::in_text(text).map(|_| What::Kubeconfig))
}

/// Whether a private key begins here, and goes on.
fn is_key(text: &str) -> bool {
    let Some((label, rest)) = text[BEGIN.len()..].split_once("-----") else { return false };
    let private = label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK");
    if !private || label.len() > MAX_LABEL {
        return false;
    }
    // A break may be written `\n`, and the key may stand in a comment.
    let mut rest = rest;
    while let Some(shorter) = ["\\n", "\\r", "\\", "#"].iter().find_map(|mark| rest.trim_start().strip_prefix(mark)) {
        rest = shorter;
    }
    let rest = rest.trim_start();
    let header = ["Proc-Type:", "Version:", "Comment:"].iter().any(|name| rest.starts_with(name));
    header || rest.bytes().take_while(|byte| is_base64(*byte)).count() >= MIN_BODY
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// Runs of base64 that may hold something, joined where only breaks and indentation part them.
fn runs(text: &str) -> impl Iterator<Item = (usize, String)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            let mut run = String::new();
            loop {
                let end = bytes[at..].iter().position(|byte| !is_base64(*byte)).map_or(bytes.len(), |length| at + length);
                run.extend(bytes[at..end].iter().copied().map(char::from));
                at = end;
                if run.is_empty() {
                    break;
                }
                let blank = bytes[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let next = end + blank;
                let breaks = bytes[end..next].contains(&b'\n');
                if !breaks || !bytes.get(next).copied().is_some_and(is_base64) {
                    break;
                }
                at = next;
            }
            at = at.max(start + 1);
            if run.len() >= MIN_BASE64 {
                return Some((start, run));
            }
        }
        None
    })
}

/// What a run says from its beginning, and from wherever a block of PEM may begin in it: the lines before may be words.
fn decoded(run: &str) -> impl Iterator<Item = String> {
    let starts = run.match_indices(BEGIN_BASE64).map(|(at, _)| at).filter(|at| *at > 0);
    let whole = std::iter::once(run);
    whole.chain(starts.take(MAX_STARTS).map(|at| &run[at..run.len().min(at + FIRST_LINES)])).filter_map(|run| {
        // A single character after the last four says nothing.
        let run = if run.len() % 4 == 1 { &run[..run.len() - 1] } else { run };
        let bytes = LENIENT.decode(run).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    })
}
