//! An agent's key is replaced as `repo-layout/README.md` says, while its peers look whenever they like.

use std::collections::BTreeSet;

use meshfed::trust::{Id, PublicKey, Publisher, Refusal, Revoked, Verifier, public_key, published};

use super::repository::{Work, id, lines};

/// A peer's agent: what it has verified so far, of `main` and of the branch of `rosa`.
struct Peer {
    main: Id,
    published: Option<Id>,
}

impl Peer {
    fn new(work: &Work) -> Self {
        Self { main: work.anchor, published: None }
    }

    /// Looks once at both branches.
    fn look(&mut self, work: &Work) -> Result<(), Refusal> {
        let mirror = work.mirror();
        let main = Verifier::new().main(&mirror, self.main, mirror.main().unwrap().into()).unwrap();
        assert_eq!(main.refusal, None, "people keep to the rules");
        self.main = main.verified.unwrap();
        let keys = keys(&work.git(&["show", &format!("{}:meshes/rosa/mesh.yaml", self.main)]));
        let tip = mirror.refs().published["rosa"].into();
        let verdict =
            published(&mirror, &Publisher { keys, ..Publisher::default() }, &Revoked::default(), self.published, tip).unwrap();
        self.published = verdict.verified;
        verdict.refusal.map_or(Ok(()), Err)
    }
}

fn keys(mesh: &str) -> BTreeSet<PublicKey> {
    mesh.lines().filter_map(|line| line.trim().strip_prefix("- ")).map(|key| public_key(key).unwrap()).collect()
}

fn list(work: &Work, agents: &[&str]) {
    let keys = lines(agents.iter().map(|agent| format!("    - {}", work.public(agent))));
    work.change(Some("root"), "meshes/rosa/mesh.yaml", &format!("spec:\n  agent:\n    keys:\n{keys}"));
}

#[test]
fn a_rotation_by_the_documented_steps_is_refused_by_no_peer_whenever_it_looks() {
    // Which of the moments a peer looks at, as bits; those that the steps wait for, all of them.
    const MOMENTS: u32 = 7;
    let waited_for = [2, 5];
    let work = Work::new();
    list(&work, &["old"]);
    let mut peers: Vec<Peer> = (0..1 << MOMENTS).map(|_| Peer::new(&work)).collect();
    let steps: [&dyn Fn(); MOMENTS as usize] = [
        &|| work.publish("rosa", "old", "n: 1\n"),
        &|| list(&work, &["old", "new"]),
        &|| work.publish("rosa", "old", "n: 2\n"),
        &|| work.publish("rosa", "new", "n: 3\n"),
        &|| work.publish("rosa", "new", "n: 4\n"),
        &|| work.publish("rosa", "new", "n: 5\n"),
        &|| list(&work, &["new"]),
    ];
    for (moment, step) in steps.iter().enumerate() {
        step();
        for (habit, peer) in peers.iter_mut().enumerate() {
            if habit >> moment & 1 == 1 || waited_for.contains(&moment) {
                peer.look(&work).unwrap_or_else(|refusal| panic!("after step {moment}, habit {habit:b}: {refusal}"));
            }
        }
        Peer::new(&work).look(&work).unwrap_or_else(|refusal| panic!("a new agent after step {moment}: {refusal}"));
    }
    work.publish("rosa", "new", "n: 6\n");
    assert!(peers.iter_mut().all(|peer| peer.look(&work).is_ok()));
    work.publish("rosa", "old", "n: 7\n");
    assert!(peers[0].look(&work).is_err(), "the old key says nothing any more");
}

#[test]
fn an_agent_that_was_away_during_a_rotation_catches_up_while_the_old_key_is_back() {
    let work = Work::new();
    list(&work, &["old"]);
    work.publish("rosa", "old", "n: 1\n");
    let mut away = Peer::new(&work);
    away.look(&work).unwrap();
    work.publish("rosa", "old", "n: 2\n");
    list(&work, &["new"]);
    work.publish("rosa", "new", "n: 3\n");
    let before = away.published;
    assert!(away.look(&work).is_err(), "which is why step 3 waits for it");
    assert_eq!(away.published, before);
    list(&work, &["old", "new"]);
    away.look(&work).unwrap();
    list(&work, &["new"]);
    away.look(&work).unwrap();
    assert_eq!(away.published, Some(id(&work.git(&["rev-parse", "published/rosa"]))));
}
