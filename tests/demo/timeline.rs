//! The live timeline: what was committed, and what each agent did about it, with times.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::stage::Agent;

/// How often the agents' logs are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Most objects named in one line.
const OBJECTS_SHOWN: usize = 4;

/// Prints lines with the time since the start. Clones print to the same place.
#[derive(Clone)]
pub struct Timeline {
    start: Instant,
    colour: bool,
    lines: Arc<Mutex<()>>,
}

impl Timeline {
    pub fn start() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { start: Instant::now(), colour, lines: Arc::default() }
    }

    fn print(&self, style: &str, text: &str) {
        let _whole = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = self.start.elapsed().as_secs_f64();
        let mut out = std::io::stdout();
        let line = if self.colour && !style.is_empty() {
            format!("\x1b[2m{seconds:5.1}s\x1b[0m  \x1b[{style}m{text}\x1b[0m\n")
        } else {
            format!("{seconds:5.1}s  {text}\n")
        };
        let _ = out.write_all(line.as_bytes()); // a closed pipe must not fail the demo
        let _ = out.flush();
    }

    /// A chapter.
    pub fn chapter(&self, text: &str) {
        self.print("1", &format!("── {text}"));
    }

    /// Something that a person did.
    pub fn person(&self, text: &str) {
        self.print("1;36", text);
    }

    /// Something that was seen in the clusters.
    pub fn seen(&self, text: &str) {
        self.print("32", &format!("✓ {text}"));
    }

    /// Text as it is.
    pub fn plain(&self, text: &str) {
        for line in text.lines() {
            self.print("", line);
        }
    }
}

/// Prints what agents log until it is dropped.
pub struct Narrator {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Narrator {
    pub fn follow(timeline: &Timeline, agents: Vec<Arc<Agent>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (timeline, stopped) = (timeline.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            loop {
                let last = stopped.load(Ordering::Relaxed);
                for agent in &agents {
                    narrate(&timeline, agent);
                }
                if last {
                    return;
                }
                std::thread::sleep(LOOK);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Narrator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has printed itself
        }
    }
}

/// One line for all objects applied in a moment, one for each other event that a person cares about.
fn narrate(timeline: &Timeline, agent: &Agent) {
    let short = agent.mesh.split('-').next().unwrap_or(&agent.mesh);
    let mut applied: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in agent.new_events() {
        let message = event["message"].as_str().unwrap_or_default();
        match event["event"].as_str().unwrap_or_default() {
            "apply" => {
                let (object, what) = message.trim_start_matches("applying ").split_once(": ").unwrap_or((message, ""));
                applied.entry(what.to_owned()).or_default().push(without_namespace(object));
            }
            "published" | "removed" => {
                flush(timeline, short, &mut applied);
                timeline.print("", &format!("    {short:<5} {message}"));
            }
            "problem" => {
                flush(timeline, short, &mut applied);
                timeline.print("33", &format!("    {short:<5} {message}"));
            }
            "condition" if event["condition"] == "Connected" => {
                flush(timeline, short, &mut applied);
                let style = if event["status"] == true { "32" } else { "33" };
                timeline.print(style, &format!("    {short:<5} {message}"));
            }
            _ => {}
        }
    }
    flush(timeline, short, &mut applied);
}

fn flush(timeline: &Timeline, short: &str, applied: &mut BTreeMap<String, Vec<String>>) {
    for (what, objects) in std::mem::take(applied) {
        let named = objects.iter().take(OBJECTS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        let shown = match objects.len().checked_sub(OBJECTS_SHOWN) {
            Some(more @ 1..) => format!("{named} and {more} more"),
            _ => named,
        };
        timeline.print("", &format!("    {short:<5} {what}: {shown}"));
    }
}

/// `Kind/namespace/name` → `Kind/name`: the namespaces are the same all the time.
fn without_namespace(object: &str) -> String {
    match object.split('/').collect::<Vec<_>>().as_slice() {
        [kind, _, name] => format!("{kind}/{name}"),
        _ => object.to_owned(),
    }
}
