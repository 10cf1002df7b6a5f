//! A sign of life once a day: the published status names the day, so that its change makes a commit. Each mesh has its own hour,
//! derived from its name, so that not all agents push at midnight.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// How far the mesh's day begins after midnight UTC, in seconds.
fn offset(mesh: &str) -> i64 {
    let digest = Sha256::digest(mesh);
    i64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])) % DAY_SECONDS
}

fn shifted(mesh: &str, now: Timestamp) -> Timestamp {
    now.saturating_sub(SignedDuration::from_secs(offset(mesh))).unwrap_or(now)
}

/// The mesh's day, as `2026-11-22`.
pub(super) fn day(mesh: &str, now: Timestamp) -> String {
    shifted(mesh, now).strftime("%Y-%m-%d").to_string()
}

/// When a day of the mesh begins: its heartbeat was made then or later. `None` where that is no day.
pub(super) fn begin(mesh: &str, day: &str) -> Option<Timestamp> {
    let midnight = day.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    midnight.checked_add(SignedDuration::from_secs(offset(mesh))).ok()
}

/// When its next day begins.
pub(super) fn next(mesh: &str, now: Timestamp) -> Timestamp {
    let since = shifted(mesh, now).as_second().rem_euclid(DAY_SECONDS);
    now.saturating_add(SignedDuration::from_secs(DAY_SECONDS - since)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_changes_exactly_when_it_is_said_to() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        for mesh in ["rosa-prod-mesh", "aro-stg-mesh", "gcp-dev-mesh"] {
            let change = next(mesh, now);
            assert!(change > now && change.duration_since(now).as_secs() <= DAY_SECONDS);
            let before = change - SignedDuration::from_secs(1);
            assert_eq!(day(mesh, before), day(mesh, now));
            assert_ne!(day(mesh, change), day(mesh, now));
            assert_eq!(begin(mesh, &day(mesh, change)), Some(change));
        }
        assert_ne!(next("rosa-prod-mesh", now), next("aro-stg-mesh", now));
    }
}
