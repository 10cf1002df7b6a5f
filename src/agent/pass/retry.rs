//! How long what failed waits before it is tried again.

use jiff::SignedDuration;

pub(super) use crate::decide::later;

/// First and longest wait before what failed for the moment is tried again.
pub(super) const RETRY: (SignedDuration, SignedDuration) = (SignedDuration::from_millis(500), SignedDuration::from_mins(2));

/// Wait before what was refused is tried again: whoever refuses (a webhook, a policy) may have changed meanwhile.
pub(super) const REFUSED_RETRY: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn backoff(attempts: u32) -> SignedDuration {
    let (first, longest) = RETRY;
    first.saturating_mul(2_i32.saturating_pow(attempts.saturating_sub(1))).min(longest)
}
