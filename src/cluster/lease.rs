//! A Lease (`coordination.k8s.io/v1`): read, followed, and written only over the version that was seen.

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::AsyncReadExt;
use futures::io::{AsyncBufRead, AsyncBufReadExt};
use http::{Method, Request};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Cluster;
use super::apply::request;
use super::connect::Transport;
use super::error::Failure;
use super::events::micros;
use super::fence::Fence;
use crate::model::names;
use crate::object::{FIELD_MANAGER, Key, Kind};

/// API version of Leases.
const LEASE_VERSION: &str = "coordination.k8s.io/v1";

/// Length of one watch, in seconds; the API server ends it then and we follow anew.
const WATCH_SECONDS: u32 = 300;

/// Longest event that is read: a Lease with its managed fields takes two kilobytes.
const EVENT_LIMIT: u64 = 1 << 20;

/// Where a Lease is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasePlace {
    /// Its namespace; `None` is that of the client's configuration: the pod's own, or that of the kubeconfig's context.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl FromStr for LeasePlace {
    type Err = String;

    /// `[NAMESPACE/]NAME`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name));
        for label in namespace.into_iter().chain([name]) {
            names::label(label)?;
        }
        Ok(Self { namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }
}

/// How a Lease is kept: the defaults are those of Kubernetes' own controllers (client-go `tools/leaderelection`), which operators know and which
/// an API server that is restarted or slow for some seconds does not disturb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long others leave it alone after its last renewal.
    pub duration: Duration,
    /// How long its holder writes after its last renewal. What is left until the end of the duration is for what is still on the wire.
    pub renew_deadline: Duration,
    /// Time between two renewals, and between two tries.
    pub retry: Duration,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { duration: seconds(15), renew_deadline: seconds(10), retry: seconds(2) }
    }
}

/// Shortest time between two renewals: what a request takes on a busy API server.
const MIN_RETRY: Duration = Duration::from_millis(100);

/// Longest duration: nobody wants to wait longer for what a crashed agent did.
const MAX_DURATION: Duration = Duration::from_secs(10 * 60);

/// Least time between the end of a leader's term and the end of its Lease: longer than what is on the wire takes to arrive.
const MARGIN: Duration = Duration::from_secs(1);

impl LeaseTerms {
    /// Why they would not do; in words that go after the name of a setting.
    pub fn fault(&self) -> Option<String> {
        let show = humantime::format_duration;
        let Self { duration, renew_deadline, retry } = *self;
        if retry < MIN_RETRY {
            Some(format!("tries {} apart are less than {} apart", show(retry), show(MIN_RETRY)))
        } else if renew_deadline < retry * 2 {
            Some(format!("a deadline of {} leaves no time for two tries {} apart", show(renew_deadline), show(retry)))
        } else if duration < renew_deadline + MARGIN {
            let (duration, deadline, margin) = (show(duration), show(renew_deadline), show(MARGIN));
            Some(format!("a Lease of {duration} does not outlast the deadline of {deadline} by {margin}"))
        } else if duration > MAX_DURATION {
            Some(format!("a Lease of {} is longer than {}", show(duration), show(MAX_DURATION)))
        } else {
            None
        }
    }
}

/// Part in the choice of a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// The Lease by which it is chosen.
    pub place: LeasePlace,
    /// Name of this replica, for people.
    pub identity: String,
    /// How the Lease is kept.
    pub terms: LeaseTerms,
}

/// A Lease as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it; nobody where it was given back.
    pub holder: Option<String>,
    /// How long it holds after its last renewal.
    pub duration: Duration,
    /// How often it has passed on.
    pub transitions: u64,
    /// When it passed to its holder, by that one's clock; for people.
    pub acquired: String,
    /// When it was renewed last, by its holder's clock; what decides only ever compares it with itself.
    pub renewed: String,
    /// Version of the object.
    pub version: String,
    /// Identity of the object.
    pub uid: Arc<str>,
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who holds it from now on; `None` gives it back.
    pub holder: Option<String>,
    /// How long; kept to whole seconds, rounded up.
    pub duration: Duration,
    /// How often it has passed on.
    pub transitions: u64,
    /// Whether it passes on with this.
    pub acquires: bool,
}

