//! From options to a client: which configuration counts, and what we say when it is no good.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt};
use http::{HeaderValue, Request};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tokio::time::timeout;

use super::error::{ClusterError, Failure};
use super::fence::{Fence, Fenced};

/// Names the agent in the server's audit log.
const USER_AGENT: &str = concat!("meshfed/", env!("CARGO_PKG_VERSION"));

/// Within a data centre a connection takes milliseconds; a dropped packet must not hold a pass for the client's default 30 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than any admission webhook may take (its own limit is 30 s), so that their answer is the one that is seen.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);

/// Most that is read of one answer: more than a small page of the largest objects that etcd holds (see `list`), and not
/// so much that a namespace full of large objects ends the agent for its memory.
const RESPONSE_LIMIT: usize = 48 << 20;

/// Where the cluster is. With neither, the pod's service account counts, else the usual kubeconfig rules.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context in it, instead of the current one.
    pub context: Option<String>,
}

impl ClusterOptions {
    /// Whether they name a cluster, or we run in one. What kubectl would take by itself may be any.
    pub fn name_one(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || Config::incluster().is_ok()
    }
}

/// The way to the API server: a client, a time limit, and the address for messages.
#[derive(Clone)]
pub(super) struct Transport {
    client: Client,
    pub(super) url: String,
    /// The namespace that the configuration names: the pod's own, or that of the kubeconfig's context.
    pub(super) namespace: String,
    fence: Fence,
}

impl Transport {
    pub(super) async fn connect(options: &ClusterOptions) -> Result<Self, ClusterError> {
        let mut config = configuration(options).await.map_err(ClusterError::Configuration)?;
        config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Retries belong to the next pass, which knows whether the object is still wanted.
        config.default_retry = false;
        let (url, namespace) = (address(&config.cluster_url), config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| ClusterError::Configuration(Failure::new(error).message()))?;
        Ok(Self { client, url, namespace, fence: Fence::default() })
    }

    /// The same way behind this fence.
    pub(super) fn behind(&self, fence: Fence) -> Self {
        Self { fence, ..self.clone() }
    }

    /// The whole answer, within the time limit. What writes is sent only while this process may write, and given up when it may not any more.
    pub(super) async fn bytes(&self, mut request: Request<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        let mut limit = REQUEST_TIMEOUT;
        if !request.method().is_safe()
            && let Some(end) = self.fence.until().map_err(|Fenced| fenced())?
        {
            limit = limit.min(end.left());
            request = limited(request, limit)?;
        }
        let answer = async {
            let mut stream = std::pin::pin!(self.client.request_stream(request).await.map_err(Failure::new)?);
            let mut body = Vec::new();
            // By hand, because `read_to_end` clears the rest of its buffer for each chunk: 3 s for 8 MB instead of 0.1 s.
            loop {
                let chunk =
                    stream.fill_buf().await.map_err(|error| Failure::Network(format!("the answer broke off: {error}")))?;
                let length = chunk.len();
                if length == 0 {
                    return Ok(body);
                }
                if body.len() + length > RESPONSE_LIMIT {
                    return Err(Failure::TooLarge);
                }
                body.extend_from_slice(chunk);
                stream.consume_unpin(length);
            }
        };
        timeout(limit, answer).await.unwrap_or_else(|_| Err(no_answer(limit)))
    }

    /// When the server answered, in its own words.
    pub(super) async fn date(&self) -> Result<Option<String>, Failure> {
        let request = Request::get("/version").body(Body::empty()).map_err(|error| Failure::Network(error.to_string()))?;
        let answer = timeout(REQUEST_TIMEOUT, self.client.send(request)).await;
        let answer = answer.map_err(|_| no_answer(REQUEST_TIMEOUT))?.map_err(Failure::new)?;
        Ok(answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok()).map(str::to_owned))
    }

    /// An answer that goes on; only its beginning has a time limit.
    pub(super) async fn stream(&self, request: Request<Vec<u8>>) -> Result<impl AsyncBufRead + use<>, Failure> {
        match timeout(REQUEST_TIMEOUT, self.client.request_stream(request)).await {
            Ok(answer) => answer.map_err(Failure::new),
            Err(_) => Err(no_answer(REQUEST_TIMEOUT)),
        }
    }
}

