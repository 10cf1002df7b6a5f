//! The agent's HTTP: one address for operators (health, metrics, status), and where it is asked for one for the Git host's webhook.
//!
//! Two addresses, because the second has to be reached from outside and the first must not. Both are bounded whoever calls: so many
//! connections at once, each for so long, one request on each.

mod metrics;
mod operators;
mod webhook;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

pub use metrics::Metrics;
pub use operators::Showing;
pub use webhook::{SecretError, Webhook, secret};

/// Connections served at once on each address; more wait in the system's queue. A few probes and scrapes need less.
const MAX_CONNECTIONS: usize = 64;

/// Longest life of a connection, so that those that say nothing do not keep others out.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// Pause after a connection could not be taken, as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer.
type Answer = Response<Full<Bytes>>;

/// Serves until the process ends.
async fn serve<F>(listener: TcpListener, answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static)
where
    F: Future<Output = Answer> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let mut connection = hyper::server::conn::http1::Builder::new();
            let connection = connection.keep_alive(false).serve_connection(TokioIo::new(stream), service);
            // Whoever hangs up or takes too long has had what it wants.
            let _ = timeout(CONNECTION_LIMIT, connection).await;
            drop(place);
        });
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn plain(status: StatusCode, body: &'static str) -> Answer {
    respond(status, "text/plain; charset=utf-8", body)
}

fn only(method: &'static Method, header: &'static str, request: &Request<Incoming>) -> Result<(), Box<Answer>> {
    if request.method() == method {
        return Ok(());
    }
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response.headers_mut().insert(ALLOW, http::HeaderValue::from_static(header));
    Err(Box::new(response))
}
