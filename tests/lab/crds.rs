//! The custom resource definitions of the mesh operator, of Istio and of the operator's package manager.
//!
//! Those in the directory that `MESHFED_LAB_CRDS` names, or else in `../shared/crds` beside the project, come first: they are what real clusters serve.
//! What is not there comes from `crds/` (the operator's, reduced to what matters here) and from Istio's Go module.

use super::servers;
use futures::future::join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

const OURS: [&str; 7] = [
    include_str!("crds/exportedservicesets.yaml"),
    include_str!("crds/importedservicesets.yaml"),
    include_str!("crds/servicemeshcontrolplanes.yaml"),
    include_str!("crds/servicemeshmemberrolls.yaml"),
    include_str!("crds/servicemeshmembers.yaml"),
    include_str!("crds/servicemeshpeers.yaml"),
    include_str!("crds/subscriptions.yaml"),
];

const ISTIO: [&str; 8] = [
    "authorizationpolicies.security.istio.io",
    "destinationrules.networking.istio.io",
    "gateways.networking.istio.io",
    "peerauthentications.security.istio.io",
    "serviceentries.networking.istio.io",
    "sidecars.networking.istio.io",
    "virtualservices.networking.istio.io",
    "workloadentries.networking.istio.io",
];

/// By name.
pub type Definitions = BTreeMap<String, Value>;

/// Makes the cluster serve all of them, and returns when it does.
pub async fn load(client: &Client) {
    join_all(definitions().iter().map(|(name, definition)| serve(client, name, definition))).await;
}

async fn serve(client: &Client, name: &str, definition: &Value) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let applied = api.patch(name, &PatchParams::apply("lab").force(), &Patch::Apply(definition)).await;
    applied.unwrap_or_else(|e| panic!("the API server refuses the definition of {name}: {e}"));
    let spec = &definition["spec"];
    for version in spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true) {
        let path = format!("{}/{}", text(spec, "/group"), text(version, "/name"));
        wait_until_served(client, &path, text(spec, "/names/plural")).await;
    }
}

/// A definition that is established is served, and is found by clients that look for it, only a moment later.
async fn wait_until_served(client: &Client, version: &str, plural: &str) {
    for _ in 0..600 {
        let found = client.list_api_group_resources(version).await;
        if found.is_ok_and(|list| list.resources.iter().any(|resource| resource.name == plural)) {
            let list = http::Request::get(format!("/apis/{version}/{plural}?limit=1")).body(Vec::new());
            if client.request_text(list.expect("a request without a body")).await.is_ok() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{plural} of {version} are not served after 30 s");
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("a definition has no {pointer}"))
}

/// All that a cluster of the lab serves.
pub fn definitions() -> &'static Definitions {
    static DEFINITIONS: OnceLock<Definitions> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let mut all = real_directory().map(|dir| real(&dir)).unwrap_or_default();
        for (name, definition) in ours() {
            all.entry(name).or_insert(definition);
        }
        if !ISTIO.iter().all(|name| all.contains_key(*name)) {
            for (name, definition) in istio() {
                all.entry(name).or_insert(definition);
            }
        }
        all
    })
}

/// The project's own, written down from the facts that matter here.
pub fn ours() -> Definitions {
    OURS.into_iter().flat_map(|text| parse(text, Path::new("tests/lab/crds"))).collect()
}

/// Where definitions of a real cluster are, if anywhere.
pub fn real_directory() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MESHFED_LAB_CRDS") {
        return Some(named.into());
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("shared/crds");
    beside.is_dir().then_some(beside)
}

/// The definitions in a directory of YAML files, each with one definition, several documents, or a list.
pub fn real(dir: &Path) -> Definitions {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("cannot read {}: {e}", dir.display()));
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let yaml = paths.filter(|path| path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json"));
    yaml.flat_map(|path| parse_file(&path)).collect()
}

fn istio() -> Definitions {
    parse_file(&servers::istio_crds()).into_iter().filter(|(name, _)| ISTIO.contains(&name.as_str())).collect()
}

fn parse_file(path: &Path) -> Definitions {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    parse(&text, path)
}

fn parse(text: &str, path: &Path) -> Definitions {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut definitions = Definitions::new();
    for mut document in documents {
        let items = match document.get_mut("items") {
            Some(Value::Array(items)) => std::mem::take(items),
            _ => vec![document],
        };
        for item in items.into_iter().filter(|item| item["kind"] == "CustomResourceDefinition") {
            let name =
                item["metadata"]["name"].as_str().unwrap_or_else(|| panic!("{}: a definition has no name", path.display()));
            definitions.insert(name.to_owned(), loadable(name, &item["spec"]));
        }
    }
    definitions
}

/// What can be applied to an empty cluster: without what another cluster noted, and without the conversion webhook, which does not run here.
fn loadable(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("conversion");
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": name },
        "spec": spec,
    })
}