fn no_answer(limit: Duration) -> Failure {
    Failure::Network(format!("no answer within {} s", limit.as_secs()))
}

fn fenced() -> Failure {
    Failure::Network("this agent does not lead".to_owned())
}

/// Has the API server give up the request after that time (its parameter `timeout` of every request), so that a write which waits there for
/// an admission webhook is not done after another agent has begun.
fn limited(mut request: Request<Vec<u8>>, limit: Duration) -> Result<Request<Vec<u8>>, Failure> {
    let joint = if request.uri().query().is_some() { '&' } else { '?' };
    let address = format!("{}{joint}timeout={}ms", request.uri(), limit.as_millis().max(1));
    *request.uri_mut() = address.parse().map_err(|error: http::uri::InvalidUri| Failure::Network(error.to_string()))?;
    Ok(request)
}

async fn configuration(options: &ClusterOptions) -> Result<Config, String> {
    let ClusterOptions { kubeconfig, context } = options;
    if kubeconfig.is_none()
        && context.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    let choice = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| explain(&error, Some(path)))?;
            Config::from_custom_kubeconfig(file, &choice).await.map_err(|error| explain(&error, Some(path)))
        }
        None => Config::from_kubeconfig(&choice).await.map_err(|error| explain(&error, None)),
    }
}

/// One line that says what to do, and never quotes the file: it holds tokens and keys.
fn explain(error: &KubeconfigError, path: Option<&Path>) -> String {
    let place = path.map_or_else(|| "the default kubeconfig".to_owned(), |path| format!("kubeconfig {}", path.display()));
    match error {
        KubeconfigError::FindPath => "neither in a pod nor is there a kubeconfig; give one with --kubeconfig".to_owned(),
        KubeconfigError::ReadConfig(error, path) => format!("cannot read kubeconfig {}: {error}", path.display()),
        KubeconfigError::Parse(_) => format!("{place} is not valid YAML of a kubeconfig"),
        KubeconfigError::CurrentContextNotSet => format!("{place} has no current context; name one with --context"),
        KubeconfigError::LoadContext(name) => format!("{place} has no context `{name}`"),
        KubeconfigError::LoadClusterOfContext(name) => format!("{place} has no cluster `{name}`"),
        other => format!("{place}: {}", super::error::one_line(&other.to_string())),
    }
}

/// Without a path, and without a user and password that someone wrote into the address.
fn address(url: &http::Uri) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme_str().unwrap_or("https"), url.host().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(text: &str, context: Option<&str>) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, text).unwrap();
        let options = ClusterOptions { kubeconfig: Some(path), context: context.map(str::to_owned) };
        let message = Transport::connect(&options).await.map(|_| ()).unwrap_err().to_string();
        message.replace(&directory.path().display().to_string(), "")
    }

    #[tokio::test]
    async fn a_broken_kubeconfig_is_explained_without_quoting_it() {
        let message = failure("users: [{name: x, user: {token: verysecret}", None).await;
        assert_eq!(message, "cannot configure the client: kubeconfig /config is not valid YAML of a kubeconfig");
    }

    #[tokio::test]
    async fn a_missing_context_is_named() {
        let message = failure("apiVersion: v1\nkind: Config\n", Some("prod")).await;
        assert_eq!(message, "cannot configure the client: kubeconfig /config has no context `prod`");
    }

    #[test]
    fn the_api_server_is_told_how_long_a_write_may_take() {
        let uri = |address: &str| {
            let request = Request::delete(address).body(Vec::new()).unwrap();
            limited(request, Duration::from_millis(2500)).unwrap().uri().to_string()
        };
        assert_eq!(uri("/api/v1/namespaces/n/configmaps/a"), "/api/v1/namespaces/n/configmaps/a?timeout=2500ms");
        assert_eq!(uri("/api/v1/namespaces?force=true"), "/api/v1/namespaces?force=true&timeout=2500ms");
    }

    #[test]
    fn the_address_has_no_password() {
        assert_eq!(address(&"https://u:p@example.org:6443/x".parse().unwrap()), "https://example.org:6443");
    }
}
