//! Mutual TLS between two meshes: each end accepts only what the roots of the other's trust domain have signed.
//!
//! Envoy's SPIFFE certificate validator does the same: it picks the bundle by the trust domain in the certificate, then verifies the chain, and
//! pays no attention to DNS names.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::identity::{Identity, SpiffeId};

/// The roots of each trust domain that a mesh knows.
#[derive(Clone, Debug, Default)]
pub struct Bundles(BTreeMap<String, Arc<RootCertStore>>);

impl Bundles {
    /// Replaces what was known of a trust domain: bundles are keyed by it, so two peers that give the same overwrite each other.
    pub fn set(&mut self, trust_domain: &str, roots: RootCertStore) {
        self.0.insert(trust_domain.to_owned(), Arc::new(roots));
    }

    /// The roots of a trust domain.
    pub fn get(&self, trust_domain: &str) -> Option<Arc<RootCertStore>> {
        self.0.get(trust_domain).cloned()
    }
}

/// Every certificate in a PEM text. What is none is passed over: trust in it then fails at the handshake, as in life.
pub fn roots_in(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
    roots
}

/// How a server treats the clients that come to it.
#[derive(Clone, Debug)]
pub enum Clients {
    /// Only those signed by a root of the trust domain that they claim.
    Verified(Bundles),
    /// Anybody who shows a certificate with a SPIFFE identity; for a gateway that no peer is configured on, which refuses them by its answer.
    Anybody,
}

/// The server's end, on an ingress gateway.
pub fn server(identity: Identity, clients: Clients) -> ServerConfig {
    let provider = provider();
    let verifier = Arc::new(FromPeer { clients, provider: Arc::clone(&provider) });
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the protocol versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .expect("an issued certificate fits its key")
}

/// A server that asks for no certificate, for the API server's calls.
pub fn server_for_anybody(identity: Identity) -> ServerConfig {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports the protocol versions")
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .expect("an issued certificate fits its key")
}

/// The client's end, on an egress gateway: `trust_domain` is the peer's, `roots` what it must be signed by.
pub fn client(identity: Identity, trust_domain: &str, roots: Arc<RootCertStore>) -> ClientConfig {
    let provider = provider();
    let verifier = Arc::new(ToPeer { trust_domain: trust_domain.to_owned(), roots, provider: Arc::clone(&provider) });
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(identity.chain, identity.key)
        .expect("an issued certificate fits its key")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn refused(why: CertificateError) -> Error {
    Error::InvalidCertificate(why)
}

#[derive(Debug)]
struct ToPeer {
    trust_domain: String,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ToPeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let id = SpiffeId::of(end_entity).ok_or_else(|| refused(CertificateError::BadEncoding))?;
        if id.trust_domain != self.trust_domain {
            return Err(refused(CertificateError::NotValidForName));
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct FromPeer {
    clients: Clients,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for FromPeer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let id = SpiffeId::of(end_entity).ok_or_else(|| refused(CertificateError::BadEncoding))?;
        match &self.clients {
            Clients::Anybody => Ok(ClientCertVerified::assertion()),
            Clients::Verified(bundles) => {
                let roots = bundles.get(&id.trust_domain).ok_or_else(|| refused(CertificateError::UnknownIssuer))?;
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
                    .build()
                    .map_err(|_| refused(CertificateError::UnknownIssuer))?
                    .verify_client_cert(end_entity, intermediates, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::super::identity::Authority;
    use super::*;

    /// Whether one byte gets from the server to the client, over TLS that both have agreed on.
    async fn meets(client_config: ClientConfig, server_config: ServerConfig) -> bool {
        let (near, far) = tokio::io::duplex(16 * 1024);
        let serving = tokio::spawn(async move {
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(server_config)).accept(far).await else { return };
            stream.write_all(b"!").await.ok();
            stream.shutdown().await.ok();
        });
        let name = ServerName::try_from("discovery.local").expect("a DNS name");
        let met = match TlsConnector::from(Arc::new(client_config)).connect(name, near).await {
            Ok(mut stream) => stream.read_u8().await.is_ok(),
            Err(_) => false,
        };
        serving.abort();
        met
    }

    fn knows(trust_domain: &str, roots: &[&Authority]) -> Bundles {
        let mut bundles = Bundles::default();
        bundles.set(trust_domain, roots_in(&roots.iter().map(|ca| ca.root_pem()).collect::<String>()));
        bundles
    }

    fn trusting(roots: &[&Authority]) -> Arc<RootCertStore> {
        Arc::new(roots_in(&roots.iter().map(|ca| ca.root_pem()).collect::<String>()))
    }

    #[tokio::test]
    async fn both_ends_need_the_root_of_the_other() {
        let (east, west, other) = (Authority::new("east"), Authority::new("west"), Authority::new("west"));
        let egress = || east.issue(&SpiffeId::gateway("east", "east", "west-egress"));
        let ingress = || west.issue(&SpiffeId::gateway("west", "west", "east-ingress"));
        let serve = |roots: &[&Authority]| server(ingress(), Clients::Verified(knows("east", roots)));

        assert!(meets(client(egress(), "west", trusting(&[&west])), serve(&[&east])).await);
        assert!(
            meets(client(egress(), "west", trusting(&[&other, &west])), serve(&[&other, &east])).await,
            "one of several roots"
        );
        assert!(!meets(client(egress(), "west", trusting(&[&other])), serve(&[&east])).await, "client lacks the server's root");
        assert!(!meets(client(egress(), "west", trusting(&[&west])), serve(&[&other])).await, "server lacks the client's root");
        assert!(!meets(client(egress(), "cluster.local", trusting(&[&west])), serve(&[&east])).await, "another trust domain");
        assert!(
            !meets(client(egress(), "west", trusting(&[&west])), server(ingress(), Clients::Verified(knows("north", &[&east]))))
                .await
        );
        assert!(meets(client(egress(), "west", trusting(&[&west])), server(ingress(), Clients::Anybody)).await);
    }
}
