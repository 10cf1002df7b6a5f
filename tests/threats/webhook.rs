//! T17: whoever can reach the webhook can at most make the agent look at its repository once in a second.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::lab::free_port;
use crate::solo::Solo;
use crate::stage::{Agent, eventually};

const SECRET: &str = "a secret of some length";

/// Good requests of the flood.
const FLOOD: usize = 10_000;

/// Connections that send it.
const SENDERS: usize = 8;

/// What the process may grow by, in KiB: far less than a byte for each byte that came in.
const GROWTH_KIB: u64 = 8 << 10;

/// An agent that never polls, over HTTP, and the port of its webhook.
fn hooked(solo: &Solo) -> (Agent, u16) {
    let port = free_port();
    let secret = solo.scratch.write("webhook-secret", &format!("{SECRET}\n")).display().to_string();
    let address = format!("127.0.0.1:{port}");
    let arguments = ["--interval", "1h", "--webhook-listen", &address, "--webhook-secret-file", &secret];
    (solo.agent_with(&solo.git.url(), &arguments), port)
}

/// The status line of the answer.
fn post(port: u16, headers: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let length = body.len();
    write!(stream, "POST /push HTTP/1.1\r\nHost: agent\r\nContent-Length: {length}\r\n{headers}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn signed(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("X-Hub-Signature-256: sha256={:x}", mac.finalize().into_bytes())
}

fn fetches(solo: &Solo) -> usize {
    solo.git.requests().iter().filter(|request| request.contains("service=git-upload-pack")).count()
}

fn resident_kib(agent: &Agent) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn t17_a_webhook_brings_a_commit_and_a_forged_one_nothing() {
    let solo = Solo::new("hook-push");
    let (_agent, port) = hooked(&solo);
    solo.wait_for("configmap", "meshfed");
    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "pushed")));
    let body = r#"{"ref":"refs/heads/main"}"#;
    let before = fetches(&solo);
    let forged = [signed("another secret as long", body), signed(SECRET, "another body"), String::from("X-Other: 1")];
    for headers in &forged {
        assert_eq!(post(port, headers, body).unwrap(), "HTTP/1.1 401 Unauthorized", "{headers}");
    }
    assert_eq!(post(port, "X-Gitlab-Token: guess", body).unwrap(), "HTTP/1.1 401 Unauthorized");
    assert_eq!(fetches(&solo), before, "nobody looked at the repository");
    assert_eq!(post(port, &signed(SECRET, body), body).unwrap(), "HTTP/1.1 202 Accepted");
    solo.wait_for_value("a", Some("pushed"));

    solo.commit("manifests/all.yaml", Some(&solo.config_map("a", "again")));
    assert_eq!(post(port, &format!("X-Gitlab-Token: {SECRET}"), "").unwrap(), "HTTP/1.1 202 Accepted");
    solo.wait_for_value("a", Some("again"));
}

/// Each host's way to show that it knows the secret.
fn proofs(body: &str) -> [(&'static str, String); 6] {
    let hmac = |header: &str| signed(SECRET, body).replace("X-Hub-Signature-256: ", header);
    [
        ("GitHub", hmac("X-Hub-Signature-256: ")),
        ("GitLab", format!("X-Gitlab-Token: {SECRET}")),
        ("Gitea", hmac("X-Gitea-Signature: ").replace("sha256=", "")),
        ("Forgejo", hmac("X-Forgejo-Signature: ").replace("sha256=", "")),
        ("Bitbucket", hmac("X-Hub-Signature: ")),
        ("anybody", format!("Authorization: Bearer {SECRET}")),
    ]
}

#[test]
fn every_hosts_webhook_brings_a_commit_long_before_the_next_poll() {
    let solo = Solo::new("hook-hosts");
    let (_agent, port) = hooked(&solo);
    solo.wait_for("configmap", "meshfed");
    let body = r#"{"ref":"refs/heads/main"}"#;
    for (host, headers) in proofs(body) {
        solo.commit("manifests/all.yaml", Some(&solo.config_map("a", host)));
        let pushed = Instant::now();
        assert_eq!(post(port, &headers, body).unwrap(), "HTTP/1.1 202 Accepted", "{host}");
        solo.wait_for_value("a", Some(host));
        println!("{host}: applied {:?} after its webhook, which an earlier one within a second delays", pushed.elapsed());
    }
}

#[test]
fn t17_a_flood_of_webhooks_costs_a_fetch_a_second_and_no_memory() {
    let solo = Solo::new("hook-flood");
    let (agent, port) = hooked(&solo);
    solo.wait_for("configmap", "meshfed");
    let body = "x".repeat(4 << 10);
    let headers = signed(SECRET, &body);
    let flood = |requests: usize| {
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    for _ in 0..requests / SENDERS {
                        assert_eq!(post(port, &headers, &body).unwrap(), "HTTP/1.1 202 Accepted");
                    }
                });
            }
        });
    };
    flood(FLOOD / 20); // whatever is allocated once is allocated now
    let (resident, fetched, start) = (resident_kib(&agent), fetches(&solo), Instant::now());
    flood(FLOOD);
    let (grown, fetched) = (resident_kib(&agent).saturating_sub(resident), fetches(&solo) - fetched);
    let most = start.elapsed().as_secs() + 2;
    assert!(fetched as u64 <= most, "{fetched} fetches in {most} s");
    assert!(grown < GROWTH_KIB, "{grown} KiB more than before");
    assert!(fetched > 0, "the flood is no reason to see nothing");
}

#[test]
fn t17_who_says_nothing_or_too_much_keeps_nobody_out() {
    let solo = Solo::new("hook-slow");
    let (_agent, port) = hooked(&solo);
    solo.wait_for("configmap", "meshfed");
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let body = "{}";
    eventually("a good request gets through", || match post(port, &signed(SECRET, body), body) {
        Ok(line) if line == "HTTP/1.1 202 Accepted" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    drop(silent);
}
