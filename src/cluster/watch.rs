//! One task for each scope: list, then follow; after any failure follow on from where it broke off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::io::{AsyncBufReadExt, AsyncReadExt};
use http::Request;
use rand_core::{OsRng, RngCore};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::Edge;
use super::discovery::{Again, Resource, segment};
use super::error::{Failure, one_line};
use super::list::list;
use super::scope::{Problem, Scope, Trouble};
use crate::object::Live;

/// How long the server is asked to keep a watch open: what client-go asks at least, under the usual 5 minutes of proxies.
const WATCH_SECONDS: u32 = 290;

/// A live server sends a bookmark about once a minute; after more than two missed the connection counts as dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(150);

/// A watch that ends sooner did not work, so that a server which closes at once is not asked in a loop.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// First wait after a failure: a server that restarts is back within a second.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Longest wait after a failure: dozens of watches then make a few requests a second on a server that is down.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// How often a denied watch is tried again: nobody tells us when a role is granted.
const DENIED_WAIT: Duration = Duration::from_secs(30);

/// How often to look for a kind whose definition was just established: with growing waits, for about three seconds.
const LOOKS_FOR_NEW_KIND: u32 = 4;

/// Longest event that is read: etcd's limit for an object is 1.5 MiB, JSON of it is a little longer.
const EVENT_LIMIT: u64 = 16 << 20;

/// Why following came to an end.
#[derive(Debug)]
enum Stop {
    /// The server closed the stream, as it does every few minutes.
    Closed,
    /// The server no longer has the history that we would follow: list again.
    Expired,
    /// The kind is not served, says discovery.
    Missing,
    /// The kind is not served, says the request: discovery was out of date.
    Contradicted,
    /// Something else: try again later.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure.code() {
            410 => Self::Expired,
            404 => Self::Contradicted,
            _ => Self::Failed(failure),
        }
    }
}

/// Watches the scope until the task is aborted.
pub(super) async fn run(edge: Arc<Edge>, scope: Scope) {
    let mut again = edge.discovery.subscribe();
    let mut cursor = None;
    let mut failures = 0;
    let mut looks = 0;
    loop {
        let began = Instant::now();
        let stop = follow(&edge, &scope, &mut cursor, &mut failures).await;
        let (problem, wait) = match stop {
            Stop::Closed if began.elapsed() > SHORT_WATCH => {
                failures = 0;
                continue;
            }
            Stop::Closed => (None, backoff(failures)),
            Stop::Expired => {
                cursor = None;
                (None, backoff(failures))
            }
            // A definition that was just installed is discovered a moment before it is served.
            Stop::Contradicted => {
                cursor = None;
                edge.discovery.forget(&scope.kind).await;
                (None, backoff(failures))
            }
            Stop::Missing => {
                cursor = None;
                edge.view.lost(&scope);
                let kind = &scope.kind;
                let message = format!("the cluster does not serve {kind}: install its CustomResourceDefinition or operator");
                let wait = if looks > 0 { backoff(failures) } else { Duration::MAX };
                if looks > 0 {
                    looks -= 1;
                    edge.discovery.forget(kind).await;
                }
                (Some((Trouble::Missing, message)), wait)
            }
            Stop::Failed(failure) if matches!(failure.code(), 401 | 403) => {
                (Some((Trouble::Denied, denied(&scope, &failure))), DENIED_WAIT + jitter(DENIED_WAIT / 4))
            }
            Stop::Failed(failure) => {
                let message = format!("watching {scope} is interrupted: {}", failure.message());
                (Some((Trouble::Interrupted, message)), backoff(failures))
            }
        };
        failures += 1;
        if let Some((trouble, message)) = problem {
            tracing::debug!(%message, "watch");
            edge.view.report(&scope, Some(Problem { trouble, scope: scope.clone(), message }));
        }
        tokio::select! {
            () = sleep(wait) => {}
            Ok(()) = again.changed() => {
                failures = 0;
                looks = if *again.borrow_and_update() == Again::Soon { LOOKS_FOR_NEW_KIND } else { 0 };
            }
        }
    }
}

/// Lists unless there is a version to go on from, then takes events until something ends it.
async fn follow(edge: &Edge, scope: &Scope, cursor: &mut Option<String>, failures: &mut u32) -> Stop {
    match try_follow(edge, scope, cursor, failures).await {
        Ok(()) => Stop::Closed,
        Err(stop) => stop,
    }
}

