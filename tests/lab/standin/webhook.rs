//! The operator's admission webhook, served to the real API server over TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

use super::identity::Authority;
use super::view::{Kind, View};
use super::{Task, admission, trust};

/// How long the API server may take until it asks the webhook.
const ACTIVE_WITHIN: Duration = Duration::from_secs(20);

/// The largest request that is read: an admission review of the largest object that etcd takes, twice.
const REQUEST_LIMIT: usize = 4 << 20;

/// Serves the webhook, registers it, and waits until the API server asks it.
pub async fn start(view: &Arc<View>) -> Task {
    let authority = Authority::new("maistra-admission-controller");
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port for the webhook");
    let port = listener.local_addr().expect("a listener has an address").port();
    let acceptor = TlsAcceptor::from(Arc::new(trust::server_for_anybody(authority.issue_local_server())));
    let serving = Task::spawn(serve(listener, acceptor, Arc::clone(view)));
    register(view, port, &authority.root_pem()).await;
    serving
}

async fn register(view: &View, port: u16, root: &str) {
    use base64::Engine as _;

    let kinds = [("v2", "servicemeshcontrolplanes"), ("v1", "servicemeshmemberrolls"), ("v1", "servicemeshmembers")];
    let webhooks = kinds.map(|(version, plural)| {
        json!({
            "name": format!("{plural}.validation.maistra.io"),
            "clientConfig": {
                "url": format!("https://127.0.0.1:{port}/{plural}"),
                "caBundle": base64::engine::general_purpose::STANDARD.encode(root),
            },
            "rules": [{ "apiGroups": ["maistra.io"], "apiVersions": [version], "operations": ["CREATE", "UPDATE"], "resources": [plural] }],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
        })
    });
    let gvk = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "validatingwebhookconfigurations");
    let api: Api<DynamicObject> = Api::all_with(view.client().clone(), &resource);
    let name = "openshift-operators.servicemesh-resources.maistra.io";
    let configuration =
        json!({ "apiVersion": resource.api_version, "kind": resource.kind, "metadata": { "name": name }, "webhooks": webhooks });
    let params = PatchParams::apply("maistra-istio-operator").force();
    api.patch(name, &params, &Patch::Apply(&configuration)).await.expect("the webhook can be registered");

    // The API server learns of it by a watch of its own. It is active when a member that only it would refuse is refused.
    let mut probe = DynamicObject::new("not-default", &Kind::Member.resource()).within("default");
    probe.data = json!({ "spec": { "controlPlaneRef": { "name": "none", "namespace": "none" } } });
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let deadline = Instant::now() + ACTIVE_WITHIN;
    loop {
        match view.api(Kind::Member, "default").create(&dry_run, &probe).await {
            Err(kube::Error::Api(status)) if status.message.contains("denied the request") => return,
            other => assert!(Instant::now() < deadline, "the API server does not ask the webhook: {other:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, view: Arc<View>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let (acceptor, view) = (acceptor.clone(), Arc::clone(&view));
                connections.spawn(async move {
                    if let Err(error) = converse(&acceptor, stream, &view).await {
                        tracing::debug!(%error, "a call of the webhook failed");
                    }
                });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// As much of HTTP/1.1 as the API server needs: requests with a length, one after the other.
async fn converse(acceptor: &TlsAcceptor, stream: TcpStream, view: &View) -> io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    loop {
        let mut length = None;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok().filter(|length| *length <= REQUEST_LIMIT);
            }
        }
        let mut body = vec![0; length.ok_or_else(|| io::Error::other("a request without a length"))?];
        stream.read_exact(&mut body).await?;
        let review: Value = serde_json::from_slice(&body)?;
        let refusal = admission::refusal(&review["request"], view).await;
        let mut response = json!({ "uid": review["request"]["uid"], "allowed": refusal.is_none() });
        if let Some(message) = refusal {
            response["status"] = json!({ "code": 400, "reason": "BadRequest", "message": message });
        }
        let answer = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response }).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all((head + &answer).as_bytes()).await?;
        stream.flush().await?;
    }
}
