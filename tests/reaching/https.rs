//! Over HTTPS: whom to believe, what to show, and what stands between.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meshfed::repo::{Access, Credentials, RepoError};

use super::{fill, mirror, publish, status};
use crate::lab::certs::Authority;
use crate::lab::git_server::GitServer;
use crate::lab::process::Scratch;
use crate::lab::tls::{Proxy, in_front};

struct Https {
    git: GitServer,
    authority: Authority,
    ca: PathBuf,
}

impl Https {
    fn start(scratch: &Scratch) -> Self {
        let git = GitServer::start(&scratch.join("git"));
        fill(&git);
        let authority = Authority::new("our host's CA");
        let ca = scratch.write("ca.pem", &authority.root());
        Self { git, authority, ca }
    }

    fn url(&self, clients: Option<&Authority>) -> String {
        format!("https://{}/repo.git", in_front(&self.authority, &self.git.url(), clients))
    }

    fn access(&self) -> Access {
        Access { ca_file: Some(self.ca.clone()), ..Access::default() }
    }
}

fn token(file: &Path) -> Credentials {
    Credentials { username: "x-access-token".to_owned(), password_file: file.to_owned() }
}

#[test]
fn a_token_that_changes_while_running_is_used_at_once() {
    let scratch = Scratch::new("https-token");
    let host = Https::start(&scratch);
    let file = scratch.write("token", "first\n");
    let mut mirror = mirror(&scratch, &host.url(None), Access { credentials: Some(token(&file)), ..host.access() });
    host.git.require_password("x-access-token", "first");
    mirror.fetch().unwrap();
    publish(&scratch, &mut mirror, "one").unwrap();
    host.git.require_password("x-access-token", "second");
    let error = mirror.fetch().unwrap_err();
    assert!(matches!(error, RepoError::Denied { .. }) && !error.to_string().contains("first"), "{error}");
    fs::write(&file, "second").unwrap();
    mirror.fetch().unwrap();
    publish(&scratch, &mut mirror, "two").unwrap();
    assert_eq!(host.git.show("published/a:published.yaml").as_deref(), Some("two"));
}

#[test]
fn certificate_authorities_are_read_again_and_only_they_are_believed() {
    let scratch = Scratch::new("https-ca");
    let host = Https::start(&scratch);
    let url = host.url(None);
    let mut mirror = mirror(&scratch, &url, host.access());
    mirror.fetch().unwrap();
    fs::write(&host.ca, Authority::new("another CA").root()).unwrap();
    let error = mirror.fetch().unwrap_err();
    let place = format!("is of no authority in {}", host.ca.display());
    assert!(matches!(error, RepoError::Untrusted { .. }) && error.to_string().contains(&place), "{error}");
    fs::write(&host.ca, format!("{}{}", Authority::new("another CA").root(), host.authority.root())).unwrap();
    mirror.fetch().unwrap();
    fs::write(&host.ca, "no certificate at all").unwrap();
    assert!(mirror.fetch().unwrap_err().to_string().contains("holds no certificate in PEM format"));
    let ca = scratch.write("system.pem", &host.authority.root()).display().to_string();
    let (code, said) = status(&scratch, &url, &[], &[("SSL_CERT_FILE", &ca)]);
    assert_eq!(code, Some(1), "as the system's: {said}");
}

#[test]
fn a_server_that_asks_for_a_client_certificate_gets_it() {
    let scratch = Scratch::new("https-client");
    let (host, people) = (Https::start(&scratch), Authority::new("CA of clients"));
    let url = host.url(Some(&people));
    let ca = host.ca.display().to_string();
    let (code, said) = status(&scratch, &url, &["--http-ca-file", &ca], &[]);
    assert!(code == Some(3) && said.contains("--http-cert-file"), "{said}");
    let write = |name: &str, authority: &Authority| {
        let identity = authority.client("agent", &[]);
        let certificate = scratch.write(&format!("{name}.crt"), &identity.certificate).display().to_string();
        (certificate, scratch.write(&format!("{name}.key"), &identity.key).display().to_string())
    };
    let (certificate, key) = write("right", &people);
    let with = |certificate: &str, key: &str| {
        status(&scratch, &url, &["--http-ca-file", &ca, "--http-cert-file", certificate, "--http-key-file", key], &[])
    };
    let (code, said) = with(&certificate, &key);
    assert_eq!(code, Some(1), "{said}");
    let (certificate, key) = write("wrong", &Authority::new("CA of strangers"));
    let (code, said) = with(&certificate, &key);
    assert!(code == Some(3) && said.contains("ends the TLS handshake"), "{said}");
}

#[test]
fn a_proxy_is_used_as_the_flag_or_the_environment_says() {
    let scratch = Scratch::new("https-proxy");
    let host = Https::start(&scratch);
    let url = host.url(None);
    let server = url.trim_start_matches("https://").split('/').next().unwrap().to_owned();
    let ca = host.ca.display().to_string();
    let with = |arguments: &[&str], environment: &[(&str, &str)]| {
        status(&scratch, &url, &[&["--http-ca-file", &ca], arguments].concat(), environment)
    };
    let open = Proxy::start(None);
    let address = format!("http://{}", open.address());
    assert_eq!(with(&["--http-proxy", &address], &[]).0, Some(1));
    assert_eq!(with(&[], &[("HTTPS_PROXY", &address)]).0, Some(1));
    let seen = open.seen();
    assert!(seen.len() >= 2 && seen.iter().all(|(target, _)| *target == server), "{seen:?}");
    assert_eq!(with(&[], &[("HTTPS_PROXY", &address), ("NO_PROXY", "127.0.0.1")]).0, Some(1));
    assert_eq!(open.seen().len(), seen.len(), "the host needs no proxy");

    let closed = Proxy::start(Some(&format!("Basic {}", BASE64_STANDARD.encode("ada:hunter2"))));
    let (code, said) = with(&["--http-proxy", &format!("http://ada:wrong2@{}", closed.address())], &[]);
    assert!(code == Some(3) && said.contains("proxy refuses") && !said.contains("wrong2"), "{said}");
    assert_eq!(with(&["--http-proxy", &format!("http://ada:hunter2@{}", closed.address())], &[]).0, Some(1));
    let (code, said) = with(&["--http-proxy", "http://127.0.0.1:1"], &[]);
    assert!(code == Some(3) && said.contains("cannot be reached"), "{said}");
}

#[test]
fn one_connection_serves_many_polls() {
    let scratch = Scratch::new("https-alive");
    let host = Https::start(&scratch);
    let mut mirror = mirror(&scratch, &host.url(None), host.access());
    for _ in 0..5 {
        mirror.fetch().unwrap();
    }
    publish(&scratch, &mut mirror, "one").unwrap();
    mirror.fetch().unwrap();
    assert_eq!(host.git.connections(), 1, "{:?}", host.git.requests());
}
