//! What the cluster holds, kept up to date by watches, and the few ways in which the stand-in writes to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Task;

/// The kinds that an operator and an istiod look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `ServiceMeshControlPlane`
    ControlPlane,
    /// `ServiceMeshMember`
    Member,
    /// `ServiceMeshMemberRoll`
    MemberRoll,
    /// `ServiceMeshPeer`
    Peer,
    /// `ExportedServiceSet`
    Exports,
    /// `ImportedServiceSet`
    Imports,
    /// `Service`
    Service,
    /// `ServiceAccount`
    ServiceAccount,
    /// `EndpointSlice`
    EndpointSlice,
    /// `ConfigMap`
    ConfigMap,
    /// `Namespace`
    Namespace,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::ControlPlane,
        Self::Member,
        Self::MemberRoll,
        Self::Peer,
        Self::Exports,
        Self::Imports,
        Self::Service,
        Self::ServiceAccount,
        Self::EndpointSlice,
        Self::ConfigMap,
        Self::Namespace,
    ];

    /// Group, version, kind and plural.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::ControlPlane => ("maistra.io", "v2", "ServiceMeshControlPlane", "servicemeshcontrolplanes"),
            Self::Member => ("maistra.io", "v1", "ServiceMeshMember", "servicemeshmembers"),
            Self::MemberRoll => ("maistra.io", "v1", "ServiceMeshMemberRoll", "servicemeshmemberrolls"),
            Self::Peer => ("federation.maistra.io", "v1", "ServiceMeshPeer", "servicemeshpeers"),
            Self::Exports => ("federation.maistra.io", "v1", "ExportedServiceSet", "exportedservicesets"),
            Self::Imports => ("federation.maistra.io", "v1", "ImportedServiceSet", "importedservicesets"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// Which objects of the kind are watched. Of `ConfigMap`s only the root certificate that istiod itself writes and keeps: it has no watch on
    /// those of peers (maistra/istio, pilot/pkg/bootstrap/server.go).
    fn watched(self) -> watcher::Config {
        let config = watcher::Config::default();
        match self {
            Self::ConfigMap => config.fields("metadata.name=istio-ca-root-cert"),
            Self::ServiceAccount | Self::EndpointSlice => config.labels(OWNER),
            _ => config,
        }
    }
}

/// The label by which the operator knows what it has made; its value is the namespace of the control plane.
pub const OWNER: &str = "maistra.io/owner";

/// The field manager of all that the stand-in writes.
const MANAGER: &str = "maistra-istio-operator";

/// Every kind is served by then, or never.
const LISTED_WITHIN: Duration = Duration::from_secs(60);

/// Between two attempts to watch: always short, for a lab's API server comes back soon when a test has stopped it.
struct Pause;

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(300))
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {}
}

/// The watched objects of one cluster.
pub struct View {
    client: Client,
    stores: BTreeMap<Kind, Store<DynamicObject>>,
    changes: watch::Sender<()>,
}

impl View {
    /// Starts the watches and waits until each has listed what there is.
    pub async fn start(client: Client) -> (Arc<Self>, Vec<Task>) {
        let changes = watch::Sender::new(());
        let mut stores = BTreeMap::new();
        let mut tasks = Vec::new();
        for kind in Kind::ALL {
            let resource = kind.resource();
            let writer = Writer::new(resource.clone());
            stores.insert(kind, writer.as_reader());
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let events = watcher(api, kind.watched()).backoff(Pause).reflect(writer);
            let changes = changes.clone();
            tasks.push(Task::spawn(events.for_each(move |event| {
                match event {
                    Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                    Ok(_) => changes.send_replace(()),
                    Err(error) => tracing::debug!(?kind, %error, "watch interrupted"),
                }
                futures::future::ready(())
            })));
        }
        for store in stores.values() {
            let ready = timeout(LISTED_WITHIN, store.wait_until_ready()).await;
            ready.expect("the API server lists every kind of the mesh").expect("the watch runs as long as the view");
        }
        (Arc::new(Self { client, stores, changes }), tasks)
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// All of a kind, by namespace and name.
    pub fn all(&self, kind: Kind) -> Vec<Arc<DynamicObject>> {
        let mut objects = self.stores[&kind].state();
        objects.sort_by_key(|object| (object.namespace(), object.name_any()));
        objects
    }

    /// All of a kind in one namespace, by name.
    pub fn within(&self, kind: Kind, namespace: &str) -> Vec<Arc<DynamicObject>> {
        let mut objects = self.all(kind);
        objects.retain(|object| object.metadata.namespace.as_deref() == Some(namespace));
        objects
    }

    /// One object.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        let mut key = ObjectRef::new_with(name, kind.resource());
        if kind != Kind::Namespace {
            key = key.within(namespace);
        }
        self.stores[&kind].get(&key)
    }

