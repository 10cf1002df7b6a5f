//! The alert rules: each fires when it should and only then, has a page, and is about metrics that there are. So is the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::deploy::{objects, path};
use crate::lab::debian;

const RULES: &str = "deploy/components/monitoring/rules.yaml";
const PAGES: &str = "docs/alerts";

/// Minutes of made-up history; longer than any rule waits.
const MINUTES: u32 = 150;

fn read(relative: &str) -> String {
    fs::read_to_string(path(relative)).unwrap_or_else(|e| panic!("{relative}: {e}"))
}

/// Every rule.
fn rules() -> Vec<Value> {
    objects(&read(RULES))[0]["groups"][0]["rules"].as_array().unwrap().clone()
}

fn name(rule: &Value) -> &str {
    rule["alert"].as_str().unwrap()
}

/// Words of a text that look like metrics of ours.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    words.filter(|word| word.starts_with("meshfed_")).map(ToOwned::to_owned).collect()
}

/// What `/metrics` has, as the test of its page holds.
fn exposed() -> BTreeSet<String> {
    let page = read("src/agent/http/snapshots/meshfed__agent__http__metrics__tests__the_page_is_what_prometheus_reads.snap");
    let samples = page.lines().filter(|line| line.starts_with("meshfed_"));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

fn promtool(arguments: &[&str], directory: &Path) {
    let promtool = debian::package("prometheus").join("usr/bin/promtool");
    let output = Command::new(promtool).args(arguments).current_dir(directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

/// A mesh with one peer where all is well, and an agent of two pods: each series with its values over time, minute by minute.
fn healthy() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        (r#"meshfed_agent_info{mesh="rosa"}"#, "1x150"),
        ("meshfed_ready", "1x150"),
        ("meshfed_leader", "1x150"),
        (r#"meshfed_agent_info{mesh="rosa",instance="standby"}"#, "1x150"),
        (r#"meshfed_ready{instance="standby"}"#, "1x150"),
        (r#"meshfed_leader{instance="standby"}"#, "0x150"),
        (r#"meshfed_frozen{branch="main"}"#, "0x150"),
        (r#"meshfed_frozen{branch="published/aro"}"#, "0x150"),
        ("meshfed_stale", "0x150"),
        (r#"meshfed_forked_view{peer="aro"}"#, "0x150"),
        ("meshfed_last_fetch_timestamp_seconds", "0+60x150"),
        (r#"meshfed_publications_total{result="ok"}"#, "0+1x150"),
        (r#"meshfed_publications_total{result="failed"}"#, "3x150"),
        (r#"meshfed_applies_total{result="ok"}"#, "0+1x150"),
        (r#"meshfed_applies_total{result="failed"}"#, "3x150"),
        (r#"meshfed_removals_total{result="failed"}"#, "3x150"),
        (r#"meshfed_webhooks_total{result="accepted"}"#, "0+10x150"),
        (r#"meshfed_webhooks_total{result="forged"}"#, "3x150"),
        (r#"meshfed_holds{kind="stuck"}"#, "0x150"),
        (r#"meshfed_holds{kind="waiting"}"#, "0x150"),
        ("meshfed_problems", "0x150"),
        (r#"meshfed_peering_ready{peer="aro"}"#, "1x150"),
        (r#"meshfed_peering_connected{peer="aro"}"#, "1x150"),
        (r#"meshfed_route_declared_weight{traffic="details",match="",route="1",to="aro",service="a/b"}"#, "20x150"),
        (r#"meshfed_route_effective_weight{traffic="details",match="",route="1",to="aro",service="a/b"}"#, "20x150"),
        (r#"meshfed_ca_root_expiry_timestamp_seconds{fingerprint="old"}"#, "86400x150"),
        (r#"meshfed_ca_root_expiry_timestamp_seconds{fingerprint="new"}"#, "31536000x150"),
    ])
}

/// An alert, the series that is not as in health, and the labels besides `mesh` that the alert must have.
type Case = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("MeshfedNoLeader", "meshfed_leader", "1x100 0x50", &[]),
    ("MeshfedFrozen", r#"meshfed_frozen{branch="published/aro"}"#, "0x100 1x50", &[("branch", "published/aro")]),
    ("MeshfedForkedView", r#"meshfed_forked_view{peer="aro"}"#, "0x100 1x50", &[("peer", "aro")]),
    ("MeshfedCannotFetch", "meshfed_last_fetch_timestamp_seconds", "0+60x120 7200x30", &[]),
    ("MeshfedStale", "meshfed_stale", "1x150", &[]),
    ("MeshfedCannotPublish", r#"meshfed_publications_total{result="failed"}"#, "0x100 0+1x50", &[]),
    ("MeshfedCannotApply", r#"meshfed_applies_total{result="failed"}"#, "0x100 0+1x50", &[]),
    ("MeshfedCannotApply", r#"meshfed_removals_total{result="failed"}"#, "0x100 0+1x50", &[]),
    ("MeshfedHeld", r#"meshfed_holds{kind="stuck"}"#, "2x150", &[]),
    ("MeshfedWaiting", r#"meshfed_holds{kind="waiting"}"#, "2x150", &[]),
    ("MeshfedProblems", "meshfed_problems", "1x150", &[]),
    ("MeshfedPeeringDown", r#"meshfed_peering_connected{peer="aro"}"#, "1x100 0x50", &[("peer", "aro")]),
    ("MeshfedPeeringIncomplete", r#"meshfed_peering_ready{peer="aro"}"#, "1x100 0x50", &[("peer", "aro")]),
    (
        "MeshfedWeightMoved",
        r#"meshfed_route_effective_weight{traffic="details",match="",route="1",to="aro",service="a/b"}"#,
        "20x100 0x50",
        &[("traffic", "details"), ("route", "1"), ("to", "aro"), ("service", "a/b")],
    ),
    ("MeshfedRootExpires", r#"meshfed_ca_root_expiry_timestamp_seconds{fingerprint="new"}"#, "864000x150", &[]),
    ("MeshfedWebhookRefused", r#"meshfed_webhooks_total{result="forged"}"#, "0x100 0+1x50", &[]),
];

/// With what a scrape adds.
fn scraped(series: &str) -> String {
    let target = if series.contains("instance=") { r#"job="meshfed""# } else { r#"job="meshfed",instance="leader""# };
    match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{{target},{labels}"),
        None => format!("{series}{{{target}}}"),
    }
}

/// A test for promtool: with these series exactly these alerts fire in the end.
fn case(series: &BTreeMap<&str, &str>, firing: &[Value]) -> Value {
    let input: Vec<_> = series.iter().map(|(name, values)| json!({"series": scraped(name), "values": values})).collect();
    let label = |(key, value): (&String, &Value)| format!("{key}={value}");
    let samples = firing.iter().map(|labels| {
        let labels: Vec<_> = labels.as_object().unwrap().iter().map(label).collect();
        json!({"labels": format!("ALERTS{{alertstate=\"firing\",{}}}", labels.join(",")), "value": 1})
    });
    let question = json!({"expr": "ALERTS{alertstate=\"firing\"}", "eval_time": format!("{MINUTES}m"), "exp_samples": samples.collect::<Vec<_>>()});
    json!({"interval": "1m", "input_series": input, "promql_expr_test": [question]})
}

#[test]
fn each_alert_fires_for_its_reason_and_for_no_other() {
    let rules = rules();
    let firing = |alert: &str, more: &[(&str, &str)]| {
        let rule = rules.iter().find(|rule| name(rule) == alert).unwrap_or_else(|| panic!("there is no {alert}"));
        let mut labels = json!({"alertname": alert, "severity": rule["labels"]["severity"]});
        for (key, value) in more {
            labels[*key] = json!(value);
        }
        labels
    };
    let mut tests = vec![case(&healthy(), &[]), case(&BTreeMap::new(), &[firing("MeshfedAbsent", &[])])];
    // Both pods: one that is ready would do.
    let mut unready = healthy();
    unready.extend([("meshfed_ready", "0x150"), (r#"meshfed_ready{instance="standby"}"#, "0x150")]);
    tests.push(case(&unready, &[firing("MeshfedNotReady", &[("mesh", "rosa")])]));
    for (alert, series, values, labels) in CASES {
        let mut sick = healthy();
        assert!(sick.insert(series, values).is_some(), "{series} has another name in health");
        tests.push(case(&sick, &[firing(alert, &[&[("mesh", "rosa")], *labels].concat())]));
    }
    let tested: BTreeSet<&str> = CASES.iter().map(|case| case.0).chain(["MeshfedAbsent", "MeshfedNotReady"]).collect();
    assert_eq!(tested, rules.iter().map(name).collect(), "an alert has no test");

    let dir = tempfile::tempdir().unwrap();
    fs::copy(path(RULES), dir.path().join("rules.yaml")).unwrap();
    let file = json!({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests});
    fs::write(dir.path().join("tests.yaml"), file.to_string()).unwrap();
    promtool(&["check", "rules", "rules.yaml"], dir.path());
    promtool(&["test", "rules", "tests.yaml"], dir.path());
}

#[test]
fn the_operators_rules_are_the_same() {
    let resource = &objects(&read("deploy/components/monitoring/prometheus-rule.yaml"))[0];
    assert_eq!(resource["spec"], objects(&read(RULES))[0], "write rules.yaml anew under `spec` of prometheus-rule.yaml");
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_there_are() {
    let exposed = exposed();
    assert!(exposed.len() > 15, "{exposed:?}");
    for file in [RULES, "deploy/components/monitoring/meshfed.json"] {
        let text = read(file);
        let unknown: Vec<_> = metrics_in(&text).into_iter().filter(|metric| !exposed.contains(metric)).collect();
        assert!(!metrics_in(&text).is_empty() && unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn the_readme_lists_every_metric() {
    let readme = read("README.md");
    let listed: BTreeSet<String> = readme.lines().filter(|line| line.starts_with("| `meshfed_")).flat_map(metrics_in).collect();
    let parts = ["_bucket", "_sum", "_count"];
    let families =
        exposed().into_iter().map(|name| parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(&name).to_owned());
    assert_eq!(listed, families.collect());
}

#[test]
fn the_dashboard_can_be_read() {
    let dashboard: Value = serde_json::from_str(&read("deploy/components/monitoring/meshfed.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels with one number");
    for panel in panels {
        assert!(panel["title"].is_string() && panel["gridPos"]["w"].is_u64(), "{panel}");
        // Each expression is one that Prometheus can read: as a rule it passes promtool.
        let expressions = panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap());
        let rules: Vec<_> = expressions.map(|expr| json!({"record": "a", "expr": expr.replace("$mesh", ".*")})).collect();
        let dir = tempfile::tempdir().unwrap();
        let file = json!({"groups": [{"name": "a", "rules": rules}]});
        fs::write(dir.path().join("panel.yaml"), file.to_string()).unwrap();
        promtool(&["check", "rules", "panel.yaml"], dir.path());
    }
}

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() {
    let rules = rules();
    let list = read(&format!("{PAGES}/README.md"));
    let mut pages = BTreeSet::from(["README.md".to_owned()]);
    for rule in &rules {
        let alert = name(rule);
        let page = format!("{alert}.md");
        assert_eq!(rule["annotations"]["runbook_url"], format!("{PAGES}/{page}"));
        let text = read(&format!("{PAGES}/{page}"));
        assert!(text.starts_with(&format!("# {alert}\n")), "{page} begins otherwise");
        for part in ["## What it means", "## What to do"] {
            assert!(text.contains(part), "{page} lacks `{part}`");
        }
        assert!(list.contains(&format!("[{alert}]({page})")), "{PAGES}/README.md does not lead to {page}");
        pages.insert(page);
    }
    let there = fs::read_dir(path(PAGES)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(pages, there.collect());
}
