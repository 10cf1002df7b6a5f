//! Who leads, by a Lease: what was seen of it and the time since → what to do next. Does nothing itself and reads no clock.
//!
//! The algorithm is that of client-go (`tools/leaderelection`). No clocks are compared: a candidate counts a Lease as free once it has not
//! changed for its whole duration by the candidate's own clock, and a leader stops earlier than that by its own. A leader counts from before it
//! *sent* what renewed the Lease and a candidate from when it *saw* that, so delays only make the gap between them wider. Two never lead at
//! once while no clock runs faster than another by more than the ratio of the two times: half as fast again with the defaults.

use std::time::Duration;

use crate::cluster::{Claim, Lease, LeaseTerms};

/// Times since the start of the process.
type Time = Duration;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the Lease.
    Read,
    /// Write this over that version; make the Lease where there is none.
    Write(Option<String>, Claim),
    /// Follow what happens to the Lease, until that time.
    Wait(Time),
}

/// One candidate.
#[derive(Debug)]
pub struct Election {
    me: String,
    terms: LeaseTerms,
    seen: Seen,
    /// From when on it is free, as far as is known.
    free_at: Time,
    /// When what is held was sent.
    held: Option<Time>,
    /// Nothing is asked or written before.
    not_before: Time,
}

/// What is known of the Lease.
#[derive(Debug)]
enum Seen {
    /// Nothing, or something that is out of date.
    Unknown(Option<Lease>),
    /// It is not there.
    Absent,
    There(Lease),
}

impl Election {
    /// `me` is the name of this process and of no other, now or ever.
    pub fn new(me: String, terms: LeaseTerms) -> Self {
        Self { me, terms, seen: Seen::Unknown(None), free_at: Time::ZERO, held: None, not_before: Time::ZERO }
    }

    /// Until when this process leads; `None` where it does not.
    pub fn leads_until(&self) -> Option<Time> {
        self.held.map(|sent| sent + self.terms.renew_deadline)
    }

    /// The Lease as it was seen last.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.seen {
            Seen::There(lease) | Seen::Unknown(Some(lease)) => Some(lease),
            Seen::Absent | Seen::Unknown(None) => None,
        }
    }

    /// The version from which on to follow the Lease, where there is nothing else to do than to wait for it.
    pub fn follows(&self) -> Option<&str> {
        match &self.seen {
            Seen::There(lease) if self.held.is_none() => Some(&lease.version),
            _ => None,
        }
    }

    /// Leads no more, for a reason that this does not know of.
    pub fn stop(&mut self) {
        self.held = None;
        self.outdated();
    }

    /// What to do now.
    pub fn step(&mut self, now: Time) -> Step {
        if self.leads_until().is_some_and(|end| end <= now) {
            self.held = None;
            self.outdated();
        }
        if now < self.not_before {
            return Step::Wait(self.leads_until().map_or(self.not_before, |end| end.min(self.not_before)));
        }
        let transitions = self.lease().map_or(0, |lease| lease.transitions);
        match (&self.seen, self.held) {
            (Seen::Unknown(_), _) => Step::Read,
            (Seen::There(_), Some(sent)) if now < sent + self.terms.retry => Step::Wait(sent + self.terms.retry),
            (Seen::There(lease), Some(_)) => Step::Write(Some(lease.version.clone()), self.claim(transitions, false)),
            _ if now < self.free_at => Step::Wait(self.free_at),
            (Seen::There(lease), None) => Step::Write(Some(lease.version.clone()), self.claim(transitions + 1, true)),
            (Seen::Absent, _) => Step::Write(None, self.claim(transitions + 1, true)),
        }
    }

    fn claim(&self, transitions: u64, acquires: bool) -> Claim {
        Claim { holder: Some(self.me.clone()), duration: self.terms.duration, transitions, acquires }
    }

    /// The Lease was read, or seen to change, at `now`; `None` where it is not there.
    pub fn saw(&mut self, lease: Option<Lease>, now: Time) {
        let Some(lease) = lease else {
            // Whoever held it may not know yet that it is gone: its time is not cut short.
            self.held = None;
            self.seen = Seen::Absent;
            return;
        };
        let mine = lease.holder.as_deref() == Some(&*self.me);
        let renewed = self.lease().is_none_or(|before| {
            (&before.holder, before.transitions, &before.renewed) != (&lease.holder, lease.transitions, &lease.renewed)
        });
        if !mine {
            self.held = None;
        }
        match lease.holder {
            None => self.free_at = now,
            Some(_) if mine => self.free_at = now,
            Some(_) if renewed => self.free_at = now + lease.duration,
            Some(_) => {}
        }
        self.seen = Seen::There(lease);
    }

    /// What was sent at `sent` has been written, and this is the Lease now.
    pub fn wrote(&mut self, lease: Lease, sent: Time) {
        self.held = Some(sent);
        self.seen = Seen::There(lease);
    }

    /// Somebody else has written it.
    pub fn lost_race(&mut self) {
        self.outdated();
    }

    /// No answer: whether anything was written is not known, and the next try is a while later.
    pub fn failed(&mut self, now: Time) {
        self.not_before = now + self.terms.retry;
        self.outdated();
    }

    /// What gives the Lease back, over this version; nothing where it is not held. Nothing is led from then on.
    pub fn resign(&mut self, now: Time) -> Option<(String, Claim)> {
        let leads = self.leads_until().is_some_and(|end| now < end);
        self.held = None;
        match &self.seen {
            Seen::There(lease) if leads => {
                let claim = Claim { holder: None, ..self.claim(lease.transitions, false) };
                Some((lease.version.clone(), claim))
            }
            _ => None,
        }
    }

    fn outdated(&mut self) {
        self.seen = match std::mem::replace(&mut self.seen, Seen::Absent) {
            Seen::There(lease) | Seen::Unknown(Some(lease)) => Seen::Unknown(Some(lease)),
            Seen::Absent | Seen::Unknown(None) => Seen::Unknown(None),
        };
    }
}

