//! The webhook: a hint from the Git host that there is something new. It says nothing else: its body is hashed as it comes in and never
//! read, so that a forged one could at most cause a fetch, and a flood of them causes one fetch in each [`WINDOW`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use hmac::{Hmac, Mac};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::warn;

use super::{Answer, Metrics, only, plain, serve};
use crate::agent::repository::Command;
use crate::object::unhex;

/// Time between two fetches that webhooks cause, however many come in: people who push in a row wait no longer for it.
const WINDOW: Duration = Duration::from_secs(1);

/// Largest body: GitHub sends up to 25 MB and nobody sends more.
const MAX_BODY: usize = 25 << 20;

/// Shortest secret in bytes: one that cannot be guessed, even in letters and digits.
const MIN_SECRET: usize = 16;

/// Largest file that may hold it.
const MAX_SECRET_FILE: u64 = 4096;

/// Why the file with the secret is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("webhook secret {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too short or too long.
    #[error("webhook secret {}: {length} bytes; between {MIN_SECRET} and {MAX_SECRET_FILE} are needed", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// What it has.
        length: u64,
    },
}

/// Reads the secret, without a newline at its end.
pub fn secret(path: &Path) -> Result<Vec<u8>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let wrong = |length| SecretError::Length { path: path.to_owned(), length };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_SECRET_FILE {
        return Err(wrong(length));
    }
    let mut secret = std::fs::read(path).map_err(unreadable)?;
    secret.truncate(secret.trim_ascii_end().len());
    if secret.len() < MIN_SECRET {
        return Err(wrong(secret.len() as u64));
    }
    Ok(secret)
}

/// What a webhook needs.
pub struct Webhook {
    /// File with the secret that is shared with the Git host; read for each request, so that it can be replaced at any time.
    pub secret_file: PathBuf,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
}

impl Webhook {
    /// Serves until the process ends.
    pub async fn serve(self, listener: TcpListener, commands: Sender<Command>) {
        let news = Arc::new(Notify::new());
        tokio::spawn(fetches(news.clone(), commands));
        let hook = Arc::new(self);
        serve(listener, move |request| {
            let (hook, news) = (hook.clone(), news.clone());
            async move { hook.answer(request, &news).await }
        })
        .await;
    }

    async fn answer(&self, request: Request<Incoming>, news: &Notify) -> Answer {
        if let Err(answer) = only(&Method::POST, "POST", &request) {
            return *answer;
        }
        let (head, body) = request.into_parts();
        let verdict = match secret(&self.secret_file) {
            Ok(secret) => judge(&secret, Proof::of(&head.headers), body).await,
            Err(error) => {
                warn!(event = "webhook", "{error}");
                Verdict::NoSecret
            }
        };
        self.metrics.webhook(verdict);
        match verdict {
            Verdict::Good => {
                news.notify_one();
                plain(StatusCode::ACCEPTED, "the repository will be looked at\n")
            }
            Verdict::Forged => plain(StatusCode::UNAUTHORIZED, "the secret or the signature is wrong or missing\n"),
            Verdict::TooLarge => plain(StatusCode::PAYLOAD_TOO_LARGE, "too large\n"),
            Verdict::Broken => plain(StatusCode::BAD_REQUEST, "the body ended early\n"),
            Verdict::NoSecret => plain(StatusCode::SERVICE_UNAVAILABLE, "the agent cannot read its webhook secret\n"),
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Forged,
    TooLarge,
    Broken,
    NoSecret,
}

/// How a host shows that it knows the secret.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// HMAC-SHA256 of the body.
    Hmac([u8; 32]),
    /// The secret itself.
    Secret(Vec<u8>),
}

/// Headers that carry an HMAC in hexadecimal digits, some behind `sha256=`: GitHub, Forgejo, Gitea; Bitbucket. GitHub's older header with the
/// last name holds a SHA-1, which is none.
const SIGNATURES: [&str; 4] = ["x-hub-signature-256", "x-forgejo-signature", "x-gitea-signature", "x-hub-signature"];

impl Proof {
    /// The first that is offered. A host offers one; were it enough that any of several is right, more could be tried at once.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
        if let Some(signature) = SIGNATURES.iter().find_map(|name| value(name)) {
            return unhex(signature.strip_prefix(b"sha256=").unwrap_or(signature)).map(Self::Hmac);
        }
        let bearer = || value("authorization")?.strip_prefix(b"Bearer ");
        value("x-gitlab-token").or_else(bearer).map(|secret| Self::Secret(secret.to_vec()))
    }
}

/// Takes the body in, whatever the proof: the time that an answer takes must not tell more than it has to.
async fn judge(secret: &[u8], proof: Option<Proof>, mut body: Incoming) -> Verdict {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return Verdict::NoSecret };
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Verdict::Broken };
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        if length > MAX_BODY {
            return Verdict::TooLarge;
        }
        mac.update(data);
    }
    let good = match proof {
        Some(Proof::Hmac(signature)) => mac.verify_slice(&signature).is_ok(), // compares in constant time
        Some(Proof::Secret(shown)) => shown.ct_eq(secret).into(),
        None => false,
    };
    if good { Verdict::Good } else { Verdict::Forged }
}

/// One fetch for all requests of a window; the first is answered at once.
async fn fetches(news: Arc<Notify>, commands: Sender<Command>) {
    loop {
        news.notified().await;
        if commands.send(Command::Hooked).is_err() {
            return; // the agent is ending
        }
        sleep(WINDOW).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(headers: &[(&'static str, &str)]) -> Option<Proof> {
        Proof::of(&headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect())
    }

    #[test]
    fn every_host_shows_in_its_own_way_that_it_knows_the_secret() {
        let hmac = Some(Proof::Hmac([0xaf; 32]));
        let [digits, upper] = ["af", "AF"].map(|pair| pair.repeat(32));
        let github = format!("sha256={digits}");
        for (name, value) in [
            ("x-hub-signature-256", &github),
            ("x-gitea-signature", &upper),
            ("x-forgejo-signature", &digits),
            ("x-hub-signature", &github),
        ] {
            assert_eq!(proof(&[(name, value)]), hmac, "{name}");
        }
        let both = [("x-hub-signature", "sha1=00"), ("x-hub-signature-256", github.as_str())];
        assert_eq!(proof(&both), hmac, "the stronger of the two");
        let secret = |text: &str| Some(Proof::Secret(text.into()));
        assert_eq!(proof(&[("x-gitlab-token", "s3cret")]), secret("s3cret"));
        assert_eq!(proof(&[("authorization", "Bearer s3cret")]), secret("s3cret"));
    }

    #[test]
    fn what_is_no_proof_is_none() {
        for headers in [
            &[][..],
            &[("authorization", "Basic s3cret")],
            &[("x-hub-signature", "sha1=0aff")],
            &[("x-hub-signature-256", "sha256=0aff")],
            &[("x-hub-signature-256", "sha256=zz"), ("x-gitlab-token", "s3cret")],
        ] {
            assert_eq!(proof(headers), None, "{headers:?}");
        }
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        assert_eq!(secret(&path).unwrap(), b"0123456789abcdef");
        for text in ["", "short\n", &"x".repeat(5000)] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(secret(&path), Err(SecretError::Length { .. })), "{text}");
        }
        assert!(matches!(secret(&dir.path().join("none")), Err(SecretError::Unreadable { .. })));
    }
}
