//! How the repository is reached: the flags that agent and commands have in common.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::setting::Setting;
use super::settle::{path, text};
use crate::error::Error;
use crate::repo::{Access, Credentials, Identity, ProxyUrl, SshKey};

/// User name where only a password or token is given. Hosts that take tokens ignore the name or want this one (GitHub Apps).
const TOKEN_USER: &str = "x-access-token";

/// Under which help texts show them.
const HEADING: &str = "Reaching the repository";

const HTTP_PASSWORD_FILE: Setting = Setting::new("--http-password-file", "MESHFED_HTTP_PASSWORD_FILE", "httpPasswordFile");
const HTTP_CERT_FILE: Setting = Setting::new("--http-cert-file", "MESHFED_HTTP_CERT_FILE", "httpCertFile");
const HTTP_KEY_FILE: Setting = Setting::new("--http-key-file", "MESHFED_HTTP_KEY_FILE", "httpKeyFile");
const SSH_KEY: Setting = Setting::new("--ssh-key", "MESHFED_SSH_KEY", "sshKey");
const SSH_KEY_PASSPHRASE_FILE: Setting =
    Setting::new("--ssh-key-passphrase-file", "MESHFED_SSH_KEY_PASSPHRASE_FILE", "sshKeyPassphraseFile");

/// Flags and environment as given; the configuration file has the same.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessArgs {
    /// User name for a repository over HTTP [default: x-access-token, if there is a password file]
    #[arg(long, help_heading = HEADING, env = "MESHFED_HTTP_USER", value_name = "NAME")]
    pub(super) http_user: Option<String>,
    /// File with the password or token for a repository over HTTP; read at each connection, as the files below
    #[arg(long, help_heading = HEADING, env = "MESHFED_HTTP_PASSWORD_FILE", value_name = "FILE")]
    pub(super) http_password_file: Option<PathBuf>,
    /// PEM file of the certificate authorities to believe over HTTPS [default: the system's]
    #[arg(long, help_heading = HEADING, env = "MESHFED_HTTP_CA_FILE", value_name = "FILE")]
    pub(super) http_ca_file: Option<PathBuf>,
    /// PEM file of a client certificate for HTTPS; needs --http-key-file
    #[arg(long, help_heading = HEADING, env = "MESHFED_HTTP_CERT_FILE", value_name = "FILE")]
    pub(super) http_cert_file: Option<PathBuf>,
    /// PEM file of the client certificate's private key
    #[arg(long, help_heading = HEADING, env = "MESHFED_HTTP_KEY_FILE", value_name = "FILE")]
    pub(super) http_key_file: Option<PathBuf>,
    /// HTTP proxy, as http://proxy.example.com:3128 [default: what HTTPS_PROXY and NO_PROXY say]
    #[arg(long, help_heading = HEADING, env = "MESHFED_HTTP_PROXY", hide_env_values = true, value_name = "URL")]
    pub(super) http_proxy: Option<String>,
    /// Private key for a repository over SSH, ed25519, ECDSA or RSA [default: ssh-agent, then ~/.ssh/id_*]
    #[arg(long, help_heading = HEADING, env = "MESHFED_SSH_KEY", value_name = "FILE")]
    pub(super) ssh_key: Option<PathBuf>,
    /// File with the passphrase of that key
    #[arg(long, help_heading = HEADING, env = "MESHFED_SSH_KEY_PASSPHRASE_FILE", value_name = "FILE")]
    pub(super) ssh_key_passphrase_file: Option<PathBuf>,
    /// Host keys to believe over SSH, as ssh-keyscan prints them [default: ~/.ssh/known_hosts]
    #[arg(long, help_heading = HEADING, env = "MESHFED_SSH_KNOWN_HOSTS", value_name = "FILE")]
    pub(super) ssh_known_hosts: Option<PathBuf>,
}

impl AccessArgs {
    /// What is given, and of what is not, what the file has.
    pub(super) fn or(self, file: Self) -> Self {
        Self {
            http_user: text(self.http_user, file.http_user),
            http_password_file: path(self.http_password_file, file.http_password_file),
            http_ca_file: path(self.http_ca_file, file.http_ca_file),
            http_cert_file: path(self.http_cert_file, file.http_cert_file),
            http_key_file: path(self.http_key_file, file.http_key_file),
            http_proxy: text(self.http_proxy, file.http_proxy),
            ssh_key: path(self.ssh_key, file.ssh_key),
            ssh_key_passphrase_file: path(self.ssh_key_passphrase_file, file.ssh_key_passphrase_file),
            ssh_known_hosts: path(self.ssh_known_hosts, file.ssh_known_hosts),
        }
    }

