//! What the agent's address for operators says: to the kubelet, to Prometheus, to people.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::lab::free_port;
use crate::solo::Solo;
use crate::stage::eventually;

/// Status line and body of the answer; nothing while nobody listens.
pub fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

#[test]
fn an_agent_without_its_repository_is_alive_and_ready_and_counts_its_failures() {
    let solo = Solo::new("ops-ready");
    solo.git.refuse();
    let port = free_port();
    let _agent = solo.agent_with(&solo.git.url(), &["--listen", &format!("127.0.0.1:{port}")]);
    for path in ["/livez", "/readyz"] {
        eventually(path, || match get(port, path) {
            Some((line, _)) if line == "HTTP/1.1 200 OK" => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
    eventually("the failed fetch is counted", || match get(port, "/metrics") {
        Some((_, page)) if page.contains("meshfed_fetches_total{result=\"failed\"}") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    solo.git.recover();
    eventually("the status is that of the mesh", || {
        let (_, body) = get(port, "/status").ok_or("nobody listens")?;
        let status: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        if status["meshes"][0]["name"] == "ops-ready" { Ok(()) } else { Err(body) }
    });
    eventually("the metrics are those of the mesh", || match get(port, "/metrics") {
        Some((_, page)) if page.contains("meshfed_applies_total{result=\"ok\"}") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // And when it goes while the agent works.
    let failed = || {
        let (_, page) = get(port, "/metrics").unwrap_or_default();
        let line = page.lines().find_map(|line| line.strip_prefix("meshfed_fetches_total{result=\"failed\"} "));
        line.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    solo.git.refuse();
    let before = failed();
    eventually("more failures", || if failed() >= before + 2 { Ok(()) } else { Err(failed().to_string()) });
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(port, path).unwrap().0, "HTTP/1.1 200 OK", "{path}");
    }
    assert_eq!(get(port, "/elsewhere").unwrap().0, "HTTP/1.1 404 Not Found");
}
