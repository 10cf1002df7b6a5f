//! HTTP for libgit2: Git's smart protocol (gitprotocol-http(5)) over connections that are kept from one conversation to the next.
//!
//! libgit2 has this too, but shows neither client certificates nor what a host says when it wants less traffic, reads its CAs once, and makes
//! a new connection each time. Files are read at each conversation, so that each can be replaced at any time.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use http::{Response, StatusCode, header};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use rustls::{AlertDescription, CertificateError};
use ureq::tls::{Certificate, ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, BodyReader, Proxy};

use super::address::Address;
use super::error::{RepoError, host_words, one_line};
use super::options::{Access, Credentials, Identity, Options};
use super::transport::{Trouble, read_file};

/// How many times a server may send a request elsewhere, as Git has it.
const MAX_REDIRECTS: usize = 5;

/// How long a connection is kept that nobody uses. Hosts close theirs after a minute or more, and polls come each half.
const MAX_IDLE: Duration = Duration::from_secs(90);

/// Pauses after a host has had enough and does not say for how long: the first, doubled each time, and the longest, so that its
/// recovery is not missed for long.
const OWN_PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10 * 60));

/// Longest pause, whatever the host says: longer ones would make an agent seem dead.
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Most bytes of an answer's body that are shown or read for no other use.
const MAX_WORDS: u64 = 4096;

/// Some hosts serve only what looks like Git.
const USER_AGENT: &str = concat!("git/2.0 (meshfed ", env!("CARGO_PKG_VERSION"), ")");

/// The way to one repository.
pub(super) struct Http {
    address: Address,
    access: Access,
    connect: Duration,
    silence: Duration,
    transfer: Duration,
    max_fetch: usize,
    client: Mutex<Option<(Files, Agent)>>,
    pause: Mutex<Pause>,
    moved: Mutex<Option<String>>,
    ahead: Mutex<Option<SignedDuration>>,
}

/// What a client is made of: the certificate authorities, the certificate and its key, as their files have them.
type Files = [Option<Vec<u8>>; 3];

/// When the host may be asked again.
#[derive(Default)]
struct Pause {
    until: Option<Instant>,
    times: u32,
    reason: String,
}

impl Http {
    pub(super) fn new(address: Address, options: &Options) -> Self {
        Self {
            address,
            access: options.access.clone(),
            connect: options.connect_timeout,
            silence: options.server_timeout,
            transfer: options.transfer_timeout,
            max_fetch: options.max_fetch,
            client: Mutex::default(),
            pause: Mutex::default(),
            moved: Mutex::default(),
            ahead: Mutex::default(),
        }
    }

    /// Where the host says that the repository is now, for good.
    pub(super) fn moved(&self) -> Option<String> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far our clock is ahead of the host's, by its last answer.
    pub(super) fn ahead(&self) -> Option<SignedDuration> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the host is not to be asked now. The words stay the same as long as the pause lasts.
    pub(super) fn pause(&self) -> Option<RepoError> {
        let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = pause.until.is_some_and(|until| Instant::now() < until);
        lasts.then(|| RepoError::Busy { url: self.shown(), reason: pause.reason.clone() })
    }

    fn shown(&self) -> String {
        self.address.to_string()
    }

    /// Asks which branches there are. Gives the repository's place, which is another one after a redirect, and the answer.
    fn list(&self, service: &str) -> Result<(String, Response<Body>), RepoError> {
        let mut place = self.address.url.trim_end_matches('/').to_owned();
        let client = self.client()?;
        for _ in 0..=MAX_REDIRECTS {
            let request = client.get(format!("{place}/info/refs?service={service}")).header(header::ACCEPT, "*/*");
            let request = match self.authorization()? {
                Some(authorization) => request.header(header::AUTHORIZATION, authorization),
                None => request,
            };
            let response = request.call().map_err(|error| self.failed(&error))?;
            let date = response.headers().get(header::DATE).and_then(|date| at(date.to_str().ok()?));
            let ahead = date.map(|date| Timestamp::now().duration_since(date));
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = ahead;
            if response.status().is_redirection() {
                place = self.follow(&place, service, &response)?;
                continue;
            }
            return Ok((place, self.expect(response, &format!("application/x-{service}-advertisement"))?));
        }
        Err(self.unreachable(&format!("the server redirects more than {MAX_REDIRECTS} times")))
    }

    fn post(&self, place: &str, service: &str, body: &[u8]) -> Result<Response<Body>, RepoError> {
        let request = self.client()?.post(format!("{place}/{service}"));
        let request = request.header(header::CONTENT_TYPE, format!("application/x-{service}-request"));
        let request = match self.authorization()? {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        };
        let response = request.send(body).map_err(|error| self.failed(&error))?;
        self.expect(response, &format!("application/x-{service}-result"))
    }

