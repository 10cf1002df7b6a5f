//! The agent's own `ConfigMap`: what it has to remember over a restart.

use std::collections::BTreeMap;

use http::{Method, Request};
use serde_json::{Value, json};

use super::Cluster;
use super::apply::request;
use super::connect::Transport;
use super::error::ApplyError;
use super::fence::Fence;
use crate::object::{FIELD_MANAGER, Key, Kind};

/// Field manager of what somebody asks the agent by an annotation; its own fields stay its own.
const ASKER: &str = "meshfed-reconcile";

impl Cluster {
    /// Data and resource version of a `ConfigMap`; `None` if it is not there.
    pub async fn read_state(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(BTreeMap<String, String>, String)>, ApplyError> {
        Ok(self.whole_state(namespace, name).await?.as_ref().map(content))
    }

    /// The whole `ConfigMap`; `None` if it is not there.
    pub async fn whole_state(&self, namespace: &str, name: &str) -> Result<Option<Value>, ApplyError> {
        let kind = Kind::new("v1", "ConfigMap");
        let path = self.path(&kind, &Key::new(&kind, Some(namespace), name)).await?;
        let request = request(Method::GET, &path, "application/json", Vec::new())?;
        state_answer(&self.edge.transport, request, namespace).await
    }

    /// Sets an annotation, whoever else writes and whether or not this process leads, because it asks for something and does nothing; gives the whole `ConfigMap`, or `None` if it is not there.
    pub async fn annotate_state(
        &self,
        namespace: &str,
        name: &str,
        annotation: &str,
        value: &str,
    ) -> Result<Option<Value>, ApplyError> {
        let kind = Kind::new("v1", "ConfigMap");
        let path = self.path(&kind, &Key::new(&kind, Some(namespace), name)).await?;
        let path = format!("{path}?fieldManager={ASKER}");
        let body = json!({"metadata": {"annotations": {annotation: value}}}).to_string().into_bytes();
        let request = request(Method::PATCH, &path, "application/merge-patch+json", body)?;
        state_answer(&self.edge.transport.behind(Fence::default()), request, namespace).await
    }

    /// Sets the given keys, removes those with `None`, leaves the others, and does the same with labels and annotations in `metadata`; gives
    /// the new resource version. `version` is the one that the `ConfigMap` was read or written at, `None` where there was none. Nothing is
    /// written, and `None` is the answer, if it is another now.
    pub async fn write_state(
        &self,
        namespace: &str,
        name: &str,
        data: &BTreeMap<String, Option<String>>,
        metadata: &Value,
        version: Option<&str>,
    ) -> Result<Option<String>, ApplyError> {
        let kind = Kind::new("v1", "ConfigMap");
        let path = self.path(&kind, &Key::new(&kind, Some(namespace), name)).await?;
        let mut metadata = metadata.clone();
        let request = if let Some(version) = version {
            metadata["resourceVersion"] = json!(version);
            let changes = json!({"metadata": metadata, "data": data});
            let path = format!("{path}?fieldManager={FIELD_MANAGER}");
            request(Method::PATCH, &path, "application/merge-patch+json", changes.to_string().into_bytes())?
        } else {
            let present: BTreeMap<_, _> = data.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
            (metadata["name"], metadata["namespace"]) = (json!(name), json!(namespace));
            let whole = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": present, "metadata": metadata});
            let collection = path.rsplit_once('/').map_or(path.as_str(), |(collection, _)| collection);
            let path = format!("{collection}?fieldManager={FIELD_MANAGER}");
            request(Method::POST, &path, "application/json", whole.to_string().into_bytes())?
        };
        match self.edge.transport.bytes(request).await {
            Ok(bytes) => value(&bytes).map(|value| Some(content(&value).1)),
            // Written or created by somebody else since, or deleted.
            Err(failure) if failure.code() == 409 || (failure.code() == 404 && version.is_some()) => Ok(None),
            Err(failure) => Err(failure.of_object(&kind, Some(namespace))),
        }
    }
}

async fn state_answer(transport: &Transport, request: Request<Vec<u8>>, namespace: &str) -> Result<Option<Value>, ApplyError> {
    match transport.bytes(request).await {
        Ok(bytes) => value(&bytes).map(Some),
        Err(failure) if failure.code() == 404 => Ok(None),
        Err(failure) => Err(failure.of_object(&Kind::new("v1", "ConfigMap"), Some(namespace))),
    }
}

fn value(bytes: &[u8]) -> Result<Value, ApplyError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApplyError::Transient { message: format!("unreadable ConfigMap: {error}"), retry_after: None })
}

/// Data and resource version.
fn content(value: &Value) -> (BTreeMap<String, String>, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data = value["data"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect();
    (data, text(&value["metadata"]["resourceVersion"]))
}
