//! The repository: does it answer, is it who it should be, may the agent push, is what it says verified.

use std::path::Path;

use jiff::Timestamp;

use super::Doctor;
use crate::cli::remote::Remote;
use crate::cli::seen::Seen;
use crate::error::Error;
use crate::model::{Place, PublicKey, Severity, public_key};
use crate::repo::{Mirror, PersonKey, Reached, Rehearsal, RepoError, SigningKey};
use crate::trust::FOLDER;
use crate::view::doctor::{self as view, Check};

impl Doctor {
    /// Looks at the repository; what it says, where it could be read.
    pub(super) fn repository(&self, now: Timestamp, checks: &mut Vec<Check>) -> Result<Option<Seen>, Error> {
        let fetched = match self.repo.try_fetch()? {
            Ok(remote) => {
                Seen::read(&remote.mirror, &self.repo.branch, now).map(|seen| (remote, seen)).map_err(|error| error.to_string())
            }
            Err(error) => {
                checks.extend(unreachable(&error));
                return Ok(None);
            }
        };
        let (Remote { mirror, .. }, seen) = match &fetched {
            Ok(fetched) => (&fetched.0, &fetched.1),
            Err(why) => {
                checks.push(Check::failure("repository", why, "commit federation.yaml, or name another --repo or --branch"));
                return Ok(None);
            }
        };
        let short = seen.commit.id.get(..7).unwrap_or_default();
        checks.push(Check::ok("repository", format!("{} answers, {} is at {short}", mirror.url(), self.repo.branch)));
        checks.push(host(mirror.reached()));
        checks.extend(host_clock(mirror));
        let newest = seen.published.values().map(|published| published.at).chain([seen.commit.committed_at]).max();
        checks.extend(newest.map(|newest| view::future("clock of commits", now, newest)));
        checks.push(self.verified(mirror, seen)?);
        checks.push(self.declared(seen));
        let status = seen.status(now);
        let mesh = status.meshes.iter().find(|mesh| mesh.name == self.mesh);
        checks.extend(mesh.map(|mesh| view::agent(mesh, now)));
        self.own_key(mirror, seen, checks);
        for peering in status.peerings.iter().filter(|peering| peering.meshes.contains(&self.mesh)) {
            let peer = peering.meshes.iter().find(|name| **name != self.mesh).map_or("", String::as_str);
            checks.push(view::peering(peering, peer));
        }
        Ok(fetched.ok().map(|(_, seen)| seen))
    }

    fn declared(&self, seen: &Seen) -> Check {
        let (name, mesh) = ("documents", &self.mesh);
        let Some(folder) = seen.federation.meshes.get(mesh) else {
            let known: Vec<&str> = seen.federation.meshes.keys().map(String::as_str).collect();
            return Check::failure(name, format!("there is no meshes/{mesh}/"), format!("there is: {}", known.join(", ")));
        };
        let peers: Vec<String> = folder.peers.keys().cloned().collect();
        let mine = seen.found.iter().filter(|finding| Place::of(&finding.path).concerns(mesh, &peers));
        match mine.clone().find(|finding| finding.severity == Severity::Error) {
            Some(error) => Check::failure(name, error.to_string(), "see all: meshfed check"),
            None => Check::ok(name, format!("meshes/{mesh}/ has no error")),
        }
    }

    fn verified(&self, mirror: &Mirror, seen: &Seen) -> Result<Check, Error> {
        let name = "trust";
        let short = |id: &str| id.get(..7).unwrap_or_default().to_owned();
        Ok(match self.trust.verify(mirror)? {
            Some(verified) => match verified.refusal {
                None => Check::ok(
                    name,
                    format!("every commit from {} to {} is verified", verified.anchor.short(), short(&seen.commit.id)),
                ),
                Some(refusal) => Check::failure(
                    name,
                    refusal.to_string(),
                    "ask whoever gave you anchor and digest, or see meshfed log --trust-anchor … and meshfed trust accept",
                ),
            },
            None if mirror.snapshot(mirror.main()?, &|path| path.starts_with(FOLDER))?.entries.is_empty() => Check::warning(
                name,
                format!("{} has no {FOLDER}/: whoever can push is believed", self.repo.branch),
                "meshfed trust introduce says who may change what",
            ),
            None => Check::skipped(name, format!("no --trust-anchor is given; {}", seen.commit.verification)),
        })
    }