#[cfg(test)]
#[path = "sim.rs"]
mod sim;

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    fn terms() -> LeaseTerms {
        LeaseTerms { duration: seconds(15), renew_deadline: seconds(10), retry: seconds(2) }
    }

    fn lease(holder: Option<&str>, version: &str) -> Lease {
        Lease {
            holder: holder.map(str::to_owned),
            duration: seconds(15),
            renewed: version.to_owned(),
            version: version.to_owned(),
            ..Lease::default()
        }
    }

    /// Has read the Lease at second 100.
    fn reader(seen: Option<Lease>) -> Election {
        let mut election = Election::new("me".into(), terms());
        assert_eq!(election.step(seconds(100)), Step::Read);
        election.saw(seen, seconds(100));
        election
    }

    fn writes(step: &Step, over: Option<&str>) -> bool {
        matches!(step, Step::Write(version, Claim { holder: Some(_), .. }) if version.as_deref() == over)
    }

    #[test]
    fn what_is_free_is_taken_at_once() {
        assert!(writes(&reader(None).step(seconds(100)), None));
        assert!(writes(&reader(Some(lease(None, "1"))).step(seconds(100)), Some("1")));
    }

    #[test]
    fn what_is_held_is_waited_for_from_when_it_was_seen() {
        let mut election = reader(Some(lease(Some("other"), "1")));
        assert_eq!(election.step(seconds(100)), Step::Wait(seconds(115)));
        election.saw(Some(lease(Some("other"), "2")), seconds(110));
        assert_eq!(election.step(seconds(120)), Step::Wait(seconds(125)));
        // An annotation is no renewal.
        election.saw(Some(Lease { version: "3".into(), ..lease(Some("other"), "2") }), seconds(120));
        assert!(writes(&election.step(seconds(125)), Some("3")));
    }

    #[test]
    fn a_lease_that_somebody_deletes_is_waited_for_all_the_same() {
        let mut election = reader(Some(lease(Some("other"), "1")));
        election.saw(None, seconds(101));
        assert_eq!(election.step(seconds(101)), Step::Wait(seconds(115)));
        assert!(writes(&election.step(seconds(115)), None));
    }

    #[test]
    fn a_leader_renews_and_stops_in_time() {
        let mut election = reader(None);
        election.wrote(lease(Some("me"), "1"), seconds(100));
        assert_eq!(election.leads_until(), Some(seconds(110)));
        assert_eq!(election.step(seconds(101)), Step::Wait(seconds(102)));
        assert!(writes(&election.step(seconds(102)), Some("1")));
        election.failed(seconds(107));
        assert_eq!(election.step(seconds(107)), Step::Wait(seconds(109)));
        assert_eq!(election.step(seconds(109)), Step::Read);
        election.saw(Some(lease(Some("me"), "2")), seconds(109));
        assert_eq!(election.leads_until(), Some(seconds(110)), "that it is ours prolongs nothing");
        assert!(writes(&election.step(seconds(109)), Some("2")));
        assert_eq!(election.step(seconds(110)), Step::Read);
        assert_eq!(election.leads_until(), None);
        election.saw(Some(lease(Some("me"), "2")), seconds(111));
        assert!(writes(&election.step(seconds(111)), Some("2")), "nobody else has had it meanwhile");
    }

    #[test]
    fn a_leader_that_sees_another_one_stops_at_once() {
        let mut election = reader(None);
        election.wrote(lease(Some("me"), "1"), seconds(100));
        election.lost_race();
        assert_eq!((election.step(seconds(102)), election.leads_until()), (Step::Read, Some(seconds(110))));
        election.saw(Some(lease(Some("other"), "2")), seconds(102));
        assert_eq!(election.leads_until(), None);
    }

    #[test]
    fn only_what_is_held_is_given_back() {
        let mut election = reader(Some(lease(Some("other"), "1")));
        assert_eq!(election.resign(seconds(101)), None);
        let mut election = reader(None);
        election.wrote(lease(Some("me"), "1"), seconds(100));
        let (version, claim) = election.resign(seconds(101)).unwrap();
        assert_eq!((&*version, claim.holder, election.leads_until()), ("1", None, None));
    }
}
