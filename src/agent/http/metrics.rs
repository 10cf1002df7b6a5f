//! What the agent counts, in OpenMetrics text. What it merely knows (peerings, weights, holds) is read off the last decision at each scrape,
//! so that it cannot disagree with `status`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::operators::Shown;
use super::webhook::Verdict;
use crate::decide::Status;
use crate::repo::PUBLISHED;

/// Bounds of the histogram of passes, in seconds: a quiet one takes a millisecond, one that applies a thousand objects some seconds.
const PASS_SECONDS: [f64; 8] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0];

type Label = [(&'static str, &'static str); 1];
type By = Family<Label, Counter>;

/// Counters of one agent.
pub struct Metrics {
    registry: Registry,
    passes: Histogram,
    applies: By,
    removals: By,
    fetches: By,
    fetched_at: Gauge,
    publications: By,
    webhooks: By,
}

impl Metrics {
    /// All at zero; what is merely known comes from `shown`.
    pub fn new(shown: watch::Receiver<Shown>) -> Arc<Self> {
        let mut registry = Registry::with_prefix("meshfed");
        let passes = Histogram::new(PASS_SECONDS);
        let [applies, removals, fetches, publications, webhooks] = std::array::from_fn(|_| By::default());
        let fetched_at = Gauge::default();
        registry.register("pass_duration_seconds", "Time that a pass took", passes.clone());
        registry.register("applies", "Objects sent to the API server, by what became of it", applies.clone());
        registry.register("removals", "Objects deleted or given back, by what became of it", removals.clone());
        registry.register("fetches", "Looks at the repository, by what they found", fetches.clone());
        let help = "When the repository last answered, in seconds since 1970";
        registry.register("last_fetch_timestamp_seconds", help, fetched_at.clone());
        registry.register("publications", "Pushes of the published branch, by what became of it", publications.clone());
        registry.register("webhooks", "Webhook requests, by what became of them", webhooks.clone());
        registry.register_collector(Box::new(Known(shown)));
        Arc::new(Self { registry, passes, applies, removals, fetches, fetched_at, publications, webhooks })
    }

    /// A pass has ended.
    pub fn pass(&self, took: Duration) {
        self.passes.observe(took.as_secs_f64());
    }

    /// An object was sent.
    pub fn applied(&self, ok: bool) {
        count(&self.applies, result(ok));
    }

    /// An object was deleted or given back.
    pub fn removed(&self, ok: bool) {
        count(&self.removals, result(ok));
    }

    /// The repository was looked at; `None` where it did not answer, else whether anything was new.
    pub fn fetched(&self, new: Option<bool>) {
        let found = new.map_or("failed", |new| if new { "new" } else { "unchanged" });
        count(&self.fetches, found);
        if new.is_some() {
            self.fetched_at.set(Timestamp::now().as_second());
        }
    }

    /// The published branch was pushed.
    pub fn published(&self, ok: bool) {
        count(&self.publications, result(ok));
    }

    pub(super) fn webhook(&self, verdict: Verdict) {
        let name = match verdict {
            Verdict::Good => "accepted",
            Verdict::Forged => "forged",
            Verdict::TooLarge => "too large",
            Verdict::Broken => "broken",
            Verdict::NoSecret => "no secret",
        };
        count(&self.webhooks, name);
    }

