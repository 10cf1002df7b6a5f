//! What the cluster of a mesh says now, beside what its agent last published.

use jiff::Timestamp;
use serde::Serialize;

use crate::decide::{PeeringStatus, Status, TrafficStatus, moves};
use crate::words::yes_or_no;

/// One cluster, asked now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveView {
    /// Its mesh.
    pub mesh: String,
    /// Address of its API server.
    pub cluster: String,
    /// Where it is not what its agent last said, a line each.
    pub differs: Vec<String>,
    /// What an agent that works would change there now, a line each: drift, or news that are not applied yet.
    pub changes: Vec<String>,
    /// Which replica of its agent writes; null where there is no choice between several, or it cannot be read.
    pub leader: Option<LeaderView>,
}

/// Which replica of an agent writes, as its Lease says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderView {
    /// Namespace and name of the Lease.
    pub lease: String,
    /// Who holds it: the pod's name and a number of the process; null where it was given back.
    pub holder: Option<String>,
    /// Whether it was renewed in time, by our clock: else nobody writes.
    pub current: bool,
    /// When it passed to its holder, by that one's clock.
    pub since: Option<Timestamp>,
    /// When it was renewed last, by the same clock.
    pub renewed: Option<Timestamp>,
}

impl LiveView {
    /// Compares what was published with what is so.
    pub fn new(mesh: &str, cluster: &str, published: &Status, now: &Status, leader: Option<LeaderView>) -> Self {
        let mut differs = Vec::new();
        if published.objects != now.objects {
            differs.push(format!("{} objects are looked after, {} were", now.objects, published.objects));
        }
        let (none, nothing) = (PeeringStatus::default(), TrafficStatus::default());
        for (peer, is) in &now.peerings {
            let was = published.peerings.get(peer).unwrap_or(&none);
            for (what, is, was) in [
                ("we are connected to", is.connected, was.connected),
                ("we are watched by", is.peer_connected, was.peer_connected),
            ] {
                if is != was {
                    differs.push(format!("{what} {peer}: {} now, {} then", yes_or_no(is), yes_or_no(was)));
                }
            }
            for import in &is.imports {
                let live = was.imports.iter().any(|other| other.service == import.service && other.live);
                if import.live != live {
                    let service = &import.service;
                    differs.push(format!(
                        "{service} of {peer} is live: {} now, {} then",
                        yes_or_no(import.live),
                        yes_or_no(live)
                    ));
                }
            }
        }
        for (name, is) in &now.traffic {
            let was = published.traffic.get(name).unwrap_or(&nothing);
            differs.extend(moves(was, is).into_iter().map(|line| format!("weights of {name}: {line}")));
        }
        Self { mesh: mesh.to_owned(), cluster: cluster.to_owned(), differs, changes: now.would_do.clone(), leader }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decide::{ImportStatus, ShareStatus};

    fn mk_status(connected: bool, effective: u32) -> Status {
        let import = ImportStatus { service: "prod/details".into(), live: connected, ..ImportStatus::default() };
        let peering = PeeringStatus { connected, imports: vec![import], ..PeeringStatus::default() };
        let share = ShareStatus { to: "aro".into(), declared: 20, effective, ..ShareStatus::default() };
        let traffic = TrafficStatus { routes: vec![share], ..TrafficStatus::default() };
        Status {
            objects: 7,
            peerings: BTreeMap::from([("aro".into(), peering)]),
            traffic: BTreeMap::from([("details".into(), traffic)]),
            ..Status::default()
        }
    }

    #[test]
    fn what_is_not_as_it_was_said_is_named() {
        let (was, is) = (mk_status(true, 20), Status { would_do: vec!["change x".into()], ..mk_status(false, 0) });
        assert_eq!(LiveView::new("rosa", "https://c", &was, &was, None).differs, Vec::<String>::new());
        let live = LiveView::new("rosa", "https://c", &was, &is, None);
        let expected = [
            "we are connected to aro: no now, yes then",
            "prod/details of aro is live: no now, yes then",
            "weights of details: aro 20 → 0 %",
        ];
        assert_eq!((live.differs, live.changes), (expected.map(str::to_owned).to_vec(), vec!["change x".to_owned()]));
    }
}