    /// The API of a kind in a namespace (in the cluster, for namespaces themselves).
    pub fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        match kind {
            Kind::Namespace => Api::all_with(self.client.clone(), &kind.resource()),
            _ => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
        }
    }

    /// The client of the cluster.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes sure that an object says what `desired` says, without a request when it does already.
    pub async fn ensure(&self, kind: Kind, namespace: &str, name: &str, desired: &Value) -> Result<(), kube::Error> {
        if self.get(kind, namespace, name).is_some_and(|live| contains(&as_json(&live), desired)) {
            return Ok(());
        }
        let resource = kind.resource();
        let mut object = desired.clone();
        object["apiVersion"] = resource.api_version.into();
        object["kind"] = resource.kind.into();
        object["metadata"]["name"] = name.into();
        let params = PatchParams::apply(MANAGER).force();
        self.api(kind, namespace).patch(name, &params, &Patch::Apply(&object)).await.map(drop)
    }

    /// Changes a live object by a merge patch, without a request when it says so already.
    pub async fn merge(&self, kind: Kind, live: &DynamicObject, change: &Value) -> Result<(), kube::Error> {
        if contains(&as_json(live), change) {
            return Ok(());
        }
        let api = self.api(kind, live.metadata.namespace.as_deref().unwrap_or_default());
        api.patch(&live.name_any(), &PatchParams::default(), &Patch::Merge(change)).await.map(drop)
    }

    /// Writes (parts of) the status of a live object, without a request when it says so already.
    pub async fn set_status(&self, kind: Kind, live: &DynamicObject, status: Value) -> Result<(), kube::Error> {
        let patch = serde_json::json!({ "status": status });
        if contains(&as_json(live), &patch) {
            return Ok(());
        }
        let api = self.api(kind, live.metadata.namespace.as_deref().unwrap_or_default());
        api.patch_status(&live.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
    }

    /// Deletes an object; that it is gone already is as good.
    pub async fn remove(&self, kind: Kind, namespace: &str, name: &str) -> Result<(), kube::Error> {
        match self.api(kind, namespace).delete(name, &DeleteParams::default()).await {
            Err(error) if !is_code(&error, 404) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the API server answered with this code.
pub fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// An object as the API server shows it.
pub fn as_json(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("an object is JSON")
}

/// Whether all that `desired` says is so in `live`: of objects the keys given (null: absent), of lists the whole.
fn contains(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, value)| match live.get(key) {
            Some(live) => contains(live, value),
            None => value.is_null(),
        }),
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len() && live.iter().zip(desired).all(|(live, desired)| contains(live, desired))
        }
        _ => live == desired,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::contains;

    #[test]
    fn what_is_there_already_is_not_written() {
        let live = json!({ "a": 1, "b": [{ "x": 1, "defaulted": true }] });
        assert!(contains(&live, &json!({ "b": [{ "x": 1 }], "gone": null })));
        assert!(!contains(&live, &json!({ "b": [] })));
        assert!(!contains(&live, &json!({ "a": null })));
        assert!(!contains(&live, &json!({ "b": [{ "x": 2 }] })));
    }
}
