//! What the agent's process uses, by the kernel's own account (proc(5)).

use std::fs;
use std::time::Duration;

/// Clock ticks a second: a constant of Linux' interface on every architecture that Rust has a standard library for.
const TICKS: u64 = 100;

/// CPU time since its start, ended threads included; in steps of 10 ms.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the agent runs");
    // After the name, which may hold blanks: state is field 3, user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// CPU time of the threads that run now, to the nanosecond.
pub fn precise_cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the agent runs");
    let one = |path: std::path::PathBuf| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(tasks.flatten().filter_map(|task| one(task.path())).sum())
}

/// A line of `/proc/PID/status` that is in kB, as MiB.
pub fn memory(pid: u32, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the agent runs");
    let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let value = value.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    value.unwrap_or_else(|| panic!("/proc/{pid}/status has no {line}")) / 1024.0
}