    /// The page that Prometheus reads.
    pub(super) fn page(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

fn result(ok: bool) -> &'static str {
    if ok { "ok" } else { "failed" }
}

fn count(family: &By, value: &'static str) {
    family.get_or_create(&[("result", value)]).inc();
}

/// What the last decision knows.
struct Known(watch::Receiver<Shown>);

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

/// A series: labels and value.
type Series = (Vec<(&'static str, String)>, f64);

impl Collector for Known {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let shown = self.0.borrow().clone();
        for (name, help, series) in known(&shown) {
            let gauge = ConstGauge::new(0.0);
            let mut family = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            for (labels, value) in series {
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Every gauge with its series.
fn known(shown: &Shown) -> Vec<(&'static str, &'static str, Vec<Series>)> {
    let status: &Status = &shown.status;
    let peerings = |of: fn(&crate::decide::PeeringStatus) -> bool| {
        status.peerings.iter().map(|(peer, peering)| (vec![("peer", peer.clone())], f64::from(of(peering)))).collect()
    };
    let peers = status.peerings.keys();
    let one = |value: f64| vec![(vec![], value)];
    let build = vec![("mesh", shown.mesh.clone()), ("version", env!("CARGO_PKG_VERSION").to_owned())];
    let applied = vec![("commit", status.main.applied.clone()), ("verified", status.main.verified.clone())];
    let holds = [("waiting", shown.waiting), ("stuck", shown.stuck)];
    let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let replica = vec![
        ("agent_info", "The agent", vec![(build, 1.0)]),
        ("leader", "This replica writes; always so where it is the only one", one(f64::from(!shown.standby))),
        ("ready", "The API server has answered", one(f64::from(shown.ready))),
    ];
    if shown.standby {
        return replica; // the rest is the leader's to tell
    }
    let mesh = vec![
        ("main_info", "The commit of main that is applied in full", vec![(applied, 1.0)]),
        ("frozen", "Something newer of a branch does not verify and is refused", frozen(status)),
        ("objects", "Objects that the agent looks after", one(count(status.objects))),
        (
            "holds",
            "What waits: for something that comes by itself, or for people",
            holds.iter().map(|(kind, number)| (vec![("kind", (*kind).to_owned())], count(*number))).collect(),
        ),
        ("problems", "Errors and warnings in documents", one(count(status.problems.len() + status.warnings.len()))),
        ("peering_ready", "All that this side declares of the peering works", peerings(|peering| peering.ready)),
        (
            "stale",
            "Nothing recent is shown: the host may have stopped serving news",
            one(f64::from(status.views.stale_since.is_some())),
        ),
        (
            "forked_view",
            "The peer saw another line of main: the host may show two histories",
            peers.map(|peer| (vec![("peer", peer.clone())], f64::from(status.views.forked.contains_key(peer)))).collect(),
        ),
        ("peering_connected", "The control plane watches the peer's", peerings(|peering| peering.connected)),
        ("route_declared_weight", "Percent of requests as people declared it", weights(status, false)),
        ("route_effective_weight", "Percent of requests in effect", weights(status, true)),
        ("ca_root_expiry_timestamp_seconds", "End of validity of a published CA root, in seconds since 1970", roots(status)),
    ];
    [replica, mesh].concat()
}

fn frozen(status: &Status) -> Vec<Series> {
    let series = |branch: String, why: &str| (vec![("branch", branch)], f64::from(!why.is_empty()));
    let peers = status.peerings.iter().map(|(peer, peering)| series(format!("{PUBLISHED}{peer}"), &peering.frozen));
    std::iter::once(series("main".to_owned(), &status.main.frozen)).chain(peers).collect()
}

fn weights(status: &Status, effective: bool) -> Vec<Series> {
    let mut series = Vec::new();
    for (name, traffic) in &status.traffic {
        let all = std::iter::once(("", &traffic.routes));
        for (when, routes) in all.chain(traffic.matches.iter().map(|item| (&*item.when, &item.routes))) {
            for (number, share) in routes.iter().enumerate() {
                let value = if effective { share.effective } else { share.declared };
                let labels = vec![
                    ("traffic", name.clone()),
                    ("match", when.to_owned()),
                    ("route", number.to_string()),
                    ("to", share.to.clone()),
                    ("service", share.service.clone()),
                ];
                series.push((labels, f64::from(value)));
            }
        }
    }
    series
}

fn roots(status: &Status) -> Vec<Series> {
    let expiry = |text: &str| text.parse::<Timestamp>().ok();
    let roots = status.ca_roots.iter().filter_map(|root| Some((&root.fingerprint, expiry(&root.not_after)?)));
    #[allow(clippy::cast_precision_loss, reason = "seconds of any date fit a float exactly")]
    roots.map(|(fingerprint, at)| (vec![("fingerprint", fingerprint.clone())], at.as_second() as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_prometheus_reads() {
        let status = serde_json::from_value(serde_json::json!({
            "main": {"applied": "9f2c1ab", "verified": "verified"},
            "objects": 12,
            "caRoots": [{"fingerprint": "7C:1E", "notAfter": "2027-01-01T00:00:00Z"}],
            "peerings": {"aro": {"ready": true, "connected": true}, "gcp": {"frozen": "commit 1"}},
            "traffic": {"details": {
                "matches": [{"when": "end-user = \"jason\"", "routes": [{"to": "local v2", "declared": 100, "effective": 100}]}],
                "routes": [{"to": "local v1", "declared": 80, "effective": 100},
                           {"to": "gcp", "service": "dev/details", "declared": 20, "effective": 0}]}},
        }))
        .unwrap();
        let shown =
            Shown { mesh: "rosa".into(), ready: true, status: Arc::new(status), waiting: 2, stuck: 1, ..Shown::default() };
        let (_keep, receiver) = watch::channel(shown);
        let metrics = Metrics::new(receiver);
        metrics.pass(Duration::from_millis(3));
        metrics.applied(true);
        metrics.removed(true);
        metrics.fetched(None);
        metrics.published(true);
        metrics.webhook(Verdict::Forged);
        insta::assert_snapshot!(metrics.page().unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }
}