async fn try_follow(edge: &Edge, scope: &Scope, cursor: &mut Option<String>, failures: &mut u32) -> Result<(), Stop> {
    let resource = edge.discovery.resolve(&scope.kind).await.map_err(Stop::Failed)?.ok_or(Stop::Missing)?;
    let path = path(scope, &resource)?;
    if cursor.is_none() {
        let listing = list(&edge.transport, &scope.kind, &path, &edge.view).await?;
        edge.view.listed(scope, listing.objects, &listing.version);
        *cursor = Some(listing.version);
    }
    let version = cursor.as_deref().unwrap_or_default();
    // Spread over a tenth, so that watches which began together do not all come back together.
    let seconds = WATCH_SECONDS - OsRng.next_u32() % (WATCH_SECONDS / 10);
    let address = format!("{path}&watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}");
    let request = Request::get(address).body(Vec::new()).map_err(|error| broken(&error))?;
    let mut stream = std::pin::pin!(edge.transport.stream(request).await?);
    edge.view.report(scope, None);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut stream).take(EVENT_LIMIT);
        let length = match timeout(SILENCE_LIMIT, limited.read_until(b'\n', &mut line)).await {
            Err(_) => return Err(broken(&format!("no sign of life for {} s", SILENCE_LIMIT.as_secs()))),
            Ok(Err(_)) => return Ok(()), // broke off in the middle: the next request shows what is wrong, if anything
            Ok(Ok(length)) => length,
        };
        if length == 0 || !line.ends_with(b"\n") {
            return Ok(());
        }
        if let Some(version) = take(edge, scope, &line).await? {
            *cursor = Some(version);
            *failures = 0;
        }
    }
}

fn broken(error: &dyn std::fmt::Display) -> Stop {
    Stop::Failed(Failure::Network(error.to_string()))
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// Brings one event into the view; gives the version to go on from.
async fn take(edge: &Edge, scope: &Scope, event: &[u8]) -> Result<Option<String>, Stop> {
    let Event { kind, object } = serde_json::from_slice(event).map_err(|error| broken(&format!("unreadable event: {error}")))?;
    if kind == "ERROR" {
        let status = serde_json::from_value(object).map_err(|error| broken(&format!("unreadable error event: {error}")))?;
        return Err(Failure::Status(Box::new(status)).into());
    }
    if kind == "BOOKMARK" {
        let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned);
        edge.view.bookmark(scope, version.as_deref().unwrap_or_default());
        return Ok(version);
    }
    let Some(live) = Live::new(&object) else { return Ok(None) };
    let version = live.resource_version.to_string();
    match kind.as_str() {
        "ADDED" | "MODIFIED" => {
            edge.view.seen(scope, live);
            if *scope.kind.kind == *"CustomResourceDefinition" && established(&object) {
                edge.discovery.again(Again::Soon).await;
            }
        }
        "DELETED" => edge.view.gone(scope, &live),
        _ => {}
    }
    Ok(Some(version))
}

/// Whether the kind that this defines is served now.
fn established(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

/// Path with a query that more can be added to.
fn path(scope: &Scope, resource: &Resource) -> Result<String, Stop> {
    let namespace = scope.namespace.as_deref().filter(|_| resource.namespaced);
    let collection = resource.collection(namespace).map_err(|error| broken(&format!("no path for {scope}: {error:?}")))?;
    match &scope.name {
        Some(name) if segment(name).is_err() => Err(broken(&format!("`{name}` cannot be a name"))),
        Some(name) => Ok(format!("{collection}?fieldSelector=metadata.name%3D{name}")),
        None => Ok(format!("{collection}?")),
    }
}

/// Who lacks which verbs on what, and what to grant.
fn denied(scope: &Scope, failure: &Failure) -> String {
    let message = failure.message();
    if failure.code() == 401 {
        return format!("cannot watch {scope}: the API server does not accept our credentials");
    }
    let user = message.split('"').skip_while(|part| !part.ends_with("User ")).nth(1);
    let resource = message.split('"').skip_while(|part| !part.ends_with("resource ")).nth(1);
    match (user, resource) {
        (Some(user), Some(resource)) => format!(
            "cannot watch {scope}: grant {user} the verbs get, list and watch on `{resource}` in API group \"{}\"",
            scope.kind.group
        ),
        _ => format!("cannot watch {scope}: {}", one_line(&message)),
    }
}

/// Doubles from the first wait to the longest, and spreads each over half of it.
fn backoff(failures: u32) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT);
    wait / 2 + jitter(wait / 2)
}

/// Anything from nothing to `most`.
fn jitter(most: Duration) -> Duration {
    most.mul_f64(f64::from(OsRng.next_u32()) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind;
    use kube::core::Status;

    #[test]
    fn a_denied_watch_says_what_to_grant() {
        let text = r#"services is forbidden: User "agent" cannot list resource "services" in API group "" in the namespace "n""#;
        let failure = Failure::Status(Status::failure(text, "Forbidden").with_code(403).boxed());
        let message = denied(&Scope::namespaced(Kind::new("v1", "Service"), "n"), &failure);
        let expected = "cannot watch Service objects in namespace n: grant agent the verbs get, list and watch on `services` in API group \"\"";
        assert_eq!(message, expected);
    }

    #[test]
    fn waits_grow_to_a_limit() {
        assert!(backoff(0) <= FIRST_WAIT);
        assert!((backoff(30) <= LONGEST_WAIT) && (backoff(30) >= LONGEST_WAIT / 2));
    }
}
