//! The steps of something under way, with their times.

use std::time::{Duration, Instant, SystemTime};

use crate::words::one_line;

/// Most failures that a step names; how many there were is an attribute.
const FAILURES_SHOWN: usize = 20;

/// A step that has ended.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was done: `fetch`, `read`, `gather`, `decide`, `perform`, `publish`; or all of it, `pass`.
    pub name: &'static str,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What is known of it, by names below `meshfed.`.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, in one line.
    pub error: Option<String>,
    /// Objects that it failed with, and why.
    pub failures: Vec<(String, String)>,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A count.
    Count(usize),
    /// A list of words.
    Texts(Vec<&'static str>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl From<Vec<&'static str>> for Value {
    fn from(texts: Vec<&'static str>) -> Self {
        Self::Texts(texts)
    }
}

/// What is under way: one step after the other.
#[derive(Debug, Default)]
pub struct Course {
    /// The clock of the wall says when, the other one how long: the first can be set meanwhile.
    running: Option<(Step, Instant)>,
    steps: Vec<Step>,
}

impl Course {
    /// A step begins; the one before has ended.
    pub fn enter(&mut self, name: &'static str) {
        self.leave();
        let start = SystemTime::now();
        let step = Step { name, start, took: Duration::ZERO, attributes: Vec::new(), error: None, failures: Vec::new() };
        self.running = Some((step, Instant::now()));
    }

    /// The step under way has ended.
    pub fn leave(&mut self) {
        if let Some((step, since)) = self.running.take() {
            self.steps.push(Step { took: since.elapsed(), ..step });
        }
    }

    /// Something is known of the step under way.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some((step, _)) = &mut self.running {
            step.attributes.push((name, value.into()));
        }
    }

    /// The step under way fails.
    pub fn fail(&mut self, reason: &str) {
        if let Some((step, _)) = &mut self.running {
            step.error = Some(one_line(reason));
        }
    }

    /// The step under way fails with one object, and goes on.
    pub fn fail_with(&mut self, object: String, reason: &str) {
        let Some((step, _)) = &mut self.running else { return };
        step.error.get_or_insert_with(|| one_line(&format!("{object}: {reason}")));
        if step.failures.len() < FAILURES_SHOWN {
            step.failures.push((object, one_line(reason)));
        }
    }

    /// Steps that were taken elsewhere for what is under way here.
    pub fn add(&mut self, steps: Vec<Step>) {
        self.steps.extend(steps);
    }

    /// All steps that have ended. Nothing is under way then.
    pub fn take(&mut self) -> Vec<Step> {
        self.leave();
        std::mem::take(&mut self.steps)
    }
}

impl Step {
    /// The whole that steps make: from the begin of the first to the end of the last, failed as the first that did. `None` without steps.
    pub fn around(name: &'static str, steps: &[Self]) -> Option<Self> {
        let start = steps.iter().map(|step| step.start).min()?;
        let end = steps.iter().map(Self::end).max()?;
        let error = steps.iter().find_map(|step| Some(format!("{}: {}", step.name, step.error.as_ref()?)));
        let took = end.duration_since(start).unwrap_or_default(); // no step ends before it starts
        Some(Self { name, start, took, attributes: Vec::new(), error, failures: Vec::new() })
    }

    /// When it ended.
    pub fn end(&self) -> SystemTime {
        self.start + self.took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_its_steps_in_order_and_the_whole_lies_around_them() {
        let mut course = Course::default();
        course.note("lost", 1);
        course.enter("fetch");
        course.note("commit", "abc");
        course.enter("read");
        course.fail("two\nlines");
        let fetched = course.take();
        assert_eq!(fetched.iter().map(|step| step.name).collect::<Vec<_>>(), ["fetch", "read"]);
        assert_eq!(fetched[0].attributes, [("commit", Value::Text("abc".into()))]);
        assert!(course.take().is_empty());

        let mut pass = Course::default();
        pass.add(fetched);
        pass.enter("perform");
        let steps = pass.take();
        let whole = Step::around("pass", &steps).unwrap();
        assert_eq!((whole.start, whole.end()), (steps[0].start, steps[2].end()));
        assert_eq!(steps[1].error.as_deref(), Some("two lines"));
        assert_eq!(whole.error.as_deref(), Some("read: two lines"));
        assert!(Step::around("pass", &[]).is_none());
    }

    #[test]
    fn a_step_names_the_first_objects_that_it_fails_with() {
        let mut course = Course::default();
        course.enter("perform");
        for number in 0..FAILURES_SHOWN * 2 {
            course.fail_with(format!("ConfigMap/{number}"), "refused");
        }
        let step = course.take().pop().unwrap();
        assert_eq!(step.failures.len(), FAILURES_SHOWN);
        assert_eq!(step.error.as_deref(), Some("ConfigMap/0: refused"));
    }
}
