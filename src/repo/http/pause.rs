//! Leaving a host alone that has had enough.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::Http;
use crate::repo::error::RepoError;

/// Pauses after a host has had enough and does not say for how long: the first, doubled each time, and the longest, so that its
/// recovery is not missed for long.
const OWN_PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10 * 60));

/// Longest pause, whatever the host says: longer ones would make an agent seem dead.
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// When the host may be asked again.
#[derive(Default)]
pub(super) struct Pause {
    until: Option<Instant>,
    times: u32,
    reason: String,
}

impl Http {
    /// Why the host is not to be asked now. The words stay the same as long as the pause lasts.
    pub(in crate::repo) fn pause(&self) -> Option<RepoError> {
        let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = pause.until.is_some_and(|until| Instant::now() < until);
        lasts.then(|| RepoError::Busy { url: self.shown(), reason: pause.reason.clone() })
    }

    /// The host has had enough (RFC 6585, RFC 9110): it is left alone for as long as it says.
    pub(super) fn begin_pause(&self, status: StatusCode, retry_after: Option<&str>) -> RepoError {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let told = retry_after.and_then(|text| wait(text, Timestamp::now()));
        let (first, longest) = OWN_PAUSES;
        let length = match told {
            Some(told) => told.min(MAX_PAUSE),
            None => first.saturating_mul(2_u32.saturating_pow(pause.times)).min(longest),
        };
        pause.times = pause.times.saturating_add(1);
        pause.until = Instant::now().checked_add(length);
        let asks = match told {
            Some(_) => "asks to be left alone for",
            None => "has had enough and does not say for how long; the next request goes out after",
        };
        pause.reason = format!("the host {asks} {} s (http {})", length.as_secs(), status.as_u16());
        RepoError::Busy { url: self.shown(), reason: pause.reason.clone() }
    }
}

/// What `Retry-After` says: seconds or a date (RFC 9110, section 10.2.3).
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(Duration::try_from(at(text)?.duration_since(now)).unwrap_or_default()) // what lies behind us is now
}

/// A date as HTTP writes it, which is as mail does (RFC 9110, 5.6.7).
pub(super) fn at(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::address::Address;
    use crate::repo::options::Options;

    #[test]
    fn a_host_says_when_to_come_back_in_seconds_or_by_date() {
        let now = "2026-11-23T01:00:00Z".parse().unwrap();
        assert_eq!(wait(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(wait("Mon, 23 Nov 2026 01:01:30 GMT", now), Some(Duration::from_secs(90)));
        assert_eq!(wait("Sun, 22 Nov 2026 01:01:30 GMT", now), Some(Duration::ZERO));
        for text in ["", "soon", "-5"] {
            assert_eq!(wait(text, now), None, "{text}");
        }
    }

    #[test]
    fn a_pause_lasts_as_long_as_the_host_says_and_longer_each_time_it_says_nothing() {
        let http = Http::new(Address::parse("https://git.example/fed.git"), &Options::new("", ""));
        assert!(http.pause().is_none());
        let reason = |retry: Option<&str>| http.begin_pause(StatusCode::TOO_MANY_REQUESTS, retry).to_string();
        assert!(reason(Some("120")).contains("left alone for 120 s (http 429)"));
        assert_eq!(http.pause().unwrap().to_string(), reason(Some("120")));
        assert!(reason(None).contains("after 120 s"), "the third time");
        assert!(reason(None).contains("after 240 s"));
        assert!(reason(None).contains("after 480 s"));
        assert!(reason(None).contains("after 600 s"), "and no longer");
        assert!(reason(Some("99999999")).contains("3600 s"));
        assert!(reason(Some("0")).contains("left alone for 0 s"));
        assert!(http.pause().is_none());
    }
}
