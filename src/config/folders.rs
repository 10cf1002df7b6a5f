//! Where programs of a user keep their files.

use std::path::PathBuf;

use super::Environment;

/// Where programs keep their state (XDG Base Directory Specification).
pub(super) fn state_home(environment: &Environment) -> Option<PathBuf> {
    xdg(environment, "XDG_STATE_HOME", ".local/state")
}

/// Where programs keep what they can make again.
pub fn cache_home(environment: &Environment) -> Option<PathBuf> {
    xdg(environment, "XDG_CACHE_HOME", ".cache")
}

fn xdg(environment: &Environment, variable: &str, below_home: &str) -> Option<PathBuf> {
    // The specification: a relative path in the variable is to be ignored.
    let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))?;
    Some(base.join("meshfed"))
}
