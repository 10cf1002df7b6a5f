//! What operators and the kubelet ask: is it alive, is it ready, what does it count, how is the mesh.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Answer, Metrics, only, plain, respond, serve};
use crate::agent::overview::{Overview, Place};
use crate::decide::{Decision, Status};

/// A pass that takes longer hangs: the slowest first apply of thousands of objects to a slow API server takes a fraction of it.
const PASS_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Media type of OpenMetrics text (its specification, version 1.0).
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the loop lets others see.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The mesh.
    pub mesh: String,
    /// The API server has answered. Never says anything of Git or of peers: an agent that cannot reach them still repairs drift, and being
    /// restarted would not help.
    pub ready: bool,
    /// Another replica writes, or nobody yet.
    pub standby: bool,
    /// The mesh as the last pass tells it.
    pub status: Arc<Status>,
    /// What else is known after that pass; `None` before the first.
    pub overview: Option<Arc<Overview>>,
    /// Holds that end by themselves.
    pub waiting: usize,
    /// Holds that only people can end.
    pub stuck: usize,
    /// Since when a pass is running.
    pub passing_since: Option<Instant>,
}

/// Where the loop puts it.
pub struct Showing {
    shown: watch::Sender<Shown>,
    place: Place,
    /// What it counts.
    pub metrics: Arc<Metrics>,
}

impl Showing {
    /// Nothing is known yet of a mesh but its name.
    pub fn new(mesh: &str, place: Place) -> Self {
        let shown = Shown { mesh: mesh.to_owned(), ..Shown::default() };
        let (shown, receiver) = watch::channel(shown);
        Self { shown, place, metrics: Metrics::new(receiver) }
    }

    /// The page for operators.
    pub fn operators(&self) -> Operators {
        Operators { shown: self.shown.subscribe(), place: self.place.clone(), metrics: self.metrics.clone() }
    }

    /// The API server has answered.
    pub fn ready(&self) {
        self.shown.send_modify(|shown| shown.ready = true);
    }

    /// This replica writes, or does not any more.
    pub fn leads(&self, leads: bool) {
        self.shown.send_modify(|shown| (shown.standby, shown.passing_since) = (!leads, None));
    }

    /// A pass begins.
    pub fn begins(&self) {
        self.shown.send_modify(|shown| shown.passing_since = Some(Instant::now()));
    }

    /// It has ended, this was decided, and this is known.
    pub fn ends(&self, decision: Option<&Decision>, overview: Option<Overview>) {
        self.shown.send_modify(|shown| {
            self.metrics.pass(shown.passing_since.take().map(|since| since.elapsed()).unwrap_or_default());
            let Some(decision) = decision else { return };
            if *shown.status != decision.status {
                shown.status = Arc::new(decision.status.clone());
            }
            shown.overview = overview.map(Arc::new);
            shown.stuck = decision.holds.iter().filter(|hold| hold.stuck).count();
            shown.waiting = decision.holds.len() - shown.stuck;
        });
    }
}

/// The address for operators.
pub struct Operators {
    shown: watch::Receiver<Shown>,
    place: Place,
    metrics: Arc<Metrics>,
}

impl Operators {
    /// Serves until the process ends.
    pub async fn serve(self, listener: TcpListener) {
        let me = Arc::new(self);
        serve(listener, move |request| {
            let me = me.clone();
            async move { me.answer(&request) }
        })
        .await;
    }

    fn answer(&self, request: &Request<Incoming>) -> Answer {
        if let Err(answer) = only(&Method::GET, "GET", request) {
            return *answer;
        }
        match request.uri().path() {
            "/livez" => verdict(self.is_alive(), "a pass hangs\n"),
            "/readyz" => verdict(self.shown.borrow().ready, "the API server has not answered yet\n"),
            "/metrics" => match self.metrics.page() {
                Ok(page) => respond(StatusCode::OK, OPENMETRICS, page),
                Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
            },
            "/status" => self.status(),
            _ => plain(StatusCode::NOT_FOUND, "there are /livez, /readyz, /metrics and /status\n"),
        }
    }

    /// The mesh as `meshfed status --mesh` shows it, in the same shape.
    fn status(&self) -> Answer {
        let shown = self.shown.borrow().clone();
        let Some(overview) = &shown.overview else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "nothing is known of the mesh yet\n");
        };
        match serde_json::to_vec_pretty(&overview.status(
            &shown.mesh,
            &shown.status,
            !shown.standby,
            &self.place,
            Timestamp::now(),
        )) {
            Ok(status) => respond(StatusCode::OK, "application/json", status),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the status cannot be written\n"),
        }
    }

    fn is_alive(&self) -> bool {
        self.shown.borrow().passing_since.is_none_or(|since| since.elapsed() < PASS_LIMIT)
    }
}

fn verdict(good: bool, why_not: &'static str) -> Answer {
    if good { plain(StatusCode::OK, "ok\n") } else { plain(StatusCode::SERVICE_UNAVAILABLE, why_not) }
}
