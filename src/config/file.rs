//! The configuration file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::access::AccessArgs;
use crate::error::Error;

/// Largest configuration file in bytes; it has a dozen short lines.
const MAX_CONFIG_BYTES: u64 = 64 << 10;

/// The same settings as the file has them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    pub(super) mesh: Option<String>,
    pub(super) repo: Option<String>,
    pub(super) branch: Option<String>,
    pub(super) kubeconfig: Option<PathBuf>,
    pub(super) context: Option<String>,
    pub(super) signing_key: Option<PathBuf>,
    pub(super) state_dir: Option<PathBuf>,
    #[serde(with = "humantime_serde")]
    pub(super) interval: Option<Duration>,
    pub(super) listen: Option<String>,
    pub(super) webhook_listen: Option<String>,
    pub(super) webhook_secret_file: Option<PathBuf>,
    pub(super) once: Option<bool>,
    pub(super) observe: Option<bool>,
    pub(super) lease: Option<String>,
    #[serde(with = "humantime_serde")]
    pub(super) lease_duration: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub(super) lease_renew_deadline: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub(super) lease_retry: Option<Duration>,
    pub(super) identity: Option<String>,
    pub(super) verification: Option<String>,
    pub(super) trust_anchor: Option<String>,
    pub(super) trust_digest: Option<String>,
    #[serde(flatten)]
    pub(super) access: AccessArgs,
}

/// Reads it; paths in it count from its folder.
pub(super) fn read(path: &Path) -> Result<ConfigFile, Error> {
    let fail = |reason: &dyn fmt::Display| {
        let message = format!("configuration file {}: {reason}", path.display());
        Error::usage(message, "it is named by --config or MESHFED_CONFIG")
    };
    let size = std::fs::metadata(path).map_err(|error| fail(&error))?.len();
    if size > MAX_CONFIG_BYTES {
        return Err(fail(&format!("{size} bytes; the limit is {MAX_CONFIG_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
    let file: ConfigFile = parse(&text).map_err(|message| fail(&message))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = |path: Option<PathBuf>| path.map(|path| folder.join(path));
    Ok(ConfigFile {
        access: file.access.in_folder(folder),
        kubeconfig: beside(file.kubeconfig),
        signing_key: beside(file.signing_key),
        state_dir: beside(file.state_dir),
        webhook_secret_file: beside(file.webhook_secret_file),
        ..file
    })
}

pub(super) fn parse(text: &str) -> Result<ConfigFile, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(ConfigFile::default());
    }
    serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())
}
