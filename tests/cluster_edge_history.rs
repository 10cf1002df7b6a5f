//! What a real API server does only after minutes: losing the history that a watch would follow.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Answers one request as an API server does whose history of `ConfigMap`s is gone when the first watch comes.
async fn answer(mut stream: TcpStream, lists: Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut lines = BufReader::new(&mut stream).lines();
    let first = lines.next_line().await?.unwrap_or_default();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let config_map = |name: &str, version: &str| json!({"metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": version}});
    let listed = || lists.load(SeqCst);
    let (body, hold) = if first.contains("watch=true") {
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}});
        (if listed() == 1 { format!("{gone}\n") } else { String::new() }, listed() > 1)
    } else if first.contains("configmaps") {
        let (version, items) = match lists.fetch_add(1, SeqCst) {
            0 => ("10", json!([config_map("changed", "1"), config_map("gone", "2"), config_map("same", "3")])),
            _ => ("20", json!([config_map("changed", "15"), config_map("same", "3")])),
        };
        (json!({"metadata": {"resourceVersion": version}, "items": items}).to_string(), false)
    } else {
        (json!({"resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": true}]}).to_string(), false)
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    if hold {
        tokio::time::sleep(PATIENCE).await;
    }
    stream.shutdown().await
}

#[tokio::test]
async fn lost_history_is_listed_anew_without_forgetting_and_names_only_what_changed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lists = Arc::new(AtomicUsize::new(0));
    let counter = lists.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, counter.clone()));
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("config");
    let content = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}]});
    std::fs::write(&kubeconfig, content.to_string()).unwrap();
    let cluster = Cluster::connect(&ClusterOptions { kubeconfig: Some(kubeconfig), context: None }).await.unwrap();
    cluster.watch(&[Scope::namespaced(config_maps(), "n")].into());
    cluster.synced().await;
    assert!(cluster.changed().await.watches);
    let view = cluster.view();
    let old = view.get(&key("n", "same")).unwrap();

    let mut keys = BTreeSet::new();
    while keys.len() < 2 {
        assert!(view.get(&key("n", "same")).is_some(), "what is known stays known");
        keys.append(&mut tokio::time::timeout(PATIENCE, cluster.changed()).await.unwrap().keys);
    }
    assert_eq!(keys, [key("n", "changed"), key("n", "gone")].into());
    assert!(Arc::ptr_eq(&old, &view.get(&key("n", "same")).unwrap()), "no second copy");
    assert_eq!(lists.load(SeqCst), 2, "no storm");
}
