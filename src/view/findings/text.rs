//! As rustc shows them: code, message, place, the lines concerned, and what to do.

use std::ops::Range;

use crate::model::{Also, Code, Diagnostic, Severity, Span};
use crate::view::Look;
use crate::view::table::wrap;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// Columns where the screen has no width of its own: what merge requests and split screens show.
const DEFAULT_WIDTH: usize = 100;

/// Columns before the words: `warning[MF001]: `; before notes, fewer.
const BEFORE: usize = 16;

/// All findings as text. `prefix` stands before each path, so that it can be clicked; `source` gives a file's text.
pub fn render<'a>(found: &[Diagnostic], prefix: &str, source: &dyn Fn(&str) -> Option<&'a str>, look: Look) -> String {
    let renderer = if look.colour { Renderer::styled() } else { Renderer::plain() };
    let width = look.width.unwrap_or(DEFAULT_WIDTH);
    let renderer = renderer.term_width(width);
    let words = Words { room: width.saturating_sub(BEFORE) };
    let mut out = String::new();
    for diagnostic in found {
        // The lines concerned would put a secret into the logs of whatever runs this.
        let source = |path: &str| source(path).filter(|_| diagnostic.code != Code::Secret);
        out.push_str(&renderer.render(&[group(diagnostic, prefix, &source, words)]));
        out.push_str("\n\n");
    }
    out
}

/// Words that fit the screen: no line of them is longer than this, where they can be broken.
#[derive(Clone, Copy)]
struct Words {
    room: usize,
}

impl Words {
    fn fit(self, text: &str) -> String {
        wrap(text, self.room).join("\n")
    }
}

fn group<'a>(diagnostic: &'a Diagnostic, prefix: &str, source: &dyn Fn(&str) -> Option<&'a str>, words: Words) -> Group<'a> {
    let Diagnostic { path, span, severity, code, message, help, also, commit } = diagnostic;
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (here, elsewhere): (Vec<&Also>, Vec<&Also>) = also.iter().partition(|other| other.path == *path);
    let title = level.primary_title(words.fit(message)).id(code.number());
    if let Some(commit) = commit {
        return in_commit(title.element(Origin::path(commit.to_string())), diagnostic, words);
    }
    let marked = source(path).and_then(|text| Some((text, range(text, *span)?)));
    let mut group = match marked {
        Some((text, range)) => {
            let others = here.iter().filter_map(|other| context(text, other));
            let snippet = Snippet::source(text).path(format!("{prefix}{path}"));
            title.element(snippet.annotation(AnnotationKind::Primary.span(range)).annotations(others))
        }
        None => title.element(place(format!("{prefix}{path}"), *span)),
    };
    for other in elsewhere {
        let Also { path, span, words: what } = other;
        group = match source(path).and_then(|text| Some((text, context(text, other)?))) {
            Some((text, mark)) => group.element(Snippet::source(text).path(format!("{prefix}{path}")).annotation(mark)),
            None => group.element(place(format!("{prefix}{path}"), *span)).element(Level::NOTE.message(words.fit(what))),
        };
    }
    if !help.is_empty() {
        group = group.element(Level::HELP.message(words.fit(help)));
    }
    group
}

/// What the files say now is another matter: no excerpts.
fn in_commit<'a>(mut group: Group<'a>, diagnostic: &'a Diagnostic, words: Words) -> Group<'a> {
    for Also { path, span, words: what } in &diagnostic.also {
        group = group.element(Level::NOTE.message(words.fit(&format!("{path}:{} {what}", span.line))));
    }
    group.element(Level::HELP.message(words.fit(&diagnostic.help)))
}

fn context<'a>(source: &str, also: &'a Also) -> Option<Annotation<'a>> {
    Some(AnnotationKind::Context.span(range(source, also.span)?).label(also.words.as_str()))
}

fn place<'a>(path: String, span: Span) -> Origin<'a> {
    let origin = Origin::path(path);
    if span.line == 0 { origin } else { origin.line(span.line as usize).char_column(span.column as usize) }
}

/// The bytes to mark: from the place on, at most to the end of its line.
fn range(source: &str, span: Span) -> Option<Range<usize>> {
    let line = source.split_inclusive('\n').nth((span.line as usize).checked_sub(1)?)?;
    let start = line.as_ptr() as usize - source.as_ptr() as usize; // `line` is a part of `source`
    let text = line.trim_end_matches(['\n', '\r']);
    let column = text.char_indices().nth((span.column as usize).saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    // Of a mapping or list in braces the parser gives the opening one: mark all that its line has of it.
    let rest = text[column..].split(" #").next().unwrap_or_default();
    let len = if rest.starts_with(['{', '[']) && span.len <= 1 { rest.len() } else { (span.len as usize).max(1) };
    let mut end = column.saturating_add(len).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1; // the end of the line is one
    }
    let end = column + text[column..end].trim_end().len();
    Some(start + column..start + end)
}