    /// What the agent needs to publish: a key that peers believe, and a host that lets it push.
    fn own_key(&self, mirror: &Mirror, seen: &Seen, checks: &mut Vec<Check>) {
        let Some(path) = &self.signing_key else {
            for name in ["signing key", "push"] {
                checks.push(Check::skipped(name, "no --signing-key is given, so this is not the agent's place"));
            }
            return;
        };
        let listed = seen.federation.mesh(&self.mesh).map(|mesh| mesh.keys.as_slice()).unwrap_or_default();
        checks.push(signing_key(path, &self.mesh, listed));
        let branch = format!("published/{}", self.mesh);
        checks.push(match mirror.rehearse(&self.mesh) {
            Ok(Rehearsal::Accepted) => Check::ok("push", format!("the host lets us push to {branch}")),
            Ok(Rehearsal::Begun) => Check::ok("push", format!("the host lets us push; {branch} is not there yet")),
            Err(RepoError::Contended { .. }) => Check::unknown("push", format!("{branch} moved meanwhile"), "look again"),
            Err(error) => {
                let hint = format!(
                    "let these credentials write {branch}: a deploy key or token with write access, and no protection against it"
                );
                Check::failure("push", error.to_string(), hint)
            }
        });
    }
}

/// A repository that could not be fetched, and with it whether the host is who it should be.
fn unreachable(error: &RepoError) -> Vec<Check> {
    let words = error.to_string();
    let words = words.trim_end_matches("; will try again");
    let hint = match error {
        RepoError::Unreachable { .. } => "check address, name resolution, proxy and firewall from here",
        RepoError::Denied { .. } => {
            "give credentials that may read it: --http-password-file for https, --ssh-key or ssh-agent for ssh"
        }
        RepoError::NoRepository { .. } => "give the URL or path of the repository itself",
        _ => "",
    };
    let repository = Check::failure("repository", words, hint);
    let host = match error {
        RepoError::Untrusted { .. } => {
            let hint = "compare the host's key or certificate with what its owner says, then name it: --ssh-known-hosts (lines of ssh-keyscan), or its CA with --http-ca-file";
            return vec![Check::failure("host", words, hint)];
        }
        RepoError::Denied { .. } => Check::ok("host", "it is trusted"),
        _ => Check::unknown("host", "it did not answer", ""),
    };
    vec![repository, host]
}

/// Whether the host has proved who it is, after it answered.
fn host(reached: Reached) -> Check {
    let name = "host";
    match reached {
        Reached::Https => Check::ok(name, "its certificate is accepted"),
        Reached::Ssh => Check::ok(name, "its key is in known_hosts"),
        Reached::Here => Check::ok(name, "a repository on this machine"),
        Reached::Clear => {
            Check::warning(name, "it does not prove who it is, and everybody on the way reads along", "use https or ssh")
        }
    }
}

/// Whether its clock and ours agree, as far as it tells.
fn host_clock(mirror: &Mirror) -> Option<Check> {
    let name = "clock of host";
    match (mirror.ahead(), mirror.reached()) {
        (Some(ahead), _) => Some(view::clock(name, "the Git host", ahead)),
        (None, Reached::Https) => Some(Check::unknown(name, "it does not say what time it is", "")),
        (None, Reached::Ssh) => Some(Check::skipped(name, "over ssh nobody tells the time")),
        (None, Reached::Here | Reached::Clear) => None,
    }
}

fn signing_key(path: &Path, mesh: &str, listed: &[PublicKey]) -> Check {
    let name = "signing key";
    // The agent makes one that is absent; we do not.
    let public = match SigningKey::of_person(path) {
        Ok(PersonKey::Here(key)) => key.public_line(""),
        Ok(PersonKey::OpenSsh(key)) => return Check::failure(name, key.why(), "use an ed25519 key without a passphrase"),
        Err(error) => return Check::failure(name, error.to_string(), "mount the Secret with the key, or name its file"),
    };
    if public_key(public.trim()).is_ok_and(|ours| listed.contains(&ours)) {
        return Check::ok(name, format!("mesh.yaml of {mesh} lists it"));
    }
    let hint = format!("add to meshes/{mesh}/mesh.yaml under spec.agent.keys: {}", public.trim());
    Check::failure(name, format!("mesh.yaml of {mesh} does not list it, so peers refuse what it signs"), hint)
}
