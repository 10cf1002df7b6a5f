//! What settings are called, in messages.

use std::fmt;

use crate::error::Error;

/// One setting by its three names, for messages.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) flag: &'static str,
    variable: &'static str,
    key: &'static str,
}

impl Setting {
    pub(super) const fn new(flag: &'static str, variable: &'static str, key: &'static str) -> Self {
        Self { flag, variable, key }
    }

    pub(super) fn missing(self, what: &str) -> Error {
        Error::usage(format!("{what} is not given"), format!("set {self}"))
    }

    pub(super) fn bad(self, message: impl fmt::Display) -> Error {
        Error::usage(message.to_string(), format!("set {self} to another value"))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} or `{}:` in the configuration file", self.flag, self.variable, self.key)
    }
}

pub(super) const MESH: Setting = Setting::new("--mesh", "MESHFED_MESH", "mesh");
pub(super) const REPO: Setting = Setting::new("--repo", "MESHFED_REPO", "repo");
pub(super) const STATE_DIR: Setting = Setting::new("--state-dir", "MESHFED_STATE_DIR", "stateDir");
pub(super) const LISTEN: Setting = Setting::new("--listen", "MESHFED_LISTEN", "listen");
pub(super) const WEBHOOK_LISTEN: Setting = Setting::new("--webhook-listen", "MESHFED_WEBHOOK_LISTEN", "webhookListen");
pub(super) const WEBHOOK_SECRET_FILE: Setting =
    Setting::new("--webhook-secret-file", "MESHFED_WEBHOOK_SECRET_FILE", "webhookSecretFile");
pub(super) const INTERVAL: Setting = Setting::new("--interval", "MESHFED_INTERVAL", "interval");
pub(super) const LEASE: Setting = Setting::new("--lease", "MESHFED_LEASE", "lease");
pub(super) const LEASE_DURATION: Setting = Setting::new("--lease-duration", "MESHFED_LEASE_DURATION", "leaseDuration");
pub(super) const LEASE_RENEW_DEADLINE: Setting =
    Setting::new("--lease-renew-deadline", "MESHFED_LEASE_RENEW_DEADLINE", "leaseRenewDeadline");
pub(super) const LEASE_RETRY: Setting = Setting::new("--lease-retry", "MESHFED_LEASE_RETRY", "leaseRetry");
pub(super) const IDENTITY: Setting = Setting::new("--identity", "MESHFED_IDENTITY", "identity");
pub(super) const VERIFICATION: Setting = Setting::new("--verification", "MESHFED_VERIFICATION", "verification");
pub(super) const TRUST_ANCHOR: Setting = Setting::new("--trust-anchor", "MESHFED_TRUST_ANCHOR", "trustAnchor");
pub(super) const TRUST_DIGEST: Setting = Setting::new("--trust-digest", "MESHFED_TRUST_DIGEST", "trustDigest");
