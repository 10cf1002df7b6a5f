//! Public keys as documents and `trust/` list them.

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg};

use crate::words::one_line;

/// Shortest RSA key, in bits: as strong as the other kinds until 2030 and beyond (NIST SP 800-57, part 1, table 4).
pub const MIN_RSA_BITS: usize = 3072;

/// Longest RSA key, in bits: what the library checks, so that no key makes a check arbitrarily slow.
pub const MAX_RSA_BITS: usize = 4096;

/// A public key of a kind that is taken. Equal keys are equal whatever comment stood behind them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(KeyData);

impl PublicKey {
    /// `SHA256:…`, as `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// `type base64`, as it stands in a file.
    pub fn line(&self) -> String {
        // Encoding fails only for kinds of key that are not taken.
        ssh_key::PublicKey::from(self.0.clone()).to_openssh().unwrap_or_default()
    }

    /// Ed25519, ECDSA and RSA of enough bits, and the first two in hardware.
    pub fn new(key: KeyData) -> Result<Self, String> {
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Ok(Self(key)),
            Algorithm::Rsa { .. } => match key.rsa().and_then(|rsa| rsa.n.as_positive_bytes()).map_or(0, bits) {
                MIN_RSA_BITS..=MAX_RSA_BITS => Ok(Self(key)),
                found => Err(format!("an RSA key of {found} bits; from {MIN_RSA_BITS} to {MAX_RSA_BITS} are taken")),
            },
            _ => Err("keys of this kind are not taken; use ssh-ed25519, ecdsa-sha2-*, ssh-rsa or one of sk-*".to_owned()),
        }
    }
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

/// Reads a public key as it stands in a file: type and base64, then perhaps a comment, with blanks or tabs between them. The error
/// is for people.
pub fn public_key(text: &str) -> Result<PublicKey, String> {
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err("not a public key: it has a control character".to_owned());
    }
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some(kind), Some(blob)) = (words.next(), words.next()) else {
        return Err("not a public key: type and base64 belong here".to_owned());
    };
    if kind.contains("-cert-") {
        return Err("certificates are not taken: list the key itself".to_owned());
    }
    let not_a_key = |why: &str| format!("not a public key: {}", one_line(why)); // the library quotes what it found
    let line = format!("{kind} {blob}");
    let key = ssh_key::PublicKey::from_openssh(&line).map_err(|error| not_a_key(&error.to_string()))?;
    // The library reads over lengths that OpenSSH does not.
    if key.to_openssh().map_err(|error| not_a_key(&error.to_string()))?.trim_end() != line {
        return Err(not_a_key("OpenSSH writes it otherwise"));
    }
    PublicKey::new(key.key_data().clone())
}
