//! Candidates on clocks that drift, paused anywhere, with answers that come late or never, around one API server.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;

/// Candidates; more would only rest more.
const NODES: usize = 3;

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Time goes by, in milliseconds.
    Pass(u64),
    /// A candidate looks at its clock and does what is next: it sends a request, if it waits for none.
    Act(usize),
    /// The API server does what a candidate has asked for.
    Serve(usize),
    /// A candidate gets its answer.
    Answer(usize),
    /// The answer, or the request, is lost, and the candidate notices.
    Lose(usize),
    /// The candidate hears of the Lease by its watch.
    Hear(usize),
    /// It stops in order.
    Resign(usize),
    /// It is killed and started again, under another name.
    Restart(usize),
    /// Somebody annotates the Lease.
    Annotate,
}

/// What a number stands for: plain numbers are what proptest makes fastest.
fn event(number: u32) -> Event {
    let (what, node, millis) = (number % 32, (number >> 8) as usize % NODES, u64::from(number >> 16));
    match what {
        0..4 => Event::Pass(millis % 4000),
        4 => Event::Pass(millis % 20_000),
        5..11 => Event::Act(node),
        11..17 => Event::Serve(node),
        17..23 => Event::Answer(node),
        23 | 24 => Event::Lose(node),
        25..28 => Event::Hear(node),
        28 => Event::Resign(node),
        29 => Event::Restart(node),
        30 => Event::Annotate,
        _ => Event::Pass(15_000),
    }
}

fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(any::<u32>().prop_map(event), 0..most)
}

/// A request under way.
enum Wire {
    Nothing,
    Read,
    Write(Option<String>, Claim, Time),
    /// Done by the server; the answer is on its way.
    Seen(Option<Lease>),
    Written(Result<Lease, ()>, Time),
}

struct Node {
    election: Election,
    wire: Wire,
    /// Its clock runs so many thousandths as fast as the true one.
    speed: u64,
}

struct World {
    terms: LeaseTerms,
    now: u64,
    lease: Option<Lease>,
    version: u64,
    nodes: Vec<Node>,
    started: usize,
}

impl World {
    fn new(terms: LeaseTerms, speeds: [u64; NODES]) -> Self {
        let node = |(number, speed)| Node { election: Election::new(format!("n{number}"), terms), wire: Wire::Nothing, speed };
        let nodes = speeds.into_iter().enumerate().map(node).collect();
        Self { terms, now: 0, lease: None, version: 0, nodes, started: NODES }
    }

    fn clock(&self, node: usize) -> Time {
        Time::from_millis(self.now * self.nodes[node].speed / 1000)
    }

