//! Where log lines go: for people on a terminal, as JSON everywhere else. Standard error, because standard output is for data.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Variable with the filter, in the syntax of tracing's `EnvFilter`.
const FILTER_VARIABLE: &str = "MESHFED_LOG";

/// The client library logs each answer above 499 as an error; we report what matters of them ourselves, once.
const DEFAULT_FILTER: &str = "info,kube_client=off,hyper_util=warn,tower=warn";

/// Starts logging. A filter that cannot be read is replaced by the default.
pub fn init() {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start in one process, as in tests, changes nothing.
    let _ = if std::io::stderr().is_terminal() {
        lines.with_timer(Clock).compact().fmt_fields(Message).try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
}

/// Time of day in UTC: on a terminal the date is known.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", jiff::Timestamp::now().strftime("%H:%M:%S%.3f"))
    }
}

/// On a terminal only the message: the fields repeat it for machines.
struct Message;

impl<'writer> tracing_subscriber::fmt::FormatFields<'writer> for Message {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(&self, writer: Writer<'writer>, fields: R) -> std::fmt::Result {
        let mut visitor = OnlyMessage { writer, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct OnlyMessage<'writer> {
    writer: Writer<'writer>,
    result: std::fmt::Result,
}

impl tracing::field::Visit for OnlyMessage<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" && self.result.is_ok() {
            self.result = write!(self.writer, "{value:?}");
        }
    }
}
