//! Events of the cluster (`events.k8s.io/v1`), written beside everything else: nothing waits for them and nothing fails with them.
//!
//! By our own client: the recorder in kube's `runtime` feature does the same, and would bring a second way to watch, to cache and to wait
//! into the program, with a dozen crates.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use jiff::Timestamp;
use rand_core::{OsRng, RngCore};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::apply::request;
use super::error::{Failure, one_line};
use super::{Cluster, Edge, Task, View};
use crate::decide::Event;
use crate::object::FIELD_MANAGER;

/// Events that may wait to be sent: far more than one pass tells. What is more is lost, as events may be.
const QUEUE: usize = 256;

/// An event that is told again within this time counts up the one before instead of being a new one (client-go tools/events).
const SERIES: Duration = Duration::from_secs(6 * 60);

/// Longest note in bytes (Kubernetes API, `Event.note`).
const NOTE_LIMIT: usize = 1024;

/// How much of the object's name begins the name of its event, so that the whole stays under the 253 characters of a name.
const NAME_LIMIT: usize = 200;

/// Where the API server takes events of objects that live in no namespace (client-go).
const NO_NAMESPACE: &str = "default";

/// Takes events and has them written in the order in which they came.
pub struct Recorder {
    queue: Sender<Noted>,
    view: Arc<View>,
    _task: Task,
}

/// An event with the time at which it happened and the object's UID, by which `kubectl describe` finds it.
struct Noted {
    event: Event,
    uid: Option<Arc<str>>,
    at: Timestamp,
}

impl Cluster {
    /// Starts the task that writes events in the name of this instance. It ends with the recorder.
    pub fn recorder(&self, instance: &str) -> Recorder {
        let (queue, inbox) = channel(QUEUE);
        let writer = Writer { edge: self.edge.clone(), instance: instance.to_owned(), told: HashMap::new(), trouble: None };
        Recorder { queue, view: self.view(), _task: Task(tokio::spawn(writer.run(inbox))) }
    }
}

impl Recorder {
    /// Has an event written, soon. Returns at once.
    pub fn record(&self, event: Event) {
        let uid = self.view.get(&event.about).map(|live| live.uid.clone());
        self.record_of(event, uid);
    }

    /// The same of an object with this UID, which no watch has to show.
    pub fn record_of(&self, event: Event, uid: Option<Arc<str>>) {
        let noted = Noted { event, uid, at: Timestamp::now() };
        if self.queue.try_send(noted).is_err() {
            tracing::debug!("too many events wait to be written: one is lost");
        }
    }
}

/// What makes two events the same.
type Same = (Event, Option<Arc<str>>);

struct Writer {
    edge: Arc<Edge>,
    instance: String,
    /// Events of the last minutes: where each was written, how often it was told, and when last.
    told: HashMap<Same, (String, u32, Instant)>,
    trouble: Option<String>,
}

impl Writer {
    async fn run(mut self, mut inbox: Receiver<Noted>) {
        while let Some(noted) = inbox.recv().await {
            let written = self.write(noted).await;
            self.report(written.err().map(|failure| failure.message()));
        }
    }

    /// Says once what stands in the way, until it is something else.
    fn report(&mut self, trouble: Option<String>) {
        if trouble == self.trouble {
            return;
        }
        match &trouble {
            Some(message) => tracing::warn!(event = "events", "events cannot be written: {message}"),
            None => tracing::info!(event = "recovered", subject = "events", "events are written again"),
        }
        self.trouble = trouble;
    }

    async fn write(&mut self, noted: Noted) -> Result<(), Failure> {
        self.told.retain(|_, (_, _, last)| last.elapsed() < SERIES);
        let namespace = noted.event.about.namespace.as_deref().unwrap_or(NO_NAMESPACE);
        let collection = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let same = (noted.event.clone(), noted.uid.clone());
        if let Some((name, count, last)) = self.told.get_mut(&same) {
            let series = json!({"series": {"count": *count + 1, "lastObservedTime": micros(noted.at)}});
            let path = format!("{collection}/{name}?fieldManager={FIELD_MANAGER}");
            match send(&self.edge, Method::PATCH, &path, "application/merge-patch+json", &series).await {
                Err(failure) if failure.code() == 404 => {} // it has expired, so it is told anew
                other => {
                    (*count, *last) = (*count + 1, Instant::now());
                    return other;
                }
            }
        }
        let event = self.document(&noted, namespace);
        let name = event["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        send(&self.edge, Method::POST, &format!("{collection}?fieldManager={FIELD_MANAGER}"), "application/json", &event).await?;
        self.told.insert(same, (name, 1, Instant::now()));
        Ok(())
    }

    fn document(&self, noted: &Noted, namespace: &str) -> Value {
        let Event { kind, about, warning, reason, note } = &noted.event;
        let mut regarding = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "name": about.name});
        for (field, value) in [("namespace", &about.namespace), ("uid", &noted.uid)] {
            if let Some(value) = value {
                regarding[field] = json!(value);
            }
        }
        let name = about.name.get(..NAME_LIMIT).unwrap_or(&about.name).trim_end_matches(['.', '-']);
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": format!("{name}.{:016x}", OsRng.next_u64()), "namespace": namespace},
            "eventTime": micros(noted.at),
            "reportingController": FIELD_MANAGER, "reportingInstance": self.instance,
            "regarding": regarding,
            "type": if *warning { "Warning" } else { "Normal" },
            "action": reason, "reason": reason, "note": cut(&one_line(note)),
        })
    }
}

async fn send(edge: &Edge, method: Method, path: &str, content: &str, body: &Value) -> Result<(), Failure> {
    let request = request(method, path, content, body.to_string().into_bytes());
    let request = request.map_err(|error| Failure::Network(error.to_string()))?;
    edge.transport.bytes(request).await.map(drop)
}

/// A time as Kubernetes writes its `MicroTime`.
pub(super) fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn cut(note: &str) -> &str {
    let end = (0..=NOTE_LIMIT.min(note.len())).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
    &note[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_notes_are_as_the_api_server_takes_them() {
        assert_eq!(micros("2026-11-22T18:50:00.1234567Z".parse().unwrap()), "2026-11-22T18:50:00.123456Z");
        assert_eq!(cut("short"), "short");
        assert!(cut(&"é".repeat(600)).len() <= NOTE_LIMIT);
    }
}