    /// Credentials go with the first request, and only to the configured host.
    fn authorization(&self) -> Result<Option<String>, RepoError> {
        let basic = |user: &str, password: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        if let Some(Credentials { username, password_file }) = &self.access.credentials {
            let password = read_file(password_file).map_err(|reason| self.denied(&format!("password file {reason}")))?;
            return Ok(Some(basic(username, String::from_utf8_lossy(&password).trim())));
        }
        let Address { username, password, .. } = &self.address;
        let given = username.is_some() || password.is_some();
        Ok(given.then(|| basic(username.as_deref().unwrap_or_default(), password.as_deref().unwrap_or_default())))
    }

    /// Where to ask instead: on the same server only, since credentials go there.
    fn follow(&self, place: &str, service: &str, response: &Response<Body>) -> Result<String, RepoError> {
        let refuse = |reason: String| Err(RepoError::Denied { url: self.shown(), reason: one_line(&reason) });
        let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        let root = root(place);
        let to = if to.starts_with('/') && !to.starts_with("//") { format!("{root}{to}") } else { to.to_owned() };
        let there = Address::parse(&to).to_string();
        if !self::root(&there).eq_ignore_ascii_case(root) {
            return refuse(format!(
                "the server redirects to {}, which gets no credentials: use that address",
                self::root(&there)
            ));
        }
        let Some(next) = there.strip_suffix(&format!("/info/refs?service={service}")) else {
            return refuse(format!("the server redirects to {there}, where no repository is: as a rule, a page to sign in"));
        };
        if [StatusCode::MOVED_PERMANENTLY, StatusCode::PERMANENT_REDIRECT].contains(&response.status()) {
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Some(one_line(next));
        }
        Ok(next.to_owned())
    }

    /// Passes only the answer that was asked for.
    fn expect(&self, mut response: Response<Body>, kind: &str) -> Result<Response<Body>, RepoError> {
        let status = response.status();
        let header = |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header(header::RETRY_AFTER).map(str::to_owned);
        let given = header(header::CONTENT_TYPE).unwrap_or("nothing").to_owned();
        let mut words = || {
            if !given.starts_with("text/plain") {
                return String::new();
            }
            let mut words = Vec::new();
            let _ = response.body_mut().as_reader().take(MAX_WORDS).read_to_end(&mut words); // what there is of them
            format!(": {}", host_words(&String::from_utf8_lossy(&words)))
        };
        match status.as_u16() {
            200 if given.split(';').next().is_some_and(|given| given.trim() == kind) => {
                *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = Pause::default();
                Ok(response)
            }
            200 => Err(self.unreachable(&format!("it answers with {given} where a Git server answers with {kind}"))),
            429 => Err(self.begin_pause(status, retry_after.as_deref())),
            403 | 503 if retry_after.is_some() => Err(self.begin_pause(status, retry_after.as_deref())),
            401 if self.access.credentials.is_none() && self.address.username.is_none() => {
                Err(self.denied("it asks for a user name and password, and none are configured"))
            }
            401 => Err(self.denied(&format!("the user name or password was refused (http 401{})", words()))),
            403 => Err(self.denied(&format!("http 403{}", words()))),
            404 => Err(self.unreachable("the server knows no such repository, or hides it from these credentials (http 404)")),
            code => Err(self.unreachable(&format!("http status code: {code}{}", words()))),
        }
    }

    /// The host has had enough (RFC 6585, RFC 9110): it is left alone for as long as it says.
    fn begin_pause(&self, status: StatusCode, retry_after: Option<&str>) -> RepoError {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let told = retry_after.and_then(|text| wait(text, Timestamp::now()));
        let (first, longest) = OWN_PAUSES;
        let length = match told {
            Some(told) => told.min(MAX_PAUSE),
            None => first.saturating_mul(2_u32.saturating_pow(pause.times)).min(longest),
        };
        pause.times = pause.times.saturating_add(1);
        pause.until = Instant::now().checked_add(length);
        let asks = match told {
            Some(_) => "asks to be left alone for",
            None => "has had enough and does not say for how long; the next request goes out after",
        };
        pause.reason = format!("the host {asks} {} s (http {})", length.as_secs(), status.as_u16());
        RepoError::Busy { url: self.shown(), reason: pause.reason.clone() }
    }

    /// The client, made anew when a file that it is made of says something else.
    fn client(&self) -> Result<Agent, RepoError> {
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

    /// What an error on the way means.
    fn failed(&self, error: &ureq::Error) -> RepoError {
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
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                self.untrusted("its certificate is of no authority that is believed here; name its CA with --http-ca-file")
            }
            rustls::Error::InvalidCertificate(reason) => self.untrusted(&format!("its certificate is not valid: {reason}")),
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                self.denied("it asks for a client certificate: name one with --http-cert-file and --http-key-file")
            }
            rustls::Error::AlertReceived(alert) => self.denied(&format!("it ends the TLS handshake: {alert:?}")),
            other => self.unreachable(&other.to_string()),
        }
    }

    fn unreachable(&self, reason: &str) -> RepoError {
        RepoError::Unreachable { url: self.shown(), reason: one_line(reason) }
    }

    fn denied(&self, reason: &str) -> RepoError {
        RepoError::Denied { url: self.shown(), reason: one_line(reason) }
    }

    fn untrusted(&self, reason: &str) -> RepoError {
        RepoError::Untrusted { url: self.shown(), reason: one_line(reason) }
    }
}

