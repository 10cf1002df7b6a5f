//! Addresses of repositories, as Git takes them, with their secrets set apart.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::one_line;
use super::options::Reached;

/// An address split into what libgit2 and people may see, and what they may not.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// For libgit2 and people: no user or password for HTTP, no password for SSH. Messages hold what they were given.
    pub(super) url: String,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) way: Way,
}

/// What an address leads over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// This machine's disk.
    Disk(PathBuf),
    /// HTTP, with or without TLS.
    Http,
    /// SSH to a host, and the repository's path there.
    Ssh { host: String, port: u16, path: String },
    /// What libgit2 may know, as `git://`.
    Other,
}

/// Where SSH servers listen (RFC 4251).
pub(super) const SSH_PORT: u16 = 22;

impl Address {
    pub(super) fn reached(&self) -> Reached {
        match self.way {
            Way::Http if self.url.starts_with("https:") => Reached::Https,
            Way::Ssh { .. } => Reached::Ssh,
            Way::Disk(_) => Reached::Here,
            Way::Http | Way::Other => Reached::Clear,
        }
    }

    pub(super) fn local(&self) -> Option<&Path> {
        match &self.way {
            Way::Disk(path) => Some(path),
            _ => None,
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else { return without_scheme(text) };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            let way = Way::Disk(decode(path).into());
            return Self { url: text.to_owned(), username: None, password: None, way };
        }
        let (authority, path) = split(rest);
        let (userinfo, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (username, password) = match userinfo.map(|info| info.split_once(':').map_or((info, None), |(u, p)| (u, Some(p)))) {
            None => (None, None),
            Some((user, password)) => (Some(decode(user)).filter(|user| !user.is_empty()), password.map(decode)),
        };
        let way = match scheme.as_str() {
            "http" | "https" => Way::Http,
            "ssh" | "ssh+git" | "git+ssh" => {
                let (host, port) = host_and_port(host);
                // As git-fetch(1) has it: `/~user/` is that user's home.
                let path = decode(path.strip_prefix('/').filter(|path| path.starts_with('~')).unwrap_or(path));
                Way::Ssh { host, port, path }
            }
            _ => Way::Other,
        };
        let user = match (&username, &way) {
            (Some(user), Way::Ssh { .. }) => format!("{user}@"),
            _ => String::new(),
        };
        Self { url: format!("{scheme}://{user}{host}{path}"), username, password, way }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.url))
    }
}

/// A path, or `user@host:path`: as git-clone(1) has it, that is one unless a slash comes before the colon.
fn without_scheme(text: &str) -> Address {
    let address = |username, way| Address { url: text.to_owned(), username, password: None, way };
    let bracket = text.find(']').unwrap_or(0);
    let colon = text[bracket..].find(':').map(|at| bracket + at).filter(|colon| !text[..*colon].contains('/'));
    let Some(colon) = colon else { return address(None, Way::Disk(text.into())) };
    let (user, host) = match text[..colon].rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, &text[..colon]),
    };
    // `[host:port]:path` is Git's way to give a port here.
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let (host, port) = match inner {
        Some(inner) if inner.matches(':').count() == 1 => host_and_port(inner),
        _ => host_and_port(host),
    };
    address(user, Way::Ssh { host, port, path: text[colon + 1..].to_owned() })
}

/// The host in lower case, an IPv6 address without its brackets.
fn host_and_port(text: &str) -> (String, u16) {
    let colon = text.rfind(':').filter(|colon| !text[*colon..].contains(']'));
    let (host, port) = colon.map_or((text, None), |colon| (&text[..colon], text[colon + 1..].parse().ok()));
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (host.to_ascii_lowercase(), port.unwrap_or(SSH_PORT))
}

/// Authority and path. A `/` in a password should be written `%2F`; where it is not, what looks like a port is no number and an `@`
/// comes later, the authority goes on up to the host: better than a secret that shows in what counts as the path.
fn split(rest: &str) -> (&str, &str) {
    let slash = |from: usize| rest[from..].find('/').map_or(rest.len(), |at| from + at);
    let first = &rest[..slash(0)];
    let port = first.rsplit_once(':').map(|(_, port)| port).filter(|_| !first.contains(['@', ']']));
    let end = match (port, rest.rfind('@')) {
        (Some(port), Some(at)) if !port.bytes().all(|c| c.is_ascii_digit()) => slash(at),
        _ => first.len(),
    };
    rest.split_at(end)
}

/// `%41` to `A`; what is no such pair stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let pair = tail.get(..2).and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        match pair {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Options;

    #[test]
    fn secrets_of_an_address_are_kept_apart() {
        let address = Address::parse("https://bob:p%40ss@git.example:8443/fed.git");
        assert_eq!(address.to_string(), "https://git.example:8443/fed.git");
        assert_eq!((address.username.as_deref(), address.password.as_deref()), (Some("bob"), Some("p@ss")));
        let options = Options::new("https://token@git.example/fed.git", "state");
        assert!(!format!("{options:?}").contains("token"), "{options:?}");
        let slash = Address::parse("https://bob:pa/ss@git.example/fed.git");
        assert_eq!((slash.to_string().as_str(), slash.password.as_deref()), ("https://git.example/fed.git", Some("pa/ss")));
        assert_eq!(Address::parse("https://h:8443/a@b").to_string(), "https://h:8443/a@b");
        assert_eq!(Address::parse("ssh://git:x@h:22/p").to_string(), "ssh://git@h:22/p");
    }

    #[test]
    fn local_addresses_are_paths() {
        for (text, path) in [
            ("file:///srv/a%20b.git", "/srv/a b.git"),
            ("file://localhost/x", "/x"),
            ("./x:y", "./x:y"),
            ("/x", "/x"),
            ("x", "x"),
        ] {
            assert_eq!(Address::parse(text).local(), Some(Path::new(path)), "{text}");
        }
        for text in ["git@host:fed.git", "https://host/x", "ssh://host/x", "git://host/x"] {
            assert_eq!(Address::parse(text).local(), None, "{text}");
        }
    }

    #[test]
    fn ssh_addresses_are_read_as_git_reads_them() {
        for (text, user, host, port, path) in [
            ("git@Git.example:org/fed.git", Some("git"), "git.example", 22, "org/fed.git"),
            ("git.example:/srv/fed.git", None, "git.example", 22, "/srv/fed.git"),
            ("git@[git.example:2222]:fed.git", Some("git"), "git.example", 2222, "fed.git"),
            ("git@[::1]:fed.git", Some("git"), "::1", 22, "fed.git"),
            ("ssh://git@git.example/org/fed.git", Some("git"), "git.example", 22, "/org/fed.git"),
            ("ssh://git@git.example:2222/a%20b", Some("git"), "git.example", 2222, "/a b"),
            ("ssh://[::1]:2222/x", None, "::1", 2222, "/x"),
            ("git+ssh://h/~ada/x", None, "h", 22, "~ada/x"),
        ] {
            let address = Address::parse(text);
            assert_eq!(address.way, Way::Ssh { host: host.into(), port, path: path.into() }, "{text}");
            assert_eq!(address.username.as_deref(), user, "{text}");
        }
    }
}
