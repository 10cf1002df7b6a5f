//! Dials the ingress of peers and looks at the certificates that they show. Nothing is sent beyond the handshake.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::facts::probe::{Answer, Answers, Question};
use crate::words::one_line;

/// Longest wait for one address: a handshake across continents takes a second.
const LIMIT: Duration = Duration::from_secs(5);

/// Most addresses tried for one answer: a load balancer has a few.
pub const MAX_ADDRESSES: usize = 8;

/// Questions that are being asked, and what came of others.
#[derive(Default)]
pub struct Prober {
    tasks: JoinSet<(String, Answer)>,
    asked: BTreeMap<String, Question>,
    answers: Answers,
}

impl Prober {
    /// Asks what is not being asked already.
    pub fn ask(&mut self, questions: &BTreeMap<String, Question>) {
        for (peer, question) in questions {
            if self.asked.get(peer) == Some(question) {
                continue;
            }
            self.asked.insert(peer.clone(), question.clone());
            let (peer, question) = (peer.clone(), question.clone());
            self.tasks.spawn(async move {
                let outcome = ask(&question).await;
                (peer, Answer { question, outcome, at: Timestamp::now() })
            });
        }
    }

    /// The next answer has come. Never, while nothing is asked.
    pub async fn answered(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok((peer, answer))) => {
                // An answer to what is not asked any more says nothing, and does no harm: it names its question.
                self.asked.remove(&peer);
                self.answers.insert(peer, answer);
            }
            Some(Err(_)) => self.asked.clear(), // a panic: it is asked again
            None => std::future::pending().await,
        }
    }

    /// What came of it so far.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Whether nothing is being asked.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// The first address that answers decides.
