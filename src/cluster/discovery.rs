//! Kind → path. Asked once for each group and version; what is not served is remembered too.

use std::collections::BTreeMap;

use http::Request;
use serde::Deserialize;
use tokio::sync::{Mutex, watch};

use super::connect::Transport;
use super::error::Failure;
use crate::object::Kind;

/// Where objects of a kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) plural: String,
    pub(super) namespaced: bool,
    prefix: String,
}

/// Why an object has no path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PathError {
    /// A name that the server could take for something else than one name.
    Name(String),
    /// The kind lives in namespaces and none is given.
    NamespaceNeeded,
    /// The kind does not live in namespaces and one is given.
    NoNamespaceAllowed,
}

impl Resource {
    /// Of all objects, or those in one namespace.
    pub(super) fn collection(&self, namespace: Option<&str>) -> Result<String, PathError> {
        match namespace {
            None => Ok(format!("{}/{}", self.prefix, self.plural)),
            Some(_) if !self.namespaced => Err(PathError::NoNamespaceAllowed),
            Some(namespace) => Ok(format!("{}/namespaces/{}/{}", self.prefix, segment(namespace)?, self.plural)),
        }
    }

    /// Of one object.
    pub(super) fn object(&self, namespace: Option<&str>, name: &str) -> Result<String, PathError> {
        if self.namespaced && namespace.is_none() {
            return Err(PathError::NamespaceNeeded);
        }
        Ok(format!("{}/{}", self.collection(namespace)?, segment(name)?))
    }
}

/// Kubernetes' own rule for names in paths, and nothing that an address would have to escape.
pub(super) fn segment(name: &str) -> Result<&str, PathError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@".contains(&byte);
    if name.is_empty() || name == "." || name == ".." || !name.bytes().all(plain) {
        return Err(PathError::Name(name.to_owned()));
    }
    Ok(name)
}

#[derive(Deserialize)]
struct ResourceList {
    resources: Vec<ApiResource>,
}

#[derive(Deserialize)]
struct ApiResource {
    name: String,
    kind: String,
    namespaced: bool,
}

/// What one group and version serves, by kind.
type Served = BTreeMap<String, Resource>;

/// Why to look for kinds again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Someone asked; nothing says that there is a new kind.
    Perhaps,
    /// A definition was established. It is in discovery within seconds, so looking once may be too early.
    Soon,
}

/// The cache. A quiet agent never asks.
pub(super) struct Discovery {
    transport: Transport,
    cache: Mutex<BTreeMap<String, Served>>,
    again: watch::Sender<Again>,
}

impl Discovery {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, cache: Mutex::default(), again: watch::Sender::new(Again::Perhaps) }
    }

    /// Where this kind is; `None` if the cluster does not serve it.
    pub(super) async fn resolve(&self, kind: &Kind) -> Result<Option<Resource>, Failure> {
        // Held while asking, so that a burst of watches on one group asks once.
        let mut cache = self.cache.lock().await;
        let api_version = kind.api_version();
        if let Some(served) = cache.get(&api_version) {
            return Ok(served.get(&*kind.kind).cloned());
        }
        let prefix = if kind.group.is_empty() { format!("/api/{api_version}") } else { format!("/apis/{api_version}") };
        let served = self.ask(&prefix).await?;
        let found = served.get(&*kind.kind).cloned();
        cache.insert(api_version, served);
        Ok(found)
    }

    async fn ask(&self, prefix: &str) -> Result<Served, Failure> {
        let Ok(request) = Request::get(prefix).body(Vec::new()) else {
            return Ok(Served::new()); // not even an address: certainly not served
        };
        let bytes = match self.transport.bytes(request).await {
            Err(failure) if failure.code() == 404 => return Ok(Served::new()),
            other => other?,
        };
        let list: ResourceList = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Network(format!("unreadable discovery of {prefix}: {error}")))?;
        let own = list.resources.into_iter().filter(|resource| !resource.name.contains('/')); // others are subresources
        Ok(own
            .map(|ApiResource { name, kind, namespaced }| {
                (kind, Resource { plural: name, namespaced, prefix: prefix.to_owned() })
            })
            .collect())
    }

    /// The server contradicted the cache: ask again next time.
    pub(super) async fn forget(&self, kind: &Kind) {
        self.cache.lock().await.remove(&kind.api_version());
    }

    /// Forgets all and wakes whoever waits for a kind.
    pub(super) async fn again(&self, why: Again) {
        self.cache.lock().await.clear();
        self.again.send_replace(why);
    }

    /// Wakes with every [`Self::again`].
    pub(super) fn subscribe(&self) -> watch::Receiver<Again> {
        self.again.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(namespaced: bool) -> Resource {
        Resource { plural: "peers".into(), namespaced, prefix: "/apis/g/v1".into() }
    }

    #[test]
    fn paths_follow_the_scope_of_the_kind() {
        assert_eq!(resource(true).object(Some("n"), "a").unwrap(), "/apis/g/v1/namespaces/n/peers/a");
        assert_eq!(resource(true).collection(None).unwrap(), "/apis/g/v1/peers");
        assert_eq!(resource(false).object(None, "a").unwrap(), "/apis/g/v1/peers/a");
        assert_eq!(resource(true).object(None, "a"), Err(PathError::NamespaceNeeded));
        assert_eq!(resource(false).object(Some("n"), "a"), Err(PathError::NoNamespaceAllowed));
    }

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        for name in ["", "..", "a/b", "a%2fb", "a?x=1", "a#b", "a b"] {
            assert_eq!(resource(true).object(Some("n"), name), Err(PathError::Name(name.into())), "{name}");
        }
        assert!(resource(false).object(None, "system:node").is_ok());
    }
}
