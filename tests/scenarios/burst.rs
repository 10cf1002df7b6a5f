//! Burst: a peer takes more of the requests for a while, and less again; each change of a weight is one commit.

use super::pair::Pair;
use crate::federation::steps::ROSA;

#[test]
fn a_share_is_raised_and_lowered_by_commits_and_each_is_one_write() {
    let pair = Pair::start(20, "{settle: 1s}");
    pair.published(20, 20);
    let mut before = 20;
    for share in [60, 100, 40, 0, 20] {
        let (writes, commits) = (pair.route_writes(), pair.messages().len());
        pair.commit_share(share);
        pair.split(share);
        let why = pair.published(share, share);
        assert_eq!(why, "", "declared and effective are the same");
        assert_eq!(pair.route_writes() - writes, 1);
        let message = pair.messages()[0].clone();
        assert!(message.starts_with(&format!("{ROSA}: details: ")), "{message}");
        assert!(message.contains(&format!("aro-stg-mesh {before} → {share} % (declared)")), "{message}");
        assert!(pair.messages().len() - commits <= 2, "{:#?}", pair.messages());
        before = share;
    }
}
