//! Whether this process may write. Every request that changes something passes here, right before it is sent.
//!
//! Two clocks count, and the one that says that more time has passed decides: the monotonic clock stands still while a machine is suspended,
//! the wall clock can be set back.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::time::sleep;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    steady: Instant,
    wall: SystemTime,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }

    /// The moment on the monotonic clock.
    pub fn steady(self) -> Instant {
        self.steady
    }

    /// So much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self { steady: self.steady + time, wall: self.wall + time }
    }

    /// Time until then; zero once either clock has passed it.
    pub fn left(self) -> Duration {
        let steady = self.steady.saturating_duration_since(Instant::now());
        let wall = self.wall.duration_since(SystemTime::now()).unwrap_or_default(); // an error: it has passed
        steady.min(wall)
    }
}

/// For how long writes are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    /// There is nobody else who writes.
    Always,
    /// Until then, unless it is prolonged.
    Until(Moment),
    /// What has begun may end until then; nothing new begins.
    Ending(Moment),
    /// Somebody else may write.
    Never,
}

/// Nothing is sent any more: another process may write now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced;

/// Shared by all that write. Open at first.
#[derive(Clone, Debug)]
pub struct Fence(Arc<watch::Sender<Term>>);

impl Default for Fence {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Term::Always)))
    }
}

impl Fence {
    /// Lets nothing through from now on, and ends what is under way.
    pub fn close(&self) {
        self.0.send_replace(Term::Never);
    }

    /// Lets writes through until then, or lets what is under way go on so long. Says whether it was closed before, so that what was under way
    /// has been given up.
    pub fn open_until(&self, end: Moment) -> bool {
        let mut was_closed = false;
        self.0.send_modify(|term| {
            *term = match *term {
                Term::Ending(before) if !before.left().is_zero() => Term::Ending(end),
                before => {
                    was_closed = !matches!(before, Term::Until(before) if !before.left().is_zero());
                    Term::Until(end)
                }
            };
        });
        was_closed
    }

    /// Lets what is under way come to its end, and nothing new begin.
    pub fn end(&self) {
        self.0.send_if_modified(|term| {
            let Term::Until(end) = *term else { return false };
            *term = Term::Ending(end);
            true
        });
    }

    /// Until when a write that begins now may go on; `None` is as long as it likes.
    pub fn until(&self) -> Result<Option<Moment>, Fenced> {
        match *self.0.borrow() {
            Term::Always => Ok(None),
            Term::Until(end) if !end.left().is_zero() => Ok(Some(end)),
            _ => Err(Fenced),
        }
    }

    /// Waits until what is under way has to end. The fence is closed then.
    pub async fn lost(&self) {
        let mut terms = self.0.subscribe();
        loop {
            let left = match *terms.borrow_and_update() {
                Term::Always => Duration::MAX,
                Term::Until(end) | Term::Ending(end) => end.left(),
                Term::Never => Duration::ZERO,
            };
            if left.is_zero() && self.shut() {
                return;
            }
            tokio::select! {
                () = sleep(left) => {}
                _ = terms.changed() => {} // the sender lives as long as we do
            }
        }
    }

    /// Closes it if its time is over, so that nobody takes up again what has been given up; whether it is closed.
    fn shut(&self) -> bool {
        let mut closed = false;
        self.0.send_if_modified(|term| {
            closed = match *term {
                Term::Always => false,
                Term::Until(end) | Term::Ending(end) => end.left().is_zero(),
                Term::Never => true,
            };
            closed && std::mem::replace(term, Term::Never) != Term::Never
        });
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_open_until_the_end_of_the_term() {
        let fence = Fence::default();
        assert_eq!(fence.until(), Ok(None));
        fence.close();
        assert!(fence.open_until(Moment::now().after(Duration::from_secs(3600))));
        assert!(fence.until().unwrap().is_some_and(|end| end.left() > Duration::from_secs(3000)));
        assert!(!fence.open_until(Moment::now()), "it was open all the time");
        assert_eq!(fence.until(), Err(Fenced));
        fence.lost().await;
        assert!(fence.open_until(Moment::now().after(Duration::from_secs(3600))));
    }

    #[tokio::test]
    async fn while_it_ends_nothing_begins_and_nothing_is_cut_off() {
        let fence = Fence::default();
        fence.open_until(Moment::now().after(Duration::from_secs(3600)));
        fence.end();
        assert_eq!(fence.until(), Err(Fenced));
        let mut lost = std::pin::pin!(fence.lost());
        assert!(futures::poll!(&mut lost).is_pending());
        assert!(!fence.open_until(Moment::now().after(Duration::from_secs(3600))));
        assert_eq!(fence.until(), Err(Fenced), "a renewal lets nothing new begin");
        fence.close();
        lost.await;
    }

    #[test]
    fn either_clock_ends_it() {
        let hour = Duration::from_secs(3600);
        let now = Moment::now();
        let set_forward = Moment { wall: now.wall - hour, ..now.after(hour) };
        let suspended = Moment { steady: now.steady, ..now.after(hour) };
        assert_eq!((set_forward.left(), suspended.left()), (Duration::ZERO, Duration::ZERO));
    }
}
