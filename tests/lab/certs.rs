//! A cluster's certificate authority, made anew for each cluster.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// Issues the certificates of an API server and of its users.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new one, with a new key.
    pub fn new(common_name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("a certificate authority can be made");
        Self { issuer }
    }

    /// The root certificate, PEM.
    pub fn root(&self) -> String {
        self.issuer.pem()
    }

    /// For a server that is reached under `names` (DNS names or IP addresses).
    pub fn server(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(names).expect("names of a server");
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client, named as Kubernetes reads it: the common name is the user, the organizations are the groups.
    ///
    /// At most two groups: one attribute can be given twice only under its two spellings.
    pub fn client(&self, user: &str, groups: &[&str]) -> Identity {
        assert!(groups.len() <= 2, "a user of a test cluster can be in two groups at most, {user} is in {groups:?}");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        let spellings = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        for (spelling, group) in spellings.into_iter().zip(groups) {
            params.distinguished_name.push(spelling, *group);
        }
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Identity {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// The key pair with which an API server signs service account tokens: private and public half, PEM.
pub fn token_key() -> (String, String) {
    let key = key();
    (key.serialize_pem(), key.public_key_pem())
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be generated")
}