/// Why a Lease was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody has written it meanwhile, or it is not there (any more).
    #[error("somebody else has written it meanwhile")]
    Conflict,
    /// No answer, or one that says no. Whether it was written is not known.
    #[error("{0}")]
    Failed(String),
}

impl From<Failure> for LeaseError {
    fn from(failure: Failure) -> Self {
        if failure.code() == 409 { Self::Conflict } else { Self::Failed(failure.message()) }
    }
}

/// The way to one Lease. It passes no fence: by it the fence is opened.
pub struct LeaseClient {
    transport: Transport,
    collection: String,
    name: String,
    /// Which one it is.
    pub key: Key,
}

/// The kind of all Leases.
pub fn lease_kind() -> Kind {
    Kind::new(LEASE_VERSION, "Lease")
}

impl Cluster {
    /// The way to a Lease.
    pub fn lease(&self, place: &LeasePlace) -> LeaseClient {
        let transport = self.edge.transport.behind(Fence::default());
        LeaseClient {
            collection: format!("/apis/{LEASE_VERSION}/namespaces/{}/leases", self.lease_namespace(place)),
            name: place.name.clone(),
            key: Key::new(&lease_kind(), Some(self.lease_namespace(place)), &place.name),
            transport,
        }
    }

    /// The namespace that a Lease lies in.
    pub fn lease_namespace<'a>(&'a self, place: &'a LeasePlace) -> &'a str {
        place.namespace.as_deref().unwrap_or(&self.edge.transport.namespace)
    }
}

