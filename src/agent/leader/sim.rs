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

fn event() -> impl Strategy<Value = Event> {
    let node = 0..NODES;
    prop_oneof![
        4 => (1_u64..4000).prop_map(Event::Pass),
        1 => (4000_u64..20_000).prop_map(Event::Pass),
        6 => node.clone().prop_map(Event::Act),
        6 => node.clone().prop_map(Event::Serve),
        6 => node.clone().prop_map(Event::Answer),
        1 => node.clone().prop_map(Event::Lose),
        2 => node.clone().prop_map(Event::Hear),
        1 => node.clone().prop_map(Event::Resign),
        1 => node.prop_map(Event::Restart),
        1 => Just(Event::Annotate),
    ]
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
    /// How often a candidate came to lead.
    led: usize,
}

impl World {
    fn new(terms: LeaseTerms, speeds: [u64; NODES]) -> Self {
        let node = |(number, speed)| Node { election: Election::new(format!("n{number}"), terms), wire: Wire::Nothing, speed };
        let nodes = speeds.into_iter().enumerate().map(node).collect();
        Self { terms, now: 0, lease: None, version: 0, nodes, started: NODES, led: 0 }
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
                    Wire::Write(over, claim, sent) => Wire::Written(self.write(over, claim), sent),
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
                    let _ = self.write(Some(version), claim); // lost races are no matter any more
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
        let led = election.leads_until().is_some();
        match std::mem::replace(wire, Wire::Nothing) {
            Wire::Seen(lease) => election.saw(lease, now),
            Wire::Written(Ok(lease), sent) => election.wrote(lease, sent),
            Wire::Written(Err(()), _) => election.lost_race(),
            other => *wire = other,
        }
        self.led += usize::from(!led && self.nodes[node].election.leads_until().is_some());
    }

    fn restart(&mut self, node: usize) {
        self.nodes[node].election = Election::new(format!("n{}", self.started), self.terms);
        self.nodes[node].wire = Wire::Nothing;
        self.started += 1;
    }

    /// What the API server does.
    fn write(&mut self, over: Option<String>, claim: Claim) -> Result<Lease, ()> {
        if self.lease.as_ref().map(|lease| lease.version.clone()) != over {
            return Err(());
        }
        self.version += 1;
        let Claim { holder, duration, transitions, .. } = claim;
        let lease = Lease {
            holder,
            duration,
            transitions,
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

/// Whether two led at once, and how often anybody came to lead.
fn play(terms: LeaseTerms, speeds: [u64; NODES], events: &[Event]) -> (bool, usize) {
    let mut world = World::new(terms, speeds);
    let two = events.iter().any(|event| {
        world.happen(*event);
        world.leaders().len() > 1
    });
    (two, world.led)
}

fn speeds() -> impl Strategy<Value = [u64; NODES]> {
    prop::array::uniform3(820_u64..1220) // one at most half as fast again as another
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn two_never_lead_at_once(speeds in speeds(), events in prop::collection::vec(event(), 0..300)) {
        prop_assert!(!play(terms(15, 10), speeds, &events).0);
    }

    #[test]
    fn left_in_peace_somebody_leads(speeds in speeds(), events in prop::collection::vec(event(), 0..100)) {
        let mut world = World::new(terms(15, 10), speeds);
        events.into_iter().for_each(|event| world.happen(event));
        for _ in 0..60 {
            for node in 0..NODES {
                [Event::Act(node), Event::Serve(node), Event::Answer(node)].map(|event| world.happen(event));
            }
            world.happen(Event::Pass(1000));
        }
        (0..NODES).for_each(|node| [Event::Act(node), Event::Serve(node), Event::Answer(node)].map(|event| world.happen(event)).into_iter().for_each(drop));
        prop_assert_eq!(world.leaders().len(), 1);
    }
}

/// The same candidates with a deadline that is too late do harm, so the first test can fail.
#[test]
fn the_simulation_finds_two_leaders_where_the_deadline_is_too_late() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (speeds(), prop::collection::vec(event(), 300));
    let harm = (0..2000).any(|_| {
        let (speeds, events) = strategy.new_tree(&mut runner).expect("a value").current();
        play(terms(15, 20), speeds, &events).0
    });
    assert!(harm, "no interleaving did any harm");
}