/// Scheme, host and port of an address.
fn root(address: &str) -> &str {
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find('/').map_or(address.len(), |at| start + at);
    &address[..end]
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

/// What `Retry-After` says: seconds or a date (RFC 9110, section 10.2.3).
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(Duration::try_from(at(text)?.duration_since(now)).unwrap_or_default()) // what lies behind us is now
}

/// A date as HTTP writes it, which is as mail does (RFC 9110, 5.6.7).
fn at(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

/// One conversation.
pub(super) struct Subtransport {
    pub(super) http: Arc<Http>,
    pub(super) trouble: Trouble,
    /// Where the branches were listed.
    pub(super) place: Mutex<String>,
}

impl SmartSubtransport for Subtransport {
    fn action(&self, _: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let (name, lists) = match service {
            Service::UploadPackLs => ("git-upload-pack", true),
            Service::UploadPack => ("git-upload-pack", false),
            Service::ReceivePackLs => ("git-receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", false),
        };
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = None;
        if lists {
            let (found, response) = self.http.list(name).map_err(|error| self.trouble.is(error))?;
            *place = found;
            answer = Some(self.http.reader(response));
        }
        let (http, trouble, place) = (self.http.clone(), self.trouble.clone(), place.clone());
        Ok(Box::new(Stream { http, trouble, place, service: name, asked: Vec::new(), answer }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

impl Http {
    fn reader(&self, response: Response<Body>) -> BodyReader<'static> {
        response.into_body().into_with_config().limit(self.max_fetch as u64).reader()
    }
}

/// A request, which goes out when its answer is read, and then the answer.
struct Stream {
    http: Arc<Http>,
    trouble: Trouble,
    place: String,
    service: &'static str,
    asked: Vec<u8>,
    answer: Option<BodyReader<'static>>,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.answer.is_none() {
            let posted = self.http.post(&self.place, self.service, &self.asked);
            self.answer = Some(self.http.reader(posted.map_err(|error| self.trouble.is_of_io(error))?));
        }
        let Some(answer) = &mut self.answer else { return Ok(0) };
        answer.read(buffer).map_err(|error| self.trouble.is_of_io(self.http.failed(&ureq::Error::Io(error))))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.asked.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Stream {
    /// Only a connection whose answer was read to its end can be used again, and libgit2 does not look for that.
    fn drop(&mut self) {
        if let Some(answer) = &mut self.answer {
            let _ = io::copy(&mut answer.take(MAX_WORDS), &mut io::sink());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_says_when_to_come_back_in_seconds_or_by_date() {
        let now = "2026-11-23T01:00:00Z".parse().unwrap();
        assert_eq!(wait(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(wait("Mon, 23 Nov 2026 01:01:30 GMT", now), Some(Duration::from_secs(90)));
        assert_eq!(wait("Sun, 22 Nov 2026 01:01:30 GMT", now), Some(Duration::ZERO));
        for text in ["", "soon", "-5"] {
            assert_eq!(wait(text, now), None, "{text}");
        }
    }

    #[test]
    fn a_pause_lasts_as_long_as_the_host_says_and_longer_each_time_it_says_nothing() {
        let http = Http::new(Address::parse("https://git.example/fed.git"), &Options::new("", ""));
        assert!(http.pause().is_none());
        let reason = |retry: Option<&str>| http.begin_pause(StatusCode::TOO_MANY_REQUESTS, retry).to_string();
        assert!(reason(Some("120")).contains("left alone for 120 s (http 429)"));
        assert_eq!(http.pause().unwrap().to_string(), reason(Some("120")));
        assert!(reason(None).contains("after 120 s"), "the third time");
        assert!(reason(None).contains("after 240 s"));
        assert!(reason(None).contains("after 480 s"));
        assert!(reason(None).contains("after 600 s"), "and no longer");
        assert!(reason(Some("99999999")).contains("3600 s"));
        assert!(reason(Some("0")).contains("left alone for 0 s"));
        assert!(http.pause().is_none());
    }

    #[test]
    fn an_addresss_server_is_told_apart() {
        for (address, server) in
            [("https://h:1/a/b", "https://h:1"), ("https://h", "https://h"), ("http://[::1]:80/x", "http://[::1]:80")]
        {
            assert_eq!(root(address), server);
        }
    }
}