impl LeaseClient {
    /// The Lease; `None` if it is not there.
    pub async fn read(&self) -> Result<Option<Lease>, LeaseError> {
        let request = get(&format!("{}/{}", self.collection, self.name))?;
        match self.transport.bytes(request).await {
            Ok(bytes) => parse(&bytes).map(Some),
            Err(failure) if failure.code() == 404 => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Writes it over this version, makes it where there is none.
    pub async fn write(&self, over: Option<&str>, claim: &Claim) -> Result<Lease, LeaseError> {
        let now = micros(Timestamp::now());
        let seconds = claim.duration.as_secs() + u64::from(claim.duration.subsec_nanos() > 0);
        let mut spec = json!({
            "holderIdentity": claim.holder, "leaseDurationSeconds": seconds, "leaseTransitions": claim.transitions,
            "renewTime": now,
        });
        if claim.acquires {
            spec["acquireTime"] = json!(now);
        }
        let (method, path, content, metadata) = match over {
            Some(version) => {
                let path = format!("{}/{}", self.collection, self.name);
                (Method::PATCH, path, "application/merge-patch+json", json!({"resourceVersion": version}))
            }
            None => (Method::POST, self.collection.clone(), "application/json", json!({"name": self.name})),
        };
        let body = json!({"apiVersion": LEASE_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec});
        let request = request(method, &format!("{path}?fieldManager={FIELD_MANAGER}"), content, body.to_string().into_bytes());
        let request = request.map_err(|error| LeaseError::Failed(error.to_string()))?;
        match self.transport.bytes(request).await {
            Ok(bytes) => parse(&bytes),
            Err(failure) if failure.code() == 404 && over.is_some() => Err(LeaseError::Conflict),
            Err(failure) => Err(failure.into()),
        }
    }

    /// What happens to it after this version.
    pub async fn follow(&self, version: &str) -> Result<LeaseChanges, LeaseError> {
        let Self { collection, name, .. } = self;
        let address = format!(
            "{collection}?watch=true&fieldSelector=metadata.name%3D{name}&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        );
        let stream = self.transport.stream(get(&address)?).await?;
        Ok(LeaseChanges { stream: Box::pin(stream), line: Vec::new() })
    }
}

/// What happens to a Lease.
pub struct LeaseChanges {
    stream: Pin<Box<dyn AsyncBufRead + Send>>,
    line: Vec<u8>,
}

impl LeaseChanges {
    /// Waits for the next change: the Lease, or that it is gone. An error where the stream has ended.
    ///
    /// Nothing is lost if the future is dropped before it is ready.
    pub async fn next(&mut self) -> Result<Option<Lease>, LeaseError> {
        let ended = || LeaseError::Failed("the watch has ended".to_owned());
        let mut limited = (&mut self.stream).take(EVENT_LIMIT.saturating_sub(self.line.len() as u64));
        let read = limited.read_until(b'\n', &mut self.line).await;
        if !matches!(read, Ok(1..)) || !self.line.ends_with(b"\n") {
            return Err(ended());
        }
        let line = std::mem::take(&mut self.line);
        let Event { kind, object } = serde_json::from_slice(&line).map_err(|_| ended())?;
        match kind.as_str() {
            "ADDED" | "MODIFIED" => Ok(Some(lease(&object))),
            "DELETED" => Ok(None),
            _ => Err(ended()),
        }
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

fn get(address: &str) -> Result<Request<Vec<u8>>, LeaseError> {
    Request::get(address).body(Vec::new()).map_err(|error| LeaseError::Failed(error.to_string()))
}

fn parse(bytes: &[u8]) -> Result<Lease, LeaseError> {
    let value = serde_json::from_slice(bytes).map_err(|error| LeaseError::Failed(format!("unreadable Lease: {error}")))?;
    Ok(lease(&value))
}

fn lease(value: &Value) -> Lease {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    Lease {
        holder: Some(text("/spec/holderIdentity")).filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(number("/spec/leaseDurationSeconds")),
        transitions: number("/spec/leaseTransitions"),
        acquired: text("/spec/acquireTime"),
        renewed: text("/spec/renewTime"),
        version: text("/metadata/resourceVersion"),
        uid: text("/metadata/uid").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_was_given_back_has_no_holder() {
        let spec = json!({"leaseDurationSeconds": 15, "leaseTransitions": 3, "renewTime": "2026-11-23T01:00:00.000000Z"});
        let read = lease(&json!({"metadata": {"resourceVersion": "7", "uid": "u"}, "spec": spec}));
        assert_eq!((read.holder, read.duration, read.transitions), (None, Duration::from_secs(15), 3));
        assert_eq!(lease(&json!({"spec": {"holderIdentity": ""}})).holder, None);
    }

    #[test]
    fn terms_leave_time_for_tries_and_for_what_is_on_the_wire() {
        let fault = |duration: u64, renew_deadline: u64, retry: u64| {
            let millis = Duration::from_millis;
            LeaseTerms { duration: millis(duration), renew_deadline: millis(renew_deadline), retry: millis(retry) }.fault()
        };
        assert_eq!(LeaseTerms::default().fault(), None);
        assert_eq!(fault(3000, 2000, 500), None);
        assert_eq!(fault(15_000, 14_500, 2000).unwrap(), "a Lease of 15s does not outlast the deadline of 14s 500ms by 1s");
        assert_eq!(fault(15_000, 3000, 2000).unwrap(), "a deadline of 3s leaves no time for two tries 2s apart");
        assert!(fault(3000, 2000, 50).is_some() && fault(3_600_000, 2000, 500).is_some());
    }

    #[tokio::test]
    async fn changes_are_read_until_the_stream_ends() {
        let stream = concat!(
            r#"{"type":"MODIFIED","object":{"spec":{"holderIdentity":"a"}}}"#,
            "\n",
            r#"{"type":"DELETED","object":{}}"#,
            "\n",
            r#"{"type":"MODIF"#
        );
        let mut changes = LeaseChanges { stream: Box::pin(stream.as_bytes()), line: Vec::new() };
        assert_eq!(changes.next().await.unwrap().and_then(|lease| lease.holder), Some("a".into()));
        assert_eq!(changes.next().await, Ok(None));
        assert!(changes.next().await.is_err());
    }
}
