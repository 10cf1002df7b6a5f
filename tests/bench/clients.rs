//! What the agent is compared with: a bare client and kubectl.

use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, ValidationDirective};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::lab::cluster::Cluster;
use crate::lab::process::Scratch;
use crate::objects::{RESOURCES, kind, object, yaml};

/// As many as the agent has.
const IN_FLIGHT: usize = 32;

/// How a resource is addressed.
pub fn resource((api_version, kind, plural): (&str, &str, &str)) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version.into(),
        kind: kind.into(),
        plural: plural.into(),
    }
}

/// Makes a namespace.
pub fn make_namespace(cluster: &Cluster, name: &str) {
    let output = cluster.kubectl(&["create", "namespace", name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Sends a server-side apply for each of `count` objects into a new namespace, and nothing else.
pub fn bare(cluster: &Cluster, namespace: &str, count: usize) -> Duration {
    make_namespace(cluster, namespace);
    let objects: Vec<Value> = (0..count).map(|number| object(namespace, number, 0)).collect();
    let send = async move {
        let client = cluster.client().await;
        let apis: Vec<Api<DynamicObject>> =
            RESOURCES.iter().map(|known| Api::namespaced_with(client.clone(), namespace, &resource(*known))).collect();
        let parameters = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply("bare") };
        let start = Instant::now();
        let one = |object: Value| {
            let place = RESOURCES.iter().position(|(_, kind, _)| object["kind"] == *kind).expect("a kind that we made");
            let (api, parameters) = (&apis[place], &parameters);
            async move {
                let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
                api.patch(&name, parameters, &Patch::Apply(object)).await
            }
        };
        let answers: Vec<_> = futures::stream::iter(objects).map(one).buffer_unordered(IN_FLIGHT).collect().await;
        let time = start.elapsed();
        for answer in answers {
            answer.unwrap_or_else(|error| panic!("the bare client: {error}"));
        }
        time
    };
    Handle::current().block_on(send)
}

/// `kubectl apply --server-side -f DIR` of the same files into a new namespace.
pub fn kubectl(cluster: &Cluster, scratch: &Scratch, namespace: &str, count: usize) -> Duration {
    make_namespace(cluster, namespace);
    let folder = scratch.join("files");
    std::fs::create_dir_all(&folder).expect("a folder in the scratch directory");
    for number in 0..count {
        let path = folder.join(format!("{number:04}.yaml"));
        std::fs::write(path, yaml(&object(namespace, number, 0))).expect("a file in the scratch directory");
    }
    let folder = folder.display().to_string();
    let start = Instant::now();
    let output = cluster.kubectl(&["apply", "--server-side", "-f", &folder]);
    let time = start.elapsed();
    assert!(output.status.success(), "kubectl: {}", String::from_utf8_lossy(&output.stderr));
    time
}

/// Panics unless a namespace holds `count` objects.
pub fn check(client: &Client, namespace: &str, count: usize) {
    for known in RESOURCES {
        let (_, name, plural) = known;
        let expected = (0..count).filter(|number| kind(*number) == name).count();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(known));
        let there = Handle::current().block_on(api.list_metadata(&ListParams::default())).expect("a list").items;
        let there = there.iter().filter(|object| object.labels().contains_key("team")).count();
        assert_eq!(there, expected, "{plural}");
    }
}

/// A change as somebody makes it by hand.
pub async fn edit(client: &Client, namespace: &str, name: &str) {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(RESOURCES[0]));
    let parameters = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"data": {"revision": "edited"}}));
    api.patch(name, &parameters, &patch).await.unwrap_or_else(|error| panic!("the edit: {error}"));
}

/// A deletion as somebody makes it by hand.
pub async fn delete(client: &Client, namespace: &str, name: &str) {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource(RESOURCES[0]));
    api.delete(name, &DeleteParams::default()).await.unwrap_or_else(|error| panic!("the deletion: {error}"));
}
