//! CA roots: parsed, checked, and written in one way.

use jiff::Timestamp;

use crate::model::root;
pub use crate::model::root::{MAX_ROOTS, Root, short};

/// How far the clocks of two clusters may be apart, in seconds, before a new root counts as not yet valid.
pub const CLOCK_GRACE_SECONDS: i64 = 300;

/// What [`parse`] says of a bundle that was right once.
pub const EXPIRED: &str = "every root has expired";

/// Checks a bundle: every block a CA certificate; expired ones dropped, twins merged, the longest-lived first because the proxy
/// takes the bundle's expiry from its first block (istio security/pkg/nodeagent/util).
pub fn parse(bundle: &str, now: Timestamp) -> Result<Vec<Root>, String> {
    let mut roots = root::read(bundle)?;
    if let Some(early) = roots.iter().find(|root| too_early(root, now)) {
        return Err(format!("`{}` is not valid before {}", early.short(), early.not_before));
    }
    roots.retain(|root| root.not_after >= now);
    if roots.is_empty() {
        return Err(EXPIRED.into());
    }
    sort(&mut roots);
    Ok(roots)
}

/// Whether a root is not valid yet.
pub fn too_early(root: &Root, now: Timestamp) -> bool {
    root.not_before.as_second() > now.as_second() + CLOCK_GRACE_SECONDS
}

/// Puts the longest-lived root first.
pub fn sort(roots: &mut [Root]) {
    roots.sort_by(|a, b| b.not_after.cmp(&a.not_after).then_with(|| a.fingerprint.cmp(&b.fingerprint)));
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
