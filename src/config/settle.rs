//! Each value from where it is given first: flag or variable, file, default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::args::AgentArgs;
use super::file::ConfigFile;
use super::folders::state_home;
use super::setting::{
    IDENTITY, INTERVAL, LEASE, LEASE_DURATION, LEASE_RENEW_DEADLINE, LEASE_RETRY, LISTEN, MESH, REPO, STATE_DIR, Setting,
    TRUST_ANCHOR, TRUST_DIGEST, VERIFICATION, WEBHOOK_LISTEN, WEBHOOK_SECRET_FILE,
};
use super::{AgentConfig, DEFAULT_INTERVAL, Environment, MAX_INTERVAL, MIN_INTERVAL};
use crate::cluster::{LeaseOptions, LeaseTerms};
use crate::error::Error;
use crate::model::names;
use crate::repo::DEFAULT_BRANCH;
use crate::trust::{Introduction, Verification};

pub(super) fn settle(args: AgentArgs, file: ConfigFile, environment: &Environment) -> Result<AgentConfig, Error> {
    let AgentArgs {
        mesh,
        repo,
        branch,
        kubeconfig,
        context,
        signing_key,
        state_dir,
        interval,
        listen,
        webhook_listen,
        webhook_secret_file,
        once,
        observe,
        lease,
        lease_duration,
        lease_renew_deadline,
        lease_retry,
        identity,
        verification,
        trust_anchor,
        trust_digest,
        config: _,
        access,
    } = args;
    let mesh = text(mesh, file.mesh).ok_or_else(|| MESH.missing("the mesh"))?;
    names::mesh(&mesh).map_err(|message| MESH.bad(message))?;
    let repo = text(repo, file.repo).ok_or_else(|| REPO.missing("the repository"))?;
    let access = access.or(file.access).resolve()?;
    let interval = duration(INTERVAL, interval, file.interval)?.unwrap_or(DEFAULT_INTERVAL);
    if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&interval) {
        let show = humantime::format_duration;
        let (min, max) = (show(MIN_INTERVAL), show(MAX_INTERVAL));
        return Err(INTERVAL.bad(format!("an interval of {} is not between {min} and {max}", show(interval))));
    }
    let state_dir = match path(state_dir, file.state_dir) {
        Some(dir) => dir,
        None => state_home(environment).ok_or_else(|| STATE_DIR.missing("HOME is not set, and a state directory"))?.join(&mesh),
    };
    let listen = text(listen, file.listen).map(|text| address(LISTEN, &text)).transpose()?;
    let webhook_listen = text(webhook_listen, file.webhook_listen).map(|text| address(WEBHOOK_LISTEN, &text)).transpose()?;
    let webhook = match (webhook_listen, path(webhook_secret_file, file.webhook_secret_file)) {
        (Some(address), Some(secret)) => Some((address, secret)),
        (Some(_), None) => return Err(WEBHOOK_SECRET_FILE.missing("the file with the secret of the webhook")),
        (None, _) => None, // a mounted secret alone opens nothing
    };
    Ok(AgentConfig {
        listen,
        webhook,
        signing_key: path(signing_key, file.signing_key).unwrap_or_else(|| state_dir.join("signing-key")),
        branch: text(branch, file.branch).unwrap_or_else(|| DEFAULT_BRANCH.to_owned()),
        kubeconfig: path(kubeconfig, file.kubeconfig),
        context: text(context, file.context),
        once: once.or(file.once).unwrap_or(false),
        observe: observe.or(file.observe).unwrap_or(false),
        lease: match text(lease, file.lease) {
            Some(lease) => {
                let host = || environment("HOSTNAME").and_then(|name| name.into_string().ok()).filter(|name| !name.is_empty());
                let identity = text(identity, file.identity).or_else(host);
                let identity = identity.ok_or_else(|| IDENTITY.missing("HOSTNAME is not set, and the name of this replica"))?;
                let defaults = LeaseTerms::default();
                let length = duration(LEASE_DURATION, lease_duration, file.lease_duration)?;
                let deadline = duration(LEASE_RENEW_DEADLINE, lease_renew_deadline, file.lease_renew_deadline)?;
                let terms = LeaseTerms {
                    duration: length.unwrap_or(defaults.duration),
                    renew_deadline: deadline.unwrap_or(defaults.renew_deadline),
                    retry: duration(LEASE_RETRY, lease_retry, file.lease_retry)?.unwrap_or(defaults.retry),
                };
                Some(settle_lease(&lease, identity, terms)?)
            }
            None => None, // its terms alone choose nobody
        },
        verification: settle_verification(
            text(verification, file.verification).as_deref(),
            text(trust_anchor, file.trust_anchor).as_deref(),
            text(trust_digest, file.trust_digest).as_deref(),
        )?,
        mesh,
        repo,
        access,
        state_dir,
        interval,
    })
}

