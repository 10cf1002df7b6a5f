//! The egress gateway's end: one watch per `ServiceMeshPeer`, and a full sync beside it at every resync.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::BufReader;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::istiod::Istiod;
use super::status::Connection;
use super::wire::{self, Answer, PATIENCE, Question, Update};

/// The first pause after a failed attempt is this share of a resync; each further one is twice as long, up to a resync.
const FIRST_RETRY: u32 = 20;

/// Where and as whom a mesh asks one of its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The peer's name here.
    pub peer: String,
    /// Where its ingress gateway is said to be: bare addresses or names.
    pub addresses: Vec<String>,
    /// The port reachable at those.
    pub port: u16,
    /// This side's egress gateway for the peer.
    pub egress: String,
    /// The trust domain that the peer must prove.
    pub trust_domain: String,
}

type Stream = BufReader<TlsStream<TcpStream>>;

/// Keeps a watch of the peer going until dropped. Errors never end it: they are in the status.
pub async fn run(istiod: Arc<Istiod>, target: Target) {
    let mut resync = istiod.resyncs();
    let first = istiod.options().resync / FIRST_RETRY;
    let mut pause = first;
    let mut attempt = 0;
    loop {
        match ask(&istiod, &target, attempt, Question::Watch).await {
            Ok((answer, stream)) => {
                pause = first;
                istiod.with_watch(&target.peer, Connection::connected);
                istiod.take_import_rules(&target.peer);
                istiod.offered(&target.peer, &answer.services);
                sync(&istiod, &target, attempt).await;
                follow(&istiod, &target, attempt, stream, &mut resync).await;
                // Its answer was 200 once, and that is what istiod remembers of a watch that ends.
                istiod.with_watch(&target.peer, |watch| watch.disconnected(wire::reason(200)));
            }
            Err(why) => istiod.with_watch(&target.peer, |watch| watch.disconnected(&why)),
        }
        attempt += 1;
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(istiod.options().resync),
            _ = resync.changed() => {}
        }
    }
}

/// Reads what the peer pushes, and makes a full sync at each resync, until the watch ends.
async fn follow(istiod: &Arc<Istiod>, target: &Target, attempt: usize, mut stream: Stream, resync: &mut watch::Receiver<u64>) {
    let mut epoch = istiod.epoch();
    let (updates, mut received) = tokio::sync::mpsc::channel(1);
    // Reading a line must not be cut off in its middle by a resync, so it has a task of its own.
    let _reader = super::Task::spawn(async move {
        while let Ok(Some(update)) = wire::read::<Update>(&mut stream).await {
            if updates.send(update).await.is_err() {
                break;
            }
        }
    });
    loop {
        tokio::select! {
            update = received.recv() => match update {
                Some(update) => {
                    istiod.with_watch(&target.peer, Connection::heard);
                    istiod.offered(&target.peer, &update.services);
                }
                None => break,
            },
            _ = resync.changed() => sync(istiod, target, attempt).await,
            _ = epoch.changed() => break,
        }
    }
}

/// A full sync asks anew, on a connection of its own. When that fails the watch stays as it is; only `lastFullSync` stands still.
async fn sync(istiod: &Arc<Istiod>, target: &Target, attempt: usize) {
    match ask(istiod, target, attempt, Question::Services).await {
        Ok((answer, _)) => {
            istiod.take_import_rules(&target.peer);
            istiod.with_watch(&target.peer, Connection::synced);
            istiod.offered(&target.peer, &answer.services);
        }
        Err(why) => tracing::debug!(peer = target.peer, why, "full sync failed"),
    }
}

/// One handshake with a peer as its next connection would make it, with nothing said after it.
pub async fn hello(istiod: &Arc<Istiod>, target: &Target) -> Result<(), String> {
    ask(istiod, target, 0, Question::Hello).await.map(drop)
}

/// Connects to one of the addresses in turn and asks; an error is the text of `lastDisconnectStatus`.
async fn ask(istiod: &Arc<Istiod>, target: &Target, attempt: usize, question: Question) -> Result<(Answer, Stream), String> {
    istiod.egress_problem(&target.egress).map_or(Ok(()), Err)?;
    let (answer, stream) = timeout(PATIENCE, exchange(istiod, target, attempt, question))
        .await
        .map_err(|_| wire::reason(503).to_owned())?
        .map_err(|error| {
            tracing::debug!(peer = target.peer, %error, "cannot ask a peer");
            wire::reason(503).to_owned()
        })?;
    match answer.code {
        200 => Ok((answer, stream)),
        code => Err(wire::reason(code).to_owned()),
    }
}

async fn exchange(
    istiod: &Arc<Istiod>,
    target: &Target,
    attempt: usize,
    question: Question,
) -> std::io::Result<(Answer, Stream)> {
    use std::io::{Error, ErrorKind};

    let count = target.addresses.len().max(1);
    let address = target.addresses.get(attempt % count).ok_or_else(|| Error::new(ErrorKind::NotFound, "no address"))?;
    let ip = istiod
        .options()
        .dns
        .lookup(address)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no such host: {address}")))?;
    let tls = istiod.client_tls(target).ok_or_else(|| Error::other("no roots for the trust domain"))?;

    let socket = TcpSocket::new_v4()?;
    socket.bind((istiod.options().pool.source(), 0).into())?;
    let stream = socket.connect(SocketAddr::new(ip, target.port)).await?;
    let name =
        ServerName::try_from(format!("discovery.{}.svc.{}.local", istiod.namespace(), target.peer)).map_err(Error::other)?;
    let mut stream = BufReader::new(TlsConnector::from(Arc::new(tls)).connect(name, stream).await?);
    wire::write(&mut stream, &question).await?;
    let answer = wire::read(&mut stream).await?.ok_or(ErrorKind::UnexpectedEof)?;
    Ok((answer, stream))
}
