//! The checks for people.

use super::{Check, Outcome, Report};
use crate::view::table::{self, Cell};
use crate::view::{Look, Tone};
use crate::words::{count, printable};

/// A line with the sum, and a row for each check with its hint below.
pub fn render(report: &Report, look: Look) -> String {
    let counts = Outcome::ALL.iter().map(|outcome| (report.count(*outcome), outcome.word())).filter(|(number, _)| *number > 0);
    let sum = counts.map(|(number, word)| match word {
        "failure" | "warning" => count(number, word),
        word => format!("{number} {word}"),
    });
    let sum: Vec<String> = sum.collect();
    let title = look.paint(Tone::Strong, "DOCTOR");
    let rows: Vec<Vec<Cell>> = report.checks.iter().flat_map(rows).collect();
    let table = table::render(&["CHECK", "OUTCOME", "FOUND"], &rows, look);
    format!("{title} {}   {}\n\n{table}", printable(&report.mesh), sum.join(", "))
}

fn rows(check: &Check) -> Vec<Vec<Cell>> {
    let Check { name, outcome, found, hint } = check;
    let tone = match outcome {
        Outcome::Ok => Tone::Good,
        Outcome::Warning | Outcome::Failure | Outcome::Unknown => Tone::Bad,
        Outcome::Skipped => Tone::Faint,
    };
    let mut rows = vec![vec![Cell::from(name), Cell::new(outcome.word(), tone), Cell::from(found)]];
    if !hint.is_empty() {
        rows.push(vec![Cell::default(), Cell::default(), Cell::from(format!("→ {hint}"))]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_its_outcome_and_what_to_do() {
        let report = Report {
            mesh: "gcp-dev-mesh".into(),
            checks: vec![
                Check::ok("repository", "main is at 9f2c1ab"),
                Check::failure(
                    "ingress of rosa-prod-mesh",
                    "a1b2.elb.example.com port 8188: no answer within 5 s",
                    "open port 8188 of its load balancer for the egress gateway of this mesh, and look again",
                ),
                Check::unknown("identity of rosa-prod-mesh", "its ingress does not answer", ""),
                Check::skipped("cluster", "no cluster is given"),
            ],
        };
        insta::assert_snapshot!(render(&report, Look { width: Some(100), colour: false }), @r"
        DOCTOR gcp-dev-mesh   1 failure, 1 unknown, 1 ok, 1 skipped

        CHECK                       OUTCOME  FOUND
        repository                  ok       main is at 9f2c1ab
        ingress of rosa-prod-mesh   failure  a1b2.elb.example.com port 8188: no answer within 5 s
                                             → open port 8188 of its load balancer for the egress gateway of
                                             this mesh, and look again
        identity of rosa-prod-mesh  unknown  its ingress does not answer
        cluster                     skipped  no cluster is given
        ");
    }
}
