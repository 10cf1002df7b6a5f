//! TLS in front of a server that speaks none, and a proxy in front of everything.

use super::certs::Authority;
use super::http::read_request;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// TLS in front of a server at an `http://` address: what comes in goes there, and back. Clients need a certificate of `clients`, if given.
pub fn in_front(authority: &Authority, behind: &str, clients: Option<&Authority>) -> SocketAddr {
    let behind = behind.trim_start_matches("http://").split('/').next().expect("an address has a host").to_owned();
    let identity = authority.server(&["localhost", "127.0.0.1", "*.lab.example"]);
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("the lab's certificates are PEM");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("the lab's keys are PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().expect("ring knows the default versions");
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(certificate(&clients.root())).expect("the lab's roots are roots");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.expect("one root is enough"))
        }
    };
    let config = config.with_single_cert(vec![certificate(&identity.certificate)], key).expect("the key is the certificate's");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime can be made");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port of 127.0.0.1 is free");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || {
        runtime.block_on(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?; // a client that does not trust us hangs up
                    let mut server = tokio::net::TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut stream, &mut server).await.map(drop)
                });
            }
        });
    });
    address
}

/// A proxy that knows only `CONNECT`, and remembers where to.
pub struct Proxy {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Proxy {
    /// Serves until the process ends. Lets in whoever shows this header `Proxy-Authorization`, or everybody.
    pub fn start(authorization: Option<&str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1 is free");
        let address = listener.local_addr().expect("a listener has an address");
        let (seen, wanted) = (Arc::default(), authorization.map(str::to_owned));
        let remember = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, wanted) = (Arc::clone(&remember), wanted.clone());
                // A client that goes away in the middle is its own business.
                thread::spawn(move || tunnel(&stream, &seen, wanted.as_deref()).ok());
            }
        });
        Self { address, seen }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients wanted to go so far, and what they showed for it.
    pub fn seen(&self) -> Vec<(String, Option<String>)> {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

type Seen = Mutex<Vec<(String, Option<String>)>>;

fn tunnel(mut stream: &TcpStream, seen: &Seen, wanted: Option<&str>) -> io::Result<()> {
    let Some(request) = read_request(&mut BufReader::new(stream), stream)? else { return Ok(()) };
    let shown = request.header("proxy-authorization").map(str::to_owned);
    seen.lock().expect("nobody panics with it").push((request.target.clone(), shown.clone()));
    if wanted.is_some() && shown.as_deref() != wanted {
        return stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    if request.method != "CONNECT" {
        return stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    }
    let server = TcpStream::connect(&request.target)?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    thread::scope(|scope| {
        scope.spawn(|| copy(stream, &server));
        copy(&server, stream)
    })
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write); // it may have closed already
    copied.map(drop)
}
