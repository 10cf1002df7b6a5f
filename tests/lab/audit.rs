//! Which requests an API server was sent, and by whom: its own audit log, which counts exactly where metrics count the observer too.

use super::process::Scratch;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;

const POLICY: &str =
    r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],"rules":[{"level":"Metadata"}]}"#;

/// One request, as the API server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` …
    pub verb: String,
    /// Path and query.
    pub uri: String,
    /// The plural name of the kind, or nothing for paths such as `/readyz`.
    pub resource: String,
    /// The subresource, or nothing.
    pub subresource: String,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The object's name, or nothing.
    pub name: String,
    /// Who asked.
    pub user: String,
    /// The program that asked, as it calls itself.
    pub user_agent: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

impl Request {
    /// Whether it was meant to change something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// Written before the answer is sent: what a client has got an answer for stands in the log.
pub(super) fn flags(scratch: &Scratch) -> [String; 3] {
    let policy = scratch.write("audit-policy.json", POLICY);
    [
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", scratch.join("audit.log").display()),
        "--audit-log-mode=blocking".into(),
    ]
}

/// A watch is written when it starts and again when it ends: one request.
pub(super) fn read(scratch: &Scratch) -> Vec<Request> {
    let log = fs::read_to_string(scratch.join("audit.log")).unwrap_or_default();
    // The last line may be half written.
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut seen = HashSet::new();
    lines.filter(|line| seen.insert(text(line, "/auditID"))).map(|line| request(&line)).collect()
}

fn request(line: &Value) -> Request {
    Request {
        verb: text(line, "/verb"),
        uri: text(line, "/requestURI"),
        resource: text(line, "/objectRef/resource"),
        subresource: text(line, "/objectRef/subresource"),
        namespace: text(line, "/objectRef/namespace"),
        name: text(line, "/objectRef/name"),
        user: text(line, "/user/username"),
        user_agent: text(line, "/userAgent"),
        code: line.pointer("/responseStatus/code").and_then(Value::as_u64).and_then(|code| code.try_into().ok()).unwrap_or(0),
    }
}

fn text(line: &Value, pointer: &str) -> String {
    line.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