    /// The same with relative paths counted from a folder.
    pub(super) fn in_folder(self, folder: &Path) -> Self {
        let beside = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        Self {
            http_user: self.http_user,
            http_password_file: beside(self.http_password_file),
            http_ca_file: beside(self.http_ca_file),
            http_cert_file: beside(self.http_cert_file),
            http_key_file: beside(self.http_key_file),
            http_proxy: self.http_proxy,
            ssh_key: beside(self.ssh_key),
            ssh_key_passphrase_file: beside(self.ssh_key_passphrase_file),
            ssh_known_hosts: beside(self.ssh_known_hosts),
        }
    }

    /// Puts together what belongs together. An empty value counts as none.
    pub fn resolve(self) -> Result<Access, Error> {
        let Self {
            http_user,
            http_password_file,
            http_ca_file,
            http_cert_file,
            http_key_file,
            http_proxy,
            ssh_key,
            ssh_key_passphrase_file: passphrase_file,
            ssh_known_hosts,
        } = self.or(Self::default());
        let credentials = match (http_user, http_password_file) {
            (username, Some(password_file)) => {
                let username = username.unwrap_or_else(|| TOKEN_USER.to_owned());
                Some(Credentials { username, password_file })
            }
            (None, None) => None,
            (Some(_), None) => return Err(HTTP_PASSWORD_FILE.missing("the password file that goes with the user name")),
        };
        let identity = match (http_cert_file, http_key_file) {
            (Some(cert_file), Some(key_file)) => Some(Identity { cert_file, key_file }),
            (None, None) => None,
            (Some(_), None) => return Err(HTTP_KEY_FILE.missing("the key that goes with the client certificate")),
            (None, Some(_)) => return Err(HTTP_CERT_FILE.missing("the client certificate that goes with the key")),
        };
        let ssh_key = match (ssh_key, passphrase_file) {
            (Some(file), passphrase_file) => Some(SshKey { file, passphrase_file }),
            (None, None) => None,
            (None, Some(_)) => return Err(SSH_KEY.missing("the key that goes with the passphrase")),
        };
        let proxy = http_proxy.map(ProxyUrl);
        Ok(Access { credentials, ca_file: http_ca_file, identity, proxy, ssh_key, known_hosts: ssh_known_hosts })
    }
}

/// Every file that holds a secret, and the setting that names it.
pub(super) fn secrets(access: &Access) -> Vec<(Setting, &Path)> {
    let mut all = Vec::new();
    all.extend(access.credentials.as_ref().map(|credentials| (HTTP_PASSWORD_FILE, credentials.password_file.as_path())));
    all.extend(access.identity.as_ref().map(|identity| (HTTP_KEY_FILE, identity.key_file.as_path())));
    if let Some(SshKey { file, passphrase_file }) = &access.ssh_key {
        all.push((SSH_KEY, file));
        all.extend(passphrase_file.as_deref().map(|file| (SSH_KEY_PASSPHRASE_FILE, file)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(args: AccessArgs) -> Result<Access, String> {
        args.resolve().map_err(|error| error.message().unwrap())
    }

    #[test]
    fn a_token_needs_no_user() {
        let file = Some("token".into());
        let access = resolved(AccessArgs { http_password_file: file.clone(), ..AccessArgs::default() }).unwrap();
        assert_eq!(access.credentials.unwrap().username, "x-access-token");
        let named = AccessArgs { http_user: Some("ada".into()), http_password_file: file, ..AccessArgs::default() };
        assert_eq!(resolved(named).unwrap().credentials.unwrap().username, "ada");
    }

    #[test]
    fn halves_are_refused_by_the_name_of_the_other_half() {
        let none = AccessArgs::default;
        let file = || Some(PathBuf::from("x"));
        for (args, missing) in [
            (AccessArgs { http_user: Some("x".into()), ..none() }, "--http-password-file"),
            (AccessArgs { http_cert_file: file(), ..none() }, "--http-key-file"),
            (AccessArgs { http_key_file: file(), ..none() }, "--http-cert-file"),
            (AccessArgs { ssh_key_passphrase_file: file(), ..none() }, "--ssh-key"),
        ] {
            let message = resolved(args).unwrap_err();
            assert!(message.contains(missing), "{message}");
        }
        let empty = AccessArgs { http_user: Some(String::new()), ssh_key: Some(PathBuf::new()), ..none() };
        assert_eq!(resolved(empty), Ok(Access::default()));
    }
}
