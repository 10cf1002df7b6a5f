//! Steps as spans of OpenTelemetry, sent as OTLP over HTTP in batches, by a thread of the SDK.

use std::env;
use std::time::Duration;

use opentelemetry::trace::{Event, Span, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, Value as OtelValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::warn;

use super::Step;
use super::client::Client;
use super::course::Value;

/// What the agent is called where `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say nothing else.
const SERVICE: &str = "meshfed";

/// Makes spans of steps, and has them sent.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    mesh: String,
}

/// What later steps belong to.
#[derive(Debug)]
pub struct Parent(Context);

impl Exporter {
    /// As the environment says; what it leaves open is as OpenTelemetry has it. An error says what cannot be used.
    pub fn start(mesh: &str, replica: Option<&str>) -> Result<Self, String> {
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            if env::var(name).is_ok_and(|protocol| !["", "http/protobuf"].contains(&protocol.as_str())) {
                warn!(event = "traces", "{name} asks for something else, but traces are sent as http/protobuf only");
            }
        }
        let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        let exporter = exporter.with_http_client(Client::from_environment()?).build();
        // Its own words would show the address, which may hold a password.
        let exporter = exporter.map_err(|_| "the endpoint is not an address as http://collector.example:4318".to_owned())?;
        let provider = SdkTracerProvider::builder().with_resource(resource(replica)).with_batch_exporter(exporter).build();
        Ok(Self { tracer: provider.tracer("meshfed"), provider, mesh: mesh.to_owned() })
    }

    /// A trace: the root, and its steps below.
    pub fn send(&self, root: Step, steps: Vec<Step>) -> Parent {
        let end = root.end();
        let context = self.begin(root, &Context::new());
        let parent = Parent(context);
        self.send_under(&parent, steps);
        parent.0.span().end_with_timestamp(end);
        parent
    }

    /// Steps below one that may have ended.
    pub fn send_under(&self, parent: &Parent, steps: Vec<Step>) {
        for step in steps {
            let end = step.end();
            self.begin(step, &parent.0).span().end_with_timestamp(end);
        }
    }

    /// Sends what waits, for as long as the limit allows.
    pub fn end(&self, limit: Duration) {
        let _ = self.provider.shutdown_with_timeout(limit); // the client has told of what went wrong
    }

    fn begin(&self, step: Step, parent: &Context) -> Context {
        let Step { name, start, attributes, error, failures, .. } = step;
        let end = start + step.took;
        let mesh = KeyValue::new("meshfed.mesh", self.mesh.clone());
        let attributes = attributes.into_iter().map(|(name, value)| KeyValue::new(format!("meshfed.{name}"), value));
        let failed = |(object, reason): (String, String)| {
            let about = [("meshfed.object", object), ("meshfed.reason", reason)];
            Event::new("failed", end, about.map(|(name, value)| KeyValue::new(name, value)).into(), 0)
        };
        let span = self.tracer.span_builder(name).with_start_time(start);
        let span = span.with_attributes(attributes.chain([mesh])).with_events(failures.into_iter().map(failed).collect());
        let mut span = span.start_with_context(&self.tracer, parent);
        if let Some(error) = error {
            span.set_status(Status::error(error));
        }
        parent.with_span(span)
    }
}

impl From<Value> for OtelValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => text.into(),
            Value::Count(count) => i64::try_from(count).unwrap_or(i64::MAX).into(),
            Value::Texts(texts) => Self::Array(Array::String(texts.into_iter().map(Into::into).collect())),
        }
    }
}

/// Who sends: what the environment says wins.
fn resource(replica: Option<&str>) -> Resource {
    let own = [KeyValue::new("service.name", SERVICE), KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    let replica = replica.map(|replica| KeyValue::new("service.instance.id", replica.to_owned()));
    let resource = Resource::builder_empty().with_attributes(own.into_iter().chain(replica));
    let resource = resource.with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_told_apart() {
        let told = |replica| resource(replica).get(&"service.instance.id".into()).map(|id| id.to_string());
        assert_eq!(told(Some("meshfed-0")).as_deref(), Some("meshfed-0"));
        assert_eq!(told(None), None);
    }
}
