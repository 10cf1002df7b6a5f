//! Questions that change nothing: what we may do, what kinds look like, what time it is there, how one object is.

use http::{Method, Request};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::{Value, json};

use super::Cluster;
use super::apply::request;
use super::error::{ApplyError, ClusterError, Failure};
use crate::object::{Key, Kind};

/// One thing that somebody may or may not do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Kind of the objects.
    pub kind: Kind,
    /// Where; `None` in the cluster.
    pub namespace: Option<String>,
    /// The one object; `None` for all.
    pub name: Option<String>,
    /// What is to be done, as RBAC calls it.
    pub verb: &'static str,
}

/// The answer, with the name that rules have for the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Whether we may.
    pub allowed: bool,
    /// Plural of the kind.
    pub resource: String,
}

impl Cluster {
    /// Whether whoever we are may do something (SelfSubjectAccessReview); `None` where the kind is not served.
    pub async fn may(&self, right: &Right) -> Result<Option<Review>, ClusterError> {
        let Right { kind, namespace, name, verb } = right;
        let resource = self.edge.discovery.resolve(kind).await.map_err(|failure| self.trouble(failure))?;
        let Some(resource) = resource.map(|resource| resource.plural) else { return Ok(None) };
        let attributes = json!({"group": kind.group, "resource": resource, "verb": verb, "namespace": namespace, "name": name});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes},
        });
        let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(review.to_string().into_bytes());
        let answer = self.json(request).await?;
        let allowed = answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or_default();
        Ok(Some(Review { allowed, resource }))
    }

    /// The schema of a kind (OpenAPI v3), `None` where it is not served or has none.
    pub async fn schema(&self, kind: &Kind) -> Result<Option<Value>, ClusterError> {
        let served = self.edge.discovery.resolve(kind).await.map_err(|failure| self.trouble(failure))?;
        if served.is_none() {
            return Ok(None);
        }
        let all = self.json(Request::get(format!("/openapi/v3/apis/{}", kind.api_version())).body(Vec::new())).await?;
        let is = |schema: &&Value| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array();
            kinds.into_iter().flatten().any(|of| of["kind"] == *kind.kind)
        };
        let schemas = all.pointer("/components/schemas").and_then(Value::as_object);
        Ok(schemas.and_then(|schemas| schemas.values().find(is)).cloned())
    }

    /// What time it is at the API server; `None` where it does not say.
    pub async fn time(&self) -> Result<Option<Timestamp>, ClusterError> {
        let date = self.edge.transport.date().await.map_err(|failure| self.trouble(failure))?;
        // HTTP writes a date as mail does (RFC 9110, 5.6.7).
        Ok(date.and_then(|date| DateTimeParser::new().parse_timestamp(&date).ok()))
    }

    /// One object as it is now; `None` where there is none, or its kind is not served.
    pub async fn read(&self, kind: &Kind, namespace: Option<&str>, name: &str) -> Result<Option<Value>, ApplyError> {
        let path = match self.path(kind, &Key::new(kind, namespace, name)).await {
            Err(ApplyError::KindMissing { .. }) => return Ok(None),
            path => path?,
        };
        match self.edge.transport.bytes(request(Method::GET, &path, "application/json", Vec::new())?).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(failure) if failure.code() == 404 => Ok(None),
            Err(failure) => Err(failure.of_object(kind, namespace)),
        }
    }

    async fn json(&self, request: Result<Request<Vec<u8>>, http::Error>) -> Result<Value, ClusterError> {
        let request = request.map_err(|error| self.trouble(Failure::Network(error.to_string())))?;
        let bytes = self.edge.transport.bytes(request).await.map_err(|failure| self.trouble(failure))?;
        serde_json::from_slice(&bytes).map_err(|error| self.trouble(Failure::Network(format!("an unreadable answer: {error}"))))
    }

    fn trouble(&self, failure: Failure) -> ClusterError {
        failure.of_cluster(self.url())
    }
}