async fn ask(question: &Question) -> Result<(), String> {
    let mut last = "it has no address".to_owned();
    for address in question.addresses.iter().take(MAX_ADDRESSES) {
        match reach(address, question.port).await {
            Ok(stream) => return prove(question, address, stream).await,
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// A connection to an address, or one line that says why there is none.
pub async fn reach(address: &str, port: u16) -> Result<TcpStream, String> {
    match timeout(LIMIT, TcpStream::connect((address, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("{address} port {port}: {}", one_line(&error.to_string()))),
        Err(_) => Err(format!("{address} port {port}: no answer within {} s", LIMIT.as_secs())),
    }
}

/// Whether what answers at an address shows the certificate that is asked for.
pub async fn prove(question: &Question, address: &str, stream: TcpStream) -> Result<(), String> {
    let shown = timeout(LIMIT, shake(question, stream)).await;
    let shown = shown.unwrap_or_else(|_| Err("it did not end the handshake in time".to_owned()));
    shown.map_err(|why| format!("{address} port {}: {why}", question.port))
}

/// One handshake. It may fail after the other side has proved who it is: we have no certificate of our own to show.
async fn shake(question: &Question, stream: TcpStream) -> Result<(), String> {
    let judge = Arc::new(Judge::new(question).map_err(|error| one_line(&error.to_string()))?);
    let config = ClientConfig::builder_with_provider(judge.provider.clone()).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.dangerous().with_custom_certificate_verifier(judge.clone());
    let name = ServerName::try_from(question.server_name.clone()).map_err(|error| error.to_string())?;
    let ended = TlsConnector::from(Arc::new(config.with_no_client_auth())).connect(name, stream).await;
    match (judge.verdict(), ended) {
        (Verdict::Proved, _) => Ok(()),
        (Verdict::Refused(why), _) => Err(why),
        (Verdict::Open, Err(error)) => Err(format!("it shows no certificate: {}", one_line(&error.to_string()))),
        (Verdict::Open, Ok(_)) => Err("it shows no certificate".to_owned()),
    }
}

/// How far the other side has come.
#[derive(Clone, Debug)]
enum Verdict {
    /// It has shown nothing, or not yet that the certificate is its own.
    Open,
    /// Its certificates are not what they must be.
    Refused(String),
    /// It has the key of a certificate that is what it must be.
    Proved,
}

/// Judges what is shown in a handshake.
#[derive(Debug)]
struct Judge {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    identity: String,
    verdict: Mutex<Verdict>,
}

impl Judge {
    fn new(question: &Question) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(question.roots.as_bytes()) {
            roots.add(root.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let (provider, identity) = (Arc::new(ring::default_provider()), question.identity.clone());
        Ok(Self { provider, roots, identity, verdict: Mutex::new(Verdict::Open) })
    }

    fn verdict(&self) -> Verdict {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn decide(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }

    fn judge(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> Result<(), String> {
        let parsed = ParsedCertificate::try_from(leaf).map_err(|error| format!("its certificate cannot be read: {error}"))?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, others, now, algorithms).map_err(
            |error| match error {
                // istiod calls all its roots the same, so that a wrong one is found by its key alone.
                Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                    "its certificates end in none of the published roots".to_owned()
                }
                error => one_line(&error.to_string()),
            },
        )?;
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| "its certificate cannot be read".to_owned())?;
        let names = leaf.subject_alternative_name().ok().flatten().map(|names| names.value.general_names.as_slice());
        let found = names.unwrap_or_default().iter().find_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        match found {
            Some(uri) if uri == self.identity => Ok(()),
            Some(uri) => Err(format!("it is {}, not {}", one_line(uri), self.identity)),
            None => Err(format!("it has no identity; {} belongs there", self.identity)),
        }
    }

    /// It has shown that it has the key of its certificate, or not.
    fn signed(&self, valid: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
        match &valid {
            Ok(_) => self.decide(Verdict::Proved),
            Err(error) => self.decide(Verdict::Refused(one_line(&error.to_string()))),
        }
        valid
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion()).map_err(|why| {
            self.decide(Verdict::Refused(why.clone()));
            Error::General(why)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ServerConfig, SupportedProtocolVersion, version};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const IDENTITY: &str = "spiffe://aro.local/ns/aro/sa/rosa-ingress-service-account";

    fn issuer() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// An ingress that asks its clients for certificates, as those of a mesh do.
    async fn ingress(
        ca: &CertifiedIssuer<'static, KeyPair>,
        identity: &str,
        version: &'static SupportedProtocolVersion,
    ) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        let leaf = params.signed_by(&key, ca).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = config.with_client_cert_verifier(clients);
        let config =
            config.with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = TlsAcceptor::from(Arc::new(config.clone())).accept(stream).await; // no client has a certificate
            }
        });
        address
    }

    fn question(addresses: &[&str], port: u16, roots: &str) -> Question {
        Question {
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            port,
            server_name: "discovery.rosa.svc.aro.local".to_owned(),
            roots: roots.to_owned(),
            identity: IDENTITY.to_owned(),
        }
    }

    #[tokio::test]
    async fn an_ingress_proves_itself_by_a_chain_to_the_roots_and_its_identity() {
        let (ca, other) = (issuer(), issuer());
        for version in [&version::TLS12, &version::TLS13] {
            let address = ingress(&ca, IDENTITY, version).await;
            let both = format!("{}{}", other.pem(), ca.pem());
            assert_eq!(ask(&question(&["127.0.0.1"], address.port(), &both)).await, Ok(()), "{version:?}");
            let refused = ask(&question(&["127.0.0.1"], address.port(), &other.pem())).await.unwrap_err();
            assert!(refused.ends_with("its certificates end in none of the published roots"), "{refused}");
            let stranger = ingress(&ca, "spiffe://aro.local/ns/aro/sa/default", version).await;
            let refused = ask(&question(&["127.0.0.1"], stranger.port(), &ca.pem())).await.unwrap_err();
            assert!(refused.ends_with(&format!("it is spiffe://aro.local/ns/aro/sa/default, not {IDENTITY}")), "{refused}");
        }
    }

    #[tokio::test]
    async fn what_does_not_answer_or_is_no_ingress_proves_nothing() {
        let ca = issuer();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let refused = ask(&question(&["127.0.0.1"], free, &ca.pem())).await.unwrap_err();
        assert!(refused.starts_with(&format!("127.0.0.1 port {free}: ")), "{refused}");
        assert_eq!(ask(&question(&[], free, &ca.pem())).await.unwrap_err(), "it has no address");
        let closes = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = closes.local_addr().unwrap().port();
        tokio::spawn(async move { while closes.accept().await.is_ok() {} });
        let refused = ask(&question(&["127.0.0.1"], port, &ca.pem())).await.unwrap_err();
        assert!(refused.contains("it shows no certificate"), "{refused}");
        // The next address is tried where one does not answer at all.
        let good = ingress(&ca, IDENTITY, &version::TLS13).await;
        assert_eq!(ask(&question(&["127.0.0.2", "127.0.0.1"], good.port(), &ca.pem())).await, Ok(()));
    }
}
