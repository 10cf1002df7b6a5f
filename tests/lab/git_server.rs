//! A Git server over smart HTTP: `git http-backend` behind a small HTTP server, which can also be made to misbehave.

use super::git_store::{GitStore, git};
use super::http::{Request, read_request, write_chunks};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// A running server of one repository; dropping it ends it. What can be done with the repository itself, [`GitStore`] does.
pub struct GitServer {
    store: GitStore,
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// How connections are treated.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Serve,
    Stall,
    Refuse,
    Closed,
}

struct Shared {
    root: PathBuf,
    state: Mutex<State>,
}

struct State {
    mood: Mood,
    /// The one header value that lets in.
    authorization: Option<String>,
    /// Status line and headers that are given in place of any answer.
    answer: Option<String>,
    /// Targets that begin with the first are redirected to the second, by this status.
    redirect: Option<(String, String, String)>,
    /// What time it is, as its answers say.
    date: Option<String>,
    connections: usize,
    stalled: Vec<TcpStream>,
    requests: Vec<String>,
}

impl GitServer {
    /// Makes an empty repository in `dir` and serves it on a free port of 127.0.0.1.
    pub fn start(dir: &Path) -> Self {
        let store = GitStore::create(dir);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of 127.0.0.1 is free");
        let address = listener.local_addr().expect("a listener has an address");
        let state = State {
            mood: Mood::Serve,
            authorization: None,
            answer: None,
            redirect: None,
            date: None,
            connections: 0,
            stalled: Vec::new(),
            requests: Vec::new(),
        };
        let shared = Arc::new(Shared { root: dir.to_owned(), state: Mutex::new(state) });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { store, address, shared, acceptor: Some(acceptor) }
    }

    /// The repository's address over HTTP.
    pub fn url(&self) -> String {
        format!("http://{}/repo.git", self.address)
    }

    /// The same with a user and a password in it.
    pub fn url_with(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@{}/repo.git", self.address)
    }

    /// From now on lets nobody in without this user's password.
    pub fn require_password(&self, user: &str, password: &str) {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.shared.state().authorization = Some(format!("Basic {credentials}"));
    }

    /// From now on accepts connections and requests, and never answers.
    pub fn stall(&self) {
        self.shared.turn(Mood::Stall);
    }

    /// From now on drops every connection at once.
    pub fn refuse(&self) {
        self.shared.turn(Mood::Refuse);
    }

    /// Ends [`Self::stall`] and [`Self::refuse`]; connections that were stalled are dropped.
    pub fn recover(&self) {
        self.shared.turn(Mood::Serve);
    }

    /// How many connections wait for an answer because of [`Self::stall`].
    pub fn stalled(&self) -> usize {
        self.shared.state().stalled.len()
    }

    /// From now on gives this status line and these headers in place of any answer, or answers again.
    pub fn answer(&self, head: Option<&str>) {
        self.shared.state().answer = head.map(str::to_owned);
    }

    /// From now on redirects targets that begin with `from` by this status to `to` and what follows.
    pub fn redirect(&self, status: &str, from: &str, to: &str) {
        self.shared.state().redirect = Some((from.to_owned(), to.to_owned(), status.to_owned()));
    }

    /// From now on says with each answer that it is this time, as HTTP writes it.
    pub fn tell_the_time(&self, date: &str) {
        self.shared.state().date = Some(date.to_owned());
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Method and target of every request so far, also of those not let in.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state().requests.clone()
    }
}

impl Deref for GitServer {
    type Target = GitStore;

    fn deref(&self) -> &GitStore {
        &self.store
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.shared.turn(Mood::Closed);
        // Wakes the acceptor, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl State {
    /// What a request gets in place of the repository's answer.
    fn canned(&self, target: &str) -> Option<String> {
        let redirect = || {
            let (from, to, status) = self.redirect.as_ref()?;
            Some(format!("{status}\r\nLocation: {to}{}", target.strip_prefix(from)?))
        };
        self.answer.clone().or_else(redirect)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, mood: Mood) {
        let mut state = self.state();
        state.mood = mood;
        if mood != Mood::Stall {
            state.stalled.clear();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().flatten() {
        if shared.state().mood == Mood::Closed {
            return;
        }
        let shared = Arc::clone(shared);
        // A client that goes away in the middle is its own business.
        thread::spawn(move || serve(&stream, &shared).ok());
    }
}

/// Answers requests until the client closes the connection, or as long as the mood lasts.
fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    // Otherwise the end of an answer waits for the client to acknowledge its beginning, which takes 40 ms.
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    shared.state().connections += 1;
    if shared.state().mood == Mood::Refuse {
        return Ok(());
    }
    while let Some(request) = read_request(&mut reader, stream)? {
        let (wanted, canned) = {
            let mut state = shared.state();
            match state.mood {
                Mood::Serve => {}
                // The connection stays open as long as this copy of it does.
                Mood::Stall => {
                    state.stalled.push(stream.try_clone()?);
                    return Ok(());
                }
                Mood::Refuse | Mood::Closed => return Ok(()),
            }
            state.requests.push(format!("{} {}", request.method, request.target));
            (state.authorization.clone(), state.canned(&request.target))
        };
        if let Some(head) = canned {
            let mut stream = stream;
            stream.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
            continue;
        }
        if wanted.is_some() && request.header("authorization") != wanted.as_deref() {
            let mut stream = stream;
            stream
                .write_all(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"lab\"\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        }
        backend(stream, &request, shared, wanted.is_some())?;
    }
    Ok(())
}

/// Answers by `git http-backend`, spoken to as CGI says.
fn backend(stream: &TcpStream, request: &Request, shared: &Shared, known: bool) -> io::Result<()> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let mut command = git(&shared.root);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_LENGTH", request.body.len().to_string());
    let passed =
        [("content-type", "CONTENT_TYPE"), ("content-encoding", "HTTP_CONTENT_ENCODING"), ("git-protocol", "GIT_PROTOCOL")];
    for (header, variable) in passed {
        if let Some(value) = request.header(header) {
            command.env(variable, value);
        }
    }
    if known {
        command.env("REMOTE_USER", "lab");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else { return Err(io::Error::other("no pipes")) };
    let sent = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(&request.body));
        let mut answer = BufReader::new(stdout);
        let mut stream = stream;
        stream.write_all(answer_head(&mut answer, shared.state().date.as_deref())?.as_bytes())?;
        write_chunks(&mut answer, stream)
    });
    child.wait()?;
    sent
}

/// Turns the head of a CGI answer, where the status is a header and may be missing, into one of HTTP.
fn answer_head(answer: &mut BufReader<impl Read>, date: Option<&str>) -> io::Result<String> {
    let mut status = "200 OK".to_owned();
    let mut headers = date.map(|date| format!("Date: {date}\r\n")).unwrap_or_default();
    loop {
        let mut line = String::new();
        if answer.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(format!("HTTP/1.1 {status}\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"));
        }
        match line.strip_prefix("Status: ") {
            Some(told) => told.clone_into(&mut status),
            None => headers.extend([line, "\r\n"]),
        }
    }
}
