//! The rule as a table, and every way in which two agents can come in between each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

fn set(uids: &str) -> BTreeSet<String> {
    uids.chars().map(String::from).collect()
}

#[test]
fn who_may_do_what() {
    let elsewhere = |pinned| (pinned, Some("a"), "");
    let cases = [
        ((None, None, ""), false, Standing::Owner),
        ((None, Some("a"), ""), false, Standing::Owner),
        ((None, Some("a"), "a"), false, Standing::Owner),
        ((None, Some("a"), "b"), false, Standing::Challenged { answer: true }),
        ((None, Some("a"), "ab"), false, Standing::Challenged { answer: false }),
        ((None, Some("b"), ""), false, Standing::Claims),
        ((None, Some("b"), "c"), false, Standing::Claims),
        ((None, Some("b"), "a"), true, Standing::Owner),
        ((None, Some("b"), "ab"), true, Standing::Refused),
        ((None, Some("b"), "b"), true, Standing::Refused),
        ((Some("a"), Some("b"), "ab"), false, Standing::Owner),
        (elsewhere(Some("b")), true, Standing::Elsewhere),
    ];
    for ((pinned, owner, claims), taken, expected) in cases {
        let found = rule("a", pinned, owner, &set(claims), taken);
        assert_eq!(found, Rule::Is(expected), "{pinned:?} {owner:?} {claims} {taken}");
    }
    assert_eq!(rule("a", None, Some("b"), &set("a"), false), Rule::Waits);
}

#[test]
fn an_agent_waits_three_polls_within_reason() {
    let seconds = |interval| patience(SignedDuration::from_secs(interval)).as_secs();
    assert_eq!((seconds(1), seconds(10), seconds(30), seconds(3600)), (10, 30, 90, 90));
}

/// What the branch says: owner and claims.
type Branch = (Option<char>, BTreeSet<String>);

/// What one agent knows: what it read last, and whether its claim has stood long enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Agent {
    read: Option<Branch>,
    taken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    branch: Branch,
    agents: BTreeMap<char, Agent>,
}

impl State {
    fn new(owner: Option<char>, claims: &str, names: &str) -> Self {
        let agents = names.chars().map(|name| (name, Agent::default())).collect();
        Self { branch: (owner, set(claims)), agents }
    }

    fn standing(&self, name: char) -> Option<Rule> {
        let agent = &self.agents[&name];
        let (owner, claims) = agent.read.as_ref()?;
        let owner = owner.map(String::from);
        Some(rule(&name.to_string(), None, owner.as_deref(), claims, agent.taken))
    }

    /// The agent reads the branch.
    fn read(&mut self, name: char) {
        let (branch, agent) = (self.branch.clone(), self.agents.get_mut(&name).unwrap());
        agent.taken &= branch.0 != Some(name) && branch.1.contains(&name.to_string());
        agent.read = Some(branch);
    }

    /// The agent writes what follows from what it has read, over whatever the branch holds by now: a push that lost a race is built
    /// again on what won it. Whether it wrote anything.
    fn write(&mut self, name: char) -> bool {
        let Some(rule) = self.standing(name) else { return false };
        let (owner, mut claims) = self.agents[&name].read.clone().unwrap();
        claims.insert(name.to_string());
        let next = match rule {
            Rule::Is(Standing::Owner) => (Some(name), BTreeSet::new()),
            Rule::Is(Standing::Challenged { answer: true }) => (Some(name), claims),
            Rule::Is(Standing::Claims) => (owner, claims),
            _ => return false,
        };
        let wrote = self.branch != next;
        self.branch = next;
        self.read(name);
        wrote
    }

    /// Its claim has stood for long.
    fn wait(&mut self, name: char) -> bool {
        let waits = self.standing(name) == Some(Rule::Waits);
        self.agents.get_mut(&name).unwrap().taken |= waits;
        waits
    }
}

/// Every state that reads, writes, waits and restarts can lead to, in any order and at any time.
fn reachable(start: State) -> BTreeSet<State> {
    let mut seen = BTreeSet::from([start.clone()]);
    let mut next = VecDeque::from([start]);
    while let Some(state) = next.pop_front() {
        for name in state.agents.keys().copied() {
            let mut after = [(); 4].map(|()| state.clone());
            after[0].read(name);
            after[1].write(name);
            after[2].wait(name);
            after[3].agents.insert(name, Agent::default());
            next.extend(after.into_iter().filter(|state| seen.insert(state.clone())));
        }
    }
    seen
}

const STARTS: [(Option<char>, &str); 5] = [(None, ""), (Some('a'), ""), (Some('x'), ""), (Some('x'), "y"), (Some('a'), "y")];

#[test]
fn two_that_live_always_end_in_a_dispute_that_both_see_and_then_nobody_writes() {
    let mut count = 0;
    for (owner, claims) in STARTS {
        for mut state in reachable(State::new(owner, claims, "ab")) {
            count += 1;
            // From here on both look and write in turns, and nobody waits so long that the other had no turn.
            for _ in 0..6 {
                for name in ['a', 'b'] {
                    state.read(name);
                    state.write(name);
                }
                for name in ['a', 'b'] {
                    state.read(name);
                    if state.branch.0 != Some('a') && state.branch.0 != Some('b') {
                        state.wait(name); // the owner is a third cluster that is lost
                    }
                }
            }
            let before = state.clone();
            let standings = ['a', 'b'].map(|name| state.standing(name).unwrap());
            let challenged = |rule: &Rule| *rule == Rule::Is(Standing::Challenged { answer: false });
            let refused = |rule: &Rule| *rule == Rule::Is(Standing::Refused);
            let [a, b] = &standings;
            assert!(challenged(a) && refused(b) || challenged(b) && refused(a), "{state:#?}");
            let wrote = ['a', 'b'].map(|name| state.write(name) || state.wait(name));
            assert_eq!((wrote, state), ([false, false], before));
        }
    }
    assert!(count > 500, "{count} states are not all");
}

#[test]
fn one_that_lives_owns_the_mesh_in_the_end_unless_a_dispute_was_seen_before_the_other_ended() {
    for (owner, claims) in STARTS {
        for mut state in reachable(State::new(owner, claims, "ab")) {
            let dispute = state.branch.0.is_some_and(|owner| state.branch.1.contains(&owner.to_string()));
            let challenged = state.branch.0 == Some('a') && state.branch.1.iter().any(|claim| claim != "a");
            for _ in 0..4 {
                state.read('a');
                state.wait('a');
                state.write('a');
            }
            let owns = state.standing('a') == Some(Rule::Is(Standing::Owner)) && state.branch == (Some('a'), BTreeSet::new());
            assert!(owns || dispute || challenged, "{state:#?}");
        }
    }
}
