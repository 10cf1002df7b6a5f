//! The HTTP client that spans are sent with: the one that Git is reached with, so that there is no second one and no second TLS.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{Request, Response};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use tracing::{info, warn};
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::words::one_line;

/// How long a request may take in all where the environment does not say it (OpenTelemetry's default).
const LIMIT: Duration = Duration::from_secs(10);

/// Most bytes of an answer: it says how many spans were refused and why.
const MAX_ANSWER: u64 = 64 * 1024;

/// How long nothing more is said of a collector that comes and goes.
const SILENCE: Duration = Duration::from_secs(10 * 60);

/// Sends requests, and says once when that does not work.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    trouble: Mutex<Trouble>,
}

/// What was said of the collector.
#[derive(Debug, Default)]
struct Trouble {
    told: bool,
    at: Option<Instant>,
}

impl Client {
    /// With the time limit, the certificate authorities and the certificate of its own that the environment names.
    pub fn from_environment() -> Result<Self, String> {
        let either = |what: &str| {
            let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
            names.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        };
        let limit = either("TIMEOUT").and_then(|millis| millis.trim().parse().ok()).map_or(LIMIT, Duration::from_millis);
        let roots = match either("CERTIFICATE") {
            Some(file) => named(&file).map_err(|reason| format!("the certificate file {file} {reason}"))?,
            None => installed(),
        };
        let identity = identity(either("CLIENT_CERTIFICATE"), either("CLIENT_KEY"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        let tls = tls.root_certs(RootCerts::from(roots)).client_cert(identity).build();
        let agent = Agent::config_builder().http_status_as_error(false).max_redirects(0).timeout_global(Some(limit));
        Ok(Self { agent: agent.tls_config(tls).build().into(), trouble: Mutex::default() })
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let (parts, mut answer) = self.agent.run(Request::from_parts(parts, &*body))?.into_parts();
        let body = answer.with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }

    /// Says it once that spans are not taken, and that they are again.
    fn tell(&self, answer: &Result<Response<Bytes>, ureq::Error>) {
        let why = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers with http {}", answer.status().as_u16())),
            Err(error) => Some(one_line(&error.to_string())),
        };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            None if std::mem::take(&mut trouble.told) => {
                info!(event = "recovered", subject = "traces", "traces can be sent");
            }
            Some(why) if trouble.begins(Instant::now()) => {
                warn!(event = "traces", "traces cannot be sent, and are lost meanwhile: {why}");
            }
            _ => {}
        }
    }
}

impl Trouble {
    /// Whether something is to be said now that it does not work.
    fn begins(&mut self, now: Instant) -> bool {
        let silent = self.at.is_some_and(|at| now.duration_since(at) < SILENCE);
        if self.told || silent {
            return false;
        }
        *self = Self { told: true, at: Some(now) };
        true
    }
}

impl HttpClient for Client {
    /// Blocks: the thread that calls it has nothing else to do.
    fn send_bytes<'me, 'future>(&'me self, request: Request<Bytes>) -> BoxFuture<'future, Result<Response<Bytes>, HttpError>>
    where
        'me: 'future,
        Self: 'future,
    {
        Box::pin(async {
            let answer = self.send(request);
            self.tell(&answer);
            Ok(answer?)
        })
    }
}

/// What the agent shows to a collector that asks who sends.
fn identity(certificate: Option<String>, key: Option<String>) -> Result<Option<ClientCert>, String> {
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        _ => return Err("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY go together".to_owned()),
    };
    let chain = named(&certificate).map_err(|reason| format!("the client certificate {certificate} {reason}"))?;
    let pem = fs::read(&key).map_err(|error| format!("the client key {key} cannot be read: {error}"))?;
    let key = PrivateKey::from_pem(&pem).map_err(|_| format!("the client key {key} holds no private key in PEM format"))?;
    Ok(Some(ClientCert::new_with_certs(&chain, key)))
}

fn named(file: &str) -> Result<Vec<Certificate<'static>>, String> {
    let pem = fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| format!("cannot be read: {error}"))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err("holds no certificate in PEM format".to_owned()) } else { Ok(found) }
}

fn installed() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_certificate_has_its_key_and_both_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(["agent".to_owned()]).unwrap();
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            Some(file.to_str().unwrap().to_owned())
        };
        let (certificate, key) = (file("crt", &pair.cert.pem()), file("key", &pair.signing_key.serialize_pem()));
        assert!(identity(None, None).unwrap().is_none());
        assert!(identity(certificate.clone(), key.clone()).unwrap().is_some());
        for (certificate, key, why) in [
            (certificate.clone(), None, "go together"),
            (None, key.clone(), "go together"),
            (key, certificate.clone(), "holds no certificate"),
            (certificate.clone(), certificate.clone(), "holds no private key"),
            (certificate, Some("/nowhere".to_owned()), "/nowhere cannot be read"),
        ] {
            let error = identity(certificate, key).map(|identity| identity.is_some()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_collector_that_comes_and_goes_is_told_of_once_in_a_while() {
        let start = Instant::now();
        let mut trouble = Trouble::default();
        assert!(trouble.begins(start));
        assert!(!trouble.begins(start), "it is known");
        trouble.told = false;
        assert!(!trouble.begins(start + SILENCE / 2), "it went again");
        assert!(trouble.begins(start + SILENCE));
    }
}
