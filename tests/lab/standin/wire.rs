//! What istiods say to each other: one JSON document a line, over TLS that the gateways have made.
//!
//! In life this is HTTP: a GET of `/v1/services/` for a full sync, a long GET of `/v1/watch` for what changes in between
//! (maistra/istio, pkg/servicemesh/federation/discovery and server). Only what the two mean is kept.

use std::io;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::rules::Offer;

/// The port on which ingress gateways take questions of peers.
pub const DISCOVERY_PORT: u16 = 8188;

/// The port on which they take requests for services.
pub const SERVICE_PORT: u16 = 15443;

/// Longest wait for one step of a conversation that has begun: a machine that is busy with something else must not look like a peer that
/// refuses.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Longest line that is read: thousands of services fit.
const LINE_LIMIT: u64 = 4 << 20;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// All services, once.
    Services,
    /// All services, now and whenever they change.
    Watch,
    /// Nothing: whoever asks wants to know whether it would be answered.
    Hello,
}

/// What a server answers first; on a watch, `Update`s follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// As in HTTP.
    pub code: u16,
    /// What is offered; nothing unless the code is 200.
    pub services: Vec<Offer>,
}

/// A change on a watch.
#[derive(Debug, Serialize, Deserialize)]
pub struct Update {
    /// All that is offered now.
    pub services: Vec<Offer>,
}

/// The code as it appears in `lastDisconnectStatus`.
pub fn reason(code: u16) -> &'static str {
    match code {
        200 => "200 OK",
        400 => "400 Bad Request",
        403 => "403 Forbidden",
        _ => "503 Service Unavailable",
    }
}

/// Writes one document.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), document: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(document)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await
}

/// Reads one document; `None` at the end.
pub async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    if stream.take(LINE_LIMIT).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
