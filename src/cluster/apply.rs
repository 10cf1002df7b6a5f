//! Writing: server-side apply of what we want, giving back what we no longer want, deleting what is ours.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use http::{Method, Request, header};
use serde_json::{Value, json};

use super::Cluster;
use super::discovery::PathError;
use super::error::{ApplyError, Failure};
use crate::object::{FIELD_MANAGER, Key, Kind, Live, Object};

/// Applies in flight at once. Measured on two cores, throughput stops growing near this number; it is well under the
/// share that API priority and fairness gives to one client, so that the agent never starves others.
pub const APPLIES_IN_FLIGHT: usize = 32;

const APPLY: &str = "application/apply-patch+yaml"; // JSON is YAML; the only type that all supported servers take

impl Cluster {
    /// Applies one object under our field manager, its bytes as they are, with unknown fields refused.
    ///
    /// `force` takes fields away from other managers.
    pub async fn apply(&self, object: &Object, force: bool) -> Result<Arc<Live>, ApplyError> {
        let bytes = self.patch(&object.kind, &object.key, object.body.to_vec(), force).await?;
        let live = Arc::new(read(&bytes)?);
        self.edge.view.wrote(&live);
        Ok(live)
    }

    /// Applies many, at most `limit` at once. Each comes with its own result as soon as it is done.
    pub fn apply_all(
        &self,
        items: Vec<(Arc<Object>, bool)>,
        limit: usize,
    ) -> impl Stream<Item = (Arc<Object>, Result<Arc<Live>, ApplyError>)> {
        let one = async move |(object, force): (Arc<Object>, bool)| (object.clone(), self.apply(&object, force).await);
        futures::stream::iter(items).map(one).buffer_unordered(limit.max(1))
    }

    /// Gives the object back: exactly the fields that only we own go, everything else stays. Creates nothing.
    pub async fn release(&self, live: &Live) -> Result<(), ApplyError> {
        let Live { kind, key, uid, .. } = live;
        let mut metadata = json!({"name": key.name, "uid": uid}); // the uid makes the server refuse to create
        if let Some(namespace) = &key.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let body = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": metadata});
        match self.patch(kind, key, body.to_string().into_bytes(), false).await {
            Ok(bytes) => {
                self.edge.view.wrote(&Arc::new(read(&bytes)?));
                Ok(())
            }
            // Gone, or another object of that name: nothing there is ours.
            Err(ApplyError::Transient { message, .. }) if message.contains("uid mismatch") => Ok(()),
            Err(ApplyError::Refused { message, .. }) if message.contains("metadata.uid: Invalid value") => Ok(()),
            Err(ApplyError::NamespaceMissing { .. } | ApplyError::KindMissing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes this very object; one that was made anew under its name stays. Already gone is done.
    pub async fn delete(&self, live: &Live) -> Result<(), ApplyError> {
        let path = match self.path(&live.kind, &live.key).await {
            Err(ApplyError::KindMissing { .. }) => return Ok(()),
            other => other?,
        };
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {"uid": live.uid},
        });
        let request = request(Method::DELETE, &path, "application/json", options.to_string().into_bytes())?;
        match self.edge.transport.bytes(request).await {
            Ok(bytes) => {
                match serde_json::from_slice::<Value>(&bytes).ok().as_ref().and_then(Live::new) {
                    Some(ending) => self.edge.view.wrote(&Arc::new(ending)), // its finalizers still run
                    None => self.edge.view.deleted(live),
                }
                Ok(())
            }
            Err(failure) if failure.code() == 404 => {
                self.edge.view.deleted(live); // or the next pass, which may come before the event, deletes it again
                Ok(())
            }
            Err(failure) if failure.code() == 409 => Ok(()),
            Err(failure) => Err(failure.of_object(&live.kind, live.key.namespace.as_deref())),
        }
    }

    async fn patch(&self, kind: &Kind, key: &Key, body: Vec<u8>, force: bool) -> Result<Vec<u8>, ApplyError> {
        let path = self.path(kind, key).await?;
        let address = format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict&force={force}");
        let request = request(Method::PATCH, &address, APPLY, body)?;
        let answer = self.edge.transport.bytes(request).await;
        let answer = answer.map_err(|failure| failure.of_object(kind, key.namespace.as_deref()));
        if matches!(answer, Err(ApplyError::KindMissing { .. })) {
            self.edge.discovery.forget(kind).await; // it was served before
        }
        answer
    }

    /// Path of one object, by discovery.
    pub(super) async fn path(&self, kind: &Kind, key: &Key) -> Result<String, ApplyError> {
        let found = self.edge.discovery.resolve(kind).await;
        let resource = found.map_err(|failure| failure.of_object(kind, None))?;
        let resource = resource.ok_or_else(|| ApplyError::KindMissing { kind: kind.clone() })?;
        resource.object(key.namespace.as_deref(), &key.name).map_err(|error| {
            let message = match error {
                PathError::Name(name) => format!("`{name}` cannot be a name: use letters, digits, `-` and `.`"),
                PathError::NamespaceNeeded => format!("{} lives in a namespace: set metadata.namespace", kind.kind),
                PathError::NoNamespaceAllowed => format!("{} lives in no namespace: remove metadata.namespace", kind.kind),
            };
            ApplyError::Refused { reason: "Invalid".to_owned(), message }
        })
    }
}

/// A request with a body.
pub(super) fn request(method: Method, address: &str, content: &str, body: Vec<u8>) -> Result<Request<Vec<u8>>, ApplyError> {
    let request = Request::builder().method(method).uri(address).header(header::CONTENT_TYPE, content).body(body);
    request.map_err(|error| ApplyError::Refused { reason: "Invalid".to_owned(), message: error.to_string() })
}

fn read(bytes: &[u8]) -> Result<Live, ApplyError> {
    let live = serde_json::from_slice::<Value>(bytes).ok().as_ref().and_then(Live::new);
    live.ok_or_else(|| {
        Failure::Network("the API server answered with something else than the object".to_owned())
            .of_object(&Kind::new("v1", "Status"), None)
    })
}
