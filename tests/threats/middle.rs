//! T18: somebody between the agent and its Git host. There is no switch that lets them through.

use std::fs;
use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::lab::certs::Authority;
use crate::lab::git_server::GitServer;
use crate::lab::http::read_request;
use crate::lab::process::Scratch;
use crate::lab::tls;
use crate::solo::{federation, mesh_file};
use crate::stage::binary;

fn serving(scratch: &Scratch) -> GitServer {
    let git = GitServer::start(&scratch.join("git"));
    let mesh = mesh_file("a", "");
    git.commit("A federation", &[("federation.yaml", Some(federation())), ("meshes/a/mesh.yaml", Some(&mesh))]);
    git
}

/// Exit code and what went to standard error of `meshfed status`.
fn status(scratch: &Scratch, repo: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command.args(["status", "--repo", repo]).env_clear().env("HOME", scratch.path()).envs(environment.iter().copied());
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn t18_a_certificate_of_another_authority_is_refused_and_nothing_switches_that_off() {
    let scratch = Scratch::new("middle");
    let git = serving(&scratch);
    let (ours, theirs) = (Authority::new("our host's CA"), Authority::new("somebody else's CA"));
    let write = |name: &str, authority: &Authority| scratch.write(name, &authority.root()).display().to_string();
    let (ours_file, theirs_file) = (write("ours.pem", &ours), write("theirs.pem", &theirs));
    let address = tls::in_front(&ours, &git.url(), None);
    let url = format!("https://me:hunter2@{address}/repo.git");
    fs::write(scratch.join(".gitconfig"), "[http]\n\tsslVerify = false\n").unwrap();
    for environment in [&[][..], &[("SSL_CERT_FILE", &*theirs_file), ("GIT_SSL_NO_VERIFY", "1")]] {
        let (code, said) = status(&scratch, &url, environment);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("is not trusted") && !said.contains("hunter2"), "{said}");
    }
    assert_eq!(git.requests(), Vec::<String>::new(), "not one request, so no password either");
    let (code, said) = status(&scratch, &url, &[("SSL_CERT_FILE", &*ours_file)]);
    assert_eq!(code, Some(1), "it reads that no agent has published yet: {said}");
    assert!(!git.requests().is_empty());
    let another = format!("https://localhost.localdomain:{}/repo.git", address.port());
    let (code, _) = status(&scratch, &another, &[("SSL_CERT_FILE", &*ours_file)]);
    assert_eq!(code, Some(3), "the name must be the certificate's");
}

/// Sends every request on to another address, and remembers the credentials that came with it.
fn redirecting(to: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let remember = Arc::clone(&seen);
    let address = answering(move |target, authorization| {
        remember.lock().unwrap().extend(authorization);
        format!("HTTP/1.1 302 Found\r\nLocation: {to}{target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    });
    (address, seen)
}

/// Asks everybody for a password, and remembers what they say.
fn asking() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let remember = Arc::clone(&seen);
    let address = answering(move |_, authorization| {
        remember.lock().unwrap().push(authorization.unwrap_or_default());
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .into()
    });
    (address, seen)
}

fn answering(answer: impl Fn(&str, Option<String>) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let serve = |stream: &mut TcpStream| -> io::Result<()> {
                let mut reader = BufReader::new(stream.try_clone()?);
                let Some(request) = read_request(&mut reader, stream)? else { return Ok(()) };
                let authorization = request.header("authorization").map(str::to_owned);
                stream.write_all(answer(&request.target, authorization).as_bytes())
            };
            let _ = serve(&mut stream); // a client that goes away is its own business
        }
    });
    address
}

#[test]
fn t18_credentials_do_not_follow_a_redirect_to_another_host() {
    let scratch = Scratch::new("redirect");
    let (elsewhere, heard) = asking();
    // Another name is another host, also where it leads to the same machine.
    let (host, _) = redirecting(format!("http://localhost:{}", elsewhere.port()));
    let password_file: PathBuf = scratch.write("password", "hunter2");
    let urls = [
        (format!("http://me:hunter2@{host}/repo.git"), vec![]),
        (
            format!("http://{host}/repo.git"),
            vec![("MESHFED_HTTP_USER", "me"), ("MESHFED_HTTP_PASSWORD_FILE", password_file.to_str().unwrap())],
        ),
    ];
    for (url, environment) in urls {
        let (code, said) = status(&scratch, &url, &environment);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("localhost") && !said.contains("hunter2"), "{said}");
    }
    let heard = heard.lock().unwrap();
    assert!(heard.is_empty(), "the other host heard {heard:?}");
}
