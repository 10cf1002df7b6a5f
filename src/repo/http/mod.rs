//! HTTP for libgit2: Git's smart protocol (gitprotocol-http(5)) over connections that are kept from one conversation to the next.
//!
//! libgit2 has this too, but shows neither client certificates nor what a host says when it wants less traffic, reads its CAs once, and makes
//! a new connection each time. Files are read at each conversation, so that each can be replaced at any time.

mod client;
mod conversation;
mod failures;
mod pause;

use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use ureq::{Agent, Body};

use super::address::Address;
use super::error::{RepoError, host_words, one_line};
use super::options::{Access, Credentials, Options};
use super::transport::read_file;
use client::Files;
pub(super) use conversation::Subtransport;
use pause::{Pause, at};

/// How many times a server may send a request elsewhere, as Git has it.
const MAX_REDIRECTS: usize = 5;

/// Most bytes of an answer's body that are shown or read for no other use.
const MAX_WORDS: u64 = 4096;

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
}

/// Scheme, host and port of an address.
fn root(address: &str) -> &str {
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find('/').map_or(address.len(), |at| start + at);
    &address[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_addresss_server_is_told_apart() {
        for (address, server) in
            [("https://h:1/a/b", "https://h:1"), ("https://h", "https://h"), ("http://[::1]:80/x", "http://[::1]:80")]
        {
            assert_eq!(root(address), server);
        }
    }
}
