//! Traces of passes, as a real collector receives them. Only a build with the feature `otel` has them.

use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::lab::collector::{Collector, Span};
use crate::lab::free_port;
use crate::solo::Solo;
use crate::stage::{Agent, DEADLINE, eventually};

/// Longer than any test: batches go out only when the agent ends.
const AT_THE_END: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");

/// Tells of everything at once.
const AT_ONCE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Tells it to stop and waits until it has.
fn stop(agent: &mut Agent) {
    agent.process.signal("TERM");
    assert!(agent.process.wait(DEADLINE).is_some(), "it does not end:\n{}", agent.process.log_tail());
}

/// Waits until the agent has looked at the repository a few times more.
fn several_polls(solo: &Solo) {
    let polls = solo.git.requests().len();
    eventually("polls", || if solo.git.requests().len() >= polls + 4 { Ok(()) } else { Err("too few".into()) });
}

/// The steps of a trace, in the order of their start.
fn steps<'a>(spans: &'a [Span], root: &Span) -> Vec<&'a Span> {
    let mut steps: Vec<&Span> = spans.iter().filter(|span| span.trace == root.trace && span.parent == root.id).collect();
    steps.sort_by_key(|span| span.start);
    steps
}

#[test]
fn a_pass_is_a_trace_from_the_fetch_to_the_push_and_a_quiet_one_is_none() {
    let solo = Solo::new("traced");
    let collector = Collector::start(&solo.scratch);
    let endpoint = collector.endpoint();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_SERVICE_NAME", "meshfed-traced"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=meshfed-0,deployment.environment.name=lab"),
        AT_THE_END,
    ];
    let mut agent = solo.agent_in(&environment, &solo.git.url(), &[]);
    eventually("it publishes", || solo.git.head("published/traced").ok_or_else(|| agent.process.log_tail()));
    solo.commit("manifests/m.yaml", Some(&solo.config_map("m", "one")));
    let commit = solo.git.head("main").unwrap();
    solo.wait_for_value("m", Some("one"));
    eventually("the status names the commit", || if solo.status().contains(&commit) { Ok(()) } else { Err(solo.status()) });
    crate::quiet::settled(&solo, &agent);
    let quiet_since = now();
    several_polls(&solo);
    assert_eq!(collector.written(), "", "batches wait");
    stop(&mut agent);

    let spans = collector.spans();
    assert!(!spans.is_empty(), "what waits is sent at the end:\n{}", agent.process.log_tail());
    let late: Vec<_> = spans.iter().filter(|span| span.start > quiet_since).collect();
    assert!(late.is_empty(), "nothing is told of polls that find nothing: {late:#?}");
    for span in &spans {
        assert_eq!(span.resource["service.name"], "meshfed-traced");
        assert_eq!(span.resource["k8s.pod.name"], "meshfed-0");
        assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(span.attributes["meshfed.mesh"], "traced");
        assert_eq!(span.error, None, "{span:#?}");
        let is_step = spans.iter().any(|root| root.id == span.parent && root.trace == span.trace && root.name == "pass");
        assert!(span.name == "pass" && span.parent.is_empty() || is_step, "{span:#?}");
    }
    let root = |span: &&Span| span.name == "pass" && span.attributes["meshfed.causes"] == json!(["commit"]);
    let of_commit = |span: &&Span| root(span) && span.attributes["meshfed.commit"] == commit.as_str();
    let pass = spans.iter().find(of_commit).unwrap_or_else(|| panic!("no pass of {commit}: {spans:#?}"));
    assert_eq!((pass.count("meshfed.applied"), pass.count("meshfed.failed")), (1, 0));
    assert!(pass.count("meshfed.requests") >= 2, "the inventory and the object: {pass:#?}");
    assert!(pass.count("meshfed.objects") >= 1);
    let steps = steps(&spans, pass);
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(&names[..5], ["fetch", "read", "gather", "decide", "perform"]);
    assert!(pass.start == steps[0].start && steps[..5].iter().all(|step| step.end <= pass.end), "{pass:#?} {steps:#?}");
    let pushed = spans.iter().filter(|span| span.name == "publish").map(|span| &span.attributes["meshfed.commit"]);
    let head = solo.git.head("published/traced").unwrap();
    assert!(pushed.clone().any(|commit| *commit == head.as_str()), "{head}: {:?}", pushed.collect::<Vec<_>>());
}

#[test]
fn what_fails_is_a_failed_span_and_everything_is_told_where_that_is_asked_for() {
    let solo = Solo::new("traced-failures");
    let collector = Collector::start(&solo.scratch);
    let endpoint = format!("{}/v1/traces", collector.endpoint());
    let environment = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()), ("MESHFED_TRACES", "all"), AT_ONCE];
    let _agent = solo.agent_in(&environment, &solo.git.url(), &[]);
    let found = |what: &str, good: &dyn Fn(&Span) -> bool| {
        eventually(what, || {
            collector.spans().into_iter().find(|span| good(span)).ok_or_else(|| format!("{:#?}", collector.spans().last()))
        })
    };
    found("a look that finds nothing", &|span| span.name == "look" && span.error.is_none());
    solo.commit("manifests/m.yaml", Some(&solo.config_map("odd", "one").replace("key:", "'no key':")));
    let pass = found("a pass that is refused something", &|span| span.name == "pass" && span.count("meshfed.failed") == 1);
    assert!(pass.error.as_deref().is_some_and(|error| error.contains("ConfigMap/traced-failures-apps/odd")), "{pass:#?}");
    let perform = found("its step", &|span| span.name == "perform" && span.parent == pass.id);
    assert_eq!(perform.events[0]["meshfed.object"], "ConfigMap/traced-failures-apps/odd", "{perform:#?}");
    assert_eq!(pass.resource["service.name"], "meshfed", "nothing else is said");

    solo.git.refuse();
    let look = found("a look that fails", &|span| span.name == "look" && span.error.is_some());
    let fetch = found("its step", &|span| span.name == "fetch" && span.parent == look.id);
    assert_eq!(look.error, fetch.error.map(|error| format!("fetch: {error}")));
}

#[test]
fn an_agent_without_its_collector_works_says_so_once_and_ends() {
    let solo = Solo::new("untraced");
    // One that takes connections and never answers, for longer than any test.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free_port();
    // The log of the second goes on from that of the first.
    for (name, port, log) in [("silent", silent.local_addr().unwrap().port(), false), ("nobody", nobody, true)] {
        let endpoint = format!("http://127.0.0.1:{port}");
        let environment =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000"), AT_ONCE];
        let mut agent = solo.agent_in(&environment, &solo.git.url(), &[]);
        for value in ["one", "two", "three"] {
            solo.commit("manifests/m.yaml", Some(&solo.config_map(name, value)));
            solo.wait_for_value(name, Some(value));
        }
        if log {
            agent.wait_for("traces cannot be sent");
        }
        stop(&mut agent);
        let told = agent.events().iter().filter(|event| event["event"] == "traces").count();
        assert_eq!(told, usize::from(log), "{}", agent.process.log_tail());
    }
}
