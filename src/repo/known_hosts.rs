//! What a `known_hosts` file says of a host, in OpenSSH's format (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
//!
//! Lines that cannot be read are passed over, as OpenSSH does: a file may hold kinds of keys that are not known here.

use hmac::{Hmac, Mac};
use sha1::Sha1;
use ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts, Marker};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

use super::address::SSH_PORT;

/// The keys of one host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    trusted: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

/// What is known of the key that a host shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the host's.
    Trusted,
    /// The host has no key in the file.
    Unknown,
    /// The host has other keys.
    Changed,
    /// Whoever shows it must not be believed.
    Revoked,
}

impl Known {
    /// What the file's text says of a host. Keys of certificate authorities are left out: they sign host certificates, which libssh2 does not read.
    pub(super) fn read(&mut self, text: &str, host: &str, port: u16) {
        // A host on another port is written `[host]:port`.
        let name = if port == SSH_PORT { host.to_owned() } else { format!("[{host}]:{port}") };
        for entry in KnownHosts::new(text).flatten().filter(|entry| names(entry, &name)) {
            let key = entry.public_key().clone();
            match entry.marker() {
                None => self.trusted.push(key),
                Some(Marker::Revoked) => self.revoked.push(key),
                Some(Marker::CertAuthority) => {}
            }
        }
    }

    /// Judges the key that the host shows.
    pub(super) fn judge(&self, shown: &PublicKey) -> Verdict {
        let has = |keys: &[PublicKey]| keys.iter().any(|key| key.key_data() == shown.key_data());
        match () {
            () if has(&self.revoked) => Verdict::Revoked,
            () if has(&self.trusted) => Verdict::Trusted,
            () if self.trusted.is_empty() => Verdict::Unknown,
            () => Verdict::Changed,
        }
    }

    /// Kinds of signatures to ask the host for, best first, as its keys can make them: a host shows only one of its keys, and without this
    /// it could be one that the file does not have. Empty if nothing is known.
    pub(super) fn preferences(&self) -> String {
        let kinds = [
            (Algorithm::Ed25519, "ssh-ed25519"),
            (Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }, "ecdsa-sha2-nistp256"),
            (Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }, "ecdsa-sha2-nistp384"),
            (Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 }, "ecdsa-sha2-nistp521"),
            (Algorithm::Rsa { hash: None }, "rsa-sha2-512,rsa-sha2-256"), // never with SHA-1
        ];
        let has = |kind: &Algorithm| self.trusted.iter().any(|key| key.algorithm() == *kind);
        kinds.iter().filter(|(kind, _)| has(kind)).map(|(_, names)| *names).collect::<Vec<_>>().join(",")
    }

    /// The keys for people, by kind and fingerprint.
    pub(super) fn shown(&self) -> String {
        self.trusted.iter().map(shown).collect::<Vec<_>>().join(", ")
    }
}

/// A key for people.
pub(super) fn shown(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

fn names(entry: &Entry, name: &str) -> bool {
    match entry.host_patterns() {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mut mac| {
            mac.update(name.as_bytes());
            mac.verify_slice(hash).is_ok()
        }),
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(pattern) if fits(pattern.as_bytes(), name.as_bytes()) => return false,
                    Some(_) => {}
                    None => found |= fits(pattern.as_bytes(), name.as_bytes()),
                }
            }
            found
        }
    }
}

/// Whether a pattern with `*` and `?` fits, in whatever case. Goes back only to the last `*`, so it takes no more than pattern × name steps.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || c.eq_ignore_ascii_case(&name[n]) => (p, n) = (p + 1, n + 1),
            _ => match back {
                Some((after, from)) => {
                    back = Some((after, from + 1));
                    (p, n) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICZV+OhK+/eQgYs5efSD1jMQaBHUW0EOetEXExWU/LZV";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB3GPzfKq0WU1mVSHZLKW0Z4Hq8iULzBW1rhsnDRqiSo";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAEfORbckkTsJd4RDGMgSOyOf6uCRXdMAg5DlHKWETFHbUHCnmSniDnJTizYmZhmPv90aGVZCobdb+BSYsYm2GI=";

    fn known(text: &str, host: &str, port: u16) -> Known {
        let mut known = Known::default();
        known.read(text, host, port);
        known
    }

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    #[test]
    fn a_host_is_found_by_name_pattern_port_and_hash() {
        // `ssh-keygen -H` made the hashed one, of git.example.
        let hashed = "|1|31v41qdhToxITJPsXy1k6WChtFs=|rdPQFvGXCQ1b6TBwZvwuJ2DC8R4=";
        for (names, host, port, found) in [
            ("git.example", "git.example", 22, true),
            ("GIT.example,10.0.0.1", "10.0.0.1", 22, true),
            ("git.example", "git.example", 2222, false),
            ("[git.example]:2222", "git.example", 2222, true),
            ("*.example", "git.example", 22, true),
            ("g?t.*", "git.example", 22, true),
            ("*.example,!git.example", "git.example", 22, false),
            ("git.example.org", "git.example", 22, false),
            (hashed, "git.example", 22, true),
            (hashed, "other.example", 22, false),
        ] {
            let known = known(&format!("# comment\nnonsense\n{names} {ED25519} ada@example\n"), host, port);
            assert_eq!(known.judge(&key(ED25519)) == Verdict::Trusted, found, "{names} {host} {port}");
        }
    }

    #[test]
    fn a_key_is_trusted_unknown_changed_or_revoked() {
        let judge = |text: &str| known(text, "h", 22).judge(&key(ED25519));
        assert_eq!(judge(&format!("h {ED25519}\nh {OTHER}")), Verdict::Trusted);
        assert_eq!(judge(""), Verdict::Unknown);
        assert_eq!(judge(&format!("h {OTHER}")), Verdict::Changed);
        assert_eq!(judge(&format!("@cert-authority h {ED25519}")), Verdict::Unknown);
        assert_eq!(judge(&format!("h {ED25519}\n@revoked * {ED25519}")), Verdict::Revoked);
    }

    #[test]
    fn the_host_is_asked_for_a_key_that_is_known() {
        assert_eq!(
            known(&format!("h {ECDSA}\nh {ED25519}\nother {OTHER}"), "h", 22).preferences(),
            "ssh-ed25519,ecdsa-sha2-nistp256"
        );
        assert_eq!(known("", "h", 22).preferences(), "");
    }
}
