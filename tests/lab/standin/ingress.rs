//! The ingress gateway's end: takes the connections of peers, and answers them as istiod's federation server does behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::identity::SpiffeId;
use super::istiod::Istiod;
use super::rules::{Export, Offer};
use super::status::Connection;
use super::wire::{self, Answer, DISCOVERY_PORT, PATIENCE, Question, SERVICE_PORT, Update};

/// Between two attempts to listen on an address that is still in use.
const LISTEN_RETRY: Duration = Duration::from_millis(100);

/// Listens at the load balancer of one gateway until dropped, and with it all its connections.
///
/// With `passes_tls` false the load balancer is one that does not leave TLS alone, as a classic ELB: every handshake fails.
pub async fn serve(istiod: Arc<Istiod>, gateway: String, address: SocketAddr, passes_tls: bool) {
    let listener = listen(address).await;
    let mut connections = JoinSet::new();
    if address.port() == DISCOVERY_PORT {
        connections.spawn(take_requests(SocketAddr::new(address.ip(), SERVICE_PORT)));
    }
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, source)) if passes_tls => {
                    connections.spawn(converse(Arc::clone(&istiod), gateway.clone(), stream, source));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%address, %error, "cannot accept");
                    sleep(LISTEN_RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => tracing::debug!(%address, %error, "cannot listen yet"),
        }
        sleep(LISTEN_RETRY).await;
    }
}

/// The other port of the gateway is open too; no service is behind it.
async fn take_requests(address: SocketAddr) {
    let listener = listen(address).await;
    while listener.accept().await.is_ok() {}
}

async fn converse(istiod: Arc<Istiod>, gateway: String, stream: TcpStream, source: SocketAddr) {
    let epoch = istiod.epoch();
    let conversation = async {
        let acceptor = TlsAcceptor::from(Arc::new(istiod.server_tls(&gateway)));
        let stream = timeout(PATIENCE, acceptor.accept(stream)).await??;
        let client = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first).and_then(SpiffeId::of);
        let client = client.ok_or_else(|| io::Error::other("a client without an identity"))?;
        let mut stream = BufReader::new(stream);
        let Some(question) = timeout(PATIENCE, wire::read(&mut stream)).await?? else { return Ok(()) };
        match istiod.admit(&gateway, &client) {
            Ok(peer) => answer(&istiod, &peer, &source.ip().to_string(), question, epoch, &mut stream).await,
            Err(code) => wire::write(&mut stream, &Answer { code, services: Vec::new() }).await,
        }
    };
    let ended: io::Result<()> = conversation.await;
    if let Err(error) = ended {
        tracing::debug!(gateway, %source, %error, "a peer's connection failed");
    }
}

async fn answer(
    istiod: &Arc<Istiod>,
    peer: &str,
    source: &str,
    question: Question,
    mut epoch: watch::Receiver<u64>,
    stream: &mut BufReader<TlsStream<TcpStream>>,
) -> io::Result<()> {
    let Some(mut exports) = istiod.exports_to(peer) else { return Ok(()) };
    let services = offers(&exports.borrow_and_update());
    match question {
        Question::Hello => wire::write(stream, &Answer { code: 200, services: Vec::new() }).await?,
        Question::Services => {
            wire::write(stream, &Answer { code: 200, services }).await?;
            istiod.with_remote(peer, source, Connection::synced);
        }
        Question::Watch => {
            let watched = Watched::begin(istiod, peer, source);
            wire::write(stream, &Answer { code: 200, services }).await?;
            loop {
                tokio::select! {
                    // The peer says nothing on a watch: whatever comes is its end.
                    _ = stream.read_u8() => break,
                    // istiod, or the gateway's certificate, is another now. Proxies let short conversations end.
                    _ = epoch.changed() => break,
                    changed = exports.changed() => {
                        if changed.is_err() {
                            break;
                        }
                        let services = offers(&exports.borrow_and_update());
                        wire::write(stream, &Update { services }).await?;
                        istiod.with_remote(peer, source, Connection::heard);
                    }
                }
            }
            drop(watched);
        }
    }
    Ok(())
}

fn offers(exports: &[Export]) -> Vec<Offer> {
    exports.iter().map(|export| export.offer.clone()).collect()
}

/// Says in the status that a remote is connected, for as long as it exists.
struct Watched<'a> {
    istiod: &'a Istiod,
    peer: &'a str,
    source: &'a str,
}

impl<'a> Watched<'a> {
    fn begin(istiod: &'a Istiod, peer: &'a str, source: &'a str) -> Self {
        istiod.with_remote(peer, source, Connection::connected);
        Self { istiod, peer, source }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.istiod.with_remote(self.peer, self.source, |remote| remote.disconnected(wire::reason(200)));
    }
}
