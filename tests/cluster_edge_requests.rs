//! What the cluster's edge costs the API server, and what it does when that goes away.

use super::*;

#[tokio::test]
async fn connecting_costs_a_list_and_a_watch_each_and_quiet_costs_nothing() {
    let lab = Lab::builder("edge-requests").without_crds().audit().start();
    let cluster = connect(&lab).await;
    assert_eq!(cluster.uid().await.unwrap().len(), 36);
    let services = Kind::new("v1", "Service");
    let scopes = ["a", "b", "c"].map(|namespace| Scope::namespaced(config_maps(), namespace));
    let wanted: BTreeSet<Scope> = scopes.into_iter().chain([Scope::everywhere(services)]).collect();
    cluster.watch(&wanted);
    cluster.synced().await;
    // A watch is in the log when it has begun, which is after the listing that `synced` waits for.
    let watches = || lab.requests_by("meshfed/").iter().filter(|request| request.verb == "watch").count();
    until(&cluster.view(), "the last watch", |_| (watches() == 4).then_some(())).await;
    let before = lab.requests_by("meshfed/");
    assert_eq!(before.len(), 1 + 1 + 4 + 4, "uid, discovery, lists, watches: {before:#?}");

    cluster.watch(&wanted);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(lab.requests_by("meshfed/").len(), before.len());
}

#[tokio::test]
async fn watches_resume_after_the_api_server_was_away() {
    let mut lab = Lab::builder("edge-restart").without_crds().start();
    let cluster = connect_to(&lab, "edge").await;
    let view = cluster.view();
    cluster.apply(&mk_config_map("edge", "a", &json!({"k": "1"})), false).await.unwrap();
    lab.stop();
    let error = cluster.apply(&mk_config_map("edge", "b", &json!({})), false).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let message = cluster.uid().await.unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot reach the API server at {}: ", lab.url())), "{message}");
    let interrupted = |view: &View| view.problems().into_iter().find(|problem| problem.trouble == Trouble::Interrupted);
    let problem = until(&view, "the interruption", interrupted).await;
    eprintln!("{message}\n{}", problem.message);
    assert!(view.get(&key("edge", "a")).is_some(), "what was known stays known");

    lab.start_again();
    kubectl(&lab, &["patch", "configmap", "a", "-n", "edge", "-p", r#"{"data":{"k":"2"}}"#]);
    let changed = |view: &View| view.get(&key("edge", "a")).filter(|live| data(live) == json!({"k": "2"}));
    until(&view, "the change", changed).await;
    assert_eq!(view.problems(), []);
}

/// Prints how the first apply of 1,000 objects compares with a bare client; only the outcome is asserted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_objects_are_applied_as_a_bare_client_would() {
    let lab = Lab::builder("edge-thousand").without_crds().start();
    let cluster = connect_to(&lab, "edge").await;
    let objects = |prefix: &str| -> Vec<(Arc<Object>, bool)> {
        let text = "x".repeat(2000);
        (0..1000).map(|n| (Arc::new(mk_config_map("edge", &format!("{prefix}-{n}"), &json!({"k": text}))), false)).collect()
    };
    let bare = |prefix: &str| {
        let objects = objects(prefix);
        async {
            let (group, version, kind, plural) =
                (String::new(), "v1".to_owned(), "ConfigMap".to_owned(), "configmaps".to_owned());
            let resource = ApiResource { group, api_version: version.clone(), version, kind, plural };
            let api: Api<DynamicObject> = Api::namespaced_with(lab.client().await, "edge", &resource);
            let start = Instant::now();
            let one = |(object, _): (Arc<Object>, bool)| {
                let api = api.clone();
                async move { api.patch(&object.key.name, &PatchParams::apply("bare"), &Patch::Apply(&object.value())).await.unwrap() }
            };
            futures::stream::iter(objects).map(one).buffer_unordered(32).for_each(async |_| {}).await;
            start.elapsed()
        }
    };
    let first = bare("bare-a").await;
    let before = resident();
    let start = Instant::now();
    let results = cluster.apply_all(objects("ours"), APPLIES_IN_FLIGHT).collect::<Vec<_>>().await;
    let ours = start.elapsed();
    let second = bare("bare-b").await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(results.len(), 1000);
    let mean = (first + second) / 2;
    eprintln!("bare {first:?} and {second:?}, ours {ours:?}: {:.2}×", ours.as_secs_f64() / mean.as_secs_f64());
    eprintln!(
        "resident before {before} kB, after {} kB, {} objects in view",
        resident(),
        cluster.view().snapshot().objects().len()
    );
    let again = connect(&lab).await;
    let start = Instant::now();
    again.watch(&[Scope::namespaced(config_maps(), "edge")].into());
    again.synced().await;
    eprintln!("{} objects listed in {:?}", again.view().snapshot().objects().len(), start.elapsed());
    assert_eq!(again.view().snapshot().objects().len(), 3000);
}

/// `VmRSS` of this process, with the lab in it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_looked_for_only_when_asked() {
    let lab = Lab::builder("edge-missing").without_crds().audit().start();
    let cluster = connect(&lab).await;
    let kind = Kind::new("edge.example.org/v1", "Never");
    cluster.watch(&[Scope::everywhere(kind.clone()), Scope::namespaced(kind, "n")].into());
    cluster.synced().await;
    assert_eq!(cluster.missing().len(), 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.requests_by("meshfed/").len(), 1);
    cluster.rediscover().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(lab.requests_by("meshfed/").len(), 2);
}
