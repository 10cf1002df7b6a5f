//! Somebody else's watch: when an object was changed is when everybody can see it.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use tokio::task::JoinHandle;

use crate::clients::resource;
use crate::objects::RESOURCES;

/// Longer than anything takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// One event.
pub struct Seen {
    pub at: Instant,
    pub name: String,
    /// `None` when it was deleted.
    pub revision: Option<String>,
}

/// A watch on the ConfigMaps of one namespace.
pub struct Observer {
    events: Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Observer {
    /// Starts it; what happens from now on is seen.
    pub async fn start(client: Client, namespace: &str) -> Self {
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource(RESOURCES[0]));
        let version = api.list(&ListParams::default().limit(1)).await.expect("a list").metadata.resource_version;
        let version = version.expect("a list has a version");
        let (sender, events) = channel();
        let mut stream = Box::pin(api.watch(&WatchParams::default(), &version).await.expect("a watch"));
        let task = tokio::spawn(async move {
            while let Some(Ok(event)) = stream.next().await {
                let at = Instant::now();
                let (object, deleted) = match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                    WatchEvent::Deleted(object) => (object, true),
                    WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
                };
                let revision = object.data["data"]["revision"].as_str().unwrap_or_default().to_owned();
                let seen = Seen { at, name: object.metadata.name.unwrap_or_default(), revision: (!deleted).then_some(revision) };
                if sender.send(seen).is_err() {
                    return;
                }
            }
        });
        Self { events, task }
    }

    /// When the object was first seen with this revision, or (`None`) gone.
    pub fn wait(&self, name: &str, revision: Option<&str>) -> Instant {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("{name} never becomes {revision:?}"));
            if seen.name == name && seen.revision.as_deref() == revision {
                return seen.at;
            }
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
