//! Federations that nobody thought of.

use super::sim::Sim;
use crate::derive::testing::federations;
use crate::model::testing::example;
use proptest::prelude::*;
use std::time::Instant;

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deciding_again_on_what_was_performed_gives_nothing(repo in federations()) {
        let mut sim = Sim::new(repo);
        sim.settle();
        let names: Vec<String> = sim.sites.keys().cloned().collect();
        for me in names {
            let decision = sim.decide(&me);
            prop_assert!(decision.leaves_cluster() && decision.publish.is_none());
            let again = sim.decide(&me);
            prop_assert_eq!(format!("{:?}", decision.holds), format!("{:?}", again.holds), "deterministic");
        }
    }

    #[test]
    fn an_agent_that_dies_anywhere_gets_there_all_the_same(
        repo in federations(),
        kept in prop::collection::vec(any::<bool>(), 64),
        turns in prop::collection::vec(0usize..6, 24),
    ) {
        let mut whole = Sim::new(repo.clone());
        whole.settle();
        let mut sim = Sim::new(repo);
        let names: Vec<String> = sim.sites.keys().cloned().collect();
        let mut kept = kept.into_iter().cycle();
        for turn in turns {
            let me = &names[turn % names.len()];
            let decision = sim.decide(me);
            sim.perform(me, &decision, || kept.next().unwrap());
            if turn % 3 == 0 {
                sim.site(me).comparisons = crate::decide::Comparisons::default(); // it starts anew
                sim.site(me).memory.pending = None;
                sim.operate();
            }
        }
        sim.settle();
        for me in &names {
            prop_assert_eq!(sim.sites[me].server.ours(), whole.sites[me].server.ours());
            prop_assert_eq!(&sim.sites[me].memory.inventory, &whole.sites[me].memory.inventory);
        }
    }
}

/// Prints how long a pass over 3,000 objects in sync takes; for orientation, in a release build a few milliseconds.
#[test]
fn a_pass_over_three_thousand_objects_in_sync_decides_nothing() {
    let document = |i: usize| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{i}, namespace: prod-bookinfo}}\ndata: {{a: \"{i}\"}}\n"
        )
    };
    let many: String = (0..3000).map(document).collect();
    let mut sim = Sim::new(example().with(&format!("//- meshes/rosa-prod-mesh/manifests/many.yaml\n{many}")));
    for _ in 0..2 {
        sim.pass("rosa-prod-mesh");
    }
    let start = Instant::now();
    let decision = sim.decide("rosa-prod-mesh");
    println!("3,000 objects in sync: {:?} (with the world around it)", start.elapsed());
    assert!(!decision.apply.iter().any(|apply| *apply.object.key.kind == *"ConfigMap"));
}