    fn leaders(&self) -> Vec<usize> {
        (0..NODES).filter(|node| self.nodes[*node].election.leads_until().is_some_and(|end| self.clock(*node) < end)).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Pass(millis) => self.now += millis,
            Event::Act(node) => self.act(node),
            Event::Serve(node) => {
                let wire = std::mem::replace(&mut self.nodes[node].wire, Wire::Nothing);
                self.nodes[node].wire = match wire {
                    Wire::Read => Wire::Seen(self.lease.clone()),
                    Wire::Write(over, claim, sent) => Wire::Written(self.write(over.as_deref(), claim), sent),
                    other => other,
                };
            }
            Event::Answer(node) => self.answer(node),
            Event::Lose(node) => {
                let now = self.clock(node);
                if !matches!(std::mem::replace(&mut self.nodes[node].wire, Wire::Nothing), Wire::Nothing) {
                    self.nodes[node].election.failed(now);
                }
            }
            Event::Hear(node) => {
                let (now, lease) = (self.clock(node), self.lease.clone());
                // Like the task, which follows only between its requests.
                if matches!(self.nodes[node].wire, Wire::Nothing) {
                    self.nodes[node].election.saw(lease, now);
                }
            }
            Event::Resign(node) => {
                let now = self.clock(node);
                if !matches!(self.nodes[node].wire, Wire::Nothing) {
                    return; // the task answers its request first
                }
                if let Some((version, claim)) = self.nodes[node].election.resign(now) {
                    let _ = self.write(Some(&version), claim); // lost races are no matter any more
                }
                self.restart(node);
            }
            Event::Restart(node) => self.restart(node),
            Event::Annotate => {
                self.version += 1;
                if let Some(lease) = &mut self.lease {
                    lease.version = self.version.to_string();
                }
            }
        }
    }

    fn act(&mut self, node: usize) {
        let now = self.clock(node);
        let Node { election, wire, .. } = &mut self.nodes[node];
        if matches!(wire, Wire::Nothing) {
            *wire = match election.step(now) {
                Step::Read => Wire::Read,
                Step::Write(over, claim) => Wire::Write(over, claim, now),
                Step::Wait(_) => Wire::Nothing,
            };
        }
    }

    fn answer(&mut self, node: usize) {
        let now = self.clock(node);
        let Node { election, wire, .. } = &mut self.nodes[node];
        match std::mem::replace(wire, Wire::Nothing) {
            Wire::Seen(lease) => election.saw(lease, now),
            Wire::Written(Ok(lease), sent) => election.wrote(lease, sent),
            Wire::Written(Err(()), _) => election.lost_race(),
            other => *wire = other,
        }
    }

    fn restart(&mut self, node: usize) {
        self.nodes[node].election = Election::new(format!("n{}", self.started), self.terms);
        self.nodes[node].wire = Wire::Nothing;
        self.started += 1;
    }

    /// What the API server does.
    fn write(&mut self, over: Option<&str>, claim: Claim) -> Result<Lease, ()> {
        if self.lease.as_ref().map(|lease| &*lease.version) != over {
            return Err(());
        }
        self.version += 1;
        let Claim { holder, duration, transitions, .. } = claim;
        let lease = Lease {
            holder,
            duration,
            transitions,
            acquired: String::new(),
            renewed: self.version.to_string(),
            version: self.version.to_string(),
            uid: "".into(),
        };
        self.lease = Some(lease.clone());
        Ok(lease)
    }
}

fn terms(duration: u64, renew_deadline: u64) -> LeaseTerms {
    let seconds = Duration::from_secs;
    LeaseTerms { duration: seconds(duration), renew_deadline: seconds(renew_deadline), retry: seconds(2) }
}

/// Whether two led at once.
fn play(terms: LeaseTerms, speeds: [u64; NODES], events: &[Event]) -> bool {
    let mut world = World::new(terms, speeds);
    events.iter().any(|event| {
        world.happen(*event);
        world.leaders().len() > 1
    })
}

fn speeds() -> impl Strategy<Value = [u64; NODES]> {
    prop::array::uniform3(820_u64..1220) // one at most half as fast again as another
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn two_never_lead_at_once(speeds in speeds(), events in events(300)) {
        prop_assert!(!play(terms(15, 10), speeds, &events));
    }

    #[test]
    fn left_in_peace_somebody_leads(speeds in speeds(), events in events(100)) {
        let mut world = World::new(terms(15, 10), speeds);
        events.into_iter().for_each(|event| world.happen(event));
        for second in 0..=60 {
            world.happen(Event::Pass(if second == 0 { 0 } else { 1000 }));
            for node in 0..NODES {
                for event in [Event::Act(node), Event::Serve(node), Event::Answer(node)] {
                    world.happen(event);
                }
            }
        }
        prop_assert_eq!(world.leaders().len(), 1);
    }
}

/// The same candidates with a deadline that is too late do harm, so the first test can fail.
#[test]
fn the_simulation_finds_two_leaders_where_the_deadline_is_too_late() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (speeds(), events(300));
    let harm = (0..2000).any(|_| {
        let (speeds, events) = strategy.new_tree(&mut runner).expect("a value").current();
        play(terms(15, 20), speeds, &events)
    });
    assert!(harm, "no interleaving did any harm");
}
