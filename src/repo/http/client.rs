//! What requests are sent with: made of files, anew when one of them changes.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::Http;
use crate::repo::error::RepoError;
use crate::repo::options::{Access, Identity};
use crate::repo::transport::read_file;

/// How long a connection is kept that nobody uses. Hosts close theirs after a minute or more, and polls come each half.
const MAX_IDLE: Duration = Duration::from_secs(90);

/// Some hosts serve only what looks like Git.
const USER_AGENT: &str = concat!("git/2.0 (meshfed ", env!("CARGO_PKG_VERSION"), ")");

/// What a client is made of: the certificate authorities, the certificate and its key, as their files have them.
pub(super) type Files = [Option<Vec<u8>>; 3];

impl Http {
    /// The client, made anew when a file that it is made of says something else.
    pub(super) fn client(&self) -> Result<Agent, RepoError> {
        let Access { ca_file, identity, .. } = &self.access;
        let (certificate, key) = identity.as_ref().map(|Identity { cert_file, key_file }| (cert_file, key_file)).unzip();
        let read = |file: Option<&std::path::PathBuf>| file.map(|file| read_file(file)).transpose();
        let files: Result<Files, String> = (|| Ok([read(ca_file.as_ref())?, read(certificate)?, read(key)?]))();
        let files = files.map_err(|reason| self.untrusted(&format!("certificate {reason}")))?;
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*client
            && *of == files
        {
            return Ok(client.clone());
        }
        let made = self.make_client(&files)?;
        *client = Some((files, made.clone()));
        Ok(made)
    }

    fn make_client(&self, files: &Files) -> Result<Agent, RepoError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT)
            .proxy(self.proxy()?)
            .max_idle_age(MAX_IDLE)
            .timeout_connect(Some(self.connect))
            .timeout_per_read(Some(self.silence))
            .timeout_per_write(Some(self.silence))
            .timeout_recv_response(Some(self.silence))
            .timeout_recv_body(Some(self.transfer));
        if self.address.url.starts_with("https://") {
            config = config.tls_config(self.tls(files)?);
        }
        Ok(config.build().into())
    }

    /// As configured, else as the environment says, else as Git's own configuration.
    fn proxy(&self) -> Result<Option<Proxy>, RepoError> {
        let bad = |_| self.unreachable("the address of the proxy is not one as http://proxy.example:3128");
        if let Some(proxy) = &self.access.proxy {
            return Proxy::new(&proxy.0).map(Some).map_err(bad);
        }
        if let Some(proxy) = Proxy::try_from_env() {
            return Ok(Some(proxy));
        }
        let configured = git2::Config::open_default().and_then(|config| config.get_string("http.proxy"));
        match configured {
            Ok(proxy) if !proxy.is_empty() => Proxy::new(&proxy).map(Some).map_err(bad),
            _ => Ok(None),
        }
    }

    fn tls(&self, [authorities, certificate, key]: &Files) -> Result<TlsConfig, RepoError> {
        let roots = match authorities {
            Some(pem) => certificates(pem).map_err(|reason| self.untrusted(&format!("the CA file {reason}")))?,
            None => {
                let found = rustls_native_certs::load_native_certs().certs;
                if found.is_empty() {
                    return Err(self.untrusted("no certificate authorities are installed here: name some with --http-ca-file"));
                }
                found.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
            }
        };
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let chain =
                    certificates(certificate).map_err(|reason| self.denied(&format!("the client certificate {reason}")))?;
                let key = ureq::tls::PrivateKey::from_pem(key)
                    .map_err(|_| self.denied("the client certificate's key file holds no private key in PEM format"))?;
                Some(ClientCert::new_with_certs(&chain, key))
            }
            _ => None,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        Ok(config.root_certs(RootCerts::from(roots)).client_cert(identity).build())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(format!("cannot be read: {error}")),
        }
    }
    if found.is_empty() { Err("holds no certificate in PEM format".to_owned()) } else { Ok(found) }
}
