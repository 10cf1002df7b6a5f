//! What an error on the way means, in words that say what to do.

use rustls::{AlertDescription, CertificateError};

use super::Http;
use crate::repo::error::{RepoError, one_line};

impl Http {
    /// What an error on the way means.
    pub(super) fn failed(&self, error: &ureq::Error) -> RepoError {
        match error {
            ureq::Error::Rustls(error) => self.tls_failed(error),
            ureq::Error::Io(io) => match io.get_ref() {
                Some(inner) if inner.is::<rustls::Error>() => {
                    inner.downcast_ref().map_or_else(|| self.unreachable(&io.to_string()), |error| self.tls_failed(error))
                }
                Some(inner) if inner.is::<ureq::Error>() => {
                    inner.downcast_ref().map_or_else(|| self.unreachable(&io.to_string()), |error| self.failed(error))
                }
                _ => self.unreachable(&io.to_string()),
            },
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                self.unreachable(&format!("no connection within {} s", self.connect.as_secs()))
            }
            ureq::Error::Timeout(ureq::Timeout::RecvBody) => {
                self.unreachable(&format!("the transfer took more than {} s", self.transfer.as_secs()))
            }
            ureq::Error::Timeout(_) => self.unreachable(&format!("the server said nothing for {} s", self.silence.as_secs())),
            ureq::Error::BodyExceedsLimit(_) => {
                self.unreachable(&format!("a fetch has more than {} MiB, the limit", self.max_fetch >> 20))
            }
            ureq::Error::HostNotFound => self.unreachable("the host's name is not known"),
            ureq::Error::ConnectProxyFailed(said) => self.unreachable(&format!("the proxy refuses: {said}")),
            other => self.unreachable(&other.to_string()),
        }
    }

    fn tls_failed(&self, error: &rustls::Error) -> RepoError {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => match &self.access.ca_file {
                Some(file) => {
                    self.untrusted(&format!("its certificate is of no authority in {}; add its CA there", file.display()))
                }
                None => {
                    self.untrusted("its certificate is of no authority that is believed here; name its CA with --http-ca-file")
                }
            },
            rustls::Error::InvalidCertificate(reason) => self.untrusted(&format!("its certificate is not valid: {reason}")),
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                self.denied("it asks for a client certificate: name one with --http-cert-file and --http-key-file")
            }
            rustls::Error::AlertReceived(alert) => self.denied(&format!("it ends the TLS handshake: {alert:?}")),
            other => self.unreachable(&other.to_string()),
        }
    }

    pub(super) fn unreachable(&self, reason: &str) -> RepoError {
        RepoError::Unreachable { url: self.shown(), reason: one_line(reason) }
    }

    pub(super) fn denied(&self, reason: &str) -> RepoError {
        RepoError::Denied { url: self.shown(), reason: one_line(reason) }
    }

    pub(super) fn untrusted(&self, reason: &str) -> RepoError {
        RepoError::Untrusted { url: self.shown(), reason: one_line(reason) }
    }
}
