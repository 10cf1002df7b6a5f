//! Continuity of a peer's CA roots. The published branch carries them, so whoever gets hold of a peer's signing key could have another CA
//! believed in its place. So a set of roots that the one in use does not vouch for is not followed until people say so.

use std::collections::BTreeSet;

use super::Root;
use crate::model::CaPolicy;
use crate::model::root::issued_by;

/// Why a set of roots is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootJump {
    /// Fingerprints that people have to check, in the order of the bundle.
    pub unknown: Vec<String>,
}

/// Whether a peer's published roots are followed, given those that are in use here (whatever their validity: a set that has expired still
/// tells who the peer was), and fingerprints that people accept.
///
/// `in_use` is empty only where this peer never had roots here: the first set is believed, unless every root has to be listed.
pub fn judge(policy: CaPolicy, offered: &[Root], in_use: &[Root], accepted: &BTreeSet<String>) -> Result<(), RootJump> {
    let listed = |root: &&Root| accepted.contains(&root.fingerprint);
    let known = |root: &&Root| in_use.iter().any(|old| old.fingerprint == root.fingerprint);
    let continuous = match policy {
        CaPolicy::Follow => true,
        CaPolicy::Continuous => in_use.is_empty() || offered.iter().any(|root| known(&root)),
        CaPolicy::Pinned => false,
    };
    if continuous {
        return Ok(());
    }
    let vouched = |root: &&Root| listed(root) || (policy == CaPolicy::Continuous && vouched(root, offered, in_use));
    let unknown: Vec<String> = offered.iter().filter(|root| !vouched(root)).map(|root| root.fingerprint.clone()).collect();
    if unknown.is_empty() { Ok(()) } else { Err(RootJump { unknown }) }
}

/// Whether a root in use has the same name and key (istiod renews its own root so), or has signed them in a certificate of the set.
fn vouched(root: &Root, offered: &[Root], in_use: &[Root]) -> bool {
    let same = |other: &&Root| other.key == root.key;
    in_use.iter().any(|old| same(&old) || offered.iter().filter(same).any(|certificate| issued_by(certificate, old)))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;
    use crate::model::root;

    fn params(name: &str, serial: u64) -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serial_number = Some(serial.into());
        params
    }

    fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        CertifiedIssuer::self_signed(params(name, 1), KeyPair::generate().unwrap()).unwrap()
    }

    fn read(pem: &str) -> Vec<Root> {
        root::read(pem).unwrap()
    }

    fn follows(policy: CaPolicy, offered: &str, in_use: &[Root], accepted: &[&Root]) -> bool {
        let accepted = accepted.iter().map(|root| root.fingerprint.clone()).collect();
        judge(policy, &read(offered), in_use, &accepted).is_ok()
    }

    #[test]
    fn t10_a_set_is_followed_that_the_one_in_use_vouches_for() {
        use CaPolicy::{Continuous, Follow, Pinned};
        let (old, new, evil) = (issuer("old"), issuer("new"), issuer("new"));
        let (old_pem, new_pem, evil_pem) = (old.pem(), new.pem(), evil.pem());
        let in_use = read(&old_pem);
        let new_root = &read(&new_pem)[0];
        let cross = params("new", 2).signed_by(new.key(), &old).unwrap().pem();
        let renewed = params("old", 3).self_signed(old.key()).unwrap().pem();
        let forged = params("new", 4).signed_by(new.key(), &issuer("old")).unwrap().pem();
        let cases = [
            // the same, overlapping, renewed with the same key, cross-signed
            (Continuous, old_pem.clone(), true),
            (Continuous, format!("{old_pem}{new_pem}"), true),
            (Continuous, renewed.clone(), true),
            (Continuous, cross.clone(), true),
            (Continuous, format!("{new_pem}{cross}"), true),
            // wholly new, of the same name as one that is vouched for, cross-signed by somebody of that name
            (Continuous, new_pem.clone(), false),
            (Continuous, format!("{new_pem}{evil_pem}"), false),
            (Continuous, format!("{evil_pem}{cross}"), false),
            (Continuous, forged, false),
            (Follow, new_pem.clone(), true),
            // the very set in use has to be listed too
            (Pinned, old_pem.clone(), false),
            (Pinned, renewed, false),
        ];
        for (number, (policy, offered, followed)) in cases.iter().enumerate() {
            assert_eq!(follows(*policy, offered, &in_use, &[]), *followed, "{number}");
        }
        assert!(follows(Continuous, &new_pem, &[], &[]) && !follows(Pinned, &new_pem, &[], &[]), "the first set");
        for policy in [Continuous, Pinned] {
            assert!(follows(policy, &new_pem, &in_use, &[new_root]), "what people have checked");
            assert!(!follows(policy, &format!("{new_pem}{evil_pem}"), &in_use, &[new_root]), "and nothing beside it");
        }
        let jump = judge(Continuous, &read(&format!("{new_pem}{evil_pem}")), &in_use, &[new_root.fingerprint.clone()].into());
        assert_eq!(jump.unwrap_err().unknown, [read(&evil_pem)[0].fingerprint.clone()]);
    }

    #[test]
    fn fingerprints_are_read_as_people_copy_them() {
        let root = &read(&issuer("x").pem())[0];
        let plain = root.fingerprint.replace(':', "").to_ascii_lowercase();
        for text in [&root.fingerprint, &plain, &format!("SHA256:{plain}"), &format!("sha256 Fingerprint={}", root.fingerprint)] {
            assert_eq!(root::parse_fingerprint(text).as_ref(), Some(&root.fingerprint), "{text}");
        }
        for text in ["", "AA:BB", &plain[1..], &plain.replacen(&plain[..1], "g", 1), "SHA256:é", &format!("{plain}00")] {
            assert_eq!(root::parse_fingerprint(text), None, "{text}");
        }
    }
}
