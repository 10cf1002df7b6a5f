//! A collector of traces: the OTLP receiver of the OpenTelemetry Collector, and what it was sent.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{Process, Scratch};
use super::{free_port, poll, servers};

/// A running one, on 127.0.0.1.
pub struct Collector {
    process: Process,
    port: u16,
}

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    /// Empty: it is the root.
    pub parent: String,
    pub name: String,
    /// Nanoseconds since 1970.
    pub start: u128,
    pub end: u128,
    pub attributes: BTreeMap<String, Value>,
    /// Of whoever sent it.
    pub resource: BTreeMap<String, Value>,
    /// The message of a failed one.
    pub error: Option<String>,
    /// Attributes of its events.
    pub events: Vec<BTreeMap<String, Value>>,
}

impl Collector {
    /// Starts one; built before if need be.
    pub fn start(scratch: &Scratch) -> Self {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(servers::collector());
        command.arg(&address);
        let process = Process::spawn("collector", &command, scratch);
        let listens = poll(Duration::from_secs(60), || TcpStream::connect(&address).ok());
        assert!(listens.is_some(), "the collector does not listen: {}", process.log_tail());
        Self { process, port }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All that it was sent, as it wrote it down.
    pub fn written(&self) -> String {
        self.process.log()
    }

    /// Every span that has arrived.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        let written = self.written();
        let complete = written.rfind('\n').unwrap_or(0);
        for line in written[..complete].lines() {
            let request: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for sender in list(&request["resourceSpans"]) {
                let resource = attributes(&sender["resource"]);
                let of_scopes = list(&sender["scopeSpans"]).iter().flat_map(|scope| list(&scope["spans"]));
                spans.extend(of_scopes.map(|span| Span::of(span, &resource)));
            }
        }
        spans
    }
}

impl Span {
    fn of(span: &Value, resource: &BTreeMap<String, Value>) -> Self {
        let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
        let time = |name: &str| text(name).parse().unwrap_or_else(|_| panic!("no time {name}: {span}"));
        Self {
            trace: text("traceId"),
            id: text("spanId"),
            parent: text("parentSpanId"),
            name: text("name"),
            start: time("startTimeUnixNano"),
            end: time("endTimeUnixNano"),
            attributes: attributes(span),
            resource: resource.clone(),
            // 2 is `Error` (OTLP's `Status.StatusCode`).
            error: (span["status"]["code"] == 2).then(|| span["status"]["message"].as_str().unwrap_or_default().to_owned()),
            events: list(&span["events"]).iter().map(attributes).collect(),
        }
    }

    /// A count among the attributes; 0 where there is none.
    pub fn count(&self, name: &str) -> u64 {
        self.attributes.get(name).and_then(Value::as_str).and_then(|count| count.parse().ok()).unwrap_or_default()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Attributes by name: the value without what says its type.
fn attributes(of: &Value) -> BTreeMap<String, Value> {
    let plain = |value: &Value| value.as_object().and_then(|typed| typed.values().next()).cloned().unwrap_or_default();
    let named = |entry: &Value| {
        let value = &entry["value"];
        let value = match value.pointer("/arrayValue/values") {
            Some(values) => list(values).iter().map(plain).collect(),
            None => plain(value),
        };
        (entry["key"].as_str().unwrap_or_default().to_owned(), value)
    };
    list(&of["attributes"]).iter().map(named).collect()
}
