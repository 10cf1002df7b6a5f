//! Standard output: for data alone, and nobody's error when its reader has seen enough. Standard error: for what is said beside it.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::error::Error;
use crate::view::Look;

/// Formats of commands that know two.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Columns where a terminal does not say how many it has: what merge requests and split screens show.
pub(super) const COLUMNS: usize = 100;

/// Says a line on standard error, and goes on where nobody listens any more.
macro_rules! tell {
    ($($words:tt)*) => { $crate::cli::output::tell(format_args!($($words)*)) };
}

/// What [`tell!`] does.
pub(super) fn tell(words: fmt::Arguments) {
    let _ = writeln!(io::stderr(), "{words}"); // `eprintln!` panics, and leaves undone what was to come
}

/// Writes data.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Error::BrokenPipe,
        _ => Error::unavailable(format!("cannot write the output: {error}"), ""),
    })
}

/// Writes data as JSON.
pub(super) fn print_json(data: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(data).map_err(Error::other)?;
    print(&(text + "\n"))
}

/// Writes data as YAML.
pub(super) fn print_yaml(data: &impl Serialize) -> Result<(), Error> {
    print(&serde_saphyr::to_string(data).map_err(Error::other)?)
}

/// How standard output wants its text: broken to fit a screen, wherever it goes, and in colour only on a terminal (<https://no-color.org>).
pub(super) fn look() -> Look {
    let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let terminal =
        || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0);
    let columns = given("COLUMNS").and_then(|columns| columns.parse().ok()).or_else(terminal).unwrap_or(COLUMNS);
    let colour = is_terminal() && given("NO_COLOR").is_none() && given("TERM").is_none_or(|term| term != "dumb");
    Look { width: Some(columns), colour }
}

/// Columns of the terminal that standard error is; none where it is something else.
pub(super) fn width_of_stderr() -> Option<usize> {
    terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0)
}

/// How standard output wants its text, with lines as long as they are except on a terminal.
pub(super) fn wide_look() -> Look {
    if is_terminal() { look() } else { Look::default() }
}

/// Whether people see standard output as it is written.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
