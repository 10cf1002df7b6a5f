//! A CA root whose key nobody has: what a peer that leaves is trusted by in its last moments.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

/// Makes one (PEM). Its key is forgotten before this returns.
pub fn root() -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "nobody: the mesh of this peer has left");
    Ok(params.self_signed(&KeyPair::generate()?)?.pem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::roots;

    #[test]
    fn it_is_a_root_like_any_other_and_never_the_same() {
        let (one, other) = (root().unwrap(), root().unwrap());
        assert_eq!(roots::parse(&one, jiff::Timestamp::now()).unwrap().len(), 1);
        assert_ne!(one, other);
    }
}
