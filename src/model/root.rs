//! CA certificates as PEM: read, checked for what time does not change, and written in one way.

use std::fmt::Write;

use base64::Engine;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Most roots that one mesh publishes: a rotation has two, a plug-in CA with intermediates a few more.
pub const MAX_ROOTS: usize = 8;

/// Characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// Characters of a fingerprint that people are shown: four bytes tell the roots of a federation apart.
const SHORT: usize = 11;

/// One CA certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// Normalised PEM, newline at the end.
    pub pem: String,
    /// SHA-256 of the DER, upper-case hex pairs joined by colons, as `openssl x509 -fingerprint` prints it.
    pub fingerprint: String,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// Issued by itself: a root, not an intermediate.
    pub self_issued: bool,
    /// SHA-256 of subject and public key: what one certificate signed, another with the same verifies too.
    pub key: [u8; 32],
}

impl Root {
    /// The beginning of the fingerprint, for people.
    pub fn short(&self) -> &str {
        short(&self.fingerprint)
    }
}

/// The beginning of a fingerprint, for people.
pub fn short(fingerprint: &str) -> &str {
    fingerprint.get(..SHORT).unwrap_or(fingerprint)
}

/// Reads every PEM block of a bundle, each of which must be a CA certificate; twins are merged. Whether they are valid now is for
/// the caller to ask.
pub fn read(bundle: &str) -> Result<Vec<Root>, String> {
    let mut roots: Vec<Root> = Vec::new();
    for block in Pem::iter_from_buffer(bundle.as_bytes()) {
        let block = block.map_err(|e| format!("not PEM: {e}"))?;
        if block.label != "CERTIFICATE" {
            return Err(format!("a block is `{}`, not a CERTIFICATE", block.label.escape_debug()));
        }
        if roots.len() == MAX_ROOTS {
            return Err(format!("more than {MAX_ROOTS} roots"));
        }
        let root = certificate(&block.contents)?;
        if !roots.iter().any(|other| other.fingerprint == root.fingerprint) {
            roots.push(root);
        }
    }
    if roots.is_empty() { Err("holds no PEM certificate".into()) } else { Ok(roots) }
}

fn certificate(der: &[u8]) -> Result<Root, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| format!("not an X.509 certificate: {e}"))?;
    if !rest.is_empty() {
        return Err("bytes follow a certificate".into());
    }
    let (subject, issuer) = (certificate.subject(), certificate.issuer());
    if !certificate.is_ca() {
        return Err(format!("`{subject}` is not a CA certificate (basicConstraints CA:TRUE is missing)"));
    }
    let time = |seconds| Timestamp::from_second(seconds).map_err(|e| format!("bad validity: {e}"));
    Ok(Root {
        pem: encode(der),
        fingerprint: fingerprint(der),
        not_before: time(certificate.validity().not_before.timestamp())?,
        not_after: time(certificate.validity().not_after.timestamp())?,
        self_issued: subject.as_raw() == issuer.as_raw(),
        key: Sha256::new().chain_update(subject.as_raw()).chain_update(certificate.public_key().raw).finalize().into(),
    })
}

/// A SHA-256 fingerprint as people copy it (colons or none, any case, with what `openssl` or `ssh` print before it), written in one way.
pub fn parse_fingerprint(text: &str) -> Option<String> {
    let text = text.rsplit('=').next()?.trim();
    let text = text.get(..7).filter(|start| start.eq_ignore_ascii_case("sha256:")).map_or(text, |start| &text[start.len()..]);
    let digits: Vec<char> = text.chars().filter(|c| *c != ':').collect();
    let whole = digits.len() == 64 && digits.iter().all(char::is_ascii_hexdigit);
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>().to_ascii_uppercase());
    whole.then(|| pairs.collect::<Vec<_>>().join(":"))
}

/// Whether a certificate is issued by another, as name and signature say. Whether either is valid now does not matter here.
pub fn issued_by(certificate: &Root, issuer: &Root) -> bool {
    let parse = |root: &Root| Some(Pem::iter_from_buffer(root.pem.as_bytes()).next()?.ok()?.contents);
    let (Some(certificate), Some(issuer)) = (parse(certificate), parse(issuer)) else { return false };
    let parsed = X509Certificate::from_der(&certificate).ok().zip(X509Certificate::from_der(&issuer).ok());
    parsed.is_some_and(|((_, certificate), (_, issuer))| {
        certificate.issuer().as_raw() == issuer.subject().as_raw()
            && certificate.verify_signature(Some(issuer.public_key())).is_ok()
    })
}

fn encode(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(PEM_LINE) {
        pem.push_str(&String::from_utf8_lossy(line)); // base64 is ASCII
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn fingerprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().fold(String::new(), |mut text, byte| {
        let colon = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02X}"); // writing to a String cannot fail
        text
    })
}
