//! CA roots: parsed, checked, and written in one way.

use std::fmt::Write;

use base64::Engine;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Most roots that one mesh publishes: a rotation has two, a plug-in CA with intermediates a few more.
pub const MAX_ROOTS: usize = 8;

/// How far the clocks of two clusters may be apart, in seconds, before a new root counts as not yet valid.
pub const CLOCK_GRACE_SECONDS: i64 = 300;

/// Characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// One CA certificate that is valid now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Normalised PEM, newline at the end.
    pub pem: String,
    /// SHA-256 of the DER, upper-case hex pairs joined by colons, as `openssl x509 -fingerprint` prints it.
    pub fingerprint: String,
    /// Last moment of validity.
    pub not_after: Timestamp,
}

/// Checks a bundle: every block a CA certificate; expired ones dropped, twins merged, the longest-lived first because the proxy
/// takes the bundle's expiry from its first block (istio security/pkg/nodeagent/util).
pub fn parse(bundle: &str, now: Timestamp) -> Result<Vec<Root>, String> {
    let mut roots: Vec<Root> = Vec::new();
    for block in Pem::iter_from_buffer(bundle.as_bytes()) {
        let block = block.map_err(|e| format!("not PEM: {e}"))?;
        if block.label != "CERTIFICATE" {
            return Err(format!("a block is `{}`, not a CERTIFICATE", block.label.escape_debug()));
        }
        if roots.len() == MAX_ROOTS {
            return Err(format!("more than {MAX_ROOTS} roots"));
        }
        let root = certificate(&block.contents, now)?;
        if !roots.iter().any(|other| other.fingerprint == root.fingerprint) {
            roots.push(root);
        }
    }
    if roots.is_empty() {
        return Err("holds no PEM certificate".into());
    }
    roots.retain(|root| root.not_after >= now);
    if roots.is_empty() {
        return Err("every root has expired".into());
    }
    sort(&mut roots);
    Ok(roots)
}

/// Puts the longest-lived root first.
pub fn sort(roots: &mut [Root]) {
    roots.sort_by(|a, b| b.not_after.cmp(&a.not_after).then_with(|| a.fingerprint.cmp(&b.fingerprint)));
}

fn certificate(der: &[u8], now: Timestamp) -> Result<Root, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| format!("not an X.509 certificate: {e}"))?;
    if !rest.is_empty() {
        return Err("bytes follow a certificate".into());
    }
    if !certificate.is_ca() {
        return Err(format!("`{}` is not a CA certificate (basicConstraints CA:TRUE is missing)", certificate.subject()));
    }
    let time = |seconds| Timestamp::from_second(seconds).map_err(|e| format!("bad validity: {e}"));
    let not_before = time(certificate.validity().not_before.timestamp())?;
    if not_before.as_second() > now.as_second() + CLOCK_GRACE_SECONDS {
        return Err(format!("`{}` is not valid before {not_before}", certificate.subject()));
    }
    Ok(Root { pem: encode(der), fingerprint: fingerprint(der), not_after: time(certificate.validity().not_after.timestamp())? })
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

/// The bundle as the peer's control plane reads it.
pub fn bundle(roots: &[Root]) -> String {
    roots.iter().map(|root| root.pem.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    fn make(ca: bool, days: i64) -> String {
        let mut params = CertificateParams::new(vec![]).unwrap();
        if ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030 + i32::try_from(days / 365).unwrap(), 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_longest_lived_root_comes_first_and_twins_merge() {
        let (short, long) = (make(true, 0), make(true, 3650));
        let roots = parse(&format!("{short}\n# comment\n{}{short}", long.replace('\n', "\r\n")), now()).unwrap();
        assert_eq!(roots.len(), 2);
        assert!(roots[0].not_after > roots[1].not_after);
        assert_eq!(parse(&bundle(&roots), now()).unwrap(), roots, "normalising again changes nothing");
    }

    #[test]
    fn what_is_not_a_ca_certificate_is_refused() {
        let cases = [
            ("{{ROOT}}".to_owned(), "holds no PEM"),
            (String::new(), "holds no PEM"),
            (make(false, 0), "not a CA"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(), "not an X.509"),
            (KeyPair::generate().unwrap().serialize_pem(), "PRIVATE KEY"),
            (make(true, 0) + "-----BEGIN CERTIFICATE-----\n", "not PEM"),
        ];
        for (bundle, expected) in cases {
            let error = parse(&bundle, now()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn expired_roots_are_dropped_and_two_hundred_are_too_many() {
        let late: Timestamp = "2035-01-01T00:00:00Z".parse().unwrap();
        let (short, long) = (make(true, 0), make(true, 3650));
        assert_eq!(parse(&(short.clone() + &long), late).unwrap().len(), 1);
        assert_eq!(parse(&short, late).unwrap_err(), "every root has expired");
        let many: String = (0..=MAX_ROOTS).map(|_| make(true, 0)).collect();
        assert!(parse(&many, now()).unwrap_err().contains("more than"));
    }
}
