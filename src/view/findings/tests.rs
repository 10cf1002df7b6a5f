use super::*;
use crate::model::{Code, Span};
use crate::view::Look;

const SOURCE: &str = "kind: Peer\nspec:\n  imports:\n  - service: dev-bookinfo/détail # no\n  - {service: x/y} # no\n";

fn mk_finding(line: u32, column: u32, len: u32) -> Diagnostic {
    let span = Span { line, column, offset: 0, len };
    Diagnostic::error("meshes/a/peers/b.yaml", span, Code::NotExported, "b does not export it", "did you mean `details`?")
}

/// Findings with everything that one can have.
fn mk_findings() -> Vec<Diagnostic> {
    let span = |line, column, len| Span { line, column, offset: 0, len };
    let with = mk_finding(4, 14, 20).also("meshes/a/peers/b.yaml", span(5, 5, 1), "like this one").also(
        "meshes/b/peers/a.yaml",
        span(1, 7, 4),
        "50 % of it, \"here\"",
    );
    let warning = Diagnostic::warning("a b:c.yaml", span(0, 0, 0), Code::Misplaced, "100 %, not read", "");
    vec![with, warning]
}

#[test]
fn a_finding_shows_the_marked_lines_and_the_help() {
    let found = [mk_finding(4, 14, 20), mk_finding(5, 5, 1), mk_finding(0, 0, 0)];
    insta::assert_snapshot!(render(&found, "repo/", &|_| Some(SOURCE), Look::default()));
    assert_eq!(summary(&found, 1), "3 errors in 1 file");
    assert_eq!(summary(&[], 2), "no findings in 2 files");
    assert_eq!(more(&found), "meshfed check --explain MF009 says more");
}

#[test]
fn a_finding_shows_its_other_places() {
    insta::assert_snapshot!(render(&mk_findings(), "", &|_| Some(SOURCE), Look::default()));
    let text = render(&mk_findings(), "", &|path| path.starts_with("meshes/a").then_some(SOURCE), Look::default());
    assert!(text.contains("meshes/b/peers/a.yaml:1:7") && text.contains("50 % of it"), "{text}");
}

#[test]
fn programs_read_findings_as_json() {
    let found = mk_findings();
    let all: Vec<Finding> = found.iter().map(Finding::from).collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&all).unwrap());
}

#[test]
fn code_hosts_read_findings_as_sarif() {
    let mut log = sarif(&mk_findings(), "repo/");
    for rule in log["runs"][0]["tool"]["driver"]["rules"].as_array_mut().unwrap() {
        assert!(rule["help"]["text"].as_str().unwrap().starts_with("# MF"));
        rule.as_object_mut().unwrap().remove("help");
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&log).unwrap());
}

#[test]
fn github_reads_findings_as_workflow_commands() {
    insta::assert_snapshot!(github(&mk_findings(), "repo/"), @r"
    ::error file=repo/meshes/a/peers/b.yaml,line=4,col=14,title=MF009%3A an import that the peer does not export::b does not export it%0Ahelp: did you mean `details`?
    ::warning file=repo/a b%3Ac.yaml,title=MF002%3A a file lies where no document belongs::100 %25, not read
    ");
}

#[test]
fn t13_the_lines_of_a_secret_are_not_shown() {
    let found = [Diagnostic { code: Code::Secret, ..mk_findings().remove(0) }];
    let text = render(&found, "", &|_| Some(SOURCE), Look::default());
    assert!(text.contains("peers/b.yaml:4:14") && !text.contains("service:"), "{text}");
}

#[test]
fn a_place_outside_the_file_is_no_danger() {
    for (line, column, len) in [(1, 99, 5), (9, 1, 1), (4, 27, u32::MAX), (4, 28, 1), (3, 0, 0), (6, 1, 1)] {
        let text = render(&[mk_finding(line, column, len)], "", &|_| Some(SOURCE), Look::default());
        assert!(text.contains("MF009"), "{text}");
    }
    render(&[mk_finding(1, 1, 1)], "", &|_| Some(""), Look::default());
}
