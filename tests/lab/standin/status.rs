//! What istiod writes into the status of peers and service sets (maistra/istio, pkg/servicemesh/federation/status/handler.go).

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::istiod::Istiod;
use super::notes::Report;
use super::view::Kind;

/// Changes within this time go into one write.
const SETTLE: Duration = Duration::from_millis(10);

/// The pause before a status that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// One direction of a connection with a peer, as both `watch` and `remotes[]` describe it.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// A peer that comes back may be here before its last connection is seen to have ended.
    watches: usize,
    last_connected: Option<Timestamp>,
    last_event: Option<Timestamp>,
    last_full_sync: Option<Timestamp>,
    last_disconnect: Option<Timestamp>,
    last_disconnect_status: Option<String>,
    gone: Option<Instant>,
}

impl Connection {
    /// A watch begins.
    pub fn connected(&mut self) {
        self.watches += 1;
        self.last_connected = Some(Timestamp::now());
        self.gone = None;
    }

    /// Something came over the watch, or went.
    pub fn heard(&mut self) {
        self.last_event = Some(Timestamp::now());
    }

    /// Everything was asked for and given.
    pub fn synced(&mut self) {
        self.last_full_sync = Some(Timestamp::now());
    }

    /// A watch has ended, or could not begin.
    pub fn disconnected(&mut self, why: &str) {
        self.watches = self.watches.saturating_sub(1);
        if self.is_connected() {
            return;
        }
        self.last_disconnect = Some(Timestamp::now());
        self.last_disconnect_status = Some(why.to_owned());
        self.gone = Some(Instant::now());
    }

    /// Whether it is there no longer, and has not been for a while.
    pub fn is_gone_for(&self, while_: Duration) -> bool {
        self.gone.is_some_and(|since| since.elapsed() > while_)
    }

    /// Whether a watch is on.
    pub fn is_connected(&self) -> bool {
        self.watches > 0
    }

    /// As in the API, with times in whole seconds as Kubernetes writes them.
    pub fn json(&self) -> Value {
        let mut json = json!({ "connected": self.is_connected() });
        let times = [
            ("lastConnected", self.last_connected),
            ("lastEvent", self.last_event),
            ("lastFullSync", self.last_full_sync),
            ("lastDisconnect", self.last_disconnect),
        ];
        for (field, time) in times {
            if let Some(time) = time {
                json[field] = seconds(time).into();
            }
        }
        if let Some(status) = &self.last_disconnect_status {
            json["lastDisconnectStatus"] = status.as_str().into();
        }
        json
    }
}

/// A time as Kubernetes writes it.
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Writes statuses whenever something in them has changed.
pub async fn keep_written(istiod: Arc<Istiod>) {
    loop {
        istiod.status_changed().await;
        sleep(SETTLE).await;
        let mut failed = false;
        for report in istiod.reports() {
            if let Err(error) = write(&istiod, &report).await {
                tracing::debug!(peer = report.peer, %error, "cannot write the status of a peer");
                failed = true;
            }
        }
        if failed {
            sleep(RETRY).await;
            istiod.touch();
        }
    }
}

/// The first write that is refused stops the others for this peer: so two services under one exported name, which the API server calls a
/// duplicate value, freeze all three statuses.
async fn write(istiod: &Istiod, report: &Report) -> Result<(), kube::Error> {
    let view = istiod.view();
    if let Some(set) = view.get(Kind::Exports, istiod.namespace(), &report.peer) {
        view.set_status(Kind::Exports, &set, json!({ "exportedServices": report.exports })).await?;
    }
    if let (Some(set), Some(imports)) = (view.get(Kind::Imports, istiod.namespace(), &report.peer), &report.imports) {
        view.set_status(Kind::Imports, &set, json!({ "importedServices": imports })).await?;
    }
    if let Some(peer) = view.get(Kind::Peer, istiod.namespace(), &report.peer) {
        let mut pod = json!({ "pod": report.pod, "watch": report.watch.json() });
        let remotes = report.remotes.iter().map(|(source, remote)| {
            let mut json = remote.json();
            json["source"] = source.as_str().into();
            json
        });
        pod["remotes"] = remotes.collect();
        let (active, inactive) = if report.watch.is_connected() { (vec![pod], vec![]) } else { (vec![], vec![pod]) };
        view.set_status(Kind::Peer, &peer, json!({ "discoveryStatus": { "active": active, "inactive": inactive } })).await?;
    }
    Ok(())
}
