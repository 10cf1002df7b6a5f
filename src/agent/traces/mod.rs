//! Traces of passes for OpenTelemetry: what started a pass, how long each step took, what came of it.
//!
//! What is traced is plain data and costs a look at the clock. It becomes spans only when the pass is over and was worth telling of, so that a
//! quiet agent sends nothing. Only a build with the feature `otel` can send; `otlp` is the one home of OpenTelemetry.

#[cfg(feature = "otel")]
mod client;
mod course;
#[cfg(feature = "otel")]
mod otlp;
#[cfg(not(feature = "otel"))]
#[path = "without.rs"]
mod otlp;

use std::time::Duration;

use tracing::warn;

pub use course::{Course, Step};
use otlp::Exporter;
pub use otlp::Parent;

/// Where a collector is named: for traces, for everything (OpenTelemetry's specification of OTLP exporters).
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// `all`: also looks at the repository that find nothing, and passes that do nothing.
const WHICH: &str = "MESHFED_TRACES";

/// How long the end of the agent waits for what is not sent yet: a collector that answers takes a fraction of it, and the pod's own grace
/// leaves time after handing over.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Sends traces, or does not.
#[derive(Debug, Default)]
pub struct Traces {
    exporter: Option<Exporter>,
    all: bool,
}

impl Traces {
    /// As the standard variables of OpenTelemetry say; without an endpoint nothing is sent. The replica has a name where there may be several.
    pub fn from_environment(mesh: &str, replica: Option<&str>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if !is_wanted(variable) {
            return Self::default();
        }
        match Exporter::start(mesh, replica) {
            Ok(exporter) => Self { exporter: Some(exporter), all: variable(WHICH).is_some_and(|which| which == "all") },
            Err(reason) => {
                warn!(event = "traces", "no traces are sent: {reason}");
                Self::default()
            }
        }
    }

    /// What has ended, with its steps; one that is `quiet` only where everything is asked for. Gives what later steps belong to.
    pub fn tell(&self, root: Step, steps: Vec<Step>, quiet: bool) -> Option<Parent> {
        let exporter = self.exporter.as_ref().filter(|_| self.all || !quiet)?;
        Some(exporter.send(root, steps))
    }

    /// Steps that ended after what they belong to.
    pub fn tell_later(&self, parent: &Parent, steps: Vec<Step>) {
        if let Some(exporter) = &self.exporter {
            exporter.send_under(parent, steps);
        }
    }

    /// Sends what is not sent yet, as far as that goes quickly.
    pub fn end(&self) {
        if let Some(exporter) = &self.exporter {
            exporter.end(END_LIMIT);
        }
    }
}

/// Whether the environment names a collector, and does not turn traces off.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let says = |name: &str, word: &str| variable(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word));
    let named = ENDPOINTS.iter().any(|name| variable(name).is_some());
    named && !says("OTEL_SDK_DISABLED", "true") && !says("OTEL_TRACES_EXPORTER", "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_sent_where_a_collector_is_named_and_nothing_turns_them_off() {
        let wanted = |variables: &[(&str, &str)]| {
            is_wanted(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(!wanted(&[]));
        assert!(wanted(&[collector]));
        assert!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")]));
        assert!(wanted(&[collector, ("OTEL_SDK_DISABLED", "false"), ("OTEL_TRACES_EXPORTER", "otlp")]));
        assert!(!wanted(&[collector, ("OTEL_SDK_DISABLED", "TRUE")]));
        assert!(!wanted(&[collector, ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