fn settle_lease(lease: &str, identity: String, terms: LeaseTerms) -> Result<LeaseOptions, Error> {
    let place = lease.parse().map_err(|message: String| LEASE.bad(message))?;
    match terms.fault() {
        Some(fault) => {
            Err(LEASE_DURATION.bad(format!("{fault}; see also {} and {}", LEASE_RENEW_DEADLINE.flag, LEASE_RETRY.flag)))
        }
        None => Ok(LeaseOptions { place, identity, terms }),
    }
}

/// There is no trust on first use: who verifies is introduced, and who does not says so.
fn settle_verification(mode: Option<&str>, anchor: Option<&str>, digest: Option<&str>) -> Result<Verification, Error> {
    let how: fn(Introduction) -> Verification = match mode {
        None | Some("enforce") => Verification::Enforce,
        Some("warn") => Verification::Warn,
        Some("off") => return Ok(Verification::Off),
        Some(other) => {
            return Err(VERIFICATION.bad(format!("`{}` is not enforce, warn or off", other.escape_debug())));
        }
    };
    let missing = match (anchor, digest) {
        (Some(anchor), Some(digest)) => {
            let anchor = anchor.parse().map_err(|()| {
                TRUST_ANCHOR.bad(format!("`{}` is not a whole commit id of 40 lower-case digits", anchor.escape_debug()))
            })?;
            let digest = digest.parse().map_err(|message: String| TRUST_DIGEST.bad(message))?;
            return Ok(how(Introduction { anchor, digest }));
        }
        (None, None) => format!("{TRUST_ANCHOR}, and {TRUST_DIGEST}"),
        (None, Some(_)) => TRUST_ANCHOR.to_string(),
        (Some(_), None) => TRUST_DIGEST.to_string(),
    };
    let hint = format!(
        "set {missing}; `meshfed trust show --at COMMIT` prints both, in a clone that you trust. Or say that whoever can push to the repository \
         is believed: --verification off"
    );
    Err(Error::usage("signatures on main are to be verified, and the commit from which on to do so is not given", hint))
}

fn address(setting: Setting, text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| setting.bad(format!("`{}` is not an address as 0.0.0.0:8080 or [::]:8080", text.escape_debug())))
}

fn duration(setting: Setting, given: Option<String>, file: Option<Duration>) -> Result<Option<Duration>, Error> {
    let Some(text) = text(given, None) else { return Ok(file) };
    let parsed = humantime::parse_duration(&text);
    let bad = |error| setting.bad(format!("`{}` is not a duration as 30s or 2m: {error}", text.escape_debug()));
    parsed.map(Some).map_err(bad)
}

pub(super) fn text(given: Option<String>, file: Option<String>) -> Option<String> {
    given.filter(|text| !text.is_empty()).or(file.filter(|text| !text.is_empty()))
}

pub(super) fn path(given: Option<PathBuf>, file: Option<PathBuf>) -> Option<PathBuf> {
    given.filter(|path| !path.as_os_str().is_empty()).or(file)
}
