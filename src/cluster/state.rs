//! The agent's own `ConfigMap`: what it has to remember over a restart.

use std::collections::BTreeMap;

use http::{Method, Request};
use serde_json::{Value, json};

use super::Cluster;
use super::apply::request;
use super::error::ApplyError;
use crate::object::{FIELD_MANAGER, Key, Kind};

impl Cluster {
    /// Data and resource version of a `ConfigMap`; `None` if it is not there.
    pub async fn read_state(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(BTreeMap<String, String>, String)>, ApplyError> {
        let kind = Kind::new("v1", "ConfigMap");
        let path = self.path(&kind, &Key::new(&kind, Some(namespace), name)).await?;
        let request = request(Method::GET, &path, "application/json", Vec::new())?;
        match self.edge.transport.bytes(request).await {
            Ok(bytes) => parse(&bytes).map(Some),
            Err(failure) if failure.code() == 404 => Ok(None),
            Err(failure) => Err(failure.of_object(&kind, Some(namespace))),
        }
    }

    /// Sets the given keys, removes those with `None`, leaves the others; creates the `ConfigMap` if it is not there.
    /// Gives its new resource version.
    pub async fn write_state(
        &self,
        namespace: &str,
        name: &str,
        data: &BTreeMap<String, Option<String>>,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, ApplyError> {
        let kind = Kind::new("v1", "ConfigMap");
        let path = self.path(&kind, &Key::new(&kind, Some(namespace), name)).await?;
        let changes = json!({"metadata": {"labels": labels}, "data": data}).to_string().into_bytes();
        let merge = || -> Result<Request<Vec<u8>>, ApplyError> {
            request(
                Method::PATCH,
                &format!("{path}?fieldManager={FIELD_MANAGER}"),
                "application/merge-patch+json",
                changes.clone(),
            )
        };
        let present: BTreeMap<_, _> = data.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
        let whole = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": present,
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
        });
        let collection = path.rsplit_once('/').map_or(path.as_str(), |(collection, _)| collection);
        let create = request(
            Method::POST,
            &format!("{collection}?fieldManager={FIELD_MANAGER}"),
            "application/json",
            whole.to_string().into_bytes(),
        )?;
        let mut answer = self.edge.transport.bytes(merge()?).await;
        if answer.as_ref().is_err_and(|failure| failure.code() == 404) {
            answer = self.edge.transport.bytes(create).await;
        }
        // Someone created it between the two requests.
        if answer.as_ref().is_err_and(|failure| failure.code() == 409) {
            answer = self.edge.transport.bytes(merge()?).await;
        }
        let bytes = answer.map_err(|failure| failure.of_object(&kind, Some(namespace)))?;
        parse(&bytes).map(|(_, version)| version)
    }
}

fn parse(bytes: &[u8]) -> Result<(BTreeMap<String, String>, String), ApplyError> {
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|error| ApplyError::Transient { message: format!("unreadable ConfigMap: {error}"), retry_after: None })?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let data = value["data"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect();
    Ok((data, text(&value["metadata"]["resourceVersion"])))
}
