//! Kubeconfig files, and a Kubernetes client for code that is not asynchronous.

use super::certs::Identity;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// A kubeconfig whose one context is named after the cluster, with everything inside; JSON, which is YAML too.
pub fn render(cluster: &str, port: u16, root: &str, user: &str, identity: &Identity) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "contexts": [{ "name": cluster, "context": { "cluster": cluster, "user": user } }],
        "clusters": [{ "name": cluster, "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": BASE64_STANDARD.encode(root),
        } }],
        "users": [{ "name": user, "user": {
            "client-certificate-data": BASE64_STANDARD.encode(&identity.certificate),
            "client-key-data": BASE64_STANDARD.encode(&identity.key),
        } }],
    });
    serde_json::to_string_pretty(&config).expect("JSON can be written")
}

/// A client of the current context. It belongs to the runtime in which this is awaited.
pub async fn client(path: &Path) -> Client {
    let context = || format!("the kubeconfig {}", path.display());
    let kubeconfig = Kubeconfig::read_from(path).unwrap_or_else(|e| panic!("{}: {e}", context()));
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap_or_else(|e| panic!("{}: {e}", context()));
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).unwrap_or_else(|e| panic!("{}: {e}", context()))
}

/// Runs a future to its end, also when called from within a runtime (which must not be blocked on directly).
pub fn block_on<F>(future: F) -> F::Output
where
    F: Future + Send,
    F::Output: Send,
{
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a tokio runtime can be made").block_on(future)
    };
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(output) => output,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
