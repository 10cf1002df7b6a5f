//! How far `main` is verified, as the agents say it: whoever only reads the repository has no commit to begin from.

use std::collections::BTreeMap;

use super::federation::Published;
use crate::decide::{Mode, VERIFIED};
use crate::words::{count, some};

/// Most meshes named in one line.
const NAMED: usize = 3;

/// What agents say of the tip of `main`, and whether all that is well: somebody verified it and nobody refuses anything.
pub fn verification(tip: &str, published: &BTreeMap<String, Published>) -> (String, bool) {
    let agents = || published.iter().filter(|(_, published)| published.status.mode != Mode::Left);
    let refusing: Vec<&str> =
        agents().filter(|(_, published)| !published.status.main.frozen.is_empty()).map(|(mesh, _)| mesh.as_str()).collect();
    if !refusing.is_empty() {
        return (format!("refused by {}", some(&refusing, NAMED)), false);
    }
    let all = agents().count();
    let verified = agents().map(|(_, published)| &published.status.main);
    match verified.filter(|main| main.verified == VERIFIED && main.named() == Some(tip)).count() {
        0 => ("not verified by any agent".to_owned(), false),
        some if some == all => (format!("verified by {}", count(all, "agent")), true),
        some => (format!("verified by {some} of {}", count(all, "agent")), true),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::decide::{MainStatus, Status};
    use crate::facts::Facts;

    fn mk_published(seen: &str, verified: &str, frozen: &str) -> Published {
        let main = MainStatus { seen: seen.into(), verified: verified.into(), frozen: frozen.into(), ..MainStatus::default() };
        let status = Status { main, ..Status::default() };
        Published { at: Timestamp::UNIX_EPOCH, status, facts: Facts::default(), behind: None, problems: Vec::new() }
    }

    #[test]
    fn agents_say_how_far_the_tip_is_verified() {
        let (seen, behind) = (mk_published("t", VERIFIED, ""), mk_published("s", VERIFIED, ""));
        let (off, refusing) = (mk_published("t", "not verified (verification is off)", ""), mk_published("s", VERIFIED, "bad"));
        for (agents, words, good) in [
            (vec![], "not verified by any agent", false),
            (vec![off.clone(), behind.clone()], "not verified by any agent", false),
            (vec![seen.clone()], "verified by 1 agent", true),
            (vec![seen.clone(), behind, off], "verified by 1 of 3 agents", true),
            (vec![refusing, seen], "refused by 0", false),
        ] {
            let agents = agents.into_iter().enumerate().map(|(number, published)| (number.to_string(), published)).collect();
            assert_eq!(verification("t", &agents), (words.to_owned(), good));
        }
    }
}
