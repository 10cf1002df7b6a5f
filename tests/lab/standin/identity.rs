//! Who a gateway is, and the certificate authority that says so: one per mesh, as istiod's own.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the egress and ingress gateways are called on the wire: `spiffe://<trust domain>/<path>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeId {
    /// The trust domain of the mesh that the workload belongs to.
    pub trust_domain: String,
    /// `ns/<namespace>/sa/<service account>`.
    pub path: String,
}

impl SpiffeId {
    /// The identity of a gateway: its service account is `<gateway>-service-account` (maistra/istio-operator, gateways chart).
    pub fn gateway(trust_domain: &str, namespace: &str, gateway: &str) -> Self {
        Self { trust_domain: trust_domain.to_owned(), path: format!("ns/{namespace}/sa/{gateway}-service-account") }
    }

    /// The one URI that a workload's certificate is issued for; `None` when there is no such name, or more than one.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok()??;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let (uri, None) = (uris.next()?, uris.next()) else { return None };
        let (trust_domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
        Some(Self { trust_domain: trust_domain.to_owned(), path: path.to_owned() })
    }

    /// As `principals` and `notPrincipals` of an `AuthorizationPolicy` have it: without the scheme.
    pub fn principal(&self) -> String {
        format!("{}/{}", self.trust_domain, self.path)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "spiffe://{}", self.principal())
    }
}

/// A workload's certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate alone: it is signed by the root itself.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The self-signed root of one mesh.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A root with a new key. Two of them for one organisation differ in nothing but the key, as when a plug-in CA is replaced.
    pub fn new(organisation: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // istiod's own root lives ten years.
        let year: i32 = jiff::Timestamp::now().strftime("%Y").to_string().parse().expect("a year is a number");
        params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
        params.not_after = rcgen::date_time_ymd(year + 10, 1, 1);
        Self { issuer: CertifiedIssuer::self_signed(params, key()).expect("a root certificate can be made") }
    }

    /// The root, PEM.
    pub fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The root, DER.
    pub fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate for both ends of mutual TLS, as workloads of a mesh have.
    pub fn issue(&self, id: &SpiffeId) -> Identity {
        let key = key();
        let mut params = CertificateParams::default();
        // Istio leaves the subject empty: the URI is the whole identity.
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into().expect("a SPIFFE identity is ASCII"))];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be issued");
        Identity { chain: vec![certificate.der().clone()], key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }

    /// A certificate for a server on loopback that the API server calls.
    pub fn issue_local_server(&self) -> Identity {
        let key = key();
        let params =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("an address is a valid name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be issued");
        Identity { chain: vec![certificate.der().clone()], key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be generated")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_who_it_was_issued_to() {
        let id = SpiffeId::gateway("east.local", "east", "west-egress");
        let identity = Authority::new("east.local").issue(&id);
        assert_eq!(id.to_string(), "spiffe://east.local/ns/east/sa/west-egress-service-account");
        assert_eq!(SpiffeId::of(&identity.chain[0]), Some(id));
    }
}
