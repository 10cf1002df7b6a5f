//! The table and the file.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// What a value should be.
#[derive(Clone, Copy)]
pub enum Goal {
    Below(f64),
    Above(f64),
    None,
}

impl Goal {
    fn reached(self, value: f64) -> Option<bool> {
        match self {
            Self::Below(limit) => Some(value <= limit),
            Self::Above(limit) => Some(value >= limit),
            Self::None => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Below(limit) => format!("≤ {limit}"),
            Self::Above(limit) => format!("≥ {limit}"),
            Self::None => String::new(),
        }
    }
}

struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    goal: Goal,
    what: String,
}

/// Everything measured.
#[derive(Default)]
pub struct Results(Vec<Row>);

impl Results {
    /// Adds a value, and says so at once.
    pub fn add(&mut self, name: &str, value: f64, unit: &'static str, goal: Goal, what: &str) {
        eprintln!("{name} = {value:.2} {unit}");
        self.0.push(Row { name: name.into(), value, unit, goal, what: what.into() });
    }

    /// For people.
    pub fn print(&self) {
        println!("\n{:<28}{:>10}    {:<8}{:<8}", "measured", "value", "goal", "");
        for Row { name, value, unit, goal, what } in &self.0 {
            let reached = match goal.reached(*value) {
                Some(true) => "reached",
                Some(false) => "MISSED",
                None => "",
            };
            println!("{name:<28}{value:>10.2} {unit:<3}{:<8}{reached:<8} {what}", goal.text());
        }
    }

    /// For programs, into this file of the target folder; gives the path.
    pub fn write(&self, file: &str) -> PathBuf {
        let rounded = |value: f64| json!((value * 1000.0).round() / 1000.0);
        let values: Map<String, Value> = self.0.iter().map(|row| (row.name.clone(), rounded(row.value))).collect();
        // Cargo tells of `<target>/tmp` only.
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(file);
        let text = serde_json::to_string_pretty(&values).expect("JSON can be written");
        std::fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
